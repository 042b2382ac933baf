"""The benchmark of selections, on hashed letters: a pool of which a part is labelled wrongly."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import selection
from synthgen.diversity.embedder import HashEncoder
from synthgen.records import Json
from synthgen.student.scores import Floats

TASK = """
name: animals
kind: classification
schema:
  type: object
  properties:
    text: {type: string, minLength: 2, maxLength: 80}
    label: {enum: [cat, dog]}
  required: [text, label]
input: [text]
target: [label]
prompts: classification
seeds: seeds.jsonl
"""
SOUNDS = {"cat": "the cat purrs and meows", "dog": "a dog will bark loudly"}


class HashedVectors:
    def __init__(self, model: str) -> None:
        pass

    def of(self, texts: Sequence[str]) -> Floats:
        return HashEncoder().encode(texts).astype("float64")


def rows(label: str, numbers: range, given: str | None = None) -> list[Json]:
    return [{"text": f"{SOUNDS[label]}, {number * 7919:b}", "label": given or label} for number in numbers]


def write(path: Path, found: Sequence[Json]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(selection, "Vectors", HashedVectors)
    monkeypatch.setattr(selection, "encoder_of", lambda config: HashEncoder())
    (tmp_path / "task.yaml").write_text(TASK)
    wrong = rows("cat", range(100, 130), "dog") + rows("dog", range(100, 130), "cat")
    pool = rows("cat", range(100)) + rows("dog", range(100)) + wrong
    seeds = write(tmp_path / "seeds.jsonl", rows("cat", range(900, 902)) + rows("dog", range(900, 902)))
    test = write(tmp_path / "test.jsonl", rows("cat", range(500, 540)) + rows("dog", range(500, 540)))
    named = {"task": tmp_path / "task.yaml", "seeds": seeds, "pool": write(tmp_path / "pool.jsonl", pool), "test": test}
    return [word for name, path in named.items() for word in (f"--{name}", str(path))]


@pytest.mark.slow
def test_every_method_takes_the_size_asked_for_and_the_best_rows_are_labelled_correctly(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    options = ["--sizes", "20", "--draws", "1", "--deita-similarity", "1", "--out", str(out)]
    assert selection.main([*files, *options]) == 0
    found = json.loads(out.read_text())
    assert {found[f"{way}.20.rows"] for way in selection.WAYS} == {20}
    assert found["whole_pool.rows"] == 208
    assert found["best.20.accuracy"] == 1
    assert found["random.20.accuracy"] <= 1
    assert "facility_location" in capsys.readouterr().out


def test_a_pool_without_its_seeds_is_a_wrong_command(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        selection.main([*files, "--pool", "a.jsonl", "b.jsonl"])
    assert "give as many of the one as of the other" in capsys.readouterr().err
