"""People's answers in real runs, on the replay engine: while one is at work, before it goes on, and after it."""

import io
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import forks
import pytest
from forks import SYNTHGEN

from synthgen.cli import dispatch
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.records import PersonAnswer

Answers = Callable[[Path], list[PersonAnswer]]
SMOKE = ["run", "experiment=smoke", "run.dir=out", "engine.in_flight=4"]


def label(lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*SYNTHGEN, "label", "out", *arguments]
    return forks.run(command, input=lines, capture_output=True, text=True)


def dataset(folder: Path) -> list[dict[str, str]]:
    files = [folder / "dataset" / f"{name}.jsonl" for name in ("train", "validation")]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def answered(folder: Path, good: int, bad: int) -> None:
    """Answers of anna to the first accepted samples: `good` with their own label, then `bad` as no samples."""
    with Reader(folder / "ledger.sqlite") as reader:
        samples = [sample for sample in reader.samples() if sample.origin == "synthetic"][: good + bad]
    with run_lock(folder), Ledger.open(folder / "ledger.sqlite") as ledger:
        ledger.take_answers(
            PersonAnswer(sample.id, "anna", sample.label if number < good else None, float(number))
            for number, sample in enumerate(samples)
        ).result()


@pytest.mark.slow
def test_what_is_answered_while_a_run_is_at_work_is_in_its_ledger_and_its_dataset(
    tmp_path: Path, answers_of: Answers
) -> None:
    settings = ["budget.target=100000", "engine.delay=0.1", "judge=none"]
    run = forks.Popen([*SYNTHGEN, *SMOKE, *settings], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (tmp_path / "out" / "ledger.sqlite").is_file():
                with Reader(tmp_path / "out" / "ledger.sqlite") as reader:
                    if reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") > 8:
                        break
            time.sleep(0.1)
        done = label("science\nn\n", "--count", "2")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "the run is still working; it uses the answers when it ends"
        assert run.poll() is None
        given = sorted(answers_of(tmp_path / "out"), key=lambda answer: answer.at)
        assert [answer.answer for answer in given] == ["science", None], "in the ledger while the run goes on"
    finally:
        run.terminate()
        assert run.wait(60) == 5
    with Reader(tmp_path / "out" / "ledger.sqlite") as reader:
        asked = [reader.sample(answer.sample_id) for answer in given]
    labels = {row["text"]: row["label"] for row in dataset(tmp_path / "out")}
    assert asked[0] is not None and labels[asked[0].data["text"]] == "science"
    assert asked[1] is not None and asked[1].data["text"] not in labels
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["answers"]["people"] == {"anna": 2}


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.slow
def test_a_run_stops_once_to_ask_and_continues_whether_or_not_anybody_answers(
    answers: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch([*SMOKE, "budget.target=40", "budget.ask_after=20"]) == 3
    closing = capsys.readouterr().out.splitlines()
    assert closing[-2:] == ["synthgen label out --count 40", "synthgen resume out"]
    assert any("stopped so that a person can label some of its samples" in line for line in closing)
    out = tmp_path / "out"
    with Reader(out / "ledger.sqlite") as reader:
        assert reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == 20
        assert reader.meta("stopped_by") == "ask_after"
    if answers:
        assert label("1\n", "--count", "1").stdout.splitlines()[-1] == "synthgen resume out"
    assert dispatch(["resume", "out"]) == 0
    assert len(dataset(out)) == 60, "20 seeds and the target"


@pytest.mark.slow
def test_answers_given_before_the_stop_make_it_unnecessary(tmp_path: Path) -> None:
    assert dispatch([*SMOKE, "budget.target=10"]) == 0
    answered(tmp_path / "out", 1, 0)
    assert dispatch(["resume", "out", "budget.target=40", "budget.ask_after=20"]) == 0


@pytest.mark.slow
def test_the_judge_is_calibrated_on_answers_when_the_run_continues(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert dispatch([*SMOKE, "budget.target=30"]) == 0
    answered(out, 5, 4)
    assert dispatch(["resume", "out", "budget.target=35"]) == 0
    with Reader(out / "ledger.sqlite") as reader:
        assert reader.meta("calibration") is None, "four bad ones are too few"
    answered(out, 6, 6)
    assert dispatch(["resume", "out", "budget.target=40"]) == 0
    with Reader(out / "ledger.sqlite") as reader:
        record = reader.meta("calibration")
        assert (record["rows"], record["good"]) == (12, 6)
        asked = reader.one("SELECT COUNT(*) FROM requests WHERE slot = -1 AND id LIKE '-1/calibration/%'")
    assert dispatch(["resume", "out", "budget.target=45"]) == 0
    with Reader(out / "ledger.sqlite") as reader:
        again = reader.one("SELECT COUNT(*) FROM requests WHERE slot = -1 AND id LIKE '-1/calibration/%'")
    assert asked == again >= 12, "answers of the judge on disk are not asked for again"


@pytest.mark.slow
def test_a_fork_takes_the_answers_over_with_the_samples(tmp_path: Path, answers_of: Answers) -> None:
    assert dispatch([*SMOKE, "budget.target=20"]) == 0
    answered(tmp_path / "out", 2, 1)
    assert dispatch(["resume", "out", "--fork", "next", "budget.target=25"]) == 0
    assert answers_of(tmp_path / "next") == answers_of(tmp_path / "out") != []


@pytest.mark.slow
def test_then_train_says_what_the_answers_were_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dispatch([*SMOKE, "budget.target=30", "student=frozen"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("business\nn\nscience\n"))
    assert dispatch(["label", "out", "--count", "3", "--then", "train"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("3 labels: ") and last.endswith("on held-out rows (accuracy, 120 rows)"), last
    assert " to " in last
    rows = dataset(tmp_path / "out")
    assert len(rows) == 20 + 29, "the dataset is renewed too: one is no sample"
    metrics = json.loads((tmp_path / "out" / "student" / "metrics.json").read_text())
    assert metrics["synthetic_rows"] + len((tmp_path / "out/dataset/validation.jsonl").read_text().splitlines()) == 29
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["student"]["answers"] == 3
    lineage = [json.loads(line) for line in (tmp_path / "out/dataset/meta/lineage.jsonl").read_text().splitlines()]
    people = [row for row in lineage if row.get("label_probabilities") in ({"business": 1.0}, {"science": 1.0})]
    assert [row["weight"] for row in people] == [1.0, 1.0]


@pytest.mark.slow
@pytest.mark.thorough
def test_without_held_out_rows_nothing_can_be_measured(tmp_path: Path) -> None:
    assert dispatch([*SMOKE, "budget.target=20", "student=frozen", "task.eval=null"]) == 0
    last = label("business\n", "--count", "1", "--then", "train").stdout.splitlines()[-1]
    assert last == "1 label: their effect cannot be measured without held-out rows (task.eval)"


@pytest.mark.slow
def test_then_train_is_refused_before_anything_is_asked_where_there_is_no_student(tmp_path: Path) -> None:
    assert dispatch([*SMOKE, "budget.target=5"]) == 0
    done = label("1\n", "--then", "train")
    assert done.returncode == 2 and "this run has no student" in done.stderr and "1 of" not in done.stdout


@pytest.mark.slow
def test_a_run_without_accepted_samples_is_named(tmp_path: Path) -> None:
    assert dispatch([*SMOKE, "budget.candidates=1", "engine.broken=1.0"]) == 3
    done = label("")
    assert done.returncode == 2 and "has no accepted samples yet" in done.stderr
