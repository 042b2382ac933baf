"""`synthgen review` as people meet it: batches, sessions, corrections, adjudication, misuse."""

import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.annotate import batches
from synthgen.cli import dispatch
from synthgen.labels.answers import settled
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.records import ADJUDICATION, PersonAnswer, Sample
from synthgen.run import lifecycle

Make = Callable[..., Path]
Answers = Callable[[Path], list[PersonAnswer]]
Accepted = Callable[[Path], list[Sample]]
Say = Callable[..., str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """`say("review", "run", typed="1\\n")`: runs a command with this input and returns what it prints."""

    def run(*arguments: str, typed: str = "", code: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        found = dispatch(list(arguments))
        said = capsys.readouterr()
        assert found == code, said.err
        return said.out + said.err

    return run


@pytest.mark.slow
def test_a_batch_goes_from_assignment_to_agreement_and_a_decision(
    make_run: Make, answers_of: Answers, say: Say
) -> None:
    run = make_run(12)
    said = say("review", "run", "--sample", "random", "--count", "6", "--annotators", "anna,ben,carla")
    assert "each for 2 people: anna 4, ben 4, carla 4" in said
    guide = (run / "guide" / "guide.md").read_text()
    said = say("review", "run", "--annotator", "anna", typed="1\n2\n3\n4\n")
    assert "4 answers of anna" in said and "1 of 4" in said
    assert say("review", "run", "--annotator", "anna").startswith("anna has answered everything")
    assert "answer the rest:\nsynthgen review run --annotator ben" in say("review", "run")
    say("review", "run", "--annotator", "ben", typed="n\nn\nn\nn\n")
    say("review", "run", "--annotator", "carla", typed="1\n1\n1\n1\n")
    assert all(one.guide is not None and one.guide in guide for one in answers_of(run))
    state = json.loads(say("review", "run", "--json"))
    assert state["people"] == {name: {"assigned": 4, "answered": 4} for name in ("anna", "ben", "carla")}
    figures = json.loads(say("review", "run", "--agreement", "--json"))
    assert figures["shared"] == 6 and len(figures["pairs"]) == 3
    before = answers_of(run)
    open_ones = state["disagreements"]
    assert say("review", "run").endswith("review run --adjudicate NAME\n"), "two answers have no majority"
    said = say("review", "run", "--adjudicate", "majority")
    assert f"{open_ones} samples without a majority; a third person decides:" in said, "two answers have no majority"
    said = say("review", "run", "--adjudicate", "dora", typed="2\n" * open_ones)
    assert "answered  ben: not a sample" in said
    after = answers_of(run)
    assert [one for one in after if one.role is None] == before, "all answers are kept"
    decided = {one.sample_id for one in after if one.role == ADJUDICATION}
    assert len(decided) == open_ones
    assert all(settled(after)[key] == {"science": 1.0} for key in decided)
    assert "nothing to adjudicate in run: no disagreement is open" in say("review", "run", "--adjudicate", "dora")


def test_later_batches_have_other_samples_and_the_end_of_them_is_named(make_run: Make, say: Say) -> None:
    run = make_run(8)
    for _ in range(2):
        say("review", "run", "--sample", "stratified", "--count", "4", "--annotators", "anna,ben")
    one, two = (set(batch.assigned) for batch in batches.read(run))
    assert len(one) == len(two) == 4 and not one & two
    assert "all 8 samples of run are in a batch or answered" in say(
        "review", "run", "--sample", "random", "--annotators", "anna,ben", code=2
    )


def test_leaving_early_prints_the_command_that_continues_it(make_run: Make, say: Say) -> None:
    make_run(6)
    say("review", "run", "--sample", "random", "--annotators", "anna,ben")
    said = say("review", "run", "--annotator", "anna", typed="1\ns\nq\n")
    assert said.endswith("5 left; go on with\nsynthgen review run --annotator anna\n")
    assert "1 of 5" in say("review", "run", "--annotator", "anna", typed="q\n"), "skipped samples come again"


@pytest.mark.slow
def test_a_correction_is_checked_and_becomes_a_sample_with_the_old_one_as_parent(
    task_run: Make, answers_of: Answers, accepted_of: Accepted, say: Say
) -> None:
    run = task_run("instruction")
    before = {sample.id for sample in accepted_of(run)}
    say("review", "instruction", "--sample", "random", "--count", "3", "--annotators", "anna,ben")
    typed = "e\n1\nx\ne\n2\n\ne\n1\nName four trees that keep their leaves in winter, please.\nu\ny\n"
    said = say("review", "instruction", "--annotator", "anna", typed=f"{typed}e\noutput\nA better answer than that.\n")
    assert 'not a valid sample: instruction: "x" is shorter than 10 characters' in said
    assert "nothing was changed" in said and said.count("saved: a corrected sample") == 2 and "undone" in said
    undone, kept = (sample for sample in accepted_of(run) if sample.id not in before)
    assert (kept.data["output"], kept.strategy, kept.slot) == ("A better answer than that.", "correction", None)
    given = {one.sample_id: one.answer for one in answers_of(run)}
    assert given[kept.id] == "good" and given[kept.parents[0]] is None, "the old one is no sample"
    assert given[undone.id] is None and given[undone.parents[0]] == "good"
    say("export", "instruction")
    rows = [json.loads(line) for line in (run / "dataset" / "train.jsonl").read_text().splitlines()]
    assert kept.data in rows and undone.data not in rows


@pytest.mark.slow
def test_the_text_of_a_classification_sample_is_corrected_with_its_label_and_embedded_for_training(
    task_run: Make, answers_of: Answers, accepted_of: Accepted, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = task_run("news_topic")
    before = {sample.id: sample for sample in accepted_of(run)}
    say("review", "news_topic", "--sample", "random", "--count", "3", "--annotators", "anna,ben")
    text = "A corrected text about the last match of the season."
    typed = f"e\n\ne\nx\nsport\ne\n{text}\nnone\ne\n{text}\nsport\nq\n"
    said = say("review", "news_topic", "--annotator", "anna", typed=typed)
    assert 'text: "x" is shorter than' in said and said.count("nothing was changed") == 2
    assert "saved: a corrected sample (sport), whose parent is this one" in said
    (made,) = [sample for sample in accepted_of(run) if sample.id not in before]
    assert (made.data, made.label, made.strategy) == ({"text": text, "label": "sport"}, "sport", "correction")
    given = {one.sample_id: one.answer for one in answers_of(run)}
    assert (given[made.id], given[made.parents[0]]) == ("sport", None)
    said = say("review", "news_topic", "--annotator", "ben", typed=f"e\n{text}\nworld\nu\ne\n{text}\nworld\nq\n")
    assert len(accepted_of(run)) == 4, "the same correction is the same sample, whatever its label"
    given = {(one.sample_id, one.annotator): one.answer for one in answers_of(run)}
    assert (given[made.id, "anna"], given[made.id, "ben"]) == ("sport", "world")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "train", interrupted)
    say("train", "news_topic", code=5)
    with Reader(run / "ledger.sqlite") as reader:
        assert made.id in reader.embeddings(), "before the student is trained"
    say("export", "news_topic")
    rows = [json.loads(line) for line in (run / "dataset" / "train.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows].count(text) == 1
    assert before[made.parents[0]].data not in rows


@pytest.mark.slow
def test_a_run_with_corrections_resumes(task_run: Make, accepted_of: Accepted, say: Say) -> None:
    run = task_run("instruction")
    say("review", "instruction", "--sample", "random", "--count", "2", "--annotators", "anna,ben")
    say("review", "instruction", "--annotator", "anna", typed="e\n3\nAnother output altogether.\nq\n")
    say("resume", "instruction", "budget.target=10")
    found = accepted_of(run)
    assert len(found) == 10 + 1, (
        "a correction stands for a sample that the dataset leaves out, and is none of the target"
    )
    (made,) = [sample for sample in found if sample.strategy == "correction"]
    with Reader(run / "ledger.sqlite") as reader:
        assert made.id in reader.embeddings(), "its vector is computed when the run goes on"


@pytest.mark.slow
def test_samples_are_not_corrected_while_a_run_is_at_work(task_run: Make, accepted_of: Accepted, say: Say) -> None:
    run = task_run("instruction")
    say("review", "instruction", "--sample", "random", "--count", "2", "--annotators", "anna,ben")
    before = accepted_of(run)
    with run_lock(run):
        said = say("review", "instruction", "--annotator", "anna", typed="e\n3\nAnother output altogether.\nq\n")
    assert "correct samples when the run has ended" in said
    assert accepted_of(run) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sample", "random"], "the people are missing"),
        (["--sample", "random", "--annotators", "anna,anna"], "anna is named twice"),
        (["--sample", "random", "--annotators", "anna,majority"], "under which majorities are recorded"),
        (["--sample", "random", "--annotators", "anna"], "--overlap 2: --annotators names only 1; name more people"),
        (["--annotators", "anna,ben"], "give --sample"),
        (["--annotator", "anna"], "has no samples to answer here; the batches are for nobody"),
        (["--annotator", "anna", "--agreement"], "exclude each other"),
        (["--sample", "random", "--annotators", "a,b", "--agreement"], "make the batch first"),
        (["--web"], "needs the person who answers"),
        (["--to", "doccano"], "give either a folder to write"),
        (["--from", "doccano"], "give either a file to read"),
        (["--to", "doccano", "--url", "http://x"], "only Label Studio"),
        (["--to", "doccano", "--out", "new"], "has no batch yet"),
        (["--from", "doccano", "--file", "nothing.jsonl"], "there is no such file"),
        (["--adjudicate", "majority", "--json"], "has no JSON"),
    ],
)
def test_misuse_is_named_with_its_cure(arguments: list[str], words: str, make_run: Make, say: Say) -> None:
    make_run(3)
    assert words in say("review", "run", *arguments, code=2)


def test_the_majority_decides_where_three_people_answered(make_run: Make, say: Say) -> None:
    make_run(2)
    say("review", "run", "--sample", "random", "--annotators", "anna,ben,carla", "--overlap", "3")
    for name, answer in (("anna", "1"), ("ben", "1"), ("carla", "2")):
        said = say("review", "run", "--annotator", name, typed=f"{answer}\n" * 2)
    assert said.endswith("review run --adjudicate majority\n")
    assert say("review", "run").endswith("review run --adjudicate majority\n")
    assert "2 disagreements decided by majority" in say("review", "run", "--adjudicate", "majority")


def test_a_batch_with_a_sample_that_the_run_lacks_is_named(make_run: Make, say: Say) -> None:
    run = make_run(2)
    batches.append(run, batches.Batch(1, "random", None, ["anna"], {"gone": ["anna"]}))
    assert "review.jsonl: the run has no sample 'gone'" in say("review", "run", "--annotator", "anna", code=2)


def test_an_empty_review_says_how_to_begin(make_run: Make, say: Say) -> None:
    make_run(3)
    assert say("review", "run").endswith("--annotators anna,ben\n")
    assert say("review", "run", "--agreement") == "no sample has answers of two people yet\n"
    for person in ("majority", "dora"):
        said = say("review", "run", "--adjudicate", person)
        assert said.startswith("there is nothing to adjudicate in run, because nobody has answered yet\n")
        assert said.endswith("--annotators anna,ben\n"), "answers cannot be used before there are some"
    assert json.loads(say("review", "run", "--agreement", "--json")) == {
        "shared": 0, "people": [], "undefined": "no sample has answers of two people yet"}  # fmt: skip


def test_a_ledger_of_the_version_before_takes_reviews_after_its_conversion(
    make_run: Make, as_version: Callable[[Path, int], None], answers_of: Answers, say: Say
) -> None:
    run = make_run(4)
    with Ledger.open(run / "ledger.sqlite") as ledger, Reader(run / "ledger.sqlite") as reader:
        key = next(sample.id for sample in reader.samples() if sample.origin == "synthetic")
        ledger.take_answers([PersonAnswer(key, "anna", "sport", 1.0)]).result()
    as_version(run / "ledger.sqlite", 6)
    assert answers_of(run) == [PersonAnswer(key, "anna", "sport", 1.0)], "an older ledger is read as it is"
    old = shutil.copytree(run, run.with_name("old"))
    say("review", "run", "--sample", "random", "--count", "2", "--annotators", "anna,ben")
    say("review", "run", "--annotator", "ben", typed="1\n1\n")
    assert len(answers_of(run)) == 3 and {one.guide is None for one in answers_of(run)} == {True, False}
    with sqlite3.connect(old / "ledger.sqlite") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (6,)
