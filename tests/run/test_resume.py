"""Going on: what may change between a run and its resume, what may not, and a new run from an old one's pool."""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.config import known_keys
from synthgen.ledger import Reader
from synthgen.run.resumable import CHECKED_APART, MAY_CHANGE, NOT_OF_THE_RUN, in_words
from synthgen.tasks.assets import root

Run = Callable[..., int]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tests, with files of its own for a task, as a run of 30 samples left it: `a`."""
    place = tmp_path_factory.mktemp("resume") / "here"
    place.mkdir()
    for name in ("seeds.jsonl", "eval.jsonl"):
        shutil.copy(root() / "examples/news_topic" / name, place / name)
    shutil.copytree(root() / "prompts/classification", place / "prompts")
    with contextlib.chdir(place):
        assert _run(place) == 0
    shutil.copytree(place, place.with_name("kept"))
    return place


@pytest.fixture
def folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder as it was at first, to work in."""
    shutil.rmtree(kept)
    shutil.copytree(kept.with_name("kept"), kept)
    monkeypatch.chdir(kept)
    return kept


def _run(folder: Path, *overrides: str) -> int:
    files = [f"task.{key}={folder / name}" for key, name in
             (("seeds", "seeds.jsonl"), ("eval", "eval.jsonl"), ("prompts", "prompts"))]  # fmt: skip
    return dispatch(["run", "experiment=smoke", "run.dir=a", "budget.target=30", *files, *overrides])


@pytest.fixture
def run(folder: Path) -> Run:
    """`run(*overrides)`: makes the run `a`; without overrides it has been made."""

    def go(*overrides: str) -> int:
        if not overrides:
            return 0
        shutil.rmtree("a")
        return _run(folder, *overrides)

    return go


