"""An engine that is told what to answer, request by request, and a judge over it."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from synthgen.engines.prompts import Prompts
from synthgen.judge.judge import Judge, JudgeConfig
from synthgen.judge.labelled import Rated
from synthgen.records import Completion, Engine, Json, Request, Sample
from synthgen.tasks.task import Task

Weights = Mapping[str, float]
UNREADABLE = Completion(text="", finish_reason="stop")
NAN = Completion(text="sport", finish_reason="stop", logprobs=({"sport": math.nan},))


def answer(weights: Weights, text: str = "") -> Completion:
    logs = {token: math.log(share) if share > 0 else -math.inf for token, share in weights.items()}
    return Completion(text=text or max(weights, key=weights.__getitem__), finish_reason="stop", logprobs=(logs,))


def grade(mean: float) -> Completion:
    """An answer whose expected grade is `mean`."""
    low = min(4, math.floor(mean))
    return answer({str(low): low + 1 - mean, str(low + 1): mean - low})


Say = Callable[[Request], Completion | Weights | Exception]


class Told:
    """Answers by request id, or by a function of the request; raises what is an error, and keeps what it was asked."""

    name = "told"

    def __init__(self, said: Mapping[str, Completion | Weights | Exception] | Say) -> None:
        self.asked: list[Request] = []
        self.said = said

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        said = self.said(request) if callable(self.said) else self.said.get(request.id, UNREADABLE)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Completion) else answer(said)

    async def aclose(self) -> None:
        pass

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.asked]


def fenced(request: Request) -> str:
    """The sample in a judge's question: what stands between the marks."""
    match = re.search(r"\[(\w{8})\]\n(.*)\n\[\1\]", request.messages[-1].content, re.S)
    assert match is not None
    return match[2]


class Seat:
    """A judge, and what it wrote down and told."""

    def __init__(
        self,
        task: Task,
        seeds: Sequence[Sample],
        engine: Engine,
        rated: Sequence[Rated],
        after_label: bool,
        **knobs: Any,
    ):
        self.kept: Json = {}
        self.told: list[tuple[str, str]] = []
        cfg = JudgeConfig(**knobs)
        cfg.label.calibrate = False
        cfg.rubric.after_label = after_label
        self.judge = Judge(
            task, cfg, Prompts(task.prompts), seeds, {seed.id: seed for seed in seeds}.__getitem__, rated, engine, 7, 10,
            self.kept.__setitem__, lambda kind, words: self.told.append((kind, words)),
        )  # fmt: skip

    @property
    def rubric(self) -> Any:
        return next(check for check in self.judge.checks if check.name == "rubric")
