"""Rewritten code does what it did."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.generate.code_edits import REWRITES_OF_CODE, conditions, loops, rename
from synthgen.tasks.assets import root

ROWS = [json.loads(line) for line in Path(root(), "examples/code_tests/seeds.jsonl").read_text().splitlines()]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ROWS), st.permutations(sorted(REWRITES_OF_CODE)), st.integers(0, 100))
def test_rewritten_seeds_pass_their_own_tests(row: dict[str, str], order: list[str], seed: int) -> None:
    code = row["code"]
    for name in order:
        code = REWRITES_OF_CODE[name](code, [row["task"], row["tests"]], random.Random(seed))
    exec(f"{code}\n{row['tests']}", {})  # the seeds are the project's own


@pytest.mark.parametrize("name", ["rename", "comments", "docstrings"])
def test_most_seeds_are_changed(name: str) -> None:
    changed = [REWRITES_OF_CODE[name](row["code"], [row["task"], row["tests"]], random.Random(0)) for row in ROWS]
    assert sum(new != row["code"] for new, row in zip(changed, ROWS, strict=True)) > len(ROWS) / 2


def test_names_that_tests_use_as_keywords_stay() -> None:
    code = "def f(alpha, beta):\n    gamma = alpha + beta\n    return gamma\n"
    new = rename(code, ["assert f(alpha=1, beta=2) == 3"], random.Random(0))
    assert "def f(alpha, beta)" in new and "gamma" not in new


def test_branches_are_swapped_with_the_negated_condition() -> None:
    code = "if a == 1:\n    b = 2\nelse:\n    b = 3\n"
    assert conditions(code, [], random.Random(0)) == "if a != 1:\n    b = 3\nelse:\n    b = 2\n"


def test_a_loop_becomes_while_only_where_that_is_the_same() -> None:
    assert "while i < n - 1:" in loops("for i in range(n):\n    f(i)\n", [], random.Random(0))
    for code in ("for i in range(n):\n    n += 1\n", "for i in range(n):\n    if i:\n        continue\n"):
        assert loops(code, [], random.Random(0)) == code
