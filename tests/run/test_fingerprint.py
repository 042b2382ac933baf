"""The fingerprint of a run has the prompts that it uses, and none that only newer kinds of runs use."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.config import from_saved, to_json
from synthgen.errors import InputError
from synthgen.generate.kinds import StrategiesConfig
from synthgen.records import Json
from synthgen.run.fingerprint import changes, fingerprint, outdated_prompts
from synthgen.run.notices import notices
from synthgen.run.prepare import Prepared, prepare
from synthgen.tasks.assets import root

LATER = {"judge_question", "assigned", "judge_parents", "judge_strict_parents", "judge_label"}


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


class Saved:
    """Stand for the reader of a ledger that holds these values and no samples."""

    def __init__(self, **values: Json) -> None:
        self.meta = values.get


def test_a_template_that_the_run_cannot_use_may_be_missing_changed_or_new(news: Prepared) -> None:
    began = fingerprint(news)
    began["prompts"] |= {"judge_label": "changed since", "judge_question": "removed since"}
    saved: Any = Saved(fingerprint=began, config=to_json(news.config))
    assert changes(saved, news) == []
    began["prompts"] |= {"generate": "changed since"}
    assert "prompts/generate" in changes(saved, news)[0]


def test_only_a_run_that_rewrites_samples_has_the_templates_for_it(news: Prepared) -> None:
    own = {"rewrite", "evolve", "contrast", "paraphrase", "back_translation"}
    assert not own & fingerprint(news)["prompts"].keys()
    generate = replace(news.config.generate, strategies=StrategiesConfig(evolve=1.0))
    found = fingerprint(replace(news, config=replace(news.config, generate=generate)))
    assert own & found["prompts"].keys() == {"rewrite", "evolve"}


def test_a_run_that_compares_with_parents_has_their_templates(news: Prepared) -> None:
    task = replace(news.task, compared=frozenset({"diverse"}))
    found = fingerprint(replace(news, task=task))
    assert {"judge_parents", "judge_strict_parents"} <= found["prompts"].keys()
    assert found["task"]["compared"] == ["diverse"]


def test_a_run_of_an_earlier_version_resumes_with_an_eval_row_that_is_a_seed_in_traditional_characters(
    tmp_path: Path,
) -> None:
    task: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/zh_sentiment.yaml"))
    seeds = (root() / task["seeds"]).read_text(encoding="utf-8")
    (tmp_path / "seeds.jsonl").write_text(f'{seeds}{{"text": "麵條很好吃", "label": "正面"}}\n', encoding="utf-8")
    (tmp_path / "eval.jsonl").write_text('{"text": "面条很好吃。", "label": "正面"}\n', encoding="utf-8")
    task |= {"seeds": str(tmp_path / "seeds.jsonl"), "eval": str(tmp_path / "eval.jsonl")}
    settings = ["run.name=zh", "run.dir=zh", "diversity.embedder=hash", "student.kind=none"]
    config = from_saved({"engine": {"kind": "replay"}, "task": task}, settings)
    with pytest.raises(InputError, match="the input is also that of"):
        prepare(config, [root()])
    assert "the input is also that of" in notices(prepare(config, [root()], begun=True))[0]


def test_a_run_continues_with_the_shipped_prompts_that_it_started_with(news: Prepared) -> None:
    older = news.prompts.text("generate").replace("Every example is new", "Each example is new")
    resumed = prepare(news.config, [root()], begun=True, recorded={"generate": older, "prefer": "changed since"})
    began = fingerprint(news)
    began["prompts"] |= {"generate": hashlib.blake2b(older.encode(), digest_size=8).hexdigest()}
    saved: Any = Saved(fingerprint=began, config=to_json(news.config))
    assert changes(saved, resumed) == []
    assert "Each example is new" in resumed.prompts.render("generate", "system", task=news.task, items=1)
    said = list(outdated_prompts(resumed))
    assert len(said) == 1 and "generate.jinja" in said[0] and "prefer" not in said[0]
    assert list(outdated_prompts(news)) == []


def test_a_prompt_of_the_user_that_changed_is_still_a_change(news: Prepared, tmp_path: Path) -> None:
    shutil.copytree(root() / "prompts/classification", tmp_path / "own")
    config = replace(news.config, task=replace(news.config.task, prompts=str(tmp_path / "own")))
    older = news.prompts.text("generate").replace("Every example is new", "Each example is new")
    resumed = prepare(config, [root()], begun=True, recorded={"generate": older})
    began = fingerprint(news)
    began["prompts"] |= {"generate": hashlib.blake2b(older.encode(), digest_size=8).hexdigest()}
    saved: Any = Saved(fingerprint=began, config=to_json(config), sources={"prompts": {"generate": older}})
    assert "prompts/generate" in changes(saved, resumed)[0]
