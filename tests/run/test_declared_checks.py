"""Declared checks in a run: bad files are refused with row and reason, invented spans are rejected."""

import json
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader

TASK = """
name: places
kind: extraction
schema:
  type: object
  properties:
    text: {type: string, minLength: 20, maxLength: 160}
    entities: {type: array, minItems: 1, maxItems: 3, items: {type: string, minLength: 2, maxLength: 30}}
  required: [text, entities]
input: [text]
target: [entities]
prompts: generation
seeds: places.jsonl
checks:
  - {kind: spans, field: "entities[]", in: text}
"""
SEEDS = [
    {"text": "Ana took the night train to Madrid.", "entities": ["Ana", "Madrid"]},
    {"text": "We waited three hours for the ferry to Corfu.", "entities": ["Corfu"]},
    {"text": "The bus to Galway leaves at noon.", "entities": ["Galway"]},
]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config folder with the task; its seed and eval files lie beside `task/`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task").mkdir()
    (tmp_path / "task/places.yaml").write_text(TASK)
    write(tmp_path / "places.jsonl", SEEDS)
    return tmp_path


def write(file: Path, rows: list[dict[str, object]]) -> None:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def do(verb: str, mine: Path, *more: str) -> int:
    return dispatch([verb, "--config-dir", str(mine), "experiment=smoke", "task=places", *more])


@pytest.mark.slow
def test_entities_that_stand_nowhere_in_their_text_are_rejected(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert do("run", mine, "run.dir=out", "budget.target=20", "budget.candidates=40") == 3
    with Reader(mine / "out/ledger.sqlite") as reader:
        rows = list(reader.rows("SELECT outcome, reason, COUNT(*) FROM candidates GROUP BY 1, 2"))
    assert rows == [("rejected", "no_span", 40)]
    capsys.readouterr()
    assert dispatch(["status", "out"]) == 0
    assert "no_span: has a string that does not occur in its text word for word" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["seed", "eval"])
def test_rows_that_fail_their_own_tasks_checks_are_refused(
    mine: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"text": "Kari lives in Bergen now.", "entities": ["Kari", "Oslo"]}
    file = mine / ("places.jsonl" if what == "seed" else "test.jsonl")
    write(file, [*SEEDS, bad] if what == "seed" else [bad])
    assert do("validate", mine, *(["task.eval=test.jsonl"] if what == "eval" else [])) == 2
    said = capsys.readouterr().err
    line, column = 4 if what == "seed" else 1, json.dumps(bad).index('"Oslo"') + 1
    assert (
        f'the {what} file cannot be used:\n{file}:{line}:{column}: entities[1]: "Oslo" does not occur in text' in said
    )
    assert "change the row, or the check" in said


def test_a_wrong_declaration_is_refused_with_file_and_line(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = mine / "task/places.yaml"
    file.write_text(TASK.replace("kind: spans", "kind: span"))
    assert do("validate", mine) == 2
    assert f"{file}:15: task.checks[0].kind: there is no check 'span'; did you mean spans?" in capsys.readouterr().err


def test_a_path_without_quotes_in_braces_is_reported_with_its_cure(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "task/places.yaml").write_text(TASK.replace('"entities[]"', "entities[]"))
    assert do("validate", mine) == 2
    assert "put a value that has [] in it into quotes" in capsys.readouterr().err


@pytest.mark.slow
def test_another_check_on_resume_is_refused_as_a_change_of_the_task(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert do("run", mine, "run.dir=out", "budget.candidates=10") == 3
    assert dispatch(["resume", "out", "task.checks=[]", "budget.candidates=20"]) == 2
    assert "task.checks" in capsys.readouterr().err


@pytest.mark.slow
def test_pairs_whose_better_text_does_not_win_in_both_orders_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = ("task=preference", "run.dir=out", "budget.target=40", "budget.candidates=40")
    assert dispatch(["run", "experiment=smoke", *more]) == 3
    with Reader(tmp_path / "out/ledger.sqlite") as reader:
        found = dict(reader.rows("SELECT reason, COUNT(*) FROM verdicts WHERE \"check\" = 'prefers' GROUP BY 1"))
        asked = [name for (name,) in reader.rows("SELECT id FROM requests WHERE id LIKE '%/pair/%'")]
    assert found[None] + found["not_preferred"] + found["undecided"] == len(asked) / 2
    assert min(found.values()) > 0
    assert {name.rpartition("/")[2] for name in asked} == {"forward", "backward"}
