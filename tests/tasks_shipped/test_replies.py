"""Run each shipped task on hand-written replies: bad ones are rejected with the right reason, near misses pass.

Each line of replies/TASK.jsonl is a reply of `engine.recording`, and two keys of this test: `expect`, the reason for
which it must be rejected, and `near`, the checks that it nearly fails.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from synthgen import config as schema
from synthgen.config import Config
from synthgen.engines.fake.replay import ReplayConfig
from synthgen.filters.declared import sandbox
from synthgen.filters.declared.kinds import KINDS
from synthgen.ledger import Reader
from synthgen.records import content_id
from synthgen.run.lifecycle import start
from synthgen.run.prepare import prepare
from synthgen.tasks.assets import root
from synthgen.tasks.task import TaskConfig

FOLDER = Path(__file__).parent / "replies"
ELSEWHERE = {"preference"}
"""Tasks whose checks need a judge that compares two answers, which a recording does not answer."""
TASKS = sorted({path.stem for path in (root() / "conf/task").glob("*.yaml")} - ELSEWHERE)
QUICKLY = {"dialogue", "entities", "news_topic", "passage_qa", "zh_summary"}
"""Tasks whose replies `make test-fast` tries too: one of each kind."""
KIND = {kind.kind: kind for kind in KINDS}


def replies(task: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()]


def fields(task: str) -> dict[str, Any]:
    """Return a task file as it stands."""
    return cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(root() / f"conf/task/{task}.yaml")))


def test_the_task_files_were_found() -> None:
    assert len(TASKS) > 30
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_replies_try_every_check_of_the_task_from_both_sides(task: str) -> None:
    entries = replies(task)
    reasons = {entry["expect"] for entry in entries if "expect" in entry}
    near = {kind for entry in entries if "expect" not in entry for kind in entry.get("near", ())}
    assert reasons
    for check in fields(task).get("checks", []):
        assert reasons & KIND[check["kind"]].reasons.keys(), f"no reply must fail {check['kind']}"
        assert check["kind"] in near, f"no reply nearly fails {check['kind']}"


@pytest.fixture(scope="session")
def config() -> Config:
    """Return the config of a run without models, composed once, because that takes longer than the run."""
    schema.register()
    settings = ["task=entities", "engine=replay", "diversity=hash", "student=none", "engine.approve=1"]
    settings += ["budget.target=200", "budget.candidates=48", "diversity.restated.enabled=false"]
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return schema.build(compose("config", settings))


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task in QUICKLY else [pytest.mark.slow]) for task in TASKS]
)
def test_a_task_rejects_bad_replies_and_exports_good_ones(task: str, config: Config, tmp_path: Path) -> None:
    checks = fields(task).get("checks", [])
    if any("tests" in check for check in checks) and (why := sandbox.problem()) is not None:
        pytest.skip(why)
    entries = replies(task)
    recording = tmp_path / "replies.jsonl"
    kept = [{key: entry[key] for key in ("reply", "asked", "judged") if key in entry} for entry in entries]
    recording.write_text("".join(f"{json.dumps(entry, ensure_ascii=False)}\n" for entry in kept), encoding="utf-8")
    own = deepcopy(config)
    own.task = TaskConfig(**fields(task))
    if any(check["kind"] == "code" for check in checks):  # a test of its own checks all rows, which takes long
        own.task.eval, own.task.seeds = None, str(first_rows(own.task.seeds, tmp_path / "seeds.jsonl"))
    if task == "urgency":
        own.task.rubric = []  # a recording cannot tell a question for a label from 1 to 5 from one for a rubric's grade
    own.run.name, own.run.dir = task, str(tmp_path / "run")
    cast("ReplayConfig", own.engine).recording = str(recording)
    if not any("asked" in entry for entry in entries):
        own.budget.candidates = len(entries)  # every request fits every reply, so each is given once
    assert start(own, [], lambda _: None) == 3  # the budget of candidates ends it
    with Reader(tmp_path / "run/ledger.sqlite") as reader:
        candidates = list(reader.rows("SELECT data, reason FROM candidates ORDER BY slot, item"))
    found = {content_id(json.loads(data)): reason for data, reason in reversed(candidates)}  # later ones are duplicates
    for entry in entries:
        assert found.get(content_id(entry["reply"]), "never given") == entry.get("expect"), entry
    exported = [
        json.loads(line) for line in (tmp_path / "run/dataset/train.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    texts = {json.dumps(row, sort_keys=True, ensure_ascii=False) for row in map(without_offsets, exported)}
    for entry in entries:
        own_text = json.dumps(entry["reply"], sort_keys=True, ensure_ascii=False)
        assert (own_text in texts) == ("expect" not in entry), entry


def first_rows(seeds: str, path: Path) -> Path:
    """Write the first rows of a seed file to a file of its own."""
    path.write_text(
        "".join((root() / seeds).read_text(encoding="utf-8").splitlines(keepends=True)[:4]), encoding="utf-8"
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("task", [task for task in TASKS if task.startswith("code_")])
def test_the_code_of_all_seeds_and_eval_rows_passes_its_tests(task: str, config: Config) -> None:
    if (why := sandbox.problem()) is not None:
        pytest.skip(why)
    own = deepcopy(config)
    own.task = TaskConfig(**fields(task))
    assert len(prepare(own, []).eval_rows) == 60  # raises for a row that fails a check


def without_offsets(value: Any) -> Any:
    """Return a row without the offsets that the export adds."""
    if isinstance(value, dict):
        return {key: without_offsets(part) for key, part in value.items() if key not in ("start", "end")}
    return [without_offsets(part) for part in value] if isinstance(value, list) else value
