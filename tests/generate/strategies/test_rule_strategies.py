"""Strategies without a model: template, augment_text and augment_code, from the command line and on resume."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from deaths import survives

from synthgen.cli import dispatch
from synthgen.errors import ConfigError
from synthgen.filters.declared import sandbox
from synthgen.generate.strategies.augment_code import AugmentCodeConfig
from synthgen.generate.strategies.augment_text import AugmentTextConfig, WeightsConfig
from synthgen.generate.templates import Templates
from synthgen.records import Json
from synthgen.tasks.assets import root
from synthgen.tasks.task import Task

COMMON = ["engine=replay", "judge=none", "student=none", "diversity=hash"]
TEMPLATES = {
    "sentences": {label: [f"{{{{ who }}}} {label} {{{{ what }}}} today"] for label in ("business", "science", "sport", "world")},
    "slots": {"who": ["Amara", "Boris", "Chen"], "what": ["rises sharply", "comes home", "breaks a record", "ends"]},
}  # fmt: skip

WRITTEN = {
    "sentences": {
        "sport": ["{{ who }} wins {{ how }} once more."],
        **{label: [f"{{{{ who }}}} {label} {{{{ how }}}} today."] for label in ("business", "science", "world")},
    },
    "slots": {"who": ["Amara", "Boris", "Chen"], "how": {"meaning": "an adverb", "maxLength": 30}},
}


def lineage(folder: Path) -> list[Json]:
    rows = [json.loads(line) for line in (folder / "dataset/meta/lineage.jsonl").read_text().splitlines()]
    return [row for row in rows if row["origin"] == "synthetic"]


def with_templates(task: Task, templates: Json) -> Templates:
    return Templates(replace(task, templates=templates), 0)


@pytest.mark.parametrize(
    ("sentence", "slots", "words"),
    [
        ("{{ who }} wins", {}, r"sentences\.sport\[0\]: the slot 'who' is not in task\.templates\.slots"),
        ("{{ who", {"who": ["A"]}, r"sentences\.sport\[0\]: .*'{{ who'"),
        ("{{ who.__class__ }}", {"who": ["A"]}, r"sentences\.sport\[0\]: .*unsafe"),
        ("{{ who }} wins gold", {"who": ["A", "A"]}, r"slots\.who: the value 'A' is listed twice"),
        ("{{ who }} wins gold", {"who": ["A"], "x": ["B"]}, r"slots\.x: no sentence has this slot"),
        ("{{ who }}", {"who": ["A"]}, r"sentences\.sport\[0\]: filled in, it does not fit task\.schema"),
        ("{{ who }} wins gold", {"who": {"length": 3}}, r"slots\.who: .*no key 'length'"),
        ("{{ who }} wins gold", {"who": {"pattern": "("}}, r"slots\.who: .*regex"),
        ("{{ who }} wins gold", {"who": {"maxLength": "x"}}, r'slots\.who: "x" is not of type "integer"'),
        ("{{ who }} wins gold", {"who": {"minLength": 50}}, r"slots\.who: no text has 50 or more and at most 40"),
        ("{{ who }} wins gold", {"who": {"enum": [1, 2]}}, r"slots\.who\.enum: must be a list of one or more texts"),
        ("{{ who }} wins gold", {"who": {"enum": []}}, r"slots\.who\.enum: must be a list of one or more texts"),
    ],
)
def test_a_faulty_sentence_or_slot_is_named(news_task: Task, sentence: str, slots: Json, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        with_templates(news_task, {"sentences": {"sport": [sentence]}, "slots": slots})


def test_values_are_data_and_never_templates(news_task: Task) -> None:
    given = {"sentences": {"sport": ["{{ who }} wins gold"]}, "slots": {"who": ["{{ 7 * 7 }}"]}}
    (sentence,) = with_templates(news_task, given).sentences
    assert sentence.fill(sentence.values(0)) == {"text": "{{ 7 * 7 }} wins gold"}


def run(folder: Path, *args: str) -> int:
    return dispatch(["run", *COMMON, *args, f"run.dir={folder}"])


def with_task(folder: Path, templates: Json, name: str = "news_topic", **changes: Any) -> list[str]:
    """Write a task with these templates, and return the arguments of a run that uses them."""
    conf = folder / "conf" / "task"
    conf.mkdir(parents=True, exist_ok=True)
    written = yaml.safe_load(Path(root(), f"conf/task/{name}.yaml").read_text()) | {"templates": templates, **changes}
    (conf / "own.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    return ["--config-dir", str(conf.parent), "task=own", "generate=template", "diversity.threshold=0.999"]


@pytest.mark.slow
def test_no_filled_sentence_is_used_twice_even_by_a_resumed_run(tmp_path: Path) -> None:
    task = [*with_task(tmp_path, TEMPLATES), "budget.target=24"]
    assert run(tmp_path / "cut", *task, "budget.candidates=9") == 3
    assert len(lineage(tmp_path / "cut")) < 24
    assert dispatch(["resume", str(tmp_path / "cut"), "budget.candidates=null"]) == 0
    used = [json.dumps([row["given"]["template"], row["given"]["values"]]) for row in lineage(tmp_path / "cut")]
    assert len(set(used)) == len(used) == 24


@pytest.mark.slow
def test_a_run_ends_when_every_sentence_is_used_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = {**TEMPLATES, "sentences": {**TEMPLATES["sentences"], "sport": ["{{ who }} wins gold again"]}}
    folder = tmp_path / "run"
    assert run(folder, *with_task(tmp_path, few), "budget.target=40") == 3
    said = capsys.readouterr().out
    assert "stopped because every sentence that task.templates allows is used" in said
    assert "sport: 3 of 10" in said and "label_attempts" not in said
    assert said.splitlines()[-1].endswith(f"--fork {folder}-2")
    task = with_task(tmp_path, few)
    assert dispatch(["preview", *COMMON, *task, "budget.candidates=60"]) == 0
    capsys.readouterr()
    assert len(lineage(folder)) == 33  # the labels with sentences left got their share
    capsys.readouterr()
    assert dispatch(["resume", str(folder)]) == 3
    assert "every sentence that task.templates allows is used" in capsys.readouterr().out
    more = "task.templates.slots.who=[Amara,Boris,Chen,Dana,Emil,Farah,Gus,Hana,Ivo,Jun,Kim,Lea]"
    assert dispatch(["resume", str(folder), more, "--fork", str(tmp_path / "fork")]) == 0


@pytest.mark.slow
def test_a_task_without_labels_ends_when_every_sentence_is_used(tmp_path: Path) -> None:
    templates = {"sentences": [{"question": "{{ who }} has {{ n }} sacks of 12 kilos. How many kilos is that?",
                                "expression": "{{ n }} * 12", "answer": "{{ n }}"}],
                 "slots": {"who": ["Amara", "Boris"], "n": [3, 4, 7]}}  # fmt: skip
    task = with_task(tmp_path, templates, "word_sums", checks=[])
    assert run(tmp_path / "run", *task, "budget.target=40") == 3
    assert len(lineage(tmp_path / "run")) == 6


@pytest.mark.slow
def test_a_label_whose_sentences_are_used_is_left_to_the_other_strategies(tmp_path: Path) -> None:
    few = {**TEMPLATES, "sentences": {**TEMPLATES["sentences"], "sport": ["{{ who }} wins gold again"]}}
    mixed = "generate.strategies={template: 1, fewshot: 0.2}"
    assert run(tmp_path / "run", *with_task(tmp_path, few), mixed, "budget.target=40") == 0
    sport = Counter(row["strategy"] for row in lineage(tmp_path / "run") if row["label"] == "sport")
    assert sport == {"template": 3, "fewshot": 7}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


DYING = ["run", "engine=replay", "student=none", "diversity=hash", "engine.in_flight=4"]
"""A run in which only the judge asks the engine, if the strategy needs no model."""


@pytest.mark.thorough
@pytest.mark.slow
def test_a_run_of_filled_sentences_whose_engine_dies_continues_to_the_same_dataset(here: Path) -> None:
    survives([*DYING, *with_task(here, TEMPLATES), "budget.target=60"], dies_after=15, code=3)


@pytest.mark.slow
def test_a_run_with_slots_that_the_model_writes_continues_to_the_same_dataset(here: Path) -> None:
    task = with_task(here, WRITTEN)
    survives([*DYING, *task, "budget.target=24"], dies_after=25)
    rows = [row["given"] for row in lineage(here / "whole")]
    assert all(set(row["values"]) == {"who", "how"} and len(row["values"]["how"]) <= 30 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["intent_slots", pytest.param("news_topic", marks=[pytest.mark.slow, pytest.mark.thorough])]
)
@pytest.mark.usefixtures("here")
def test_a_run_of_changed_texts_whose_engine_dies_continues_to_the_same_dataset(task: str) -> None:
    survives([*DYING, f"task={task}", "generate=augment_text", "diversity.threshold=0.999", "budget.target=30"], 20)


@pytest.mark.skipif(sandbox.problem() is not None, reason="no sandbox")
@pytest.mark.usefixtures("here")
@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_of_rewritten_code_whose_engine_dies_continues_to_the_same_dataset() -> None:
    mixed = ["generate.strategies={augment_code: 2, fewshot: 1}", "budget.target=6", "budget.candidates=40",
             "diversity.threshold=0.999", "diversity.hybrid_threshold=1"]  # fmt: skip
    survives([*DYING, "judge=none", "task=code_tests", *mixed], dies_after=3)


@pytest.mark.parametrize(
    ("reply", "how"),
    [
        ({"how": "  rather \n slowly "}, "rather slowly"),
        ({"how": "{{ 7 * 7 }}"}, "{{ 7 * 7 }}"),
        ({"how": "   "}, None),
        ({"how": 3}, None),
        ({"how": "so slowly that nobody saw how it was done"}, None),
        ({"who": "Zoe"}, None),
        ({"how": "fast", "who": "Zoe"}, "fast"),
        ('["fast"]', None),
        ('{"how": "fa', None),
        ("", None),
    ],
)
def test_a_reply_fills_the_slots_that_the_model_writes_or_brings_a_candidate_without_data(
    reply: Any, how: str | None, bench: Any, chain: Any
) -> None:
    lab = bench("template", "news_topic", changes={"templates": WRITTEN})
    (planned,) = lab.plan(label="sport")
    made = chain(lab.asking(planned), reply)
    assert made.ids == [["0/generate-slots"]]
    who = planned.given["values"]["who"]
    assert made.one.data == (how and {"text": f"{who} wins {how} once more.", "label": "sport"})
    assert made.one.given["values"] == ({"who": who, "how": how} if how else {"who": who})


@pytest.mark.slow
def test_changed_texts_keep_their_entities_and_name_their_parent(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, "task=intent_slots", "generate=augment_text", "budget.target=30", "budget.candidates=60")
    rows = lineage(folder)
    assert rows and all(row["parents"] == [row["given"]["rewrites"]] and row["given"]["operations"] for row in rows)
    samples = [
        json.loads(line) for path in (folder / "dataset").glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    for row in samples:
        assert all(row["text"][slot["start"] : slot["end"]] == slot["text"] for slot in row["slots"])


def test_entities_of_other_seeds_are_not_put_in_as_words(bench: Any) -> None:
    only_insert = WeightsConfig(**(dict.fromkeys(vars(WeightsConfig()), 0.0) | {"insert": 1.0}))
    lab = bench("augment_text", "intent_slots", augment_text=AugmentTextConfig(weights=only_insert))
    outside, new = set[str](), set[str]()
    for seed in lab.seeds:
        rest = seed.data["text"]
        for slot in seed.data["slots"]:
            rest = rest.replace(slot["text"], " ")
        outside |= set(rest.split())
    for planned in lab.plan(16, label="book_table"):
        with pytest.raises(StopIteration) as end:
            next(lab.asking(planned))
        (candidate,) = end.value.value
        (old,) = (seed.data["text"] for seed in lab.seeds if seed.id == planned.parents[0])
        new |= set(candidate.data["text"].split()) - set(old.split())
    assert new and new <= outside


def test_generation_tasks_must_name_the_fields_that_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "task=summary", "generate=augment_text", *COMMON]) == 2
    assert "generate.augment_text.fields" in capsys.readouterr().err


def test_code_cannot_be_rewritten_without_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "task=summary", "generate=augment_code", *COMMON]) == 2
    assert "no check that runs tests" in capsys.readouterr().err


@pytest.mark.skipif(sandbox.problem() is not None, reason="no sandbox")
def test_a_field_that_is_not_python_stays_as_it_is(bench: Any) -> None:
    lab = bench("augment_code", "code_tests", augment_code=AugmentCodeConfig(fields=["task"]))
    (planned,) = lab.plan()
    with pytest.raises(StopIteration) as end:
        next(lab.asking(planned))
    (candidate,) = end.value.value
    (parent,) = (seed.data for seed in lab.seeds if seed.id == planned.parents[0])
    assert candidate.data == parent and candidate.given["operations"] == []


@pytest.mark.skipif(sandbox.problem() is not None, reason="no sandbox")
@pytest.mark.slow
def test_rewritten_code_passes_the_check_that_runs_its_tests(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, "task=code_tests", "generate=augment_code", "diversity.threshold=0.999", "budget.target=4",
        "budget.candidates=20")  # fmt: skip
    rows = lineage(folder)
    assert rows and all(row["given"]["operations"] for row in rows)
