"""Configure how labels are decided."""

from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.tasks.task import Task


@dataclass
class LabelsConfig:
    enabled: bool = True
    """Decide each candidate's label from all label sources. This needs a classification task and an embedder other than
    `hash`. When false, labels are not changed, and only the label check rejects by label."""
    relabel: float = 0.4
    """Change a candidate's label when another label is the most likely one and has at least this probability."""
    renew: float = 0.6
    """Change an accepted sample's label in dataset and student when another label has at least this probability. This
    second decision uses all samples of the run and all answers by people."""
    keep: float = 0.25
    """Minimum probability of a candidate's final label. Below it, the candidate is rejected with the reason `label`."""
    sure: float | None = 0.9
    """Skip the label check for a candidate when the other sources give the requested label at least this probability,
    and it is also the most likely label by seeds and label meanings alone. null always asks the label check."""
    audit: float = 0.25
    """Share of candidates for which the label check is never skipped. Their answers measure its reliability."""
    weight: float | None = None
    """Maximum weight of an accepted sample in the student's loss, where a seed has 1. null estimates it from the label
    sources."""
    every: int = 64
    """Number of slots between two fits of the label model. The interval grows with the run, up to an eighth of its
    length."""
    window: int = 2000
    """Number of latest accepted samples to which the label model is fitted during the run."""

    def __post_init__(self) -> None:
        if self.weight is not None and self.weight < 0:
            raise ConfigError(f"labels.weight: must be 0 or more, or null, got {self.weight}")
        for key in ("relabel", "renew", "keep", "sure", "audit"):
            if getattr(self, key) is not None and not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"labels.{key}: must be from 0 to 1, got {getattr(self, key)}")
        for key in ("every", "window"):
            if getattr(self, key) < 1:
                raise ConfigError(f"labels.{key}: must be 1 or more, got {getattr(self, key)}")


def decides(cfg: LabelsConfig, task: Task, embedder: str) -> bool:
    """Tell whether labels are decided from several sources. This needs an embedder that represents meaning."""
    return cfg.enabled and bool(task.labels) and embedder != "hash"
