"""The fingerprint of a run has the prompts that it uses, and none that only newer kinds of runs use."""

from dataclasses import replace
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.config import from_saved
from synthgen.run.fingerprint import fingerprint
from synthgen.run.prepare import Prepared, prepare
from synthgen.tasks.assets import root

LATER = {"judge_question", "assigned", "judge_parents", "judge_strict_parents"}


@pytest.fixture(scope="module")
def news() -> Prepared:
    task = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
    saved: Any = {"engine": {"kind": "replay"}, "task": task}
    return prepare(
        from_saved(saved, ["run.name=news", "run.dir=news", "diversity.embedder=hash", "student.kind=none"]), [root()]
    )


def test_a_run_without_such_criteria_has_no_template_that_earlier_versions_lack(news: Prepared) -> None:
    assert not LATER & fingerprint(news)["prompts"].keys()
    assert "compared" not in fingerprint(news)["task"]


def test_a_run_that_compares_with_parents_has_their_templates(news: Prepared) -> None:
    task = replace(news.task, compared=frozenset({"diverse"}))
    found = fingerprint(replace(news, task=task))
    assert {"judge_parents", "judge_strict_parents"} <= found["prompts"].keys()
    assert found["task"]["compared"] == ["diverse"]
