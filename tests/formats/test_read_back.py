"""Tables, SQuAD and parallel texts are read by the tools that they are for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Export = Callable[..., Path]
Seeds = Callable[[str], list[dict[str, Any]]]
LARGE = 2**63 + 1
TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
TABLE = {
    "schema": {
        "type": "object",
        "properties": {
            "text": TEXT,
            "size": NUMBER,
            "ok": {"type": "boolean"},
            "found": {"type": "object", "properties": {"name": TEXT, "tags": {"type": "array", "items": TEXT}}},
        },
        "required": ["text"],
    },
    "kind": "generation", "target": ["found"], "assign": [], "checks": [],
}  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {"text": '=HYPERLINK("http://x","y")', "size": LARGE, "ok": True, "found": {"name": "a", "tags": []}},
    {"text": "@SUM(1)", "size": 7, "ok": False, "found": {"tags": ["x", "y"]}},
    {"text": "东京 🎉\nline", "found": {}},
]


def test_openpyxl_reads_texts_as_texts_and_numbers_exactly(export: Export) -> None:
    from openpyxl import load_workbook

    page = load_workbook(export("xlsx", "entities", ROWS, **TABLE) / "train.xlsx")["train"]
    table = [[cell.value for cell in row] for row in page.iter_rows()]
    assert table == [
        ["text", "size", "ok", "found"],
        [ROWS[0]["text"], str(LARGE), True, '{"name": "a", "tags": []}'],
        ["@SUM(1)", 7, False, '{"tags": ["x", "y"]}'],
        ["东京 🎉\nline", None, None, "{}"],
    ]
    formula = page["A2"]
    assert (formula.data_type, formula.quotePrefix) == ("s", True)
    assert not page["A4"].quotePrefix


def test_the_same_rows_give_the_same_workbook_at_any_time(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    one = (export("xlsx", "entities", ROWS, **TABLE) / "train.xlsx").read_bytes()

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Later":
            return cls(2031, 1, 1, tzinfo=tz)

    monkeypatch.setattr("openpyxl.writer.excel.datetime.datetime", Later)
    assert (export("xlsx", "entities", ROWS, **TABLE) / "train.xlsx").read_bytes() == one


def test_a_text_too_long_for_a_cell_is_refused_by_name(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        export("xlsx", "entities", [{"text": "x" * 40_000}], **TABLE)
    assert "train row 1: text: 40,000 characters; a cell of Excel holds 32,767" in capsys.readouterr().err


@pytest.mark.slow
def test_datasets_opens_the_folder_and_keeps_every_value(export: Export) -> None:
    import datasets

    rows = datasets.load_from_disk(str(export("datasets", "entities", ROWS, **TABLE)))["train"].to_list()
    assert [row["text"] for row in rows] == [row["text"] for row in ROWS]
    assert [row["size"] for row in rows] == [str(LARGE), "7", None]
    assert [row["found"]["tags"] for row in rows] == [[], ["x", "y"], None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "task"),
    [
        ("sharegpt", "dialogue"),
        ("kto", "preference"),
        pytest.param("alpaca", "dialogue", marks=pytest.mark.thorough),
        pytest.param("trl-messages", "news_topic", marks=pytest.mark.thorough),
        pytest.param("trl-prompt-completion", "tool_calls", marks=pytest.mark.thorough),
        pytest.param("dpo", "preference", marks=pytest.mark.thorough),
        pytest.param("bio", "zh_entities", marks=pytest.mark.thorough),
    ],
)
def test_load_dataset_reads_the_folder(form: str, task: str, export: Export, seeds: Seeds, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(export(form, task)), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(loaded) == len(seeds(task)) * (2 if form == "kto" else 1)


@pytest.mark.slow
def test_the_squad_readers_and_metric_take_the_questions(export: Export, seeds: Seeds) -> None:
    from transformers.data.metrics.squad_metrics import squad_evaluate
    from transformers.data.processors.squad import SquadV2Processor

    folder = export("squad", "passage_qa")
    examples = SquadV2Processor().get_train_examples(str(folder), "train.json")
    assert sorted(one.question_text for one in examples) == sorted(row["question"] for row in seeds("passage_qa"))
    for article in json.loads((folder / "train.json").read_text())["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                for answer in question["answers"]:
                    start = answer["answer_start"]
                    assert paragraph["context"][start : start + len(answer["text"])] == answer["text"]
    for one in examples:  # the processor sets `answers` for evaluation only
        one.answers = [] if one.is_impossible else [{"text": one.answer_text}]
    right = {one.qas_id: "" if one.is_impossible else one.answer_text for one in examples}
    assert squad_evaluate(examples, right)["exact"] == 100.0
    assert {one.is_impossible for one in examples} == {True, False}


def test_passages_with_several_questions_stand_once(export: Export) -> None:
    row = {"answerable": "yes", "passage": "Ada lives in Rome and works in Pisa, which is not far away at all.",
           "question": "Where does Ada live?", "answer": "Rome"}  # fmt: skip
    other = {**row, "question": "Where does she work?", "answer": "Pisa"}
    [article] = json.loads((export("squad", "passage_qa", [row, other]) / "train.json").read_text())["data"]
    [paragraph] = article["paragraphs"]
    assert [one["answers"] for one in paragraph["qas"]] == [
        [{"text": "Rome", "answer_start": 13}], [{"text": "Pisa", "answer_start": 31}]]  # fmt: skip


def test_an_answer_outside_the_passage_is_refused_by_name(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"answerable": "yes", "passage": "Ada lives in Rome and works in Pisa, which is not far away at all.",
           "question": "Where does Ada live?", "answer": "Paris"}  # fmt: skip
    with pytest.raises(AssertionError):
        export("squad", "passage_qa", [row])
    assert "train row 1: answer: 'Paris' does not occur in passage" in capsys.readouterr().err


@pytest.mark.slow
def test_sacrebleu_scores_the_columns_of_the_tsv(export: Export, seeds: Seeds) -> None:
    import sacrebleu

    lines = (export("wmt", "translation") / "train.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    columns = [line.split("\t") for line in lines]
    assert columns == [[row["english"], row["german"]] for row in seeds("translation")]
    targets = [target for _, target in columns]
    assert sacrebleu.corpus_bleu(targets, [targets]).score == pytest.approx(100.0)


def test_a_tab_or_line_break_in_a_pair_is_refused_by_name(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"english": "One\ttwo three", "german": "Eins zwei drei"}]
    with pytest.raises(AssertionError):
        export("wmt", "translation", rows)
    assert "train row 1: english: holds a tab or line break (U+0009)" in capsys.readouterr().err
