"""Items of lists, events and tool calls; code that is run; names and numbers that the input has."""

import json

import numpy as np
import pytest
import yaml

from synthgen.filters.declared import sandbox
from synthgen.student.metrics.choice import chosen
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import TaskConfig


def shipped(task, /, **changes):
    fields = yaml.safe_load((root() / f"conf/task/{task}.yaml").read_text("utf-8"))
    return load_task(TaskConfig(**(fields | changes)))


def _metric(task, name, **changes):
    [metric] = [metric for metric in chosen(shipped(task, **changes)).metrics if metric.name == name]
    return metric


def _measured(metric, *pairs):
    rows, answers = zip(*pairs, strict=True)
    stats = metric.measure(
        rows, [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in answers]
    )
    return metric.figure(stats), [metric.of_row(row) for row in stats.T]


def _keywords(*names):
    return {"text": "", "keywords": list(names)}


def test_set_f1_counts_the_items_of_all_rows_together():
    figure, rows = _measured(
        _metric("keywords", "set_f1"),
        (_keywords("ice", "coach"), ["Ice ", "coach", "team"]),  # 2 right, 3 predicted, 2 true
        (_keywords("sculptor", "winter"), ["ice"]),  # 0 right, 1 predicted, 2 true
    )
    assert figure == pytest.approx(2 * 2 / (4 + 4))
    assert rows == pytest.approx([2 * 2 / 5, 0])


def test_an_item_that_is_repeated_is_wrong_the_second_time():
    figure, _ = _measured(_metric("keywords", "set_f1"), (_keywords("ice", "coach"), ["ice", "ice", "ice"]))
    assert figure == pytest.approx(2 * 1 / (3 + 2))


RELATION = {"head": "Tidepool", "type": "located_in", "tail": "Halifax"}
ENTITIES = [{"text": "Tidepool", "type": "organisation"}, {"text": "Halifax", "type": "place"}]


def test_a_relation_is_right_as_a_whole_and_the_entities_it_refers_to_do_not_count():
    metric = _metric("relations", "set_f1")
    row = {"text": "", "entities": ENTITIES, "relations": [RELATION, {**RELATION, "type": "part_of"}]}
    turned = {"tail": "Halifax", "type": "located_in", "head": "Tidepool"}
    stats = metric.measure([row], [json.dumps({"entities": ENTITIES, "relations": [turned]})])
    assert metric.figure(stats) == pytest.approx(2 * 1 / (1 + 2))
    parts = metric.details(stats)["parts"]
    assert (parts["entities"]["f1"], parts["relations"]["support"]) == (1.0, 2)
    _, [wrong_tail] = _measured(metric, (row, {"entities": ENTITIES, "relations": [{**RELATION, "tail": "Rome"}]}))
    assert wrong_tail == 0


@pytest.mark.parametrize("answer", ["", "no JSON", "[1", '{"entities": []}', '{"entities": [], "relations": "none"}'])
def test_an_answer_that_cannot_be_read_is_wrong_even_where_nothing_is_to_be_found(answer):
    metric = _metric("relations", "set_f1")
    nothing, found = ({"text": "", "entities": [], "relations": part} for part in ([], [RELATION]))
    right = {"entities": [], "relations": [RELATION]}
    figure, [broken, _] = _measured(metric, (nothing, answer), (found, right))
    assert broken == 0
    assert figure == pytest.approx(2 * 1 / (2 + 1))
    empty, _ = _measured(metric, (nothing, {"entities": [], "relations": []}), (found, right))
    assert empty == 1


EVENT = {
    "type": "hire",
    "trigger": "hired",
    "arguments": [{"role": "employer", "text": "We"}, {"role": "hired", "text": "Ann"}],
}


