"""Measure how groups of rows contribute to a frozen student: one it needs, one that adds nothing, one that misleads it."""

from typing import Any

import pytest

from synthgen.records import Json
from synthgen.student import FrozenConfig, StudentConfig, TrainingRow
from synthgen.student.contribution import contributions
from synthgen.tasks.task import Task

CONFIG = StudentConfig(kind="frozen", bootstrap=200, label_rows=0, frozen=FrozenConfig(strengths=[10.0]))


def rows(found: list[Json]) -> list[TrainingRow]:
    return [TrainingRow(row, synthetic=True) for row in found]


def measured(task: Task, seeds: list[Json], groups: dict[str, list[Json]], held: list[Json], **more: Any) -> Json:
    return contributions(task, CONFIG, seeds, {name: rows(each) for name, each in groups.items()}, held, 0, **more)


@pytest.fixture
def parted(news_eval: list[Json]) -> tuple[list[Json], list[Json]]:
    """Rows to learn from, and held-out rows."""
    return news_eval[:60], news_eval[60:]


@pytest.mark.slow
def test_a_group_that_the_student_needs_gains_and_one_that_misleads_it_loses(
    news_task: Task, news_rows: list[Json], parted: tuple[list[Json], list[Json]]
) -> None:
    learnt, held = parted
    labels = list(news_task.labels)
    few = [next(row for row in news_rows if row["label"] == label) for label in labels]
    wrong = [{**row, "label": labels[(labels.index(row["label"]) + 1) % len(labels)]} for row in news_rows] * 2
    found = measured(news_task, few, {"needed": learnt, "again": few[:2], "misleading": wrong}, held)
    gains = found["gains"]
    assert gains["needed"]["mean"] > 0.05 and gains["needed"]["low"] <= gains["needed"]["mean"]
    assert abs(gains["again"]["mean"]) < 0.05
    assert gains["misleading"]["mean"] < 0 and gains["misleading"]["low"] < 0
    assert (found["metric"], gains["needed"]["is_share"], found["eval_rows"]) == ("accuracy", True, len(held))


@pytest.mark.slow
def test_a_share_of_the_gain_is_given_only_where_a_gain_is_shown(
    news_task: Task, news_rows: list[Json], parted: tuple[list[Json], list[Json]]
) -> None:
    learnt, held = parted
    few = [next(row for row in news_rows if row["label"] == label) for label in news_task.labels]
    found = measured(news_task, few, {"all": learnt}, held)
    assert found["total"]["low"] > 0
    assert found["gains"]["all"] | {"share": None} == found["gains"]["all"] | found["total"] | {"share": None}
    assert found["gains"]["all"]["share"] == 1
    nothing = measured(news_task, news_rows, {"first": news_rows[:4], "second": news_rows[4:8]}, held)
    assert nothing["total"]["low"] <= 0 and {row["share"] for row in nothing["gains"].values()} == {None}
    assert nothing == measured(news_task, news_rows, {"first": news_rows[:4], "second": news_rows[4:8]}, held)
