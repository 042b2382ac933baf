"""Reject candidates that do not belong to the task (off-task check).

The check compares a text with the task's seeds, label names and description, and with a fixed background of texts of
many other kinds. It does not use accepted samples, so a resumed run decides as an uninterrupted one. It needs an
embedder whose vectors represent meaning.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synthgen.diversity.metrics import words
from synthgen.errors import ConfigError
from synthgen.numerics.blas import one_core
from synthgen.records import Candidate, CheckSpec, Json, Reason, Verdict

Vectors = npt.NDArray[np.float32]
_Matrix = npt.NDArray[np.float64]

_CONCENTRATION = 12.0
"""Concentration k of the kernel exp(k · cosine), as in a von Mises-Fisher density. A cosine that is higher by 0.06
counts twice as much."""
_ASKED = 0.5
"""Weight of the requested label in a text's likelihood under the task. The rest is spread over all labels alike."""
_TOO_NEAR = 0.6
"""Leave out a background text whose cosine to one of the task's texts is at or above this: it belongs to the task."""
_LEAST_BACKGROUND = 50
"""Let everything pass when fewer background texts are left, because the embedder then finds all texts alike."""
_MOST_OWN = 2_000
"""Use at most this many seeds, evenly spaced, because the time per candidate is proportional to their number."""
_UNLABELLED_SENSITIVITY = 0.5
_UNLABELLED_MARGIN = 1.0
"""Without labels, less is known about the task. The threshold then rejects at most half of the background, and lies 1 nat
below all seeds."""


@dataclass
class OffTaskConfig:
    enabled: bool = True
    """Reject texts that are more similar to texts of other kinds than to the task's seeds and label names. Always off
    with diversity.embedder=hash."""
    sensitivity: float = 0.9
    """Share of background texts, which belong to other tasks, that the threshold must reject. A higher value rejects
    more off-task texts and more good ones. For a task without labels, at most 0.5 is used."""
    seed_loss: float = 0.03
    """Largest share of the seeds that the threshold may reject, each seed scored against the others. The threshold is
    lowered until this holds. For a task without labels, no seed may be rejected."""

    def __post_init__(self) -> None:
        for key, value in (("sensitivity", self.sensitivity), ("seed_loss", self.seed_loss)):
            if not 0 <= value < 1:
                raise ConfigError(f"diversity.off_task.{key}: must be from 0 to below 1, got {value}")


