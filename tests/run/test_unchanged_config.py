"""Whoever reads a config leaves it as it is; what differs from it is a new one."""

import ast
import copy
import shutil
from pathlib import Path

import pytest

import synthgen
from synthgen.config import Config, from_saved, to_json
from synthgen.run.prepare import prepare
from synthgen.run.preview import preview
from synthgen.tasks.assets import root
from synthgen.tasks.task import TaskConfig

PACKAGE = Path(synthgen.__file__).parent
COMPOSERS = {"config", "cli"}
"""The modules and packages that make configs."""


def changed_configs(source: str) -> list[str]:
    """Return the assignments to a field of something that is called a config."""
    targets = [
        target
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in (target.elts if isinstance(target, ast.Tuple) else [target])
        if isinstance(target, ast.Attribute)
    ]
    names = [ast.unparse(target) for target in targets]
    ours = [name for name in names if not name.startswith("model.")]  # transformers has configs of its own
    return [name for name in ours if {"config", "_config", "cfg", "_cfg"} & set(name.split(".")[:-1])]


def test_the_search_finds_an_assignment_to_a_field_of_a_config() -> None:
    assert changed_configs("config.run.dir, x = 'a', 1\nself._cfg.seed += 1") == ["config.run.dir", "self._cfg.seed"]
    assert changed_configs("self._cfg = cfg\nconfig = other") == []


@pytest.mark.slow
def test_no_module_but_those_that_make_configs_changes_one() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in COMPOSERS]
    found = {str(path.relative_to(PACKAGE)): changed_configs(path.read_text()) for path in sources}
    assert {path: names for path, names in found.items() if names} == {}


def replayed(folder: Path) -> Config:
    """A config of the replay engine whose task lies in `folder` under relative names."""
    (folder / "examples").mkdir()
    for name in ("seeds", "eval"):
        shutil.copy(root() / f"examples/news_topic/{name}.jsonl", folder / f"examples/{name}.jsonl")
    config = from_saved(
        SAVED,
        [
            "run.name=replayed",
            "run.dir=replayed",
            "judge.rubric.enabled=false",
            "diversity.embedder=hash",
            "student.kind=none",
        ],
    )
    task = TaskConfig(**{**vars(config.task), "seeds": "examples/seeds.jsonl", "eval": "examples/eval.jsonl"})
    config.task = task
    return config


SAVED = {
    "engine": {"kind": "replay"},
    "task": {
        "name": "news_topic",
        "kind": "classification",
        "schema": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "maxLength": 600},
                "label": {"enum": ["business", "science", "sport", "world"]},
            },
            "required": ["text", "label"],
        },
        "input": ["text"],
        "target": ["label"],
        "prompts": "classification",
        "seeds": "examples/seeds.jsonl",
    },
}


def test_preparing_a_run_names_its_files_for_good_and_leaves_the_config_as_it_was(tmp_path: Path) -> None:
    config = replayed(tmp_path)
    before = copy.deepcopy(config)
    prepared = prepare(config, [tmp_path])
    assert config == before
    assert prepared.config.task.seeds == str(tmp_path / "examples/seeds.jsonl")
    assert prepared.config.task.eval == str(tmp_path / "examples/eval.jsonl")
    assert Path(prepared.config.task.prompts).is_absolute()
    assert to_json(prepared.config) != to_json(config)


@pytest.mark.slow
def test_a_preview_leaves_the_config_as_it_was(tmp_path: Path) -> None:
    config = replayed(tmp_path)
    before = copy.deepcopy(config)
    assert preview(config, [tmp_path], lambda _: None) == 0
    assert config == before
