"""A task file that is no YAML is refused in words, with its file, its line and the cure."""

from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.tasks.assets import root
from synthgen.tasks.yamlvalues import misread


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "description: Reviews: short ones, by buyers.",
            "21: the value of 'description' holds a colon, and YAML takes what is before it for a key; "
            'put it in quotes: description: "Reviews: short ones, by buyers."',
        ),
        (
            'description: Reviews: the "best" # for now',
            "21: the value of 'description' holds a colon, and YAML takes what is before it for a key; "
            "put it in quotes: description: 'Reviews: the \"best\"'",
        ),
        (
            "labels: {}\nrubric:\n  natural: It reads: well.",
            "20: the value of 'natural' holds a colon, and YAML takes what is before it for a key; "
            'put it in quotes: natural: "It reads: well."',
        ),
        (
            "description: Short texts,\n  reviews: by buyers.",
            "10: YAML takes the word before the colon for a key; put the whole text that it belongs to in quotes",
        ),
        (
            "description: @home reviews",
            "14: the value of 'description' begins with @, which YAML keeps for itself; "
            'put it in quotes: description: "@home reviews"',
        ),
        ("\tdescription: Reviews", "1: a tab; indent with blanks"),
        ('description: "Reviews" of shops', "24: not YAML: expected <block end>, but found '<scalar>'"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_with_line_and_cure(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "task" / "shop.yaml"
    file.parent.mkdir()
    file.write_text(f"name: shop\nkind: generation\n{line}\n")
    assert dispatch(["validate", "--config-dir", str(tmp_path), "task=shop"]) == 2
    place = f"{file}:{2 + len(line.splitlines())}:"
    assert capsys.readouterr().err == f"synthgen: {place}{message}\n"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("    answer: {enum: [yes, no]}", '21: task.schema.properties.answer.enum.0: YAML reads yes as true; put it in quotes: "yes"'),
        ("    answer: {enum: [12:30, later]}", '21: task.schema.properties.answer.enum.0: YAML reads 12:30 as the number 750; put it in quotes: "12:30"'),
        ("    answer: {enum: [a, 010]}", '24: task.schema.properties.answer.enum.1: YAML reads 010 as the number 8; put it in quotes: "010"'),
        ("    answer: {enum: [a, b]}\n    on: {type: string}", '5: task.schema.properties: YAML reads on as true; put it in quotes: "on"'),
        ("    answer: {enum: [a, b]}\n    when: {type: string, enum: [1:20, never]}", '33: task.schema.properties.when.enum.0: YAML reads 1:20 as the number 80; put it in quotes: "1:20"'),
        ("    answer: {enum: [a, b]}\nlanguage: no", '11: task.language: YAML reads no as false; put it in quotes: "no"'),
        ("    answer: {enum: [a, b]}\nlabels:\n  off: It is off.", '3: task.labels: YAML reads off as false; put it in quotes: "off"'),
    ],
)  # fmt: skip
def test_a_text_that_yaml_reads_as_something_else_is_named_as_it_was_written(
    lines: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "task" / "shop.yaml"
    file.parent.mkdir()
    file.write_text(
        "name: shop\nkind: classification\ninput: [text]\ntarget: [answer]\nprompts: classification\nseeds: seeds.csv\n"
        f"schema:\n  type: object\n  required: [text, answer]\n  properties:\n    text: {{type: string}}\n{lines}\n"
    )
    assert dispatch(["validate", "--config-dir", str(tmp_path), "task=shop"]) == 2
    place = f"{file}:{11 + len(lines.splitlines())}:"
    assert capsys.readouterr().err.splitlines()[0] == f"synthgen: {place}{message}"


def test_numbers_where_numbers_are_meant_are_none_of_it() -> None:
    for file in (root() / "conf" / "task").glob("*.yaml"):
        assert misread(file) == []
