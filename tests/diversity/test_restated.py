"""The check on texts that restate a sample of their prompt: it acts where there are too many, and only there."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.diversity.restated import Restated, RestatedConfig
from synthgen.errors import ConfigError
from synthgen.ledger import Reader
from synthgen.records import REWRITES, Candidate, Sample, Verdict, content_id

SEEDS = ["how do I open a savings account here", "where does the night train to Vermont stop", "my plants lose leaves"]
RESTATEMENT = "how do I open a savings account there"
NEW = "two fresh oranges lie under that wooden chair"


def sample(text: str) -> Sample:
    return Sample(id=content_id({"text": text}), data={"text": text}, origin="seed")


def candidate(text: str, parents: Iterable[str] = SEEDS) -> Candidate:
    data = {"text": text}
    return Candidate(
        id=content_id(data), slot=0, item=0, text=text, data=data, finish_reason="stop",
        parents=tuple(sample(parent).id for parent in parents), depth=1, strategy="fewshot", template="t", label=None,
    )  # fmt: skip


def check(seeds: Iterable[str] = SEEDS, margin: float = 0.05) -> Restated:
    held = {sample(text).id: sample(text) for text in seeds}
    return Restated(
        RestatedConfig(margin=margin), lambda data: str(data["text"]), held.__getitem__, list(held.values()), []
    )


def accept(restated: Restated, text: str, times: int = 1, parents: Iterable[str] = SEEDS) -> list[Verdict]:
    """The verdicts of a text with one number after another, which is accepted whenever the check lets it."""
    verdicts = []
    for number in range(times):
        asked = candidate(f"{text} {number}", parents)
        asked.verdicts = [asyncio.run(restated(asked))]
        verdicts += asked.verdicts
        if verdicts[-1].outcome == "pass":
            restated.accepted(sample(text), asked)
    return verdicts


def test_a_few_restatements_pass_and_say_what_they_restate() -> None:
    restated = check()
    accept(restated, NEW, 20)
    (verdict,) = accept(restated, RESTATEMENT)
    assert (verdict.outcome, verdict.details) == ("pass", {"neighbour": sample(SEEDS[0]).id})
    assert verdict.score is not None
    assert verdict.score > 0.5


def test_restatements_are_rejected_where_they_are_too_large_a_share() -> None:
    restated = check()
    accept(restated, NEW, 100)
    verdicts = accept(restated, RESTATEMENT, 100)
    early = int(restated.limit * 100)
    assert all(verdict.outcome == "pass" for verdict in verdicts[:early])
    late = [verdict.reason for verdict in verdicts[2 * early :]]
    assert late.count("restated") > len(late) / 2
    assert accept(restated, NEW)[0].outcome == "pass"


def test_a_generator_that_only_restates_keeps_getting_some_samples_accepted() -> None:
    passed = sum(verdict.outcome == "pass" for verdict in accept(check(), RESTATEMENT, 400))
    assert 60 < passed < 140


def test_a_name_of_a_shown_seed_restates_it() -> None:
    restated = check()
    accept(restated, NEW, 20)
    text = "Is Vermont a state that people like?"
    assert accept(restated, text)[0].details == {"neighbour": sample(SEEDS[1]).id, "name": "Vermont"}
    assert accept(restated, text, parents=SEEDS[:1])[0].details == {}  # the prompt did not show it


def test_more_restatements_are_natural_where_seeds_restate_each_other() -> None:
    narrow = [f"turn the {colour} light on in the kitchen" for colour in ("red", "green", "blue", "dim", "tall")]
    assert check(narrow).limit > 3 * check(["a very different sentence", *SEEDS, "some words about birds"]).limit


def test_counts_of_earlier_sessions_go_on() -> None:
    restated = check()
    restated.restore(accepted=100, restating=90)
    assert any(verdict.outcome == "reject" for verdict in accept(restated, RESTATEMENT, 10))


def test_a_candidate_without_parents_restates_nothing() -> None:
    assert accept(check(), RESTATEMENT, parents=())[0].details == {}


@pytest.mark.parametrize("key", ["overlap", "margin"])
def test_a_bound_out_of_range_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"diversity\.restated\.{key}"):
        RestatedConfig(**{key: 0.0})


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(folder / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


@pytest.mark.slow
def test_an_interrupted_run_rejects_the_candidates_that_an_uninterrupted_one_rejects(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    def run(folder: Path, *overrides: str) -> int:
        settings = ["diversity.restated.overlap=0.12", "diversity.restated.margin=0.01", "budget.target=60"]
        return dispatch(["run", "experiment=smoke", f"run.dir={folder}", "engine.in_flight=16", *settings, *overrides])

    assert run(whole) == 0
    assert run(cut, "engine.jitter=0.02", "engine.dies_after=150") == 4
    while (code := dispatch(["resume", str(cut)])) == 4:
        pass
    assert code == 0
    verdicts = "SELECT slot, outcome, score, details FROM verdicts WHERE \"check\" = 'restated' ORDER BY slot"
    assert query(whole, verdicts) == query(cut, verdicts)
    assert query(whole, "SELECT COUNT(*) FROM candidates WHERE reason = 'restated'")[0][0] > 5


def test_the_sample_that_is_rewritten_does_not_count_but_the_others_do() -> None:
    restated = check()
    accept(restated, NEW, 100)
    accept(restated, RESTATEMENT, 100)
    for rewritten, reason in ((0, None), (1, "restated")):
        asked = candidate(f"{RESTATEMENT} 7").model_copy(update={"given": {REWRITES: sample(SEEDS[rewritten]).id}})
        asked = asked.model_copy(update={"id": "f" * 32})
        assert asyncio.run(restated(asked)).reason == reason


def test_a_candidate_that_was_compared_with_nothing_does_not_raise_the_limit_for_others() -> None:
    restated = check()
    accept(restated, NEW, 10)
    alone = candidate(RESTATEMENT, SEEDS[:1]).model_copy(update={"given": {REWRITES: sample(SEEDS[0]).id}})
    alone.verdicts = [asyncio.run(restated(alone))]
    assert (alone.verdicts[0].outcome, alone.verdicts[0].score) == ("pass", None)
    before = vars(restated).copy()
    restated.accepted(sample(RESTATEMENT), alone)
    assert vars(restated) == before
