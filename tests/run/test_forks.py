"""Forks of runs, and forks of those: no step between a run and its dataset may lose a sample or a seed."""

import json
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from synthgen.cli import dispatch
from synthgen.labels.pool import INTENTS, label_records
from synthgen.ledger import Reader
from synthgen.records import INHERITED, Json, Sample

SMALL = ["experiment=smoke", "engine.in_flight=4"]


@dataclass(frozen=True)
class Step:
    """A greater target, for the same run or for a fork of it whose texts have at least `min_chars` letters."""

    more: int
    fork: bool = True
    min_chars: int = 2


steps = st.lists(st.builds(Step, st.integers(0, 5), st.booleans(), st.sampled_from([2, 2, 60])), min_size=2, max_size=3)


@settings(max_examples=2)
@given(embedder=st.just("hash"), first=st.integers(1, 8), steps=steps)
@example(embedder="minilm", first=5, steps=[Step(3), Step(2, fork=False), Step(3)])
@example(embedder="hash", first=8, steps=[Step(0), Step(4, min_chars=60), Step(2, fork=False), Step(0)])
@pytest.mark.slow
def test_whatever_is_forked_and_extended_the_dataset_has_every_sample_once(
    embedder: str, first: int, steps: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder, target = Path(place) / "run-0", first
        assert dispatch(["run", *SMALL, f"diversity={embedder}", f"run.dir={folder}", f"budget.target={target}"]) == 0
        held = checked(folder, target)
        for number, step in enumerate(steps, 1):
            target += step.more
            arguments = ["resume", str(folder), f"budget.target={target}"]
            if step.fork:
                folder = Path(place) / f"run-{number}"
                arguments += ["--fork", str(folder), f"filters.min_chars={step.min_chars}"]
            assert dispatch(arguments) == 0
            fitting = {key for key, sample in held.items() if not step.fork or letters(sample) >= step.min_chars}
            held = checked(folder, target)
            assert fitting <= held.keys()
        exported = dataset(folder)
        assert dispatch(["export", str(folder)]) == 0
        assert dataset(folder) == exported


def checked(folder: Path, target: int) -> dict[str, Sample]:
    """The samples of a run that reached its target, by id, after a look at whether its files agree with its ledger."""
    with Reader(folder / "ledger.sqlite") as reader:
        samples, vectors = {sample.id: sample for sample in reader.samples()}, reader.embeddings()
        seeds = [sample.data for sample, _ in reader.seeds()]
        config = reader.meta("config")
    assert seeds == [json.loads(line) for line in Path(config["task"]["seeds"]).read_text().splitlines()]
    accepted = [sample for sample in samples.values() if sample.origin == "synthetic"]
    assert len(accepted) == target
    assert vectors.keys() == samples.keys()

    rows = {name: lines(folder / f"dataset/{name}.jsonl") for name in ("train", "validation")}
    lineage = lines(folder / "dataset/meta/lineage.jsonl")
    assert sorted(entry["id"] for entry in lineage) == sorted(samples)
    places = [(entry["split"], entry["row"]) for entry in lineage]
    assert sorted(places) == sorted((name, row) for name in rows for row in range(len(rows[name])))
    assert [rows[entry["split"]][entry["row"]] for entry in lineage] == [samples[entry["id"]].data for entry in lineage]
    assert all(entry["split"] == "train" for entry in lineage if entry["origin"] == "seed")
    assert {parent for entry in lineage for parent in entry["parents"]} <= samples.keys()

    summary = json.loads((folder / "summary.json").read_text())
    counts = summary["counts"]
    assert (counts["seeds"], counts["accepted"]) == (len(seeds), target)
    assert sum(counts["accepted_by_label"].values()) == target
    assert counts["inherited"] == sum(sample.slot == INHERITED for sample in accepted)
    assert counts["candidates"] == target - counts["inherited"] + sum(counts["rejected"].values())
    assert summary["stopped_by"] == "target"
    return {sample.id: sample for sample in accepted}


def letters(sample: Sample) -> int:
    return sum(char.isalnum() for char in sample.data["text"])


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def dataset(folder: Path) -> dict[str, bytes]:
    names = ("train.jsonl", "validation.jsonl", "meta/lineage.jsonl")
    return {name: (folder / "dataset" / name).read_bytes() for name in names}


@pytest.mark.slow
def test_a_fork_knows_what_the_prompts_of_earlier_runs_asked_for(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    assert dispatch(["run", *SMALL, "diversity=minilm", f"run.dir={first}", "budget.target=6"]) == 0
    with Reader(first / "ledger.sqlite") as reader:
        moved, *others = label_records(reader)
    other = next(found.label for found in others if found.label != moved.label)
    edit(first, f"UPDATE candidates SET label = '{other}' WHERE slot = {moved.slot} AND outcome = 'accepted'")
    assert dispatch(["resume", str(first), "--fork", str(second), "budget.target=6"]) == 0
    assert dispatch(["resume", str(second), "--fork", str(third), "budget.target=7"]) == 0
    shutil.rmtree(first)
    for fork in (second, third):
        asked = intents_of(fork)
        assert asked[moved.id] == other
        assert all(asked[found.id] == found.intent for found in others)
    edit(third, f"DELETE FROM meta WHERE key = '{INTENTS}'")  # as in the fork of an older version
    assert intents_of(third)[moved.id] == moved.label


def intents_of(folder: Path) -> dict[str, str]:
    with Reader(folder / "ledger.sqlite") as reader:
        return {found.id: found.intent for found in label_records(reader)}


# -- forks that older versions made ----------------------------------------------------------------


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    """A fork of six samples, with three of its own."""
    run = ["run", *SMALL, "diversity=minilm", f"run.dir={tmp_path / 'a'}", "budget.target=6"]
    assert dispatch(run) == 0
    assert dispatch(["resume", str(tmp_path / "a"), "--fork", str(tmp_path / "b"), "budget.target=9"]) == 0
    return tmp_path / "b"


def edit(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.slow
def test_a_fork_whose_seeds_come_after_what_it_took_over_is_exported_and_resumed(fork: Path, tmp_path: Path) -> None:
    before = dataset(fork)
    edit(
        fork,
        f"UPDATE samples SET position = position - 1000 WHERE slot = {INHERITED}",
        "UPDATE samples SET position = position + 1000",
    )
    with Reader(fork / "ledger.sqlite") as reader:
        assert reader.samples()[0].origin == "synthetic"
    assert dispatch(["export", str(fork)]) == 0
    assert dataset(fork) == before
    assert dispatch(["resume", str(fork), "budget.target=11"]) == 0
    checked(fork, 11)
    assert dispatch(["resume", str(fork), "--fork", str(tmp_path / "c"), "budget.target=13"]) == 0
    checked(tmp_path / "c", 13)


@pytest.mark.slow
def test_a_fork_that_ended_before_it_had_its_seeds_gets_them_when_it_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fork = tmp_path / "b"
    assert dispatch(["run", *SMALL, f"run.dir={tmp_path / 'a'}", "budget.target=6"]) == 0
    assert dispatch(["resume", str(tmp_path / "a"), "--fork", str(fork)]) == 0
    edit(
        fork,
        "DELETE FROM embeddings WHERE sample_id IN (SELECT id FROM samples WHERE origin = 'seed')",
        "DELETE FROM samples WHERE origin = 'seed'",
    )
    capsys.readouterr()
    assert dispatch(["export", str(fork)]) == 0
    assert f"lacks the run's seeds; add them with: synthgen resume {fork}" in capsys.readouterr().err
    assert dispatch(["resume", str(fork)]) == 0
    checked(fork, 6)
