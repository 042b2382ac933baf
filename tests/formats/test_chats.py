"""Instructions, chats and pairs hold the samples as trainers expect them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.formats.openai import openai_faults

Export = Callable[..., Path]
Seeds = Callable[[str], list[dict[str, Any]]]
LARGE = 2**63 + 1


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_alpaca_has_instruction_input_and_output(export: Export, seeds: Seeds) -> None:
    rows = json.loads((export("alpaca", "instruction") / "train.json").read_text(encoding="utf-8"))
    assert rows == seeds("instruction")
    [row, *_] = json.loads((export("alpaca", "news_topic") / "train.json").read_text(encoding="utf-8"))
    seed = seeds("news_topic")[0]
    asked = "Give the label. Answer with one of: business, science, sport, world."
    assert row == {"instruction": asked, "input": seed["text"], "output": seed["label"]}


def test_alpaca_of_a_dialogue_has_its_history(export: Export, seeds: Seeds) -> None:
    [row, *_] = json.loads((export("alpaca", "dialogue") / "train.json").read_text(encoding="utf-8"))
    turns = [turn["text"] for turn in seeds("dialogue")[0]["turns"]]
    assert (row["history"], row["instruction"], row["output"]) == ([turns[:2]], turns[2], turns[3])
    assert row["system"] == seeds("dialogue")[0]["persona"]


def test_sharegpt_names_its_speakers(export: Export, seeds: Seeds) -> None:
    [row, *_] = json.loads((export("sharegpt", "dialogue") / "train.json").read_text(encoding="utf-8"))
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt", "human", "gpt"]
    assert row["system"] == seeds("dialogue")[0]["persona"]


def test_a_tool_call_is_the_answer_to_the_turns_before(export: Export, seeds: Seeds) -> None:
    [row, *_] = json_lines(export("trl-prompt-completion", "tool_calls") / "train.jsonl")
    seed = seeds("tool_calls")[0]
    assert [turn["role"] for turn in row["prompt"]] == [turn["role"] for turn in seed["turns"]]
    [answer] = row["completion"]
    assert json.loads(answer["content"]) == {"tool": seed["tool"], "arguments": seed["arguments"]}


def test_openai_takes_the_file_by_its_published_rules(export: Export) -> None:
    text = (export("openai", "dialogue") / "train.jsonl").read_text(encoding="utf-8")
    assert openai_faults(text) == []
    assert openai_faults(text.replace('"assistant"', '"bot"')) != []


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "persona": {"type": "string"},
        "turns": {"type": "array", "items": {"type": "object", "properties": {"role": {}, "content": {}}}},
    },
    "required": ["turns"],
}
HELLO = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("form", "turns", "words"),
    [
        ("openai", [HELLO, {"role": "assistant", "content": None}], "turns[1].content: null is no text"),
        ("openai", [HELLO, {"role": "assistant", "content": [{"text": "x"}]}], 'content: [{"text": "x"}] is no text'),
        ("openai", [HELLO, {"role": "assistant"}], "turns[1]: has none of the fields text, content"),
        ("openai", [HELLO, {"role": "assistant", "content": "x", "weight": 0.5}], "message 2 has the weight 0.5"),
        ("openai", [{**HELLO, "weight": 1}, {"role": "assistant", "content": "x"}], "for the assistant alone"),
        ("alpaca", [{"role": "assistant", "content": "x"}], "turns: begins with the answer"),
    ],
)
def test_a_chat_that_a_format_cannot_hold_is_refused_by_name(
    form: str, turns: list[Any], words: str, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"schema": SCHEMA, "checks": []}
    with pytest.raises(AssertionError):
        export(form, "dialogue", [{"turns": turns}], **changes)
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_openai_keeps_the_weights_of_answers_and_other_chats_leave_them_out(export: Export) -> None:
    turns = [HELLO, {"role": "assistant", "content": "x", "weight": 0}, HELLO, {"role": "assistant", "content": "y"}]
    changes = {"schema": SCHEMA, "checks": []}
    [row, *_] = json_lines(export("openai", "dialogue", [{"turns": turns}] * 10, **changes) / "train.jsonl")
    assert [turn.get("weight") for turn in row["messages"]] == [None, 0, None, None]
    [row, *_] = json_lines(export("trl-messages", "dialogue", [{"turns": turns}] * 10, **changes) / "train.jsonl")
    assert all(set(turn) == {"role", "content"} for turn in row["messages"])


def test_a_tool_call_has_openais_form_and_the_schemas_of_all_tools(export: Export, seeds: Seeds) -> None:
    [row, *_] = json_lines(export("openai", "tool_calls") / "train.jsonl")
    seed = seeds("tool_calls")[0]
    [call] = row["messages"][-1]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", seed["tool"])
    assert json.loads(call["function"]["arguments"]) == json.loads(seed["arguments"])
    assert {tool["function"]["name"] for tool in row["tools"]} >= {"book_meeting", "get_weather", "set_timer"}
    assert all(tool["function"]["parameters"]["type"] == "object" for tool in row["tools"])


def test_openai_refuses_empty_answers_and_too_few_samples(
    export: Export, seeds: Seeds, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        export("openai", "passage_qa")
    assert "train row 1: answer: message 2, of the assistant, is empty" in capsys.readouterr().err
    with pytest.raises(AssertionError):
        export("openai", "instruction", seeds("instruction")[:3])
    assert "OpenAI's fine-tuning would refuse train.jsonl:\n3 examples; 10 are the fewest" in capsys.readouterr().err


def test_pairs_become_dpo_rows_and_two_kto_rows(export: Export, seeds: Seeds) -> None:
    seed = seeds("preference")[0]
    [pair, *_] = json_lines(export("dpo", "preference") / "train.jsonl")
    assert pair["prompt"] == [{"role": "user", "content": seed["prompt"]}]
    assert [pair[name][0]["content"] for name in ("chosen", "rejected")] == [seed["chosen"], seed["rejected"]]
    rows = json_lines(export("kto", "preference") / "train.jsonl")
    assert len(rows) == 2 * len(seeds("preference"))
    assert [(row["completion"][0]["content"], row["label"]) for row in rows[:2]] == [
        (seed["chosen"], True), (seed["rejected"], False)]  # fmt: skip


def test_the_task_file_names_the_parts(export: Export) -> None:
    parts = {"instruction": {"text": "Translate into German."}, "input": "english"}
    [row, *_] = json.loads((export("alpaca", "translation", export=parts) / "train.json").read_text(encoding="utf-8"))
    assert row["instruction"] == "Translate into German."
    assert row["input"] and row["output"]


def test_the_command_line_names_the_parts(export: Export) -> None:
    folder = export("alpaca", "passage_qa", None, "task.export.instruction=passage", "task.export.input=question")
    [row, *_] = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    assert row["input"].endswith("?")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"instrution": "text"}, "task.export.instrution: no format has this part; did you mean instruction?"),
        ({"instruction": "txt"}, "task.export.instruction: 'txt' is not a field of task.schema; did you mean text?"),
        ({"spans": {"text": "a"}}, "task.export.spans: write the name of a field"),
    ],
)
def test_a_wrong_part_is_named(
    parts: dict[str, Any], words: str, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        export("alpaca", "news_topic", export=parts)
    assert words in capsys.readouterr().err


def test_a_format_that_does_not_fit_names_the_fields_and_those_that_fit(
    export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AssertionError):
        export("squad", "news_topic")
    said = capsys.readouterr().err
    assert "the samples of task 'news_topic' have no context and no question and no answers" in said
    assert "Its fields are text (input), label (target). Formats that fit: jsonl, csv, parquet, xlsx, datasets" in said
    assert "export: {context: FIELD, question: FIELD, answers: FIELD}" in said


def test_large_numbers_nested_fields_and_empty_lists_keep_their_value(export: Export) -> None:
    number, text = {"type": "integer"}, {"type": "string"}
    inner = {"type": "object", "properties": {"size": number, "tags": {"type": "array", "items": text}}}
    schema = {"type": "object", "properties": {"text": text, "found": inner}, "required": ["text", "found"]}
    rows = [
        {"text": "=1+1", "found": {"size": LARGE, "tags": []}},
        {"text": "東京 \u2028 🎉", "found": {"tags": ["a"]}},
        {"text": "no", "found": {}},
    ]
    changes = {"schema": schema, "target": ["found"], "kind": "generation", "assign": [], "checks": []}
    made = json_lines(export("trl-messages", "entities", rows, **changes) / "train.jsonl")
    assert [row["messages"][0]["content"] for row in made] == [row["text"] for row in rows]
    assert [json.loads(row["messages"][1]["content"]) for row in made] == [row["found"] for row in rows]


def test_rows_that_are_no_samples_of_the_task_are_refused_with_their_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "Fine.", "label": "sport"}\n{"text": "Wrong.", "label": "weather"}\n'
    )
    words = ["export", str(tmp_path / "rows.jsonl"), "--task", "news_topic", "--out", str(tmp_path / "out")]
    assert dispatch([*words, "--format", "alpaca"]) == 2
    assert f"{tmp_path}/rows.jsonl:2:" in capsys.readouterr().err
    assert dispatch([*words[:2], "--task", "weather", "--out", str(tmp_path / "out")]) == 2
    assert "--task: there is no task 'weather'; name a YAML file, or one of " in capsys.readouterr().err
    assert dispatch(words[:4]) == 2
    assert "--out is missing" in capsys.readouterr().err


def test_the_command_line_knows_every_format() -> None:
    from synthgen.cli.data import FORMATS
    from synthgen.formats.kinds import KINDS
    from synthgen.report.tables import FORMATS as TABLES

    assert (*TABLES, *KINDS) == FORMATS
