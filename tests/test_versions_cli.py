"""`version`, `log`, `diff` and `merge` as a person meets them."""

import json
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from tests.versions.conftest import NEWS, write

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_with_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "news", train=NEWS[:3], test=NEWS[3:])
    write(tmp_path / "later", train=[NEWS[0], {**NEWS[1], "label": "world"}, NEWS[3]])


def said(capsys: Captured, *words: str) -> str:
    assert dispatch(list(words)) == 0
    found = capsys.readouterr()
    assert found.err == ""
    return found.out


def refused(capsys: Captured, *words: str) -> str:
    assert dispatch(list(words)) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("synthgen: ")
    return found.err


def test_a_dataset_is_frozen_listed_and_restored(capsys: Captured, tmp_path: Path) -> None:
    first = said(capsys, "version", "news", "-m", "首批 rows", "--licence", "MIT").splitlines()
    assert first[0].startswith("news@1  ")
    assert first[0].endswith("  4 rows (train 3, test 1)")
    assert first[1].startswith("stored: 4 new rows, 0.00 MB, in versions")
    assert said(capsys, "version", "news", "--licence", "MIT").startswith("unchanged: this is news@1 (")
    second = said(capsys, "version", "later", "--name", "news").splitlines()
    assert second[1] == "since news@1: 2 rows added, 3 removed; other default_licence, licence"
    assert second[2].startswith("stored: 1 new row")
    listed = said(capsys, "log").splitlines()
    assert [line.split()[0] for line in listed] == ["version", "news@2", "news@1"]
    assert listed[2].endswith("首批 rows")
    shown = dict(line.split(None, 1) for line in said(capsys, "log", "news@1").splitlines())
    assert shown["licence"] == "MIT 4"
    assert shown["labels"] == "business 1, science 1, sport 1, world 1"
    assert [each["version"] for each in json.loads(said(capsys, "log", "news", "--json"))] == ["news@2", "news@1"]
    assert said(capsys, "version", "news@1", "--checkout", "back") == "news@1 in back: train 3, test 1\n"
    assert "the same rows in the same splits" in said(capsys, "diff", "news@1", "back")


def test_a_difference_is_a_table_a_list_or_json(capsys: Captured) -> None:
    table = said(capsys, "diff", "news", "later", "--rows").splitlines()
    assert table[0].split() == ["news", "later"]
    assert "removed    1  train 1" in table
    assert "changed    1  train 1" in table
    assert "moved      1  test -> train 1" in table
    assert "unchanged  1" in table
    assert "changed: the same input, another label" in table
    assert table[-4:] == [
        f"- train {json.dumps(NEWS[2])}",
        f"~ train {json.dumps(NEWS[1], ensure_ascii=False)}",
        f"  now {json.dumps({**NEWS[1], 'label': 'world'}, ensure_ascii=False)}",
        f"> test -> train {json.dumps(NEWS[3])}",
    ]
    found = json.loads(said(capsys, "diff", "news", "later", "--json"))
    assert (found["moved"], found["removed"], found["added"]) == ({"test -> train": 1}, {"train": 1}, {})
    assert found["labels"]["world"] == [1, 2]
    assert found["shifts"]["length"]["before"] == 41
    assert "changes" not in found
    assert len(json.loads(said(capsys, "diff", "news", "later", "--json", "--rows"))["changes"]) == 3


def test_datasets_are_merged(capsys: Captured, tmp_path: Path) -> None:
    out = said(capsys, "merge", "news", "later", "--out", "both").splitlines()
    assert out[:3] == ["dataset  rows  kept", "news        4     4", "later       3     0"]
    assert "removed: conflict 1, duplicate 2" in out
    assert any(line.startswith("  天文学家发现了新的彗星。: ") for line in out)
    assert out[-1] == "4 rows (train 3, test 1) in both"
    assert said(capsys, "version", "both").startswith("both@1  ")
    assert "--on-conflict" in refused(capsys, "merge", "news", "later", "--on-conflict", "error", "--out", "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("version gone", "'gone': no such run, folder or file, and no versions in versions"),
        ("log", "versions: no store of versions; `synthgen version RUN` makes one"),
        ("log --store later", "later: no store of versions"),
        ("version news --store later", "later: has content and is no store of versions; name another folder"),
        ("version news --name a/b", "'a/b' cannot be the name of a version"),
        ("version news --checkout out -m text", "--checkout only writes a version; leave out -m"),
        ("version news@1 --checkout out", "versions: no store of versions"),
        ("diff news", "B is missing"),
        ("diff news later --target lable", "--target: no row has the field 'lable'; did you mean label?"),
        ("merge news --out both", "give two datasets or more"),
        ("merge news later", "out is missing"),
        ("merge news later --out news", "news: has content already; name a new or empty folder"),
        ("merge news later --out both --on-conflict last", "--on-conflict"),
        ("merge news later --out both --embedder hash", "--embedder is for --near meaning"),
        ("merge news later --out both --threshold 2", "--threshold: must be from 0.3 to 1, got 2"),
        ("diff hf:own er news", "names no dataset; write hf:OWNER/NAME"),
    ],
)
def test_a_wrong_command_line_is_one_message(words: str, cause: str, capsys: Captured, tmp_path: Path) -> None:
    given = words.split(" ") if "own er" not in words else ["diff", "hf:own er", "news"]
    assert cause in refused(capsys, *given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["later", "news"]


def test_a_row_that_is_no_json_is_named_with_its_place(capsys: Captured) -> None:
    with Path("news/train.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "x", "label": NaN}\n')
    told = refused(capsys, "version", "news")
    assert "news/train.jsonl:4:24: not usable JSON: NaN is not JSON" in told
    assert not Path("versions").exists()


def test_a_damaged_store_is_one_message(capsys: Captured) -> None:
    said(capsys, "version", "news")
    pack = next(Path("versions/rows").iterdir())
    pack.write_bytes(pack.read_bytes().replace(b"striker", b"keeper", 1))
    told = refused(capsys, "diff", "news@1", "later")
    assert f"{pack}:" in told
    assert "Restore the file from git, DVC or a copy" in told
    assert said(capsys, "log").count("news@1") == 1
