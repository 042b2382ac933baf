"""Test that what a judge's adapter is trained on is what a judge is asked."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from told import Told

from synthgen.engines.prompts import Prompts
from synthgen.judge.examples import LABEL, RUBRIC, exchanges
from synthgen.judge.judge import JudgeConfig
from synthgen.judge.label import LabelConfig
from synthgen.judge.labelled import Rated
from synthgen.judge.panel import PanelMemberConfig
from synthgen.judge.rubric import RubricConfig
from synthgen.records import AdapterExample, Candidate, Sample, content_id
from synthgen.tasks.task import Task

Make = Callable[..., list[AdapterExample]]
MakeSeat = Callable[..., Any]


def rated(text: str, label: str = "sport", good: bool | None = True, **grades: float) -> Rated:
    data = {"text": text, "label": label}
    return Rated(content_id(data), data, good, grades)


@pytest.fixture
def made(news_task: Task, news_seeds: list[Sample]) -> Make:
    """`made(rated, seeds=..., label=..., rubric=...)`: exchanges under the salt that `seat` has."""

    def make(rows: list[Rated], seeds: list[Sample] | None = None, **knobs: Any) -> list[AdapterExample]:
        seeds = news_seeds if seeds is None else seeds
        return exchanges(news_task, JudgeConfig(**knobs), Prompts(news_task.prompts), seeds, rows, salt=7)

    return make


@pytest.mark.parametrize("after_label", [True, False])
async def test_the_questions_about_a_rated_row_are_those_of_a_run(
    after_label: bool, made: Make, seat: MakeSeat, candidate: Callable[..., Candidate]
) -> None:
    told = Told(lambda request: {"5": 0.5, "sport": 0.5})
    judge = seat(told, after_label=after_label).judge
    for check in judge.checks:
        await check(candidate("A late goal decided it."))
    row = rated("A late goal decided it.")
    found = [one for one in made([row], rubric=RubricConfig(after_label=after_label)) if one.row == row.id]
    asked = [request.messages for request in told.asked]
    assert sorted((one.messages for one in found), key=repr) == sorted(asked, key=repr)
    assert {one.options for one in found} == {request.grammar.spec for request in told.asked if request.grammar}


def test_good_is_the_best_grade_and_bad_the_worst_and_grades_stand_for_themselves(made: Make, news_task: Task) -> None:
    rows = [
        rated("One."),
        rated("Two.", good=False),
        rated("Three.", good=None, natural=3, fitting=3.4),
        rated("Four.", good=None),
    ]
    answers = {
        row.data["text"]: [one.answer for one in made(rows) if one.row == row.id and one.kind == RUBRIC] for row in rows
    }
    assert answers == {"One.": ["5", "5"], "Two.": ["1", "1"], "Three.": ["3", "3"], "Four.": []}


def test_a_label_is_learnt_from_seeds_and_good_rows_alone(made: Make, news_seeds: list[Sample]) -> None:
    rows = [rated("One."), rated("Two.", good=False)]
    asked = [one for one in made(rows) if one.kind == LABEL]
    assert {one.row for one in asked} == {rows[0].id, *(seed.id for seed in news_seeds)}
    assert {one.row: one.answer for one in asked} == {rows[0].id: "sport", **{s.id: s.label for s in news_seeds}}


@pytest.mark.parametrize("counts", [(2, 2, 2, 2), (5, 3, 2, 1)])
def test_a_seed_is_asked_about_without_its_answer_and_among_as_many_of_each_label(
    counts: tuple[int, ...], made: Make, news_task: Task, news_seeds: list[Sample]
) -> None:
    by_label = {label: [s for s in news_seeds if s.label == label] for label in news_task.labels}
    seeds = [seed for held, count in zip(by_label.values(), counts, strict=True) for seed in held[:count]]
    asked = made([], seeds, label=LabelConfig(shots=2))
    assert len(asked) == sum(count for count in counts if count > 1)
    texts = {seed.id: seed.data["text"] for seed in seeds}
    for one in asked:
        *shown, question = one.messages
        assert texts[one.row] in question.content
        assert all(texts[one.row] not in message.content for message in shown)
        assert set(Counter(m.content for m in shown if m.role == "assistant").values()) == {1}


def test_members_with_endpoints_of_their_own_are_not_trained(made: Make) -> None:
    panel = [PanelMemberConfig(template="judge_strict"), PanelMemberConfig(name="far", url="http://h/v1", model="m")]
    found = [one for one in made([rated("One.")], panel=panel) if one.kind == RUBRIC]
    assert len(found) == 2
    assert all("far" not in one.messages[0].content for one in found)


def test_a_check_that_is_off_is_not_trained(made: Make) -> None:
    off = made([rated("One.")], label=LabelConfig(enabled=False))
    assert {one.kind for one in off} == {RUBRIC}
    assert {one.kind for one in made([rated("One.")], rubric=RubricConfig(enabled=False))} == {LABEL}
