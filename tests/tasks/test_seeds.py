"""Seed files: every bad row is named by file, line, column, cause and cure, all in one go; good rows come through."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from omegaconf import OmegaConf

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.prepared import origin_of
from synthgen.tasks.rows import limits
from synthgen.tasks.seeds import check_disjoint, check_seeds, check_texts, read_inputs, read_samples, stratified_split
from synthgen.tasks.task import Task, TaskConfig

GOOD = '{"text": "The striker scored twice.", "label": "sport"}'
OTHER = '{"text": "Shares fell on Tuesday.", "label": "business"}'
SHIPPED = sorted((root() / "conf/task").glob("*.yaml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "seeds.jsonl"


def refusal(path: Path, content: str | bytes, task: Task) -> str:
    """Return what is said about a file that cannot be used."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError) as caught:
        read_samples(path, task, "seed")
    return str(caught.value)


def row(text: str, label: Any = "sport", **more: Any) -> str:
    return json.dumps({"text": text, "label": label, **more}, ensure_ascii=False)


# -- what is read as it was meant ------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        f"{GOOD}\n{OTHER}\n",
        f"{GOOD}\n{OTHER}",
        f"\ufeff{GOOD}\n{OTHER}\n",
        f"{GOOD}\r\n{OTHER}\r\n",
        f"\n{GOOD}\n\n  \n{OTHER}\n\n",
        f"  {GOOD}\t\n {OTHER} \n",
    ],
    ids=["plain", "no last newline", "byte order mark", "CRLF", "empty lines", "padding"],
)
def test_the_same_rows_are_read_however_the_file_was_saved(content: str, file: Path, news_task: Task) -> None:
    file.write_bytes(content.encode())
    assert read_samples(file, news_task, "seed") == [json.loads(GOOD), json.loads(OTHER)]


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85"])
def test_only_a_newline_ends_a_line(char: str, file: Path, news_task: Task) -> None:
    text = f"Two lines{char}that are one."
    file.write_text(row(text), encoding="utf-8")
    assert [sample["text"] for sample in read_samples(file, news_task, "seed")] == [text]


def test_an_escaped_emoji_is_one_character(file: Path, news_task: Task) -> None:
    file.write_text('{"text": "The cup is ours \\ud83c\\udfc6", "label": "sport"}')
    assert read_samples(file, news_task, "seed")[0]["text"] == "The cup is ours 🏆"


def test_fields_come_in_schema_order(file: Path, news_task: Task) -> None:
    file.write_text('{"label": "sport", "text": "The striker scored twice."}')
    assert list(read_samples(file, news_task, "seed")[0]) == ["text", "label"]


# -- what is not text or not JSON ------------------------------------------------------------------


def test_bad_utf8_is_named_by_its_byte_and_column(file: Path, news_task: Task) -> None:
    said = refusal(file, GOOD.encode() + b'\n{"text": "caf\xe9"}\n', news_task)
    assert f"{file}:2:14: not UTF-8 (byte 0xe9); save the file as UTF-8" in said


def test_a_file_in_utf16_is_named_as_such(file: Path, news_task: Task) -> None:
    said = refusal(file, GOOD.encode("utf-16"), news_task)
    assert said.endswith(f"{file}:1:1: UTF-16, by its byte order mark; save the file as UTF-8")


def test_broken_json_is_named_by_its_column(file: Path, news_task: Task) -> None:
    said = refusal(file, GOOD + '\n{"text": "unfinished', news_task)
    assert f"{file}:2:10: not JSON: Unterminated string starting at; write one JSON object a line" in said


def test_a_json_array_of_rows_is_not_json_lines(file: Path, news_task: Task) -> None:
    said = refusal(file, f"[\n{GOOD},\n{OTHER}\n]", news_task)
    assert f"{file}:1:2: not JSON: Expecting value" in said
    assert f"{file}:2:{len(GOOD) + 1}: not JSON: Extra data; write one JSON object a line" in said


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("NaN", "NaN is not JSON"),
        ("Infinity", "Infinity is not JSON"),
        ("1e999", "the number 1e999 is too large"),
        ("7" * 5_000, "the number 77777777777777777777... is too large"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper than 100 levels; flatten it"),
        ('"\\ud800"', r"a lone surrogate (\ud800 to \udfff) is not text; remove it"),
    ],
    ids=["NaN", "Infinity", "1e999", "5,000 digits", "depth 100,000", "lone surrogate"],
)
def test_a_value_that_is_no_json_is_refused(value: str, cause: str, file: Path, news_task: Task) -> None:
    said = refusal(file, f'{GOOD}\n{{"text": {value}, "label": "sport"}}\n', news_task)
    column = 10 + (99 if value.startswith("[") else 0)
    assert f"{file}:2:{column}: not usable JSON: {cause}" in said


