"""A judge that is calibrated before the first candidate: trusted, or announced and left without its gate."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from told import UNREADABLE, Told, fenced, grade

from synthgen.judge.labelled import Rated
from synthgen.judge.panel import PanelMemberConfig
from synthgen.judge.rubric import RubricConfig
from synthgen.records import Candidate, Completion, Request, content_id
from synthgen.run.chain import to_sample

Make = Callable[..., Candidate]
MakeSeat = Callable[..., Any]


def rated(n: int = 60) -> list[Rated]:
    """Samples of which every other one is good; their text says which."""
    found = []
    for number in range(n):
        data = {"text": f"{'Good' if number % 2 else 'Bad'} news, number {number}.", "label": "sport"}
        found.append(Rated(content_id(data), data, bool(number % 2), {}))
    return found


def sees(request: Request, skill: float) -> Completion:
    """A judge's answer: good texts a grade of `skill` higher than bad ones, on average."""
    sample = fenced(request)
    noise = random.Random(sample + request.id.split("/")[-2]).gauss(0, 0.5)
    return grade(min(5.0, max(1.0, 2.5 + skill * ("Good" in sample) + noise)))


def keen(skill: float) -> Told:
    return Told(lambda request: sees(request, skill))


async def ready(seat: MakeSeat, engine: Told, rows: Sequence[Rated], **knobs: Any) -> Any:
    made = seat(engine, rows, **knobs)
    await made.judge.ready()
    return made


# -- a judge that can tell -------------------------------------------------------------------------


async def test_a_judge_that_tells_good_from_bad_gets_a_threshold_between_them(seat: MakeSeat, candidate: Make) -> None:
    made = await ready(seat, keen(1.5), rated())
    record = made.kept["calibration"]
    assert record["trusted"] is True
    assert (record["rows"], record["good"], record["unscored"], record["undecided"]) == (60, 30, 0, 0)
    assert record["after"]["auc"]["value"] > 0.9
    assert record["after"]["ece"] < record["before"]["ece"]
    assert record["at_threshold"]["good_taken"] > 0.8
    assert record["at_threshold"]["bad_taken"] < 0.2
    assert [kind for kind, _ in made.told] == ["judge_calibrated"]
    good = [await made.rubric(candidate(f"Good news, new {number}.")) for number in range(10)]
    bad = [await made.rubric(candidate(f"Bad news, new {number}.")) for number in range(10)]
    assert sum(verdict.outcome == "pass" for verdict in good) >= 8
    assert sum(verdict.outcome == "reject" for verdict in bad) >= 8


async def test_a_calibrated_score_is_the_probability_of_good_on_the_scale_of_grades(
    seat: MakeSeat, candidate: Make
) -> None:
    made = await ready(seat, keen(1.5), rated())
    verdict = await made.rubric(candidate("Good news, new."))
    probability = made.rubric.gate.calibrators["judge"](sum(verdict.details.values()) / 2)
    assert verdict.score == pytest.approx(1 + 4 * probability, abs=0.01)
    assert to_sample(candidate(verdicts=[verdict]), lambda data, _: data).quality == pytest.approx(
        probability, abs=0.01
    )


async def test_the_questions_are_asked_before_the_first_slot_as_candidates_are(seat: MakeSeat, candidate: Make) -> None:
    engine = keen(1.5)
    made = await ready(seat, engine, rated(20))
    first = engine.asked[0]
    assert first.id == f"-1/calibration/{rated()[0].id}/rubric/natural"
    assert {request.id.split("/")[0] for request in engine.asked} == {"-1"}
    assert len(set(engine.ids)) == len(engine.ids) == 40
    await made.rubric(candidate(rated()[0].data["text"]))
    assert engine.asked[-2].messages == first.messages


async def test_each_criterion_is_compared_with_its_own_grades(seat: MakeSeat) -> None:
    """The judge sees what people call natural, and knows nothing of what is fitting."""
    rng = random.Random(0)
    rows = [
        Rated(row.id, row.data, None, {"natural": 5.0 if row.good else 1.0, "fitting": rng.choice([1.0, 5.0])})
        for row in rated()
    ]
    rows += [
        Rated(f"x{row.id}", {"text": f"More: {row.data['text']}", "label": "sport"}, row.good, {}) for row in rated()
    ]
    made = await ready(seat, keen(1.5), rows)
    record = made.kept["calibration"]
    assert record["criteria"]["natural"]["value"] > 0.85
    assert record["criteria"]["natural"]["value"] > record["criteria"]["fitting"]["value"] + 0.1
    assert record["undecided"] == 60


