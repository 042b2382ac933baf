"""The knobs of deciding labels."""

from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.tasks.task import Task


@dataclass
class LabelsConfig:
    enabled: bool = True
    """Decide each candidate's label from all sources (classification, with an embedder that knows meanings); false leaves
    it to the label check alone to reject."""
    relabel: float = 0.4
    """Least probability of another label than the one asked for at which the candidate gets that label, if none is
    likelier."""
    renew: float = 0.6
    """Least probability of another label at which an accepted sample gets that label in dataset and student: labels are
    decided once more when all evidence is there, and with what people answered."""
    keep: float = 0.25
    """Least probability of a candidate's likeliest label; below it the candidate is rejected, with the reason `label`."""
    sure: float | None = 0.9
    """The label check is not asked about a candidate whose label has this probability without it, and has the highest one by
    seeds and label meanings alone; null asks about all."""
    audit: float = 0.25
    """Share of those candidates about which the label check is asked all the same: their answers show how reliable it is."""
    weight: float | None = None
    """Most that an accepted sample weighs in the student's loss beside a seed's 1; null derives it from the evidence."""
    every: int = 64
    """Slots after which the label model is fitted again; the distance grows with the run, to an eighth of it."""
    window: int = 2000
    """Latest accepted samples that it is fitted to while the run goes on."""

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
    """Tell whether labels are decided from several sources: one of them needs an embedder that knows what words mean."""
    return cfg.enabled and bool(task.labels) and embedder != "hash"
