"""Check that every sentence of a field is close in meaning to the text that it rests on, such as a passage.

Closeness is the cosine of the run's embedder. It finds sentences about something else, and not those that say the
opposite; the judge, where asked, reads the texts themselves.
"""

import dataclasses
from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Path, Scored, Stage, Tools, quoted
from synthgen.filters.declared.fields import PathPairs, Paths, as_list, refuse_same, string_steps
from synthgen.filters.declared.measure import sentences
from synthgen.records import UNANSWERED, Json
from synthgen.tasks.task import Task

_QUESTION = "Does the source say everything that the claim says?"


@dataclasses.dataclass
class SupportedConfig:
    field: Paths
    """Path or paths to the text whose sentences must be supported, such as `answer`."""
    inside: Paths = dataclasses.field(metadata={"key": "in"})
    """Path or paths to the text that must support them, such as `passage`."""
    threshold: float = 0.5
    """Least cosine of each sentence to a sentence of `in`, or to two that follow each other. -1 asks the judge alone."""
    judge: bool = False
    """Also ask the run's judge whether `in` says everything that `field` says, unless the run has no judge."""
    min_probability: float = 0.5
    """Least probability of the judge's yes."""


class Supported:
    """Find sentences that have no near sentence in another text."""

    kind: ClassVar[str] = "supported"
    meaning: ClassVar[str] = "Each sentence of `field` is close in meaning to a sentence of `in`."
    reasons: ClassVar[dict[str, str]] = {
        "unsupported": "has a sentence that its source does not support",
        **{reason.code: reason.words for reason in UNANSWERED},
    }
    config: ClassVar[type[SupportedConfig]] = SupportedConfig
    scores: ClassVar[str] = "least cosine of a sentence, -1 to 1; probability of the judge's yes, where it rejects"
    stage: ClassVar[Stage] = "embedding"

    def __init__(self, cfg: SupportedConfig, task: Task) -> None:
        self._pairs = PathPairs(string_steps("field", cfg.field, task), string_steps("in", cfg.inside, task))
        self._in = " or ".join(as_list("in", cfg.inside))
        self._cfg = cfg
        self.questions = int(cfg.judge)
        refuse_same("in", cfg.inside, cfg.field, "the field that must support it")
        for key, least in (("threshold", -1), ("min_probability", 0)):
            if not least <= getattr(cfg, key) <= 1:
                raise KeyProblem(key, f"must be from {least} to 1, got {getattr(cfg, key)}")

    async def consult(self, data: Json, place: str, tools: Tools) -> Iterable[Found]:
        found: list[Found] = []
        for number, (path, text, sources) in enumerate(self._pairs(data)):
            found += [await self._near(path, text, sources, tools)]
            if not isinstance(found[-1], Fault) and self._cfg.judge and tools.ask is not None and text.strip():
                shown: Json = {"claim": text, "source": "\n".join(sources)}
                probability = await tools.ask(f"{place}-{number}", _QUESTION, shown)
                if probability is None:
                    reason = tools.unanswered(place)
                    found += [Fault(reason, path, "has no readable answer of the judge", unscored=True)]
                elif probability < self._cfg.min_probability:
                    problem = f"{quoted(text)} is not supported by {self._in}, says the judge"
                    found += [Fault("unsupported", path, problem, {"by": "judge"}, round(probability, 4))]
        return found

    async def _near(self, path: Path, text: str, sources: list[str], tools: Tools) -> Found:
        """Return the least cosine of a sentence to the sources, as a fault where it is below the threshold."""
        own = sentences(text)
        other = [sentence for source in sources for sentence in _windows(source)]
        if not own or self._cfg.threshold == -1:
            return Scored(1.0)
        if not other:
            return Fault("unsupported", path, f"{self._in} is empty", score=-1.0)
        vectors = await tools.embed([*own, *other])
        nearest = (vectors[: len(own)] @ vectors[len(own) :].T).max(axis=1)
        worst = int(nearest.argmin())
        score = round(float(nearest[worst]), 4)
        if score >= self._cfg.threshold:
            return Scored(score)
        problem = f"{quoted(own[worst])} has a cosine of {score:.2f} to {self._in}, below {self._cfg.threshold:g}"
        return Fault("unsupported", path, problem, {"sentence": own[worst]}, score)


def _windows(text: str) -> list[str]:
    """Return the sentences of a text, and each two that follow each other, because a sentence may sum up two."""
    found = sentences(text)
    return [*found, *(f"{one} {two}" for one, two in pairwise(found))]
