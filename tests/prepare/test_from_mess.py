"""Every command of docs/from-mess-to-dataset.md does what the page says."""

import json
import re
import runpy
import shlex
import sqlite3
import sys
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.tasks.assets import root
from tests.prepare.conftest import lines_of

PAGE = root() / "docs" / "from-mess-to-dataset.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def run_page(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write each file of the page and run each command, in order, in the working directory. Return the commands."""
    commands = []
    for kind, block in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "yaml":
            name = block.partition("\n")[0].removeprefix("# ")
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(block, encoding="utf-8")
        for line in block.splitlines() if kind == "sh" else []:
            program, *words = shlex.split(line)
            commands.append(line)
            if program == "python":
                monkeypatch.setattr(sys, "argv", words)
                runpy.run_path(str(root() / words[0]), run_name="__main__")
            else:
                assert program == "synthgen"
                assert dispatch(words) == 0, line
    return commands


@pytest.mark.slow
def test_every_command_of_the_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = run_page(monkeypatch)
    verbs = [
        "scripts/make_mess.py",
        "prepare",
        "prepare",
        "validate",
        "run",
        "version",
        "version",
        "diff",
        "export",
        "push",
    ]
    assert [line.split()[1] for line in commands] == verbs
    shown = next(
        block for kind, block in _BLOCK.findall(PAGE.read_text(encoding="utf-8")) if block.startswith("step  ")
    )
    said = [re.sub(r" +\d+\.\d\d(?= |$)", "", line) for line in capsys.readouterr().out.splitlines()]
    for line in shown.splitlines():
        assert line == "..." or re.sub(r" +\d+\.\d\d(?= |$)", "", line) in said
    removed = lines_of(Path("clean/removed.jsonl"))
    assert {row["row"]["text"][:6] for row in removed if row["reason"] == "injection"} == {"Ignore"}
    assert {row["note"] for row in removed if row["reason"] == "other_language"} == {"de", "fr", "zh"}
    texts = " ".join(row["text"] for row in lines_of(Path("clean/prepared.jsonl")))
    assert "[CARD]" in texts and "[EMAIL]" in texts and "4111" not in texts and "â€" not in texts and "<p>" not in texts
    assert {row["source"]["file"].rpartition("/")[2] for row in lines_of(Path("clean/prepared.jsonl"))} == {
        "mails.csv", "notes.jsonl", "shop.db",
    }  # fmt: skip
    pages = [row["text"] for row in lines_of(Path("pages/prepared.jsonl"))]
    assert "A parcel that has not moved for five days counts as lost." in " ".join(pages)
    assert not any("cookies" in text or "rights reserved" in text for text in pages)
    counted = "SELECT label, COUNT(*) FROM samples WHERE origin = 'synthetic' GROUP BY 1"
    assert dict(sqlite3.connect("runs/mails/ledger.sqlite").execute(counted).fetchall()) == {"damage": 1, "invoice": 25}
    assert json.loads(Path("runs/mails/summary.json").read_text(encoding="utf-8"))["stopped_by"] == "target"
    assert "The seeds name theirs: CC-BY-4.0 (130 of 130)." in Path("runs/mails/dataset/README.md").read_text("utf-8")
    (seed, *_) = lines_of(Path("runs/mails/dataset/meta/lineage.jsonl"))
    assert seed["given"]["license"] == "CC-BY-4.0" and seed["given"]["source"]["file"] in (
        "mails.csv",
        "notes.jsonl",
        "shop.db",
    )
    assert json.loads(Path("versions/datasets/mails/2/version.json").read_text("utf-8"))["licence"] == {
        "CC-BY-4.0": 130, "none": 26,
    }  # fmt: skip
    assert list(Path("runs/mails/dataset-csv").glob("*.csv"))
    assert list(Path("store").rglob("train.jsonl"))
