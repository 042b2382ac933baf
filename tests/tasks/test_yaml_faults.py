"""A task file that is no YAML is refused in words, with its file, its line and the cure."""

from pathlib import Path

import pytest

from synthgen.cli import dispatch


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
