"""The off-task check: does a text belong to the task, or to anything else?

Knows the task's seeds, label names and description, and a fixed background of texts of many kinds. It looks at nothing that
was accepted, so a resumed run decides as an undisturbed one would. The embedder's vectors must know meanings.
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
"""Of the kernel exp(k · cosine), as of a von Mises-Fisher density: a cosine higher by 0.06 counts twice as much."""
_ASKED = 0.5
"""Weight of the label that was asked for in a text's likelihood under the task; the rest goes to all labels alike."""
_TOO_NEAR = 0.6
"""Cosine to the task's own texts from which on a background text is taken for one of the task, and left out."""
_LEAST_BACKGROUND = 50
"""With fewer texts left the embedder takes everything for alike, and the check lets everything pass."""
_MOST_OWN = 2_000
"""Seeds that are used at most, evenly spaced: a look takes time in proportion."""
_UNLABELLED_SENSITIVITY = 0.5
_UNLABELLED_MARGIN = 1.0
"""Without labels less is known of the task: half of the background is caught at most, and the threshold is 1 nat below all
seeds."""


@dataclass
class OffTaskConfig:
    enabled: bool = True
    """Reject texts that are more like texts of other kinds than like the task's seeds and label names. Off with
    diversity.embedder=hash."""
    sensitivity: float = 0.9
    """Share of background texts, which belong to other tasks, that the threshold rejects; more catches more and loses more.
    At most half of them for a task without labels."""
    seed_loss: float = 0.03
    """The threshold is lowered until it rejects at most this share of the seeds, each left out of the others; none for a
    task without labels."""

    def __post_init__(self) -> None:
        for key, value in (("sensitivity", self.sensitivity), ("seed_loss", self.seed_loss)):
            if not 0 <= value < 1:
                raise ConfigError(f"diversity.off_task.{key}: must be from 0 to below 1, got {value}")


@cache
def background_texts() -> tuple[str, ...]:
    """Return the texts of other tasks that come with the package."""
    lines = (Path(__file__).parent / "background.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


class OffTask:
    """Reject candidates whose likelihood under the task, over that under the background, is below a threshold.

    Both are kernel density estimates on cosines. Half of the task's is about the label that was asked for, half about all
    labels: a text of another label of the task is no off-task one, and needs to be nearer than one of the label. The
    threshold comes of the background, each text left out of the others, and of the seeds. A text that says the name of
    the label that was asked for passes, because a model may not know what the name means.
    """

    spec = CheckSpec(
        "off_task",
        "A text that is more like the task's seeds and labels than like texts of other kinds.",
        (Reason("off_task", "is more like texts of other kinds than like the task's"),),
        "log of the text's likelihood under the task over that under the background, in nats",
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
        """All vectors are unit rows. `labels` gives each label's name in words; `names` are the vectors of the labels, in their
        order, and that of the task's description. `text` gives what a candidate says."""
        self._text = text
        self._words = {label: frozenset(words(name)) for label, name in labels.items()}
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
        """Score a candidate. Ask after the near-duplicate check, which embeds it."""
        if self.threshold is None:
            return Verdict(check=self.name)
        score = self.score(candidate.embedding, candidate.label)
        if score >= self.threshold or self._says_label(candidate):
            return Verdict(check=self.name, score=score)
        details = {"threshold": self.threshold}
        return Verdict(check=self.name, outcome="reject", reason="off_task", score=score, details=details)

    def _says_label(self, candidate: Candidate) -> bool:
        name = self._words.get(candidate.label or "", frozenset())
        return bool(name) and name <= set(words(self._text(candidate.data or {})))

    def score(self, vector: Vectors, label: str | None) -> float:
        """Return the log likelihood ratio of task and background, in nats, of a text asked for as `label`."""
        own = _kernel(self._own @ vector)
        task = own.mean()
        if (members := self._members.get(label)) is not None:
            task = _ASKED * own[members].mean() + (1 - _ASKED) * task
        return round(float(np.log(task) - np.log(_kernel(self._background @ vector).mean())), 4)

    def _calibrate(self, cfg: OffTaskConfig, seeds: int) -> float:
        """Return the threshold: a high quantile of the background's scores, or a low one of the seeds' if lower."""
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
        """Return likelihoods (rows, labels) under the task, for each label asked for, from kernels (rows, own).

        One column without labels.
        """
        task = own.mean(axis=1)
        labelled = [_ASKED * own[:, members].mean(axis=1) + (1 - _ASKED) * task for members in self._members.values()]
        return np.stack(labelled or [task], axis=1)

    def _of_seeds(self, own: _Matrix) -> _Matrix:
        """Return each seed's likelihood under the task of the other seeds, asked for as its own label.

        From kernels of shape (seeds, own).
        """
        np.fill_diagonal(own, 0.0)
        task: _Matrix = own.sum(axis=1) / (own.shape[1] - 1)
        for members in self._members.values():
            rows = np.flatnonzero(members[: len(own)])
            same = own[rows][:, members].sum(axis=1) / (members.sum() - 1)
            task[rows] = _ASKED * same + (1 - _ASKED) * task[rows]
        return task


def _kernel(cosines: npt.NDArray[np.floating]) -> _Matrix:
    return np.asarray(np.exp(_CONCENTRATION * cosines.astype(np.float64)))
