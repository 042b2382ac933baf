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
        (
            "description：Reviews",
            "12: a full-width colon (：) follows 'description', and YAML takes it for text; write description: VALUE",
        ),
        (
            "labels:\n  好评: 很好：很好\n  差评：不好",
            "5: a full-width colon (：) follows '差评', and YAML takes it for text; write 差评: VALUE",
        ),
        ("schema: {type: object， properties: {}}", "22: a full-width ， is text for YAML; write a comma (,)"),
        ("labels: {好评: 很好，差评: 不好}", "16: a full-width ， is text for YAML; write a comma (,)"),
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


def test_a_full_width_colon_inside_a_text_is_not_blamed_for_a_fault_below_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "task" / "shop.yaml"
    file.parent.mkdir()
    file.write_text("name: shop\ndescription: |\n  注意：要短\nkind: a: b\n")
    assert dispatch(["validate", "--config-dir", str(tmp_path), "task=shop"]) == 2
    assert capsys.readouterr().err.startswith(f"synthgen: {file}:4:8: the value of 'kind' holds a colon")


@pytest.mark.parametrize("padding", ["", "# \n" * 300])
def test_a_file_in_gbk_is_refused_with_its_encoding(
    padding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "task" / "shop.yaml"
    file.parent.mkdir()
    file.write_bytes(f"{padding}name: shop\ndescription: 顾客写的短评，按好坏分。\n".encode("gbk"))
    assert dispatch(["validate", "--config-dir", str(tmp_path), "task=shop"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"synthgen: {file}:{2 + padding.count('#')}: not UTF-8 (byte 0xb9), it looks like GBK")


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


def test_names_of_fields_that_a_full_width_comma_joins_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "task" / "shop.yaml"
    file.parent.mkdir()
    file.write_text(
        "name: shop\nkind: generation\ninput: []\ntarget: [text，title]\nprompts: generation\nseeds: seeds.csv\nschema:\n"
        "  type: object\n  properties:\n    text: {type: string}\n    title: {enum: [好，很好, 差]}\n"
    )
    assert dispatch(["validate", "--config-dir", str(tmp_path), "task=shop"]) == 2
    assert capsys.readouterr().err == (
        f"synthgen: {file}:4:10: task.target.0: 'text，title' is one name, because a full-width comma (，) does not separate "
        "names; write a comma (,)\n"
    )


def test_numbers_that_are_meant_as_numbers_are_not_reported() -> None:
    for file in (root() / "conf" / "task").glob("*.yaml"):
        assert misread(file) == []
