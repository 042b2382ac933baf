"""A judge over an engine that is told what to answer."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from synthgen.judge.judge import Judge, JudgeConfig
from synthgen.judge.labelled import Rated
from synthgen.llm.prompts import Prompts
from synthgen.records import Engine, Json, Sample
from synthgen.task import Task


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
            task, cfg, Prompts(task.prompts), seeds, rated, engine, 7, 10,
            self.kept.__setitem__, lambda kind, words: self.told.append((kind, words)),
        )  # fmt: skip

    @property
    def rubric(self) -> Any:
        return next(check for check in self.judge.checks if check.name == "rubric")


MakeSeat = Callable[..., Seat]


@pytest.fixture
def seat(news_task: Task, news_seeds: list[Sample]) -> MakeSeat:
    """`seat(engine, rated=[...], rubric=..., panel=[...])`: a round has 10 slots; no canaries unless asked for."""
    from synthgen.judge.canaries import CanariesConfig

    def make(engine: Engine, rated: Sequence[Rated] = (), after_label: bool = False, **knobs: Any) -> Seat:
        canaries = {"canaries": CanariesConfig(every=None)}
        return Seat(news_task, news_seeds, engine, rated, after_label, **(canaries | knobs))

    return make
