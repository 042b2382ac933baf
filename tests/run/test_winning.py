"""Test that the run's judge compares a student's answers with those of the untrained model."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.config import from_saved
from synthgen.records import Json
from synthgen.run.prepare import Prepared, prepare
from synthgen.run.winning import chances
from synthgen.tasks.assets import root

LONG, SHORT = "Rinse the cup and leave it to dry.", "Rinse it."


def prepared(**engine: Any) -> Prepared:
    task = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/instruction.yaml"))
    saved: Any = {"engine": {"kind": "replay", **engine}, "task": task}
    return prepare(from_saved(saved, ["run.name=x", "run.dir=x", "diversity.embedder=hash"]), [root()])


def pair(first: str, second: str) -> tuple[Json, Json]:
    question = {"instruction": "How do I clean a cup?", "input": ""}
    return {**question, "output": first}, {**question, "output": second}


def test_the_judge_is_asked_in_both_orders_and_its_preference_does_not_depend_on_them(tmp_path: Path) -> None:
    said: list[str] = []
    pairs = [pair(LONG, SHORT), pair(SHORT, LONG), pair(LONG, SHORT)]
    found = chances(prepared(approve=1), tmp_path, pairs, said.append)  # it prefers the longer answer
    assert found == pytest.approx([0.8, 0.2, 0.8])
    assert "the judge compares 3 answers with those of the untrained model, in both orders" in said
    assert chances(prepared(approve=0), tmp_path, pairs, said.append) == pytest.approx([0.2, 0.8, 0.2])
