"""The check of a sample with several labels: each label is judged alone."""

from typing import Any

import pytest
import yaml
from told import UNREADABLE, Told, answer

from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.judge.asking import Questions
from synthgen.judge.label import LabelConfig
from synthgen.judge.labels import LabelsCheck
from synthgen.records import Candidate, Completion, Request
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig

TEXT = "Cold soup, and the waiter shrugged."
MADE: dict[str, Any] = {"id": "0" * 64, "slot": 3, "item": 0, "text": "", "finish_reason": "stop", "parents": (),
                        "depth": 1, "strategy": "fewshot", "template": "t", "label": "food, service"}  # fmt: skip


@pytest.fixture(scope="module")
def aspects() -> Task:
    return load_task(TaskConfig(**yaml.safe_load((root() / "conf/task/review_aspects.yaml").read_text("utf-8"))))


def check(task: Task, engine: Told, **knobs: Any) -> LabelsCheck:
    cfg = LabelConfig(**({"calibrate": False} | knobs))
    return LabelsCheck(task, cfg, Questions(engine, 1), Prompts(task.prompts), salt=7)


def candidate(*labels: str) -> Candidate:
    return Candidate(**MADE, data={"text": TEXT, "aspects": list(labels)})


def says(unread: str = "", **yes: float) -> Told:
    """Answer with the probability of yes for the label that a question names; 0.1 by default."""

    def reply(request: Request) -> Completion:
        label = request.messages[-1].content.split('label "')[1].split('"')[0]
        return UNREADABLE if label == unread else answer({"yes": (p := yes.get(label, 0.1)), "no": 1 - p})

    return Told(reply)


async def test_a_sample_whose_labels_fit_and_that_lacks_none_passes(aspects: Task) -> None:
    engine = says(food=0.95, service=0.7)
    verdict = await check(aspects, engine)(candidate("food", "service"))
    assert (verdict.check, verdict.outcome) == ("labels", "pass")
    assert verdict.score == pytest.approx(0.7)
    assert len(engine.asked) == len(aspects.multi_labels), "one question for each label of the task"
    assert 'Does the label "food" (what is eaten and drunk) fit this text?' in engine.asked[0].messages[-1].content
    assert all(request.sampling.max_tokens == 1 for request in engine.asked)


@pytest.mark.parametrize(
    ("yes", "labels", "reason", "label"),
    [
        ({"food": 0.95, "service": 0.15}, ["food", "service"], "label_wrong", "service"),
        ({"food": 0.95, "service": 0.85}, ["food"], "label_missing", "service"),
    ],
)
async def test_a_wrong_and_a_missing_label_are_rejected_by_name(
    aspects: Task, yes: dict[str, float], labels: list[str], reason: str, label: str
) -> None:
    verdict = await check(aspects, says(**yes))(candidate(*labels))
    assert (verdict.outcome, verdict.reason, verdict.details["label"]) == ("reject", reason, label)
    assert verdict.score == pytest.approx(0.15)


async def test_a_judge_that_is_not_sure_rejects_nothing(aspects: Task) -> None:
    verdict = await check(aspects, says(food=0.3, service=0.3, room=0.7))(candidate("food", "service"))
    assert verdict.outcome == "pass"


async def test_an_answer_that_cannot_be_read_leaves_the_sample_unscored_unless_another_one_rejects_it(
    aspects: Task,
) -> None:
    verdict = await check(aspects, says(unread="noise", food=0.9))(candidate("food"))
    assert (verdict.outcome, verdict.reason) == ("unscored", "unscored")
    verdict = await check(aspects, says(unread="noise", food=0.1))(candidate("food"))
    assert (verdict.outcome, verdict.reason) == ("reject", "label_wrong")


async def test_a_judge_that_says_yes_to_everything_is_corrected_by_its_answers_about_no_text(aspects: Task) -> None:
    def reply(request: Request) -> Completion:
        content = request.messages[-1].content
        yes = 0.97 if 'label "food"' in content and TEXT in content else 0.85
        return answer({"yes": yes, "no": 1 - yes})

    engine = Told(reply)
    checked = check(aspects, engine, calibrate=True)
    first, second = await checked(candidate("food")), await checked(candidate("food"))
    assert first.outcome == second.outcome == "pass"
    assert first.details["probabilities"]["room"] == pytest.approx(0.5)
    assert len(engine.asked) == 3 * len(aspects.multi_labels), "the questions about no text are asked once"


def test_a_threshold_at_chance_level_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"judge\.label\.sure: must be above 0\.5"):
        LabelConfig(sure=0.5)
