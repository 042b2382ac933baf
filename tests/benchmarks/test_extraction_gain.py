"""benchmarks/extraction_gain.py: which rows it takes."""

import json
from pathlib import Path

import yaml

from benchmarks.extraction_gain import ROOT, draw, read
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import TaskConfig


def row(number: int, named: bool) -> dict[str, object]:
    text = f"Ada met Bo in town {number}"
    return {"text": text, "entities": [{"text": "Ada", "type": "person", "start": 0, "end": 3}] if named else []}


def test_half_of_the_seeds_have_entities_and_no_seed_is_another_row() -> None:
    rows = [row(number, number % 5 == 0) for number in range(100)]
    seeds, rest = draw(rows, 20, seed=3)
    assert sum(bool(seed["entities"]) for seed in seeds) == 10
    assert len(seeds) == 20 and len(rest) == 80
    assert not any(seed in rest for seed in seeds)
    assert draw(rows, 20, seed=3) == (seeds, rest)


def test_rows_keep_the_fields_of_the_task_alone(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in [row(1, True), row(2, False)]))
    fields = yaml.safe_load((ROOT / "benchmarks/tasks/wnut17.yaml").read_text())
    task = load_task(TaskConfig(**fields | {"seeds": str(file)}))
    assert read(file, task)[0] == {"text": "Ada met Bo in town 1", "entities": [{"text": "Ada", "type": "person"}]}
