"""Batches: which samples are chosen, who gets them, and that they survive."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from synthgen.annotate import batches
from synthgen.annotate.batches import Batch
from synthgen.errors import InputError, RunFolderError
from synthgen.labels.choose import Chooser
from synthgen.records import Json, PersonAnswer

LABELS = {f"{number:02}": "abc"[number % 3] if number < 27 else "c" for number in range(30)}


def chooser() -> Chooser:
    rng = np.random.default_rng(0)
    shares = [{"a": 0.5, "b": 0.5} if number % 10 == 0 else {"a": 0.99, "b": 0.01} for number in range(30)]
    return Chooser(list(LABELS), rng.normal(size=(30, 4)).astype(np.float32), shares, 0)


def test_each_way_of_sampling_gives_the_same_samples_again_and_none_that_is_taken() -> None:
    for method in batches.METHODS:
        one, again = (batches.sampled(method, 9, LABELS, {"00", "01"}, chooser(), 3) for _ in range(2))
        assert one == again and len(set(one)) == 9 and not {"00", "01"} & set(one)


def test_stratified_takes_equally_many_of_each_label() -> None:
    found = batches.sampled("stratified", 12, LABELS, set(), chooser(), 0)
    assert Counter(LABELS[key] for key in found) == {"a": 4, "b": 4, "c": 4}
    most = batches.sampled("stratified", 99, LABELS, set(), chooser(), 0)
    assert sorted(most) == sorted(LABELS), "a label with more fills up"


def test_uncertain_takes_the_doubtful_ones_first() -> None:
    found = batches.sampled("uncertain", 3, LABELS, set(), chooser(), 0)
    assert {"00", "10", "20"} & set(found)


@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_work_and_meetings_are_shared_evenly(overlap: int) -> None:
    people = ["anna", "ben", "carla", "dora"]
    found = batches.assign([str(number) for number in range(60)], people, overlap, 0)
    loads = Counter(name for names in found.values() for name in names)
    assert set(loads.values()) == {60 * overlap / 4}
    met = Counter(pair for names in found.values() for pair in combinations(names, 2))
    assert not met or max(met.values()) - min(met.values()) <= 4
    assert all(len(set(names)) == overlap for names in found.values())


def test_more_overlap_than_people_is_refused() -> None:
    with pytest.raises(InputError, match="--overlap 3: --annotators names only 2"):
        batches.assign(["1"], ["anna", "ben"], 3, 0)


def test_batches_survive_a_torn_line_and_name_a_damaged_one(tmp_path: Path) -> None:
    one = Batch(1, "random", "g", ["anna", "ben"], {"1": ["anna", "ben"], "2": ["anna"]})
    batches.append(tmp_path, one)
    with (tmp_path / batches.NAME).open("ab") as file:
        file.write(b'{"number": 2, "meth')
    assert batches.read(tmp_path) == [one]
    two = Batch(2, "uncertain", None, ["ben"], {"3": ["ben"], "1": ["ben"]})
    batches.append(tmp_path, two)
    assert batches.read(tmp_path) == [one, two]
    assert batches.assignments([one, two], "ben") == ["1", "3"]
    assert batches.left([one, two], "ben", [PersonAnswer("1", "ben", "a", 1.0)]) == ["3"]


@pytest.mark.parametrize("change", [{"people": "anna"}, {"assigned": {"1": "anna"}}, {"number": "1"}, {"assigned": []}])
def test_a_line_that_is_no_batch_is_named(change: Json, tmp_path: Path) -> None:
    whole = {"number": 1, "method": "random", "guide": None, "people": ["anna"], "assigned": {"1": ["anna"]}}
    (tmp_path / batches.NAME).write_text(f"{json.dumps(whole)}\n{json.dumps(whole | change)}\n")
    with pytest.raises(RunFolderError, match=r"review.jsonl:2: not a batch \(Expected"):
        batches.read(tmp_path)
