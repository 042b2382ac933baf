"""The check on texts that restate a sample of their prompt, which acts only where a generator does so too often.

Real texts are now and then like a sample that was shown, too. So the share of such texts is held below a limit that follows
from the seeds, and below that limit the check rejects nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthgen.diversity.borrowed import LabelWords, SeedNames
from synthgen.diversity.overlap import corrected, expected_overlap, overlap
from synthgen.errors import ConfigError
from synthgen.records import Candidate, CheckSpec, Json, Reason, Sample, Verdict

_MOST_SEEDS = 200
"""Seeds that are held against each other at most, evenly spaced: the time goes with the square."""
_REMEMBERED = 4_096
_SPARED = 4
"""One restatement of so many passes above the limit, too, so that a label whose texts are all alike can be filled."""


@dataclass
class RestatedConfig:
    enabled: bool = True
    """Keep down the share of samples that restate one of their prompt's samples: that have most of its words, or a name
    that stands in no other seed."""
    overlap: float = 0.5
    """Words that a text has in common with a sample of its prompt, above what two seeds of one label have (0), towards all
    of them (1), from which on it restates the sample."""
    margin: float = 0.05
    """Margin by which the share of samples that restate one may exceed the share of seeds that restate another seed."""

    def __post_init__(self) -> None:
        for key in ("overlap", "margin"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigError(f"diversity.restated.{key}: must be above 0 and at most 1, got {getattr(self, key)}")


class Restated:
    """Reject candidates that restate a sample of their prompt while too many accepted ones do.

    A text restates a sample that was shown if their lexical overlap, corrected for what two seeds of one label have in
    common, is at or above `cfg.overlap`, or if it has a name of a shown seed that stands in no other seed. The limit is
    `cfg.margin` above the share of seeds that do the same to another seed, with one seed more of which this is so, because
    few seeds say little. Above it one restatement in `_SPARED` passes, chosen by its id.

    Asked in slot order alone, when a candidate's turn has come, so that what it finds depends on nothing but what was
    accepted before. `find` gives a sample by its id, `text` what a sample says.
    """

    spec = CheckSpec(
        "restated",
        "A text that restates no sample of its prompt, or one that does while few accepted ones do so.",
        (
            Reason(
                "restated",
                "restates a sample of its prompt, and too many accepted ones do so already",
                "diversity.restated.overlap",
            ),
        ),
        "words in common with a sample of the prompt, above what is usual, 0 to 1",
    )
    name = spec.name

    def __init__(
        self,
        cfg: RestatedConfig,
        text: Callable[[Json], str],
        find: Callable[[str], Sample],
        seeds: Sequence[Sample],
        labels: Sequence[str],
    ) -> None:
        self._cfg = cfg
        self._text = text
        texts = [text(seed.data) for seed in seeds]
        self._names = SeedNames(texts, LabelWords(labels))
        self._expected = expected_overlap(texts, [seed.label for seed in seeds])
        keep = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), _MOST_SEEDS)).astype(int)).tolist()
        self.limit = cfg.margin + self._natural([texts[row] for row in keep])
        self._seed_ids = frozenset(seed.id for seed in seeds)
        self._shown = lru_cache(_REMEMBERED)(lambda sample_id: text(find(sample_id).data))
        self._accepted = self._restating = 0

    async def __call__(self, candidate: Candidate) -> Verdict:
        """Reject a restatement if there would be too many; the details of the verdict say what is restated."""
        text = self._text(candidate.data or {})
        share, neighbour = max(
            ((corrected(overlap(text, self._shown(parent)), self._expected), parent) for parent in candidate.parents),
            default=(0.0, ""),
        )
        score = round(max(0.0, share), 6)
        details: Json = {"neighbour": neighbour} if share >= self._cfg.overlap else self._named(text, candidate.parents)
        if details and self._too_many() and int(candidate.id[:8], 16) % _SPARED:
            return Verdict(check=self.name, outcome="reject", reason="restated", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)

    def accepted(self, _: Sample, candidate: Candidate) -> None:
        """Count an accepted candidate."""
        self._accepted += 1
        self._restating += any(verdict.check == self.name and bool(verdict.details) for verdict in candidate.verdicts)

    def restore(self, accepted: int, restating: int) -> None:
        """Count what earlier sessions of the run accepted, and how many of them restate a sample."""
        self._accepted, self._restating = accepted, restating

    def _too_many(self) -> bool:
        return self._restating + 1 > self.limit * (self._accepted + 1) + 1

    def _named(self, text: str, parents: Sequence[str]) -> Json:
        """Return a name that the text took over, and the shown seed that it stands in; empty if there is none."""
        for name in sorted(self._names.taken(text)):
            for parent in parents:
                if parent in self._seed_ids and name in self._names.taken(self._shown(parent)):
                    return {"neighbour": parent, "name": name}
        return {}

    def _natural(self, texts: Sequence[str]) -> float:
        alike = sum(
            any(
                corrected(overlap(text, other), self._expected) >= self._cfg.overlap
                for place, other in enumerate(texts)
                if place != row
            )
            for row, text in enumerate(texts)
        )
        return (alike + self._names.natural * len(texts) + 1) / (len(texts) + 1)
