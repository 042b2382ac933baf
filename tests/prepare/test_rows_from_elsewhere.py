"""Rows come from databases and web pages too."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.errors import ConfigError, InputError
from synthgen.prepare import load, prepare
from tests.prepare.conftest import lines_of

QUERY = "SELECT id, body AS text, price FROM mails WHERE body NOT LIKE '%spam:%' ORDER BY id"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a SQLite file with three mails."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE mails (id INTEGER, body TEXT, price REAL, picture BLOB)")
        rows = [(1, "The lamp smokes.", 2.5, b"x"), (2, "spam: buy", None, None), (2**60, "Where is it?", None, None)]
        connection.executemany("INSERT INTO mails VALUES (?, ?, ?, ?)", rows)
    return tmp_path / "shop.db"


def test_the_rows_of_a_query_are_read_behind_those_of_files(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "first"}\n', encoding="utf-8")
    url, out = f"sqlite:///{shop}", tmp_path / "out"
    words = ["--sql", url, "--query", QUERY, "--steps", "exact", "--out", str(out)]
    assert dispatch(["prepare", str(tmp_path / "a.jsonl"), *words]) == 0
    rows = lines_of(out / "prepared.jsonl")
    assert [(row.get("id"), row["text"], row.get("price")) for row in rows] == [
        (None, "first", None), (1, "The lamp smokes.", 2.5), (2**60, "Where is it?", None),
    ]  # fmt: skip
    assert rows[2]["source"] == {"file": f"sql:{url}", "line": 2}


def test_a_config_names_queries_and_finds_the_file_beside_itself(shop: Path, tmp_path: Path) -> None:
    text = "sql: {url: 'sqlite:///shop.db', query: 'SELECT body AS text FROM mails'}\nsteps: [exact]\n"
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    prepare([], load(str(tmp_path / "c.yaml")), tmp_path / "out")
    assert len(lines_of(tmp_path / "out/prepared.jsonl")) == 3


def test_a_url_with_a_password_comes_from_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    secret = "postgresql+no_such_driver://u:hunter2hunter2@db/shop"  # the password of the test
    words = ["--query", "SELECT 1", "--out", str(tmp_path / "out")]
    assert dispatch(["prepare", "--sql", secret, *words]) == 2
    said = capsys.readouterr().err
    assert "put the URL into an environment variable" in said and "hunter2" not in said
    assert dispatch(["prepare", "--sql", "env:SHOP", *words]) == 2
    assert "has no variable SHOP" in capsys.readouterr().err
    monkeypatch.setenv("SHOP", secret)
    assert dispatch(["prepare", "--sql", "env:SHOP", *words]) == 2
    said = capsys.readouterr().err
    assert "no_such_driver" in said and "hunter2" not in said


@pytest.mark.parametrize(
    ("url", "query", "said"),
    [
        ("sqlite:///{db}", "SELECT mails.b FROM mails", "the database refuses: no such column: mails.b"),
        ("sqlite:///{db}", "DELETE FROM mails", "attempt to write a readonly database"),
        ("sqlite:///{db}", "SELECT id, picture FROM mails", "row 1, column picture: JSON has no bytes"),
        ("sqlite:///{db}", "SELECT id, id FROM mails", "two columns are named 'id'"),
        ("sqlite:///{db}.old", "SELECT 1", "does not exist"),
        ("mysql://h/{db}", "SELECT 1", "the driver for mysql is missing; run: pip install mysqlclient"),
        ("shop.db", "SELECT 1", "is no database URL"),
    ],
)
def test_a_query_that_cannot_be_read_is_reported_with_its_cure(
    shop: Path, tmp_path: Path, capsys: Any, url: str, query: str, said: str
) -> None:
    words = ["--sql", url.format(db=shop), "--query", query, "--out", str(tmp_path / "out")]
    assert dispatch(["prepare", *words]) == 2
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop.db"]


def test_neither_files_nor_a_query_and_half_a_query_are_refused(tmp_path: Path, capsys: Any) -> None:
    assert dispatch(["prepare", "--out", str(tmp_path / "out")]) == 2
    assert "FILES is missing" in capsys.readouterr().err
    assert dispatch(["prepare", "--sql", "sqlite:///a.db", "--out", str(tmp_path / "out")]) == 2
    assert "--sql and --query belong together" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["{url: 'sqlite:///a.db'}", "[SELECT]", "{url: 3, query: x}"])
def test_a_query_without_its_two_parts_is_reported_with_its_line(tmp_path: Path, given: str) -> None:
    (tmp_path / "c.yaml").write_text(f"steps: [exact]\nsql: {given}\n", encoding="utf-8")
    with pytest.raises((ConfigError, InputError), match=r"c.yaml:2: sql: write `url: DATABASE_URL`"):
        load(str(tmp_path / "c.yaml"))


_PAGE = """<html><body><nav><ul><li><a href="/">Home</a></li></ul></nav><div class="cookie-banner">We use cookies.</div>
<article><h1>How to care for an oil lamp</h1><p>An oil lamp burns for about six hours on one filling. Trim the wick before
each use, so that the flame is even and the glass stays clear.</p><p>Wash the chimney with warm water and a drop of soap. Let
it dry before you light the lamp again, because wet glass cracks.</p><ul><li>Paraffin burns clean.</li><li>Olive oil needs a
short wick.</li></ul></article><footer>All rights reserved.</footer></body></html>"""


@pytest.mark.parametrize(("html", "menus"), [("main", False), ("all", True)])
def test_a_web_page_is_read_without_its_menus_unless_all_is_asked_for(tmp_path: Path, html: str, menus: bool) -> None:
    (tmp_path / "a.html").write_text(_PAGE, encoding="utf-8")
    (tmp_path / "c.yaml").write_text(f"html: {html}\nsteps: [exact]\n", encoding="utf-8")
    prepare([str(tmp_path / "a.html")], load(str(tmp_path / "c.yaml")), tmp_path / "out")
    (row,) = lines_of(tmp_path / "out/prepared.jsonl")
    paragraphs = row["text"].split("\n\n")
    assert "How to care for an oil lamp" in paragraphs
    assert paragraphs[-1 - menus].splitlines() == ["Paraffin burns clean.", "Olive oil needs a short wick."]
    assert ("cookies" in row["text"], "rights reserved" in row["text"], "Home" in row["text"]) == (menus,) * 3
