"""Least worth: quality times novelty within the class, the same however a run is timed or cut short."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen.cli import dispatch
from synthgen.diversity.embedder import DiversityConfig, Vectors
from synthgen.diversity.worth import Worth
from synthgen.errors import ConfigError
from synthgen.ledger import Reader
from synthgen.records import Sample


def at(degrees: float) -> Vectors:
    return np.asarray([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], dtype=np.float32)


def sample(name: str, label: str | None = "sport", **changes: Any) -> Sample:
    return Sample(id=name, data={}, origin="synthetic", label=label, slot=0, item=0, **changes)


@pytest.fixture
def worth() -> Worth:
    """Asks for 0.2, and holds one sample of each of two labels."""
    check = Worth(DiversityConfig(min_worth=0.2), 2, by_class=True)
    check.extend([sample("one"), sample("two", "world")], [at(0), at(90)])
    return check


def test_novelty_is_the_distance_to_the_nearest_of_the_class(worth: Worth) -> None:
    verdict = worth(sample("new"), at(60))
    assert (verdict.outcome, verdict.score) == ("pass", 0.5)  # the other label's sample is only 30 degrees away
    assert verdict.details == {"novelty": 0.5, "neighbour": "one"}


def test_a_candidate_below_the_minimum_worth_is_rejected_with_its_reason(worth: Worth) -> None:
    near = worth(sample("near"), at(20))
    poor = worth(sample("poor", quality=0.3), at(60))
    assert (near.outcome, near.reason, near.score) == ("reject", "low_worth", pytest.approx(0.0603, abs=1e-4))
    assert (poor.outcome, poor.reason, poor.score) == ("reject", "low_worth", pytest.approx(0.15))


def test_the_first_sample_of_a_class_has_the_highest_novelty(worth: Worth) -> None:
    verdict = worth(sample("first", "science", quality=0.4), at(0))
    assert (verdict.outcome, verdict.score, verdict.details) == ("pass", 0.4, {"novelty": 1.0})


def test_samples_accepted_since_the_first_look_lower_novelty(worth: Worth) -> None:
    worth.add(sample("three"), at(60))
    assert worth(sample("new"), at(61)).details["neighbour"] == "three"


def test_without_classes_novelty_is_what_the_near_duplicate_check_found() -> None:
    check = Worth(DiversityConfig(min_worth=0.2), 2, by_class=False)
    check.add(sample("one", None), at(0))
    assert check(sample("new", None, novelty=0.3, quality=0.5), at(0)).score == 0.15


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_a_minimum_worth_out_of_range_is_named(value: float) -> None:
    with pytest.raises(ConfigError, match=r"diversity\.min_worth"):
        DiversityConfig(min_worth=value)


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(folder / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


@pytest.mark.slow
def test_a_run_that_was_cut_short_ends_with_what_an_undisturbed_one_accepts(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def run(folder: Path, *overrides: str) -> int:
        settings = ["diversity.min_worth=0.45", "budget.target=60", "engine.in_flight=16", *overrides]
        return dispatch(["run", "experiment=smoke", f"run.dir={folder}", *settings])

    assert run(whole) == 0
    assert run(cut, "engine.jitter=0.02", "engine.dies_after=250") == 4
    while (code := dispatch(["resume", str(cut)])) == 4:
        pass
    assert code == 0
    accepted = "SELECT id, slot, novelty FROM samples WHERE origin = 'synthetic' ORDER BY position"
    assert query(whole, accepted) == query(cut, accepted)
    outcomes = dict(query(whole, "SELECT outcome, COUNT(*) FROM verdicts WHERE \"check\" = 'worth' GROUP BY 1"))
    surplus = query(whole, "SELECT COUNT(*) FROM verdicts WHERE \"check\" = 'budget'")[0][0]
    assert outcomes["pass"] == 60 + surplus
    assert outcomes["reject"] > 5
    rejected = "SELECT score FROM verdicts WHERE reason = 'low_worth'"
    assert all(score < 0.45 for (score,) in query(whole, rejected))
