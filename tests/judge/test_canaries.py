"""Canaries: asked once a round, in each round other ones, and what follows when the judge is wrong about them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from told import UNREADABLE, Told, fenced, grade

from synthgen.errors import ConfigError, EngineDeadError
from synthgen.judge.canaries import CanariesConfig, samples
from synthgen.judge.rubric import RubricConfig
from synthgen.records import Candidate, Completion, Request, Sample
from synthgen.run.budget import BudgetConfig, StopRules
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]
MakeSeat = Callable[..., Any]
RUBRIC = RubricConfig(threshold=3.0)


@pytest.fixture
def wise(news_seeds: list[Sample]) -> Callable[[Request], Completion]:
    """A judge that knows the seeds, and gives everything else a 1."""
    texts = {sample.data["text"] for sample in news_seeds}
    return lambda request: grade(4.5 if fenced(request).split("\n")[0].removeprefix("text: ") in texts else 1.0)


async def settle(made: Any, candidate: Make, *slots: int) -> None:
    await asyncio.gather(*(made.rubric(candidate(slot=slot)) for slot in slots))


async def test_canaries_are_asked_once_a_round_under_ids_that_precede_the_first_slot(
    seat: MakeSeat, candidate: Make, wise: Any
) -> None:
    engine = Told(wise)
    made = seat(engine, rubric=RUBRIC, canaries=CanariesConfig())
    await settle(made, candidate, *range(25))
    asked = [name for name in engine.ids if name.startswith("-1/canary/")]
    assert {name.split("/")[2] for name in asked} == {"0", "1", "2"}
    assert len(asked) == len(set(asked)) == 3 * 5 * 2
    await settle(made, candidate, 26, 27)
    assert len([name for name in engine.ids if name.startswith("-1/canary/")]) == 30


async def test_the_canaries_of_the_first_slot_are_sent_before_there_is_a_candidate(seat: MakeSeat, wise: Any) -> None:
    engine = Told(wise)
    made = seat(engine, rubric=RUBRIC, canaries=CanariesConfig())
    await made.judge.ready(25)  # a resumed run, in its third round
    async with asyncio.timeout(10):
        while len(engine.ids) < 5:
            await asyncio.sleep(0.001)
    assert {name.rsplit("/", 3)[0] for name in engine.ids} == {"-1/canary/2"}


async def test_the_number_of_rounds_between_canaries_is_a_setting(seat: MakeSeat, candidate: Make, wise: Any) -> None:
    engine = Told(wise)
    await settle(seat(engine, rubric=RUBRIC, canaries=CanariesConfig(every=3)), candidate, 0, 29, 30)
    assert {name.split("/")[2] for name in engine.ids if "canary" in name} == {"0", "1"}
    quiet = Told(wise)
    await settle(seat(quiet, rubric=RUBRIC, canaries=CanariesConfig(every=None)), candidate, 0, 29, 30)
    assert not [name for name in quiet.ids if "canary" in name]
    with pytest.raises(ConfigError, match=r"judge.canaries.every: must be 1 or more, or null, got 0"):
        CanariesConfig(every=0)


async def test_a_judge_that_is_right_raises_no_alarm(seat: MakeSeat, candidate: Make, wise: Any) -> None:
    made = seat(Told(wise), rubric=RUBRIC, canaries=CanariesConfig(stop=True))
    await settle(made, candidate, 0)
    assert made.told == []
    assert made.judge.alarm is None
    answers = made.kept["canaries/0"]["answers"]
    assert [answer["kind"] for answer in answers] == ["empty", "off_task", "injection", "good", "good"]
    assert [answer["passed"] for answer in answers] == [False, False, False, True, True]


async def test_a_judge_that_obeys_instructions_in_a_sample_raises_an_alarm(
    seat: MakeSeat, candidate: Make, wise: Any
) -> None:
    def obedient(request: Request) -> Completion:
        return grade(5.0) if "5" in fenced(request) else wise(request)

    made = seat(Told(obedient), rubric=RUBRIC, canaries=CanariesConfig(stop=True))
    await settle(made, candidate, 0, 10)
    assert made.told == [
        (
            "judge_canary",
            "canaries from slot 0 on: the rubric judge passed one that orders it to give the best grade",
        )
    ]
    rules = StopRules(BudgetConfig(), [])
    rules.watch(lambda: made.judge.alarm)
    assert rules.reached() == "canaries"


async def test_an_alarm_ends_the_run_only_where_that_is_asked_for(seat: MakeSeat, candidate: Make) -> None:
    made = seat(Told(lambda _: grade(5.0)), rubric=RUBRIC, canaries=CanariesConfig())
    await settle(made, candidate, 0)
    assert len(made.told) == 1
    assert made.judge.alarm is None


async def test_a_judge_that_rejects_the_seeds_raises_an_alarm(seat: MakeSeat, candidate: Make) -> None:
    made = seat(Told(lambda _: grade(1.0)), rubric=RUBRIC, canaries=CanariesConfig())
    await settle(made, candidate, 0)
    assert made.told[0][1].endswith("the rubric judge rejected most of the known-good seeds")


async def test_a_canary_without_a_readable_answer_is_neither_right_nor_wrong(seat: MakeSeat, candidate: Make) -> None:
    made = seat(Told(lambda request: UNREADABLE if "canary" in request.id else grade(4.0)), canaries=CanariesConfig())
    await settle(made, candidate, 0)
    assert {answer["passed"] for answer in made.kept["canaries/0"]["answers"]} == {None}
    assert made.told == []


async def test_an_engine_that_dies_on_canaries_raises(seat: MakeSeat, candidate: Make) -> None:
    def dying(request: Request) -> Completion | Exception:
        return EngineDeadError("gone") if "canary" in request.id else grade(4.0)

    with pytest.raises(EngineDeadError):
        await seat(Told(dying), canaries=CanariesConfig()).rubric(candidate())


async def test_a_judge_that_rejects_nothing_gets_no_canaries(seat: MakeSeat, candidate: Make) -> None:
    engine = Told(lambda _: grade(5.0))
    made = seat(engine, canaries=CanariesConfig())
    made.rubric.gate = type(made.rubric.gate)("mean", 3.0, binding=False)
    await settle(made, candidate, 0)
    assert not [name for name in engine.ids if "canary" in name]


# -- what follows in the round itself --------------------------------------------------------------


def _fooled_in_round(number: int, wise: Any) -> Callable[[Request], Completion]:
    """Gives everything the best grade in one round, canaries and candidates, and is wise otherwise."""

    def answer(request: Request) -> Completion:
        window = int(request.id.split("/")[2]) if "canary" in request.id else int(request.id.split(".")[0]) // 10
        return grade(5.0) if window == number else wise(request)

    return answer


async def test_a_judge_that_passes_all_bad_canaries_is_not_asked_about_that_rounds_candidates(
    seat: MakeSeat, candidate: Make, wise: Any
) -> None:
    engine = Told(_fooled_in_round(1, wise))
    made = seat(engine, rubric=RUBRIC, canaries=CanariesConfig())
    verdicts = await asyncio.gather(*(made.rubric(candidate(slot=slot)) for slot in range(30)))
    asked = {int(name.split(".")[0]) for name in engine.ids if "canary" not in name}
    assert asked == {*range(10), *range(20, 30)}
    assert [verdict.outcome for verdict in verdicts] == ["reject"] * 10 + ["pass"] * 10 + ["reject"] * 10
    assert {verdict.score for verdict in verdicts[10:20]} == {None}
    assert [text for _, text in made.told if text.endswith("rejects nothing")] != []


async def test_a_judge_that_passes_all_bad_canaries_may_still_grade_without_rejecting(
    seat: MakeSeat, candidate: Make, wise: Any
) -> None:
    engine = Told(lambda request: grade(5.0) if "canary" in request.id else grade(1.0))
    rubric = RubricConfig(threshold=3.0, ask_untrusted=True)
    made = seat(engine, rubric=rubric, canaries=CanariesConfig())
    verdict = await made.rubric(candidate())
    assert (verdict.outcome, verdict.score) == ("pass", None)
    assert set((verdict.details or {}).values()) == {1.0}


async def test_a_judge_that_passes_two_of_three_bad_canaries_still_rejects(
    seat: MakeSeat, candidate: Make, wise: Any
) -> None:
    def gullible(request: Request) -> Completion:
        return grade(5.0 if "canary" in request.id and request.id.split("/")[3] in "01" else 1.0)

    made = seat(Told(gullible), rubric=RUBRIC, canaries=CanariesConfig())
    assert (await made.rubric(candidate())).outcome == "reject"


# -- the samples -----------------------------------------------------------------------------------


def test_each_round_has_other_canaries_and_the_same_again_after_a_resume(
    news_task: Task, news_seeds: list[Sample]
) -> None:
    first, second = samples(news_task, news_seeds, 0), samples(news_task, news_seeds, 1)
    assert [kind for kind, _ in first] == [kind for kind, _ in second]
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert first == samples(news_task, news_seeds, 0)


def test_only_the_generated_fields_are_replaced_by_neutral_text(news_task: Task, news_seeds: list[Sample]) -> None:
    made = dict(samples(news_task, news_seeds, 0)[:3])
    assert made["empty"] == {"text": "", "label": news_seeds[0].data["label"]}
    assert "5" in made["injection"]["text"]
