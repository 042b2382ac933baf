"""Spans in the formats of taggers and annotation tools keep their place, their type and their text."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Export = Callable[..., Path]
Seeds = Callable[[str], list[dict[str, Any]]]
HOSTILE: list[dict[str, Any]] = [
    {"text": "Ann-Marie met Bo.\nBo left.", "entities": [
        {"text": "Bo", "type": "person"}, {"text": "Bo", "type": "person"}, {"text": "Marie", "type": "person"}]},
    {"text": "我在北京见到了李雷。", "entities": [{"text": "北京", "type": "place"}, {"text": "李雷", "type": "person"}]},
    {"text": "Nothing to find here 🎉.", "entities": []},
]  # fmt: skip


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        "entities",
        pytest.param("zh_entities", marks=pytest.mark.thorough),
        pytest.param("intent_slots", marks=pytest.mark.thorough),
    ],
)
def test_seqeval_finds_every_span_in_the_bio_tags(task: str, export: Export, seeds: Seeds) -> None:
    from seqeval.metrics import f1_score
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import IOB2

    rows = json_lines(export("bio", task) / "train.jsonl")
    tags = [row["ner_tags"] for row in rows]
    assert f1_score(tags, tags, mode="strict", scheme=IOB2) == 1.0
    spans = {"entities": "entities", "zh_entities": "entities", "intent_slots": "slots"}[task]
    for row, seed in zip(rows, seeds(task), strict=True):
        found = [
            (kind, re.sub(r"\s", "", "".join(row["tokens"][start : end + 1])))
            for kind, start, end in get_entities(row["ner_tags"])
        ]
        kinds = [name for name in seed[spans][0] if name != "text"] if seed[spans] else ["type"]
        expected = [(one[kinds[0]], re.sub(r"\s", "", one["text"])) for one in seed[spans]]
        assert sorted(found) == sorted(expected)


def test_the_columns_of_conll_are_tokens_and_tags(export: Export) -> None:
    text = (export("conll", "entities", HOSTILE) / "train.conll").read_text(encoding="utf-8")
    assert text.startswith("-DOCSTART- -X- -X- O\n\nAnn -X- -X- O\n- -X- -X- O\nMarie -X- -X- B-person\n")
    samples = text.split("\n\n")[1:]
    assert len(samples) == 3
    assert "北 -X- -X- B-place\n京 -X- -X- I-place\n" in samples[1]
    assert all(len(line.split(" ")) == 4 for sample in samples for line in sample.strip().split("\n"))


def test_brat_offsets_point_at_the_texts_of_its_files(export: Export) -> None:
    folder = export("brat", "entities", HOSTILE)
    listed = {path.name for path in (folder / "train").iterdir()}
    assert listed == {f"{number:06}.{end}" for number in (1, 2, 3) for end in ("txt", "ann")}
    for number, row in enumerate(HOSTILE, start=1):
        text = (folder / "train" / f"{number:06}.txt").read_text(encoding="utf-8")
        lines = (folder / "train" / f"{number:06}.ann").read_text(encoding="utf-8").splitlines()
        assert text == row["text"]
        for line, entity in zip(lines, row["entities"], strict=True):
            _, place, covered = line.split("\t")
            kind, start, end = place.split(" ")
            assert (kind, covered, text[int(start) : int(end)]) == (entity["type"], entity["text"], entity["text"])
    assert "[entities]\nperson\nplace\n" in (folder / "annotation.conf").read_text()


def test_a_span_over_a_line_break_has_a_place_on_each_line_in_brat(export: Export) -> None:
    rows = [{"text": "We saw New\nYork.", "entities": [{"text": "New\nYork", "type": "place"}]}]
    folder = export("brat", "entities", rows)
    assert (folder / "train" / "000001.ann").read_text() == "T1\tplace 7 10;11 15\tNew York\n"


def test_brat_and_doccano_have_the_relations(export: Export, seeds: Seeds) -> None:
    folder = export("brat", "relations")
    [first] = [number for number, row in enumerate(seeds("relations"), start=1) if row["relations"]][:1]
    lines = (folder / "train" / f"{first:06}.ann").read_text(encoding="utf-8").splitlines()
    named = {line.split("\t")[0]: line.split("\t")[2] for line in lines if line.startswith("T")}
    found = [line.split("\t")[1].split(" ") for line in lines if line.startswith("R")]
    expected = [(one["type"], one["head"], one["tail"]) for one in seeds("relations")[first - 1]["relations"]]
    assert [(kind, named[head[5:]], named[tail[5:]]) for kind, head, tail in found] == expected
    for row, seed in zip(json_lines(export("doccano", "relations") / "train.jsonl"), seeds("relations"), strict=True):
        texts = {one["id"]: row["text"][one["start_offset"] : one["end_offset"]] for one in row["entities"]}
        assert list(texts.values()) == [one["text"] for one in seed["entities"]]
        assert [(one["type"], texts[one["from_id"]], texts[one["to_id"]]) for one in row["relations"]] == [
            (one["type"], one["head"], one["tail"]) for one in seed["relations"]
        ]


def test_doccano_has_spans_with_offsets_or_labels(export: Export) -> None:
    rows = json_lines(export("doccano", "entities", HOSTILE) / "train.jsonl")
    found = [[[row["text"][start:end], kind] for start, end, kind in row["label"]] for row in rows]
    assert found == [[[one["text"], one["type"]] for one in row["entities"]] for row in HOSTILE]
    [row] = json_lines(export("doccano", "news_topic", [{"text": "Shares fell.", "label": "business"}]) / "train.jsonl")
    assert row == {"id": 1, "text": "Shares fell.", "label": ["business"]}


def test_spans_that_overlap_are_refused_by_name_and_left_out_on_request(
    export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlapping = {"text": "New York Times", "entities": [
        {"text": "New York Times", "type": "organisation"}, {"text": "New York", "type": "place"}]}  # fmt: skip
    with pytest.raises(AssertionError):
        export("bio", "entities", [HOSTILE[2], overlapping])
    said = capsys.readouterr().err
    assert "--format bio cannot hold 1 sample; leave them out with --skip" in said
    assert "train row 2: entities[1].text: 'New York' has no place of its own in text" in said
    rows = json_lines(export("bio", "entities", [HOSTILE[2], overlapping], "--skip") / "train.jsonl")
    assert [row["tokens"][0] for row in rows] == ["Nothing"]
    assert "left out 1 sample" in capsys.readouterr().err