def test_a_raw_lone_surrogate_is_not_utf8(file: Path, news_task: Task) -> None:
    assert f"{file}:1:11: not UTF-8 (byte 0xed)" in refusal(file, '{"text": "\ud800"}', news_task)


def test_a_key_that_occurs_twice_is_refused(file: Path, news_task: Task) -> None:
    said = refusal(file, '{"text": "A long text.", "label": "sport", "text": "Another."}', news_task)
    assert f"{file}:1:44: not usable JSON: the key 'text' appears twice in one object; keep one of them" in said


@pytest.mark.parametrize(("content", "kind"), [("[1]", "an array"), ('"text"', "a text"), ("7", "a number")])
def test_a_line_that_is_no_object_is_refused(content: str, kind: str, file: Path, news_task: Task) -> None:
    said = refusal(file, content, news_task)
    assert f"{file}:1:1: {kind}, not an object; write one JSON object a line" in said


def test_an_over_long_line_ends_the_reading(file: Path, news_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROW_BYTES", 100)
    said = refusal(file, f"{GOOD}\n{row('x' * 100)}\nnot json\n", news_task)
    assert said.endswith(f"{file}:2:1: the line is longer than 100 bytes; write one row a line")


def test_a_line_of_exactly_the_allowed_length_is_read(
    file: Path, news_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ROW_BYTES", max(len(GOOD), len(OTHER)) + 1)
    file.write_text(f"{GOOD}\n{OTHER}\n")
    assert len(read_samples(file, news_task, "seed")) == 2


def test_a_file_that_is_too_large_is_not_read(file: Path, news_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE_BYTES", 60)
    assert "is more than the 60 that is read; split the file" in refusal(file, f"{GOOD}\n{OTHER}\n", news_task)


@pytest.mark.parametrize("content", [b"", b"\n \n\r\n", b"\xef\xbb\xbf"], ids=["empty", "blank", "only a mark"])
def test_a_file_without_rows_is_refused(content: bytes, file: Path, news_task: Task) -> None:
    said = refusal(file, content, news_task)
    assert f"{file}:1:1: no rows; write one JSON object a line" in said


def test_a_folder_or_a_missing_file_cannot_be_read(tmp_path: Path, news_task: Task) -> None:
    with pytest.raises(InputError, match=r": a folder, not a file; write the rows to a file"):
        read_samples(tmp_path, news_task, "seed")
    with pytest.raises(InputError, match=r"gone\.jsonl: cannot be read: No such file"):
        read_inputs(tmp_path / "gone.jsonl", news_task)


# -- what is JSON and not a sample -----------------------------------------------------------------


def test_the_same_row_twice_is_named_with_its_first_line(file: Path, news_task: Task) -> None:
    said = refusal(file, f'{GOOD}\n{OTHER}\n{{"label":"sport", "text":"The striker scored twice."}}\n', news_task)
    assert f"{file}:3:1: the same row as {file}:1; remove one of them" in said


@pytest.mark.parametrize(
    ("content", "column", "cause"),
    [
        ('{"text": "The striker scored twice."}', 1, 'sample: "label" is a required property'),
        (row("The striker scored twice.", source="radio"), 1, "('source' was unexpected)"),
        ('{"text": 12345678, "label": "sport"}', 10, 'text: 12345678 is not of type "string"'),
        ('{"text": null, "label": "sport"}', 10, 'text: null is not of type "string"'),
        (row("short"), 10, 'text: "short" is shorter than 8 characters'),
        (row("The striker scored twice.", "golf"), 48, "; labels are business, science, sport, world"),
        (row("前锋下半场连进两球。", 3), 33, "label: 3 is not one of"),
        (row("The striker scored twice.", None), 48, "label: null is not one of"),
    ],
)
def test_a_row_that_is_no_sample_says_why(content: str, column: int, cause: str, file: Path, news_task: Task) -> None:
    said = refusal(file, f"{OTHER}\n{content}\n", news_task)
    assert f"{file}:2:{column}: " in said
    assert cause in said


@pytest.mark.parametrize("label", ["Sport", "SPORT", " sport", "sport  ", "\tSport\n", "s-port"])
def test_a_label_that_differs_by_case_or_space_is_recognised(label: str, file: Path, news_task: Task) -> None:
    said = refusal(file, row("The striker scored twice.", label), news_task)
    assert "(did you mean 'sport'?)" in said


@pytest.mark.parametrize(("label", "meant"), [("bussiness", "business"), ("sports", "sport"), ("scince", "science")])
def test_a_misspelt_label_is_recognised(label: str, meant: str, file: Path, news_task: Task) -> None:
    assert f"(did you mean '{meant}'?)" in refusal(file, row("The striker scored twice.", label), news_task)


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        ({"grade": "3"}, "grade: .* (did you mean 3?)"),
        ({"grade": 1, "people": [{"role": "Buyer"}]}, "people.0.role: .* (did you mean 'buyer'?)"),
        ({"grade": 1, "people": [{"role": "seler"}]}, "people.0.role: .* (did you mean 'seller'?)"),
        ({"grade": 1, "people": [{"role": "guest"}]}, "people.0.role: .*; change the row, or task.schema"),
    ],
)
def test_any_choice_of_the_schema_that_was_meant_is_recognised(
    found: Json, meant: str, file: Path, news_task: Task
) -> None:
    role = {"type": "object", "properties": {"role": {"enum": ["buyer", "seller"]}}}
    properties = {"grade": {"enum": [1, 2, 3]}, "people": {"type": "array", "items": role}}
    schema = {"type": "object", "properties": properties, "required": ["grade"]}
    validator = jsonschema_rs.validator_for(schema)
    task = replace(news_task, schema=schema, validator=validator, target=(), labels={}, kind="generation")
    said = refusal(file, json.dumps(found), task)
    before, _, after = meant.partition(".*")
    assert f": {before}" in said
    assert said.endswith(after)


def test_an_unknown_label_is_not_guessed(file: Path, news_task: Task) -> None:
    assert "did you mean" not in refusal(file, row("The striker scored twice.", "spurt"), news_task)


def test_every_problem_of_a_file_is_named_in_one_go(file: Path, news_task: Task) -> None:
    said = refusal(file, "\n".join(["{", GOOD, "[]", row("short"), OTHER, GOOD]), news_task).splitlines()
    assert said[0] == "the seed file cannot be used:"
    assert [line.removeprefix(f"{file}:").split(":")[0] for line in said[1:]] == ["1", "3", "4", "6"]


def test_rows_with_the_same_mistake_are_reported_together(file: Path, news_task: Task) -> None:
    texts = [row(text) for text in ("short", "tiny", "small")]
    said = refusal(file, "\n".join(["{", *texts, "{", *["{"] * 8, GOOD]), news_task).splitlines()
    assert [line.removeprefix(str(file)) for line in said[1:]] == [
        ":1:2: not JSON: Expecting property name enclosed in double quotes; write one JSON object a line",
        "  and 9 more rows with the same mistake: 5, 6, 7, 8, 9, ...",
        ':2:10: text: "short" is shorter than 8 characters; change the row, or task.schema',
        "  and 2 more rows with the same mistake: 3, 4",
    ]


def test_reading_ends_after_many_rows_with_the_same_mistake(file: Path, news_task: Task) -> None:
    lines = refusal(file, "{\n" * 2 * limits.REPEATS, news_task).splitlines()
    assert lines[2] == f"  and {limits.REPEATS - 1} more rows with the same mistake: 2, 3, 4, 5, 6, ..."
    assert lines[3] == "... stopped after 1,000 problems"


def test_naming_problems_ends_at_the_limit(file: Path, news_task: Task) -> None:
    lines = refusal(
        file, "".join(f"{row('A text of a row.', number)}\n" for number in range(100)), news_task
    ).splitlines()
    assert len(lines) == 1 + limits.PROBLEMS + 1
    assert lines[-1] == f"... stopped after {limits.PROBLEMS} problems"


@pytest.mark.timeout(20)
def test_a_line_with_many_keys_is_refused_quickly_and_briefly(file: Path, news_task: Task) -> None:
    many = {f"k{number}": 0 for number in range(60_000)}
    said = refusal(file, json.dumps(many), news_task)
    assert "sample: Additional properties are not allowed" in said
    assert len(said) < 2_000


def test_what_is_wrong_with_a_very_long_text_is_said_briefly(file: Path, news_task: Task) -> None:
    said = refusal(file, row("x" * 100_000), news_task)
    assert "is longer than 180 characters" in said
    assert len(said) < 2_000


# -- prediction files ------------------------------------------------------------------------------


def test_inputs_need_the_input_fields_only(file: Path, news_task: Task) -> None:
    file.write_text('{"text": "No label here.", "id": 7}\n{"text": "x"}\n')
    assert read_inputs(file, news_task) == [{"text": "No label here."}, {"text": "x"}]


def test_an_input_row_without_its_field_is_named(file: Path, news_task: Task) -> None:
    file.write_text(f'{GOOD}\n{{"txt": "x"}}\n')
    with pytest.raises(InputError, match=r":2:1: lacks the input field 'text' of task news_topic"):
        read_inputs(file, news_task)


def test_an_input_of_another_type_is_named_and_a_short_one_is_not(file: Path, news_task: Task) -> None:
    file.write_text('{"text": "x"}\n{"text": ["短讯"]}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r":2:10: text: not of type string; write it as one"):
        read_inputs(file, news_task)


def test_a_prediction_file_without_rows_is_refused(file: Path, news_task: Task) -> None:
    file.write_text("\n\n")
    with pytest.raises(InputError, match=r":1:1: no rows"):
        read_inputs(file, news_task)


# -- control tokens of chat templates --------------------------------------------------------------

TOKENS = [
    "<|im_start|>",
    "<|endoftext|>",
    "<|EOT_ID|>",
    "[INST]",
    "[/INST]",
    "<s>",
    "<<SYS>>",
    "<start_of_turn>",
    "<｜User｜>",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_seed_with_a_control_token_is_refused_at_its_column(token: str, file: Path, news_task: Task) -> None:
    said = refusal(file, f"{GOOD}\n{row(f'前锋下半场 {token} 连进两球。')}\n", news_task)
    assert (
        f"{file}:2:17: text: {token} is a control token of chat templates and would break the prompt; remove it" in said
    )


@pytest.mark.parametrize("token", TOKENS)
def test_eval_rows_and_inputs_may_hold_control_tokens(token: str, file: Path, news_task: Task) -> None:
    text = f"The {token} striker scored twice."
    file.write_text(row(text), encoding="utf-8")
    assert read_samples(file, news_task, "eval")[0]["text"] == text
    assert read_inputs(file, news_task) == [{"text": text}]


@pytest.mark.parametrize(
    "text", ["a < b | c > d", "x [1] and [INSTALL]", "<strong>old</strong>", "<|>", "《新闻》｜体育｜"]
)
def test_what_only_resembles_a_control_token_is_text(text: str, file: Path, news_task: Task) -> None:
    file.write_text(row(f"{text} 市场上涨了。"), encoding="utf-8")
    assert len(read_samples(file, news_task, "seed")) == 1


# -- seeds and eval rows together ------------------------------------------------------------------


def test_a_label_without_a_seed_is_named(news_task: Task) -> None:
    with pytest.raises(InputError, match=r"no seed for label science, world; write at least one for each label"):
        check_seeds([json.loads(GOOD), json.loads(OTHER)], news_task)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_seeds_have_every_label_and_none_is_held_out(path: Path) -> None:
    fields: Any = OmegaConf.to_container(OmegaConf.load(path))
    task = load_task(TaskConfig(**fields))
    assert task.eval is not None
    seeds, held_out = read_samples(task.seeds, task, "seed"), read_samples(task.eval, task, "eval")
    check_seeds(seeds, task)
    check_disjoint(seeds, held_out, task)
    assert {task.label_of(row) for row in held_out} == {task.label_of(row) for row in seeds}


def test_the_demo_has_as_many_rows_of_every_label() -> None:
    fields: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/advice_topic.yaml"))
    task = load_task(TaskConfig(**fields))
    assert task.eval is not None
    for rows, of_a_label in ((read_samples(task.seeds, task, "seed"), 2), (read_samples(task.eval, task, "eval"), 44)):
        assert Counter(task.label_of(row) for row in rows) == dict.fromkeys(task.labels, of_a_label)


@pytest.mark.parametrize(
    "held_out",
    [
        GOOD,
        row("The striker scored twice.", "world"),
        row(" the striker  SCORED twice."),
        row("The striker scored twice!"),
        row("The strik\u200ber scored twice．"),
    ],
    ids=[
        "whole",
        "label apart",
        "case and space apart",
        "last mark apart",
        "zero-width space and full-width mark apart",
    ],
)
def test_an_eval_row_whose_text_is_a_seeds_is_named_with_both_places(
    held_out: str, tmp_path: Path, news_task: Task
) -> None:
    task = replace(news_task, seeds=tmp_path / "seeds.jsonl", eval=tmp_path / "eval.jsonl")
    (tmp_path / "seeds.jsonl").write_text(f"{OTHER}\n{GOOD}\n")
    (tmp_path / "eval.jsonl").write_text(f"{row('市场今天上涨了两个百分点。')}\n {held_out}\n")
    with pytest.raises(InputError) as caught:
        check_disjoint(
            read_samples(tmp_path / "seeds.jsonl", task, "seed"),
            read_samples(tmp_path / "eval.jsonl", task, "eval"),
            task,
        )
    assert str(caught.value) == (
        f"the eval file cannot be used:\n{task.eval}:2:2: the input is also that of {task.seeds}:2;"
        " take the row out of one of the files"
    )


def test_one_text_under_two_labels_is_named_with_both_places(file: Path, news_task: Task) -> None:
    file.write_text(f"{GOOD}\n{OTHER}\n{row('the striker scored TWICE!', 'world')}\n")
    task = replace(news_task, seeds=file)
    with pytest.raises(InputError) as caught:
        check_texts(read_samples(file, task, "seed"), task)
    assert f"{file}:3:1: the input of {file}:1, labelled 'sport' there and 'world' here; remove one" in str(
        caught.value
    )


def test_one_text_twice_under_one_label_is_allowed(file: Path, news_task: Task) -> None:
    file.write_text(f"{GOOD}\n{row('The striker scored twice!')}\n")
    check_texts(read_samples(file, news_task, "seed"), replace(news_task, seeds=file))


@pytest.mark.parametrize(
    ("char", "name"), [("\x00", "U+0000"), ("\x1b", "U+001B"), ("\x9b", "U+009B"), ("\uffff", "U+FFFF")]
)
def test_a_control_character_in_a_seed_is_named(char: str, name: str, file: Path, news_task: Task) -> None:
    file.write_text(f"{OTHER}\n{json.dumps({'text': f'The striker{char} scored twice.', 'label': 'sport'})}\n")
    task = replace(news_task, seeds=file)
    with pytest.raises(InputError, match=re.escape(f"{file}:2:1: holds the control character {name}; remove it")):
        check_texts(read_samples(file, task, "seed"), task)


def test_line_breaks_tabs_and_joiners_are_text(file: Path, news_task: Task) -> None:
    file.write_text(row("Two lines\n\tthat are one, می\u200cخواهم 👩\u200d🚀"), encoding="utf-8")
    check_texts(read_samples(file, news_task, "seed"), replace(news_task, seeds=file))


def test_a_task_without_labels_needs_a_seed_for_none() -> None:
    config = TaskConfig(
        name="qa",
        kind="generation",
        schema={"type": "object", "properties": {"q": {"type": "string"}, "a": {"type": "string"}}},
        input=["q"],
        target=["a"],
        prompts="generation",
        seeds="examples/instruction/seeds.jsonl",
    )
    check_seeds([{"q": "?", "a": "!"}], load_task(config))


# -- the split -------------------------------------------------------------------------------------


def test_every_label_gives_its_share_to_validation() -> None:
    labels = ["a"] * 40 + ["b"] * 20 + ["c"] * 10
    training, validation = stratified_split(labels, 0.1, seed=0)
    assert Counter(labels[index] for index in validation) == {"a": 4, "b": 2, "c": 1}
    assert sorted(training + validation) == list(range(70))


def test_a_label_keeps_a_row_for_training() -> None:
    training, validation = stratified_split(["a", "b", "b"], 0.9, seed=0)
    assert 0 in training
    assert len(validation) == 1


def test_few_rows_a_label_still_give_a_validation_set() -> None:
    labels = ["a", "a", "a", "b", "b", "b", "c", "c", "c", "d", "d", "d"]
    training, validation = stratified_split(labels, 0.17, seed=0)
    assert Counter(labels[index] for index in validation) == {"a": 1, "b": 1}
    assert len(training) == 10


def test_the_split_is_the_same_for_a_seed_and_another_for_another() -> None:
    labels = [None] * 100
    first = stratified_split(labels, 0.2, seed=1)
    assert stratified_split(labels, 0.2, seed=1) == first
    assert stratified_split(labels, 0.2, seed=2) != first


@pytest.mark.parametrize(
    ("file", "published"),
    [
        ("/home/ann/private/mails.csv", "mails.csv"),
        ("sql:sqlite:///../mess/shop.db", "shop.db"),
        ("s3://bucket/raw/mails.csv", "s3://bucket/raw/mails.csv"),
        ("hf:owner/name", "hf:owner/name"),
    ],
)
def test_the_origin_of_a_prepared_row_has_no_folder_of_this_machine(file: str, published: str) -> None:
    row = {"text": "a", "source": {"file": file, "line": 3}, "license": "MIT", "split": "train"}
    assert origin_of(row, ("text",)) == {"source": {"file": published, "line": 3}, "license": "MIT"}
    assert origin_of(row, ("text", "license")) == {"source": {"file": published, "line": 3}}
    assert origin_of({"text": "a", "source": "web", "license": "MIT"}, ("text",)) == {}
