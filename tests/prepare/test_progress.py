"""A long preparation says how far it is; an interrupted one leaves nothing and prints the command to start it again."""

import io
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.prepare import chain, progress
from synthgen.prepare.log import StepLog
from synthgen.prepare.progress import ChainProgress


def logs(**rows: tuple[int, int]) -> list[StepLog]:
    return [StepLog(name, io.BytesIO(), rows_in, rows_out) for name, (rows_in, rows_out) in rows.items()]


def test_the_line_names_the_last_step_that_rows_have_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100, 2)
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    read, repair, near, split = logs(read=(0, 0), repair=(0, 0), near=(0, 0), split=(0, 0))
    pace = ChainProgress(read, [repair, near, split])
    assert pace.line() == "0 rows read; 2 s"
    read.rows_out, repair.rows_in, repair.rows_out, near.rows_in = 4000, 4000, 4000, 4000
    assert pace.line() == "4,000 rows read; near: 4,000 in, 0 out; 1,000 rows/s; 4 s"
    near.rows_out = split.rows_in = 600
    assert pace.line() == "4,000 rows read; split: 600 in, 0 out; 100 rows/s; 6 s"


def test_a_long_preparation_prints_lines_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.01)
    file = tmp_path / "a.jsonl"
    file.write_text("".join(f'{{"text": "row {n}"}}\n' for n in range(3000)), encoding="utf-8")
    assert dispatch(["prepare", str(file), "--steps", "exact", "--out", str(tmp_path / "out")]) == 0
    assert re.search(r"[\d,]+ rows read; exact: [\d,]+ in, [\d,]+ out; [\d,]+ rows/s; \d s\n", capsys.readouterr().err)


def test_an_interrupted_preparation_leaves_nothing_and_names_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(chain, "_write", interrupted)
    file, out = tmp_path / "my rows.txt", str(tmp_path / "out")
    file.write_text("one\n", encoding="utf-8")
    assert dispatch(["prepare", str(file), "--steps", "exact,near", "--out", out]) == 5
    last = capsys.readouterr().out.splitlines()[-1].strip()
    assert last == f"synthgen prepare '{file}' --steps exact,near --out {out}"
    assert [path.name for path in tmp_path.iterdir()] == ["my rows.txt"]


def test_a_second_preparation_of_the_same_folder_is_refused_and_leaves_the_first_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    file, out = tmp_path / "a.jsonl", str(tmp_path / "out")
    file.write_text('{"text": "a"}\n', encoding="utf-8")
    write, second = chain._write, []

    def write_beside_another(*given: Any) -> Any:
        monkeypatch.setattr(chain, "_write", write)
        second.append(dispatch(["prepare", str(file), "--steps", "exact", "--out", out]))
        return write(*given)

    monkeypatch.setattr(chain, "_write", write_beside_another)
    assert dispatch(["prepare", str(file), "--steps", "exact", "--out", out]) == 0
    assert second == [2] and "another process prepares it" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out"]


def test_the_leftover_of_a_killed_preparation_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a"}\n', encoding="utf-8")
    (tmp_path / ".out.new" / "tmp").mkdir(parents=True)
    assert dispatch(["prepare", str(file), "--steps", "exact", "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out"]