def test_triggers_and_arguments_are_right_with_the_type_of_their_event():
    row = {"text": "", "events": [EVENT]}
    answers = [
        [EVENT],
        [{**EVENT, "type": "award"}],
        [{**EVENT, "arguments": [{"role": "hired", "text": "We"}, {"role": "hired", "text": "ann"}]}],
        ["hired"],
        [],
    ]
    pairs = [(row, answer) for answer in answers]
    assert _measured(_metric("events", "trigger_f1"), *pairs)[1] == pytest.approx([1, 0, 1, 0, 0])
    figure, rows = _measured(_metric("events", "argument_f1"), *pairs)
    assert rows == pytest.approx([1, 0, 0.5, 0, 0])
    assert figure == pytest.approx(2 * 3 / (7 + 10))  # the answer without events that can be read is one wrong item


CALL = {"turns": [], "tool": "set_timer", "arguments": '{"minutes": 5, "label": "tea"}'}


@pytest.mark.parametrize(
    ("tool", "arguments", "right", "f1"),
    [
        ("set_timer", '{"label": "tea", "minutes": 5.0}', 1, 1),
        ("set_timer", {"label": "tea", "minutes": 5}, 1, 1),
        ("set_timer", '{"minutes": 5}', 0, 2 / 3),
        ("set_timer", '{"label": "tea", "minutes": "5"}', 0, 0.5),
        ("set_timer", '{"label": "tea", "minutes": true}', 0, 0.5),
        ("get_weather", '{"label": "tea", "minutes": 5}', 0, 0),
        ("set_timer", '{"label": "tea"', 0, 0),
        ("set_timer", "[5]", 0, 0),
        (None, '{"label": "tea", "minutes": 5}', 0, 0),
    ],
)
def test_a_call_is_right_with_its_tool_and_all_arguments(tool, arguments, right, f1):
    answer = {"tool": tool, "arguments": arguments}
    assert _measured(_metric("tool_calls", "call_accuracy"), (CALL, answer))[0] == right
    assert _measured(_metric("tool_calls", "argument_f1"), (CALL, answer))[0] == pytest.approx(f1)


def test_exact_match_of_several_fields_compares_them_as_json():
    metric = _metric("tool_calls", "exact_match", metrics=["exact_match"])
    same = {"arguments": CALL["arguments"], "tool": "set_timer"}
    assert _measured(metric, (CALL, same), (CALL, "no JSON"))[1] == [1, 0]


def test_the_share_of_names_and_numbers_that_the_input_has():
    metric = _metric("summary", "supported")
    row = {"text": "On Monday the 3 ships of Anna Berg reached Porto.", "summary": ""}
    stats = metric.measure(
        [row, row, row], ["The ships reached Porto, 3 in all.", "They reached Rome, all 4.", "They came."]
    )
    assert [metric.of_row(one) for one in stats.T] == [1, 0, 1]
    assert metric.figure(stats) == pytest.approx(2 / 4)
    assert np.isnan(metric.figure(stats[:, 2:]))


@pytest.mark.skipif(sandbox.problem() is not None, reason="bubblewrap cannot run here")
def test_code_passes_where_its_tests_do():
    metric = _metric("code_tests", "pass_at_1")
    row = {"task": "", "code": "", "tests": "assert twice(2) == 4"}
    answers = ["def twice(n):\n    return 2 * n", "def twice(n):\n    return n", "def twice(n", ""]
    assert _measured(metric, *((row, answer) for answer in answers)) == (0.25, [1, 0, 0, 0])


@pytest.mark.skipif(sandbox.problem() is not None, reason="bubblewrap cannot run here")
def test_a_completion_is_run_behind_the_lines_that_it_completes():
    metric = _metric("code_completion", "pass_at_1")
    row = {"prefix": "def twice(n):\n", "rest": "", "tests": "assert twice(2) == 4"}
    assert _measured(metric, (row, "    return 2 * n"), (row, "return 2 * n"))[1] == [1, 0]


def test_without_a_sandbox_pass_at_1_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(sandbox, "problem", lambda: "bubblewrap is not installed")
    choice = chosen(shipped("code_tests"))
    assert choice.left_out == {"pass_at_1": "bubblewrap is not installed"}
    assert choice.headline == "rougeL"