def query(name: str, sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path(name) / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what is said to a resume that cannot be; the ledger is as it was."""
    before = Path("a/ledger.sqlite").read_bytes()
    capsys.readouterr()
    assert dispatch(["resume", "a", *arguments]) == 2
    assert Path("a/ledger.sqlite").read_bytes() == before
    return capsys.readouterr().err


# -- what may not change ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_changed_setting_is_refused_by_its_key(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    said = refusal(capsys, "judge.rubric.threshold=2.5", "engine.in_flight=5")
    assert "  judge.rubric.threshold: " in said
    assert " -> 2.5\n" in said
    assert "  engine.in_flight: 64 -> 5\n" in said
    assert "--fork NEW_RUN" in said


@pytest.mark.slow
def test_the_refusal_names_the_keys_that_may_change_and_those_do(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert f"(on the command line, {in_words()} may be changed)" in refusal(capsys, "engine.in_flight=5")
    free = [
        "judge.canaries.stop=true",
        "run.validation_share=0.2",
        "labels.weight=0.5",
        "select.method=k_center",
        "select.size=9",
        "student.tagger.min_steps=9",
        "engine.attempts=7",
    ]
    assert dispatch(["resume", "a", "budget.target=31", *free]) == 0


def test_every_key_that_may_change_or_is_checked_apart_is_a_key() -> None:
    known = set(known_keys())
    listed = {key.removesuffix(".*") for key in (*MAY_CHANGE, *CHECKED_APART, *NOT_OF_THE_RUN)}
    assert listed - known == set()


@pytest.mark.slow
def test_changed_seeds_are_shown_row_by_row(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = (folder / "seeds.jsonl").read_text().splitlines()
    new = {"text": "钢铁价格周二上涨。", "label": "business"}
    (folder / "seeds.jsonl").write_text("\n".join([*lines[1:], json.dumps(new, ensure_ascii=False)]))
    said = refusal(capsys)
    assert f"  {folder / 'seeds.jsonl'}:\n    - {lines[0][:60]}" in said
    assert '    + {"text": "钢铁价格周二上涨。", "label": "business"}' in said


@pytest.mark.slow
def test_a_changed_order_of_seeds_is_a_change(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = (folder / "seeds.jsonl").read_text().splitlines()
    (folder / "seeds.jsonl").write_text("\n".join(reversed(lines)))
    assert "the order of its rows changed" in refusal(capsys)


@pytest.mark.slow
def test_changed_eval_rows_are_counted(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = (folder / "eval.jsonl").read_text().splitlines()
    (folder / "eval.jsonl").write_text("\n".join(lines[2:]))
    assert f"  {folder / 'eval.jsonl'}:\n    - a row\n    - a row\n" in refusal(capsys)


@pytest.mark.slow
def test_a_changed_prompt_is_shown_line_by_line(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    template = next((folder / "prompts").glob("*.jinja"))
    source = template.read_text()
    template.write_text(source.replace("\n", "\nWrite in verse.\n", 1))
    said = refusal(capsys)
    assert f"  prompts/{template.stem}:\n" in said
    assert "    +Write in verse.\n" in said


@pytest.mark.slow
def test_an_edited_config_file_is_refused_and_a_missing_one_written_again(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    shown = Path("a/config.yaml")
    original = shown.read_text()
    shown.write_text(original.replace("in_flight: 64", "in_flight: 9"))
    assert "a/config.yaml was edited:\n    engine.in_flight: 64 -> 9\n" in refusal(capsys)
    shown.write_text("{")
    assert "cannot be read" in refusal(capsys)
    shown.unlink()
    assert dispatch(["resume", "a"]) == 0
    assert shown.read_text() == original.replace("dir: a\n", f"dir: {Path('a').resolve()}\n")


# -- what may change -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_setting_that_a_newer_version_added_is_no_change(run: Run) -> None:
    assert run() == 0
    with sqlite3.connect("a/ledger.sqlite") as connection:  # as an older version would have left it
        for key in ("config", "fingerprint"):
            (text,) = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            kept = json.loads(text)
            del (kept if key == "config" else kept["config"])["pool"]["max_children"]
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(kept), key))
    connection.close()
    Path("a/config.yaml").unlink()
    assert dispatch(["resume", "a", "budget.target=35"]) == 0
    assert query("a", "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == [(35,)]


@pytest.mark.slow
def test_a_setting_that_this_version_does_without_is_no_change(run: Run) -> None:
    assert run() == 0
    with sqlite3.connect("a/ledger.sqlite") as connection:  # as an older version would have left it
        for key in ("config", "fingerprint"):
            (text,) = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            kept = json.loads(text)
            (kept if key == "config" else kept["config"])["generate"]["steer"] = {
                "enabled": True,
                "share": 0.25,
                "need": 0.5,
            }
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(kept), key))
    connection.close()
    Path("a/config.yaml").unlink()
    assert dispatch(["resume", "a", "budget.target=35"]) == 0
    assert query("a", "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == [(35,)]


@pytest.mark.slow
def test_a_fork_counts_what_it_took_over_towards_each_labels_share(run: Run) -> None:
    assert run("budget.target=31") == 0
    assert dispatch(["resume", "a", "--fork", "b", "budget.target=62"]) == 0
    counts = query("b", "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic' GROUP BY label")
    assert sorted(count for (count,) in counts) == [15, 15, 16, 16]


@pytest.mark.slow
def test_a_run_folder_may_move(run: Run) -> None:
    assert run() == 0
    Path("a").rename("b")
    assert dispatch(["resume", "b", "budget.target=35"]) == 0
    assert query("b", "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == [(35,)]


@pytest.mark.slow
def test_vectors_that_are_gone_are_made_again(run: Run) -> None:
    assert run() == 0
    before = query("a", "SELECT * FROM embeddings ORDER BY 1")
    with sqlite3.connect("a/ledger.sqlite") as connection:
        connection.execute(
            "DELETE FROM embeddings WHERE sample_id IN (SELECT id FROM samples WHERE origin = 'synthetic')"
        )
    connection.close()
    assert dispatch(["resume", "a", "budget.target=31"]) == 0
    assert set(before) < set(query("a", "SELECT * FROM embeddings"))


@pytest.mark.slow
def test_what_ends_a_run_says_how_to_continue(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("budget.candidates=10") == 3
    command = capsys.readouterr().out.splitlines()[-1]
    assert command == "synthgen resume a budget.candidates=20"
    assert dispatch(command.split()[1:]) == 3
    assert dispatch(["resume", "a", "budget.candidates=null"]) == 0


# -- a new run from an old one's pool --------------------------------------------------------------


@pytest.mark.slow
def test_a_fork_begins_with_what_was_accepted_and_leaves_the_first_run_alone(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    before = Path("a/ledger.sqlite").read_bytes()
    first = query(
        "a", "SELECT data, quality, novelty, parents FROM samples WHERE origin = 'synthetic' ORDER BY position"
    )
    assert dispatch(["resume", "a", "--fork", "b", "budget.target=45", "engine.in_flight=8"]) == 0
    assert Path("a/ledger.sqlite").read_bytes() == before
    assert query("b", "SELECT data, quality, novelty, parents FROM samples WHERE slot = -1 ORDER BY position") == first
    counts = json.loads(Path("b/summary.json").read_text())["counts"]
    assert (counts["accepted"], counts["inherited"]) == (45, 30)
    assert query("b", "SELECT COUNT(*) FROM candidates WHERE outcome = 'accepted'") == [(15,)]
    assert len(Path("b/dataset/train.jsonl").read_text().splitlines()) > 50
    out = capsys.readouterr()
    assert "30 of 30 accepted samples are taken over from" in out.err
    assert "45 of 45 samples (30 taken over from another run)" in out.out


@pytest.mark.slow
def test_a_fork_shows_the_pool_it_took_over(run: Run) -> None:
    assert run() == 0
    taken = {key for (key,) in query("a", "SELECT id FROM samples WHERE origin = 'synthetic'")}
    assert dispatch(["resume", "a", "--fork", "b", "budget.target=60", "engine.in_flight=4"]) == 0
    own = query("b", "SELECT MIN(slot) FROM samples WHERE slot >= 0")[0][0]
    shown = [
        set(json.loads(parents)) for (parents,) in query("b", f"SELECT parents FROM slots WHERE slot <= {own + 8}")
    ]
    assert taken & set().union(*shown)


@pytest.mark.slow
def test_a_killed_fork_is_resumed_like_any_run(run: Run) -> None:
    assert run() == 0
    assert dispatch(["resume", "a", "--fork", "b", "budget.target=60", "budget.candidates=10"]) == 3
    assert dispatch(["resume", "b", "budget.candidates=null"]) == 0
    assert query("b", "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == [(60,)]


@pytest.mark.slow
def test_a_fork_leaves_behind_what_its_checks_reject(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    texts = [json.loads(data)["text"] for (data,) in query("a", "SELECT data FROM samples WHERE slot >= 0")]
    letters = [sum(not char.isspace() for char in text) for text in texts]
    limit = sorted(letters)[12]
    assert dispatch(["resume", "a", "--fork", "b", f"filters.min_chars={limit}", "budget.target=31"]) == 0
    short = sum(count < limit for count in letters)
    said = capsys.readouterr().err
    assert f"{30 - short} of 30 accepted samples are taken over" in said
    assert f"{short} not taken over (empty)" in said


@pytest.mark.slow
def test_a_fork_with_other_eval_rows_is_refused(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = (folder / "eval.jsonl").read_text().splitlines()
    (folder / "eval.jsonl").write_text("\n".join(lines[2:]))
    assert dispatch(["resume", "a", "--fork", "b"]) == 2
    assert "these rows differ from the eval rows of" in capsys.readouterr().err
    assert not Path("b").exists()


@pytest.mark.slow
def test_a_fork_into_a_folder_that_holds_a_run_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert dispatch(["resume", "a", "--fork", "a"]) == 2
    assert "already contains a run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--fork"], ["--fork", "--other"], ["what"]])
def test_what_resume_does_not_understand_is_said(
    arguments: list[str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    assert "help:  synthgen resume --help" in refusal(capsys, *arguments)
