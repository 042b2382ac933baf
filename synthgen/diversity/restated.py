"""Limit the share of texts that restate a sample of their prompt.

Real texts, too, sometimes resemble each other. The limit on the share of such texts is therefore derived from the seeds,
and the check rejects nothing while the share is below it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthgen.diversity.borrowed import LabelWords, SeedNames
from synthgen.diversity.overlap import Compared, compared, corrected, expected_overlap, overlap, overlaps
from synthgen.errors import ConfigError
from synthgen.records import Candidate, CheckSpec, Json, Reason, Sample, Verdict

_MOST_SEEDS = 200
"""Compare at most this many seeds with each other, evenly spaced, because the time grows with the square."""
_REMEMBERED = 4_096
_PROMPTS = 128
"""Keep the trigrams of the demonstrations of this many prompts, because the slots of a group share them."""
_SPARED = 4
"""Let one of this many restatements pass above the limit, so that a label whose texts are all alike can be filled."""


@dataclass
class RestatedConfig:
    enabled: bool = True
    """Limit the share of samples that restate a sample of their prompt. A text restates a sample when it has most of
    its words, or a name that occurs in no other seed."""
    overlap: float = 0.5
    """Lexical overlap with a sample of the prompt from which a text restates that sample. 0 is the average overlap of
    two seeds with one label, 1 is equal words."""
    margin: float = 0.05
    """Amount by which the share of restating samples may exceed the share of seeds that restate another seed."""

    def __post_init__(self) -> None:
        for key in ("overlap", "margin"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigError(f"diversity.restated.{key}: must be above 0 and at most 1, got {getattr(self, key)}")


class Restated:
    """Reject candidates that restate a sample of their prompt while too many accepted samples do so.

    A text restates a sample of its prompt in two cases: their lexical overlap, corrected for the average of two seeds
    with one label, is at or above `cfg.overlap`; or the text has a name from a seed of the prompt that occurs in no
    other seed. The limit is `cfg.margin` above the share of seeds that restate another seed. One such seed is added to
    that share, because a few seeds are little data. Above the limit, one restatement in `_SPARED` passes, chosen by
    its id. The sample that a candidate rewrites is not compared with it; a candidate whose prompt shows no other sample
    does not count.

    Call this only in slot order, so that the verdict depends only on samples accepted before. `find` returns a sample
    by its id, and `text` returns the text of a sample.
    """

    spec = CheckSpec(
        "restated",
        "The text does not restate a sample of its prompt, or few accepted samples do so.",
        (
            Reason(
                "restated",
                "restates a sample of its prompt, and too many accepted samples already do so",
                "diversity.restated.overlap",
            ),
        ),
        "lexical overlap with a sample of the prompt, above the average of two seeds with one label, 0 to 1",
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
        self._prompt = lru_cache(_PROMPTS)(self._compared)
        self._accepted = self._restating = 0

    async def __call__(self, candidate: Candidate) -> Verdict:
        """Reject a restatement if there would be too many. The details of the verdict name the restated sample."""
        shown = candidate.demonstrations
        if not shown and candidate.parents:
            return Verdict(check=self.name)
        text = self._text(candidate.data or {})
        shared = overlaps(text, self._prompt(shown))
        most, neighbour = max(zip(shared, shown, strict=True), default=(0.0, ""))
        share = corrected(most, self._expected) if neighbour else 0.0
        score = round(max(0.0, share), 6)
        details: Json = {"neighbour": neighbour} if share >= self._cfg.overlap else self._named(text, shown)
        if details and self._too_many() and int(candidate.id[:8], 16) % _SPARED:
            return Verdict(check=self.name, outcome="reject", reason="restated", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)

    def accepted(self, _: Sample, candidate: Candidate) -> None:
        """Count an accepted candidate if it was compared with samples of its prompt."""
        compared = [
            verdict for verdict in candidate.verdicts if verdict.check == self.name and verdict.score is not None
        ]
        self._accepted += bool(compared)
        self._restating += any(verdict.details for verdict in compared)

    def restore(self, accepted: int, restating: int) -> None:
        """Set the number of samples that earlier sessions accepted, and how many of those restate a sample."""
        self._accepted, self._restating = accepted, restating

    def _compared(self, shown: tuple[str, ...]) -> Compared:
        return compared([self._shown(sample_id) for sample_id in shown])

    def _too_many(self) -> bool:
        return self._restating + 1 > self.limit * (self._accepted + 1) + 1

    def _named(self, text: str, parents: Sequence[str]) -> Json:
        """Return a name that the text copied, and the seed of the prompt that contains it; empty if there is none."""
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
