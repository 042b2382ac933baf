"""A judge over an engine that is told what to answer."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from told import Seat

from synthgen.judge.labelled import Rated
from synthgen.records import Engine, Sample
from synthgen.tasks.task import Task

MakeSeat = Callable[..., Seat]


@pytest.fixture
def seat(news_task: Task, news_seeds: list[Sample]) -> MakeSeat:
    """`seat(engine, rated=[...], rubric=..., panel=[...])`: a round has 10 slots; no canaries unless asked for."""
    from synthgen.judge.canaries import CanariesConfig

    def make(engine: Engine, rated: Sequence[Rated] = (), after_label: bool = False, **knobs: Any) -> Seat:
        canaries = {"canaries": CanariesConfig(every=None)}
        return Seat(news_task, news_seeds, engine, rated, after_label, **(canaries | knobs))

    return make
