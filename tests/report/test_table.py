"""`synthgen runs`: a table of several runs."""

import json
from pathlib import Path

import pytest

from synthgen.cli import dispatch


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of two finished runs, one that is still at work, and one that is no run."""
    monkeypatch.chdir(tmp_path)
    for name, accepted, student in (("a", 40, 0.5), ("b", 60, 0.75)):
        folder = Path("sweep", name)
        folder.mkdir(parents=True)
        (folder / "ledger.sqlite").touch()
        summary = {
            "target": 60, "stopped_by": "target", "counts": {"accepted": accepted},
            "rate": {"acceptance": 0.5, "accepted_per_s": 2.0}, "tokens": {"per_accepted": 200, "cached_share": 0.8},
            "seconds": {"total": 90.0},
            "student": {"seeds_only": None, "synthetic": {"mean": student}, "gain": {"mean": 0.25}},
        }  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary))
    Path("sweep/c").mkdir()
    return tmp_path


@pytest.mark.usefixtures("sweep")
def test_runs_are_listed_with_their_figures_and_sorted_by_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["runs", "sweep/*", "--sort=-student"]) == 0
    head, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert dict(zip(head, first, strict=True)) == {
        "run": "sweep/b", "stopped_by": "target", "target": "60", "accepted": "60", "acceptance": "0.500", "per_second": "2",
        "tokens": "200", "cached": "0.800", "minutes": "1.5", "seeds_only": "-", "student": "0.75", "gain": "0.25",
    }  # fmt: skip
    assert second[0] == "sweep/a"


@pytest.mark.usefixtures("sweep")
def test_the_table_is_csv_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["runs", "sweep/**", "--csv", "--sort", "accepted"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run,stopped_by,target,accepted,")
    assert [line.split(",")[0] for line in lines[1:]] == ["sweep/a", "sweep/b"]


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none/*"], "none/*: no run found there; give folders of runs"),
        (["sweep/*", "--sort", "speed"], "--sort: there is no column 'speed'; use one of run, stopped_by, target"),
        ([], "GLOB"),
    ],
)
def test_misuse_is_named(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["runs", *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
