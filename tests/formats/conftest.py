"""Export rows of a task through the command line, as a user does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.cli import dispatch
from synthgen.tasks.assets import root

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """`export("squad", "passage_qa")`: exports the seeds of a shipped task, or `rows` of a task that `changes` changes."""

    def make(form: str, task: str, rows: list[dict[str, Any]] | None = None, *words: str, **changes: Any) -> Path:
        fields = yaml.safe_load((root() / "conf" / "task" / f"{task}.yaml").read_text())
        file = tmp_path / "task.yaml"
        file.write_text(yaml.safe_dump({**fields, **changes}, sort_keys=False))
        source = root() / fields["seeds"]
        if rows is not None:
            source = tmp_path / "rows.jsonl"
            source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        out = tmp_path / form
        assert dispatch(["export", str(source), "--task", str(file), "--format", form, "--out", str(out), *words]) == 0
        return out

    return make


@pytest.fixture
def seeds() -> Callable[[str], list[dict[str, Any]]]:
    """`seeds("entities")`: the seeds of a shipped task."""
    return lambda task: [
        json.loads(line) for line in (root() / "examples" / task / "seeds.jsonl").read_text().splitlines()
    ]
