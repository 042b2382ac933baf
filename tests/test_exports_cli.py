"""`report` and `export` as a person meets them: what was harmed is named, a full disk is one message."""

import json
import resource
import shutil
import subprocess
from functools import partial
from pathlib import Path

import forks
import pytest

from synthgen.cli import dispatch
from synthgen.tasks.assets import root

LIMIT = 48_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose train.jsonl is larger than LIMIT."""
    folder: Path = tmp_path_factory.mktemp("finished") / "out"
    done = dispatch(["run", "experiment=smoke", f"run.dir={folder}", "budget.target=600", "engine.in_flight=256"])
    assert done == 0
    assert (folder / "dataset" / "train.jsonl").stat().st_size > LIMIT
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def exports(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith((".lock", "ledger.sqlite"))}


def limited(*words: str, limit: int = LIMIT) -> subprocess.CompletedProcess[str]:
    """The command line where no file may grow past `limit`, which is how a full disk looks to it."""
    return forks.run(
        [*forks.SYNTHGEN, *words],
        capture_output=True,
        text=True,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)),
    )


@pytest.mark.slow
def test_what_a_run_wrote_is_what_export_and_report_write(run: Path) -> None:
    before = exports(run)
    assert dispatch(["export", str(run)]) == dispatch(["report", str(run)]) == 0
    assert exports(run) == before


@pytest.mark.slow
def test_harm_is_named_and_everything_comes_back_byte_for_byte(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = exports(run)
    with (run / "dataset" / "train.jsonl").open("r+b") as file:
        file.truncate(1000)
    (run / "dataset" / "README.md").write_text("edited")
    (run / "report.html").unlink()
    (run / "config.yaml").unlink()
    (run / "events.jsonl").write_bytes(before["events.jsonl"][:-20])
    assert dispatch(["export", str(run)]) == dispatch(["report", str(run)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"{run}/dataset/README.md: not as the manifest says: torn or edited; synthgen writes it again from the ledger",
        f"{run}/dataset/train.jsonl: not as the manifest says: torn or edited; synthgen writes it again from the ledger",
        f"{run}/report.html: missing; synthgen writes it again from the ledger",
    ]
    assert exports(run) == before


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_the_old_export_stays(run: Path) -> None:
    before = exports(run)
    done = limited("export", str(run))
    assert done.returncode == 2
    assert done.stderr.startswith(f"synthgen: {run}/.dataset.new/train.jsonl: cannot be written: File too large.")
    assert "raise the limit on file sizes (ulimit -f), then\n" in done.stderr
    assert done.stderr.endswith(f"\n  synthgen export {run}\n")
    assert exports(run) == before


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["export", "report"])
def test_a_disk_too_full_to_open_the_ledger_is_not_taken_for_damage(verb: str, run: Path) -> None:
    for path in run.glob("ledger.sqlite-*"):
        path.unlink()
    before = exports(run)
    done = limited(verb, str(run), limit=4096)
    assert done.returncode == 2
    assert done.stderr.startswith(f"synthgen: {run}/ledger.sqlite: SQLite cannot write the small files beside it")
    assert "free some space on that disk" in done.stderr
    assert exports(run) == before


@pytest.mark.slow
def test_formats_stand_beside_the_dataset_or_where_they_are_wanted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = exports(run)
    assert dispatch(["export", str(run), "--format", "csv"]) == 0
    assert dispatch(["export", str(run), "--format=parquet", "--out", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.split() == [str(run / "dataset-csv"), str(tmp_path / "mine")]
    assert json.loads((tmp_path / "mine" / "manifest.json").read_text())["train.parquet"]["bytes"] > 1000
    assert {name: data for name, data in exports(run).items() if not name.startswith("dataset-csv/")} == before
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").touch()
    assert dispatch(["export", str(run), "--out", str(tmp_path / "theirs")]) == 2
    assert capsys.readouterr().err.startswith(
        f"synthgen: {tmp_path / 'theirs'}: this folder holds thesis.tex, which no export wrote"
    )


def test_an_export_of_files_that_cannot_be_written_names_no_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    rows = str(root() / "examples" / "news_topic" / "seeds.jsonl")
    words = ["export", rows, "--task", "news_topic", "--format", "csv", "--out", str(tmp_path / "file" / "out")]
    assert dispatch(words) == 2
    said = capsys.readouterr().err
    assert "cannot be written" in said and "then repeat the command" in said and "ledger" not in said
