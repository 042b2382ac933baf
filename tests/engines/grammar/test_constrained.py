from collections import Counter

import numpy as np
import pytest

from synthgen.engines.grammar.constrained import ConstrainedReply, Constraint, Free, Mask, draw, top_logprobs
from synthgen.records import Grammar, Request, Sampling

END = 3


def scores_of(*chances: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array(chances))


def drawn(scores: np.ndarray, draws: int = 4000, **sampling: float) -> Counter[int]:
    rng = np.random.default_rng(0)
    return Counter(draw(scores, Sampling(**sampling), rng) for _ in range(draws))


def test_draws_follow_the_scores() -> None:
    counts = drawn(scores_of(0.5, 0.0, 0.3, 0.2))
    assert counts[1] == 0
    assert [counts[place] / 4000 for place in (0, 2, 3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_temperature_sharpens_and_zero_takes_the_best() -> None:
    scores = scores_of(0.4, 0.6)
    assert drawn(scores, temperature=0.5)[1] / 4000 == pytest.approx(0.36 / 0.52, abs=0.03)
    assert drawn(scores, draws=50, temperature=0) == {1: 50}


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    scores = scores_of(0.05, 0.5, 0.3, 0.15)
    assert set(drawn(scores, top_p=0.79)) == {1, 2}
    assert set(drawn(scores, top_p=0.85)) == {1, 2, 3}
    assert set(drawn(scores, top_p=0.01)) == {1}


def test_top_p_keeps_what_sorting_everything_would_keep() -> None:
    chances = np.random.default_rng(1).dirichlet(np.full(200, 0.1))
    order = np.argsort(-chances)
    nucleus = order[: int(np.searchsorted(np.cumsum(chances[order]), 0.9)) + 1]
    with np.errstate(divide="ignore"):
        assert set(drawn(np.log(chances), draws=20000, top_p=0.9)) <= set(nucleus.tolist())


def test_min_p_is_a_share_of_the_best() -> None:
    assert set(drawn(scores_of(0.5, 0.3, 0.2), min_p=0.5)) == {0, 1}


def test_the_same_seed_draws_the_same() -> None:
    scores = np.zeros(1000)
    first, second = (
        [draw(scores, Sampling(), rng) for _ in range(5)]
        for rng in (np.random.default_rng(7), np.random.default_rng(7))
    )
    assert first == second


def test_logprobs_are_normalised_over_what_is_allowed_and_cut_to_the_top() -> None:
    ids = np.array([10, 20, 30])
    assert top_logprobs(ids, scores_of(1.0, 3.0, 0.0), 5) == pytest.approx({20: np.log(0.75), 10: np.log(0.25)})
    assert list(top_logprobs(ids, scores_of(1.0, 3.0, 2.0), 1)) == [20]


class Scripted:
    """A grammar of so many places; after the last only the end is allowed."""

    def __init__(self, *allowed: set[int]) -> None:
        self._allowed = [*allowed, {END}]

    def allowed(self) -> Mask:
        return np.isin(np.arange(4), list(self._allowed[0]))

    def advance(self, token: int) -> None:
        del self._allowed[0]


def row(constraint: Constraint, grammar: bool, **sampling: float) -> ConstrainedReply:
    any_grammar = Grammar(kind="regex", spec="stands for the constraint") if grammar else None
    request = Request(id="r", messages=(), grammar=any_grammar, sampling=Sampling(temperature=0, **sampling))
    ends = frozenset({END})
    return ConstrainedReply(
        request, [], constraint, ends, np.random.default_rng(0), lambda: False, constraint.allowed()
    )


SCORES = np.array([0.0, 1.0, 2.0, 5.0], dtype=np.float32)


def test_a_grammar_that_has_run_out_ends_the_reply_without_drawing_the_end() -> None:
    reply = row(Scripted({0, 1}, {2}), grammar=True, max_tokens=9)
    reply.extend(SCORES)
    assert (reply.tokens, reply.finish_reason) == ([1], "")
    reply.extend(SCORES)
    assert (reply.tokens, reply.drawn, reply.finish_reason) == ([1, 2], 2, "stop")


def test_the_end_token_is_counted_and_is_no_text() -> None:
    reply = row(Free(np.ones(4, dtype=np.bool_)), grammar=False, max_tokens=9)
    reply.extend(SCORES)
    assert (reply.tokens, reply.drawn, reply.finish_reason) == ([], 1, "stop")


def test_the_last_token_is_a_stop_only_where_the_grammar_may_end_there() -> None:
    cut = row(Scripted({0}, {1}), grammar=True, max_tokens=1)
    cut.extend(SCORES)
    assert cut.finish_reason == "length"
    whole = row(Scripted({0}, {1, END}), grammar=True, max_tokens=1)
    whole.extend(SCORES)
    assert whole.finish_reason == "stop"
    free = row(Free(np.array([True, True, False, True])), grammar=False, max_tokens=1)
    free.extend(-SCORES)
    assert free.finish_reason == "length"


def test_tokens_that_are_barred_in_a_row_are_not_drawn_in_a_row() -> None:
    reply = row(Free(np.ones(4, dtype=np.bool_)), grammar=False, max_tokens=9)
    reply.ends, reply.banned = frozenset(), ((END, END), (END, 2, END))
    for _ in range(5):
        reply.extend(SCORES)
    assert reply.tokens == [END, 2, 2, END, 2]


def test_a_grammar_that_leaves_only_what_is_barred_comes_first() -> None:
    reply = row(Scripted({1}), grammar=True, max_tokens=9)
    reply.banned = ((1,),)
    reply.extend(SCORES)
    assert reply.tokens == [1]


def test_scores_that_are_not_numbers_say_what_to_change() -> None:
    with pytest.raises(RuntimeError, match=r"engine\.dtype=float32"):
        row(Scripted({0}), grammar=True).extend(np.full(4, np.nan, dtype=np.float32))
