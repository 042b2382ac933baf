"""A judge of known accuracy: what it answers to a text is fixed, and right for a known share of texts."""

import random
from collections.abc import Mapping, Sequence

from synthgen.tasks.normal import normalise

_UNKNOWN = object()


class KnownJudge:
    """Answers questions about texts whose labels are in `truth`, by normalised text; None there means off-task."""

    def __init__(
        self,
        labels: Sequence[str],
        truth: Mapping[str, str | None],
        mates: Mapping[str, str],
        accuracy: float,
        confusable: float,
        seed: str,
    ) -> None:
        self._labels = list(labels)
        self._truth = truth
        self._mates = mates
        self._accuracy = accuracy
        self._confusable = confusable
        self._seed = seed

    def label(self, text: str, options: Sequence[str]) -> dict[str, float]:
        """Return the probabilities of `options`, some or all of the labels; all alike for a text that it does not know."""
        true = self._truth.get(normalise(text), _UNKNOWN)
        if true is _UNKNOWN:
            return dict.fromkeys(options, 1 / len(options))
        rng = self._rng("label", text)
        answer = self._named(str(true), rng) if true is not None else rng.choice(self._labels)
        shares = _around(answer, self._labels, rng)
        total = sum(shares[option] for option in options)
        return {option: shares[option] / total for option in options}

    def grade(self, text: str, options: Sequence[str], sound: bool) -> dict[str, float]:
        """Return the probabilities of the grades: for a known share of texts the best grade is likeliest if `sound`, else the worst."""
        rng = self._rng("grade", text)
        right = rng.random() < self._accuracy
        return _around((max if sound == right else min)(options, key=float), options, rng)

    def _named(self, true: str, rng: random.Random) -> str:
        if rng.random() < self._accuracy:
            return true
        others = [label for label in self._labels if label not in (true, self._mates[true])]
        return self._mates[true] if rng.random() < self._confusable or not others else rng.choice(others)

    def _rng(self, question: str, text: str) -> random.Random:
        return random.Random(f"{self._seed}/{question}/{normalise(text)}")


def _around(answer: str, options: Sequence[str], rng: random.Random) -> dict[str, float]:
    """Return 0.6 to 0.9 for the answer, and the rest in uneven shares for the others."""
    others = {option: rng.expovariate(1.0) for option in options if option != answer}
    mass, total = (rng.uniform(0.6, 0.9) if others else 1.0), sum(others.values())
    return {option: mass if option == answer else (1 - mass) * others[option] / total for option in options}