@cache
def background_texts() -> tuple[str, ...]:
    """Return the background texts, which belong to other tasks and are part of the package."""
    lines = (Path(__file__).parent / "background.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


class OffTask:
    """Reject a candidate when its likelihood ratio of task to background is below a threshold.

    Both likelihoods are kernel density estimates on cosines. The task's likelihood is half about the requested label
    and half about all labels: a text of another label of the task is not off-task, but it must be nearer to the task's
    texts than a text of the requested label. The threshold is calibrated on the background texts, each scored
    against the others, and on the seeds. A text that contains the name of the requested label passes, because the
    embedder may not know what the name means.
    """

    spec = CheckSpec(
        "off_task",
        "The text is more similar to the task's seeds and labels than to texts of other kinds.",
        (Reason("off_task", "is more like texts of other kinds than like the task's"),),
        "log likelihood ratio of task to background, in nats",
    )
    name = spec.name

    def __init__(
        self,
        cfg: OffTaskConfig,
        text: Callable[[Json], str],
        labels: Mapping[str, str],
        seeds: Vectors,
        seed_labels: Sequence[str | None],
        names: Vectors,
        background: Vectors,
    ) -> None:
        """Build the check and calibrate its threshold. All vectors are unit rows.

        `text` returns the text of a candidate. `labels` maps each label to its name in words. `names` holds the vectors
        of the labels, in their order, followed by the vector of the task's description.
        """
        self._text = text
        self._words = {label: _parts(name) for label, name in labels.items()}
        keep = np.unique(np.linspace(0, len(seeds) - 1, min(len(seeds), _MOST_OWN)).astype(int))
        self._own = np.concatenate([seeds[keep], names])
        of = [*(seed_labels[row] for row in keep.tolist()), *labels, *[None] * (len(names) - len(labels))]
        self._members: dict[str | None, npt.NDArray[np.bool_]] = {
            label: np.asarray([own == label for own in of]) for label in labels
        }
        with one_core():
            self._background = background[(background @ self._own.T).max(axis=1) < _TOO_NEAR]
            self.threshold = self._calibrate(cfg, len(keep)) if len(self._background) >= _LEAST_BACKGROUND else None

    async def __call__(self, candidate: Candidate) -> Verdict:
        """Score a candidate. Call this after the near-duplicate check, which embeds the candidate."""
        if self.threshold is None:
            return Verdict(check=self.name)
        score = self.score(candidate.embedding, candidate.label)
        if score >= self.threshold or self._says_label(candidate):
            return Verdict(check=self.name, score=score)
        details = {"threshold": self.threshold}
        return Verdict(check=self.name, outcome="reject", reason="off_task", score=score, details=details)

    def _says_label(self, candidate: Candidate) -> bool:
        parts = self._words.get(candidate.label or "", ())
        line = _line(self._text(candidate.data or {}))
        return bool(parts) and all(part in line for part in parts)

    def score(self, vector: Vectors, label: str | None) -> float:
        """Return the log likelihood ratio of task to background, in nats, for a text requested with `label`."""
        own = _kernel(self._own @ vector)
        task = own.mean()
        if (members := self._members.get(label)) is not None:
            task = _ASKED * own[members].mean() + (1 - _ASKED) * task
        return round(float(np.log(task) - np.log(_kernel(self._background @ vector).mean())), 4)

    def _calibrate(self, cfg: OffTaskConfig, seeds: int) -> float:
        """Return the threshold: a high quantile of the background scores, or a low quantile of the seed scores if lower."""
        unlabelled = not self._members
        sensitivity = min(cfg.sensitivity, _UNLABELLED_SENSITIVITY) if unlabelled else cfg.sensitivity
        others = _kernel(self._background @ self._background.T)
        np.fill_diagonal(others, 0.0)
        beside = others.sum(axis=1) / (len(others) - 1)
        background = np.log(self._by_label(_kernel(self._background @ self._own.T))) - np.log(beside)[:, None]
        own = np.log(self._of_seeds(_kernel(self._own[:seeds] @ self._own.T)))
        own -= np.log(_kernel(self._own[:seeds] @ self._background.T).mean(axis=1))
        lowest = float(own.min()) - _UNLABELLED_MARGIN if unlabelled else float(np.quantile(own, cfg.seed_loss))
        return round(min(float(np.quantile(background, sensitivity)), lowest), 4)

    def _by_label(self, own: _Matrix) -> _Matrix:
        """Return likelihoods under the task for each requested label, shape (rows, labels), from kernels (rows, own).

        A task without labels gives one column.
        """
        task = own.mean(axis=1)
        labelled = [_ASKED * own[:, members].mean(axis=1) + (1 - _ASKED) * task for members in self._members.values()]
        return np.stack(labelled or [task], axis=1)

    def _of_seeds(self, own: _Matrix) -> _Matrix:
        """Return the likelihood of each seed under the task without that seed, requested with its own label.

        Takes kernels of shape (seeds, own).
        """
        np.fill_diagonal(own, 0.0)
        task: _Matrix = own.sum(axis=1) / (own.shape[1] - 1)
        for members in self._members.values():
            rows = np.flatnonzero(members[: len(own)])
            same = own[rows][:, members].sum(axis=1) / (members.sum() - 1)
            task[rows] = _ASKED * same + (1 - _ASKED) * task[rows]
        return task


def _parts(name: str) -> tuple[str, ...]:
    """Return the words of a label's name. Characters of a script without spaces stay together: 天气 is one part."""
    return tuple(line for part in name.split() if (line := _line(part)).strip())


def _line(text: str) -> str:
    """Return the words of a text with a space before and after each."""
    return f" {' '.join(words(text))} "


def _kernel(cosines: npt.NDArray[np.floating]) -> _Matrix:
    return np.asarray(np.exp(_CONCENTRATION * cosines.astype(np.float64)))
