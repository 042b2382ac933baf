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
    without seeds, and with diversity.embedder=hash."""
    sensitivity: float = 0.9
    """Share of background texts, which belong to other tasks, that the threshold of a label must reject, unless
    `seed_loss` forbids it. A higher value rejects more off-task texts and more good ones. For a task without labels, at
    most 0.5 is used."""
    seed_loss: float = 0.05
    """Largest share of a label's texts that the threshold may reject, as predicted from the seeds, each scored against
    the others. The threshold of a label is lowered until this holds, so that a label with texts of all kinds is hardly
    judged. For a task without labels, no seed may be rejected."""

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
    texts than a text of the requested label. Each label has its own threshold. It is calibrated on the background
    texts, each scored against the others, and on the seeds. A text that contains the name of the requested label
    passes, because the embedder may not know what the name means.
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
        """Build the check and calibrate its thresholds. All vectors are unit rows.

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
            self._thresholds = self._calibrate(cfg, len(keep)) if len(self._background) >= _LEAST_BACKGROUND else None

    async def __call__(self, candidate: Candidate) -> Verdict:
        """Score a candidate. Call this after the near-duplicate check, which embeds the candidate."""
        threshold = self.threshold(candidate.label)
        if threshold is None:
            return Verdict(check=self.name)
        score = self.score(candidate.embedding, candidate.label)
        if score >= threshold or self._says_label(candidate):
            return Verdict(check=self.name, score=score)
        details = {"threshold": threshold}
        return Verdict(check=self.name, outcome="reject", reason="off_task", score=score, details=details)

    def _says_label(self, candidate: Candidate) -> bool:
        parts = self._words.get(candidate.label or "", ())
        line = _line(self._text(candidate.data or {}))
        return bool(parts) and all(part in line for part in parts)

    def threshold(self, label: str | None) -> float | None:
        """Return the lowest score with which a text requested with `label` passes; None if every text passes."""
        if self._thresholds is None:
            return None
        return self._thresholds[label] if label in self._thresholds else min(self._thresholds.values())

    def score(self, vector: Vectors, label: str | None) -> float:
        """Return the log likelihood ratio of task to background, in nats, for a text requested with `label`."""
        own = _kernel(self._own @ vector)
        task = own.mean()
        if (members := self._members.get(label)) is not None:
            task = _ASKED * own[members].mean() + (1 - _ASKED) * task
        return round(float(np.log(task) - np.log(_kernel(self._background @ vector).mean())), 4)

    def _calibrate(self, cfg: OffTaskConfig, seeds: int) -> dict[str | None, float]:
        """Return the threshold of each label: a high quantile of the background scores, or a lower one for its seeds.

        A task without labels has one threshold, with the key None.
        """
        unlabelled = not self._members
        sensitivity = min(cfg.sensitivity, _UNLABELLED_SENSITIVITY) if unlabelled else cfg.sensitivity
        others = _kernel(self._background @ self._background.T)
        np.fill_diagonal(others, 0.0)
        beside = others.sum(axis=1) / (len(others) - 1)
        background = np.log(self._by_label(_kernel(self._background @ self._own.T))) - np.log(beside)[:, None]
        highest = float(np.quantile(background, sensitivity))
        own = np.log(self._of_seeds(_kernel(self._own[:seeds] @ self._own.T)))
        own -= np.log(_kernel(self._own[:seeds] @ self._background.T).mean(axis=1))
        if unlabelled:
            return {None: round(min(highest, float(own.min()) - _UNLABELLED_MARGIN), 4)}
        lowest = predicted_quantiles(own, [members[:seeds] for members in self._members.values()], cfg.seed_loss)
        return {label: round(min(highest, low), 4) for label, low in zip(self._members, lowest, strict=True)}

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


def predicted_quantiles(scores: _Matrix, groups: Sequence[npt.NDArray[np.bool_]], share: float) -> list[float]:
    """Predict for each group the score that a `share` of its texts is below, from the scores of a few of them.

    The prediction is the group's mean, shrunk towards the mean of all by the intraclass correlation, plus a low quantile
    of the errors that this makes for each score when it is predicted from the others of its group. Scores above the
    median count as the median: by how much a narrow group is above the threshold does not matter.
    """
    capped = np.minimum(scores, np.median(scores))
    mean = float(capped.mean())
    apart = [capped[members] - mean for members in groups]
    pairs = sum(len(group) * (len(group) - 1) for group in apart)
    shared = sum(float(group.sum() ** 2 - (group**2).sum()) for group in apart) / max(pairs, 1)
    variance = float(((capped - mean) ** 2).mean())
    alike = min(max(shared / variance, 0.0), 1.0) if variance else 0.0

    def slope(count: int) -> float:
        return alike / (1 + (max(count, 1) - 1) * alike)

    alone = ~np.any(groups, axis=0)
    errors = [group - slope(len(group) - 1) * (group.sum() - group) for group in apart] + [capped[alone] - mean]
    error = float(np.quantile(np.concatenate(errors), share))
    return [mean + slope(len(group)) * float(group.sum()) + error for group in apart]


def _parts(name: str) -> tuple[str, ...]:
    """Return the words of a label's name. Characters of a script without spaces stay together: 天气 is one part."""
    return tuple(line for part in name.split() if (line := _line(part)).strip())


def _line(text: str) -> str:
    """Return the words of a text with a space before and after each."""
    return f" {' '.join(words(text))} "


def _kernel(cosines: npt.NDArray[np.floating]) -> _Matrix:
    return np.asarray(np.exp(_CONCENTRATION * cosines.astype(np.float64)))