# -- a judge that cannot ---------------------------------------------------------------------------


async def test_a_judge_that_cannot_tell_good_from_bad_is_announced_and_rejects_nothing(
    seat: MakeSeat, candidate: Make
) -> None:
    made = await ready(seat, keen(0.0), rated(), rubric=RubricConfig(threshold=4.9))
    record = made.kept["calibration"]
    assert record["trusted"] is False
    assert record["after"]["auc"]["value"] < 0.6
    ((kind, words),) = made.told
    assert kind == "judge_untrusted"
    assert "its held-out AUC on 60 rated rows (30 good) is 0." in words
    assert "it needs 0.6" in words
    assert words.endswith("the label check decides")
    verdict = await made.rubric(candidate("Bad news, new."))
    assert (verdict.outcome, verdict.score, verdict.details) == ("pass", None, {})  # nobody was asked


async def test_an_untrusted_judge_may_still_grade_without_rejecting(seat: MakeSeat, candidate: Make) -> None:
    made = await ready(seat, keen(0.0), rated(), rubric=RubricConfig(threshold=4.9, ask_untrusted=True))
    verdict = await made.rubric(candidate("Bad news, new."))
    assert (verdict.outcome, verdict.score) == ("pass", None)
    assert set(verdict.details) == {"natural", "fitting"}


async def test_a_judge_that_prefers_bad_samples_is_not_inverted(seat: MakeSeat) -> None:
    made = await ready(seat, keen(-1.4), rated())
    record = made.kept["calibration"]
    assert record["before"]["auc"]["value"] < 0.2
    assert record["trusted"] is False


async def test_a_rubric_that_rejects_nothing_does_not_weigh_samples(seat: MakeSeat, candidate: Make) -> None:
    made = await ready(seat, keen(0.0), rated())
    sample = to_sample(candidate(verdicts=[await made.rubric(candidate())]), lambda data, _: data)
    assert sample.quality == 1.0


async def test_answers_that_cannot_be_read_are_no_ratings(seat: MakeSeat) -> None:
    def mute(request: Request) -> Completion:
        return UNREADABLE if "number 1" in fenced(request) else sees(request, 1.5)

    made = await ready(seat, Told(mute), rated(40))
    assert made.kept["calibration"]["unscored"] == 11
    assert made.kept["calibration"]["rows"] == 29
    silent = await ready(seat, Told({}), rated(40))
    assert silent.kept["calibration"]["trusted"] is False
    assert "its answers could be read for only 0 rated rows (0 good)" in silent.told[0][1]


async def test_the_minimum_auc_is_a_setting(seat: MakeSeat) -> None:
    lenient = await ready(seat, keen(0.7), rated(), min_auc=0.5)
    strict = await ready(seat, keen(0.7), rated(), min_auc=0.99)
    assert lenient.kept["calibration"]["trusted"] is True
    assert strict.kept["calibration"]["trusted"] is False


# -- panels ----------------------------------------------------------------------------------------


async def test_a_member_that_cannot_tell_is_left_out_of_the_panel(seat: MakeSeat, candidate: Make) -> None:
    engine = Told(lambda request: sees(request, 1.5 if "rubric:keen" in request.id else 0.0))
    panel = [PanelMemberConfig(name="keen"), PanelMemberConfig(name="blind", template="judge_strict")]
    made = await ready(seat, engine, rated(), panel=panel)
    members = made.kept["calibration"]["members"]
    assert [members[name]["trusted"] for name in ("keen", "blind")] == [True, False]
    assert made.told[0][1].endswith("left out of the panel, with an AUC below 0.6: blind")
    verdict = await made.rubric(candidate("Good news, new."))
    keen_alone = made.rubric.gate.calibrators["keen"](verdict.details["members"]["keen"])
    assert verdict.score == pytest.approx(1 + 4 * keen_alone, abs=0.01)


async def test_the_same_answers_give_the_same_threshold(seat: MakeSeat) -> None:
    one, other = await ready(seat, keen(1.0), rated()), await ready(seat, keen(1.0), rated())
    assert one.kept == other.kept
    assert one.rubric.gate == other.rubric.gate
