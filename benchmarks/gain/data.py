"""Load the data of the student benchmark: a task, its train and test rows, and the seeds of each draw."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from synthgen.errors import ConfigError, InputError
from synthgen.records import Json
from synthgen.safety.control_tokens import CONTROL_TOKEN
from synthgen.tasks.loading import load_task
from synthgen.tasks.rows import Columns, Problems, read_rows
from synthgen.tasks.task import Task, TaskConfig


@dataclass(frozen=True)
class Data:
    """Hold the task and its rows. `fields` is the task's YAML; `left_out` counts the unused rows by reason."""

    task: Task
    fields: Json
    train: list[Json]
    test: list[Json]
    left_out: dict[str, int]

    def label(self, row: Json) -> str:
        return str(self.task.label_of(row))


def load(task_file: Path, train_file: Path, test_file: Path) -> Data:
    """Read task and rows; drop test rows whose input is also in the train file.

    Raise ConfigError or InputError.
    """
    fields, task = _load_task(task_file, train_file)
    train, strange_train = _read(train_file, task, "train")
    test, strange_test = _read(test_file, task, "test")
    known = {_key(task, row) for row in train}
    unseen = [row for row in test if _key(task, row) not in known]
    if not unseen:
        raise InputError(f"{test_file}: every row also stands in {train_file}; give another test file")
    left_out = {
        "train_of_other_labels": strange_train,
        "test_of_other_labels": strange_test,
        "test_also_in_train": len(test) - len(unseen),
    }
    return Data(task, fields, train, unseen, left_out)


def draw_seeds(data: Data, k: int, seed: int, draw: int) -> list[Json]:
    """Return `k` different rows of each label, label by label, for use as seeds.

    Raise InputError if a label has too few.
    """
    rng = random.Random(f"{seed}/draw/{draw}")
    by_label: dict[str, dict[str, Json]] = {label: {} for label in data.task.labels}
    for row in data.train:
        if not data.task.problems(row) and not _holds_control_token(row):
            by_label[data.label(row)].setdefault(_key(data.task, row), row)
    for label, rows in by_label.items():
        if len(rows) < k:
            raise InputError(
                f"the train file has {len(rows)} different rows of label '{label}' that fit task.schema, and --k is "
                f"{k}; add rows, or lower --k"
            )
    return [row for rows in by_label.values() for row in rng.sample(list(rows.values()), k)]


def balanced(rows: Sequence[Json], count: int, data: Data, order: Sequence[str] | None = None) -> list[Json]:
    """Return the first `count` of `rows`, taken from the labels in turns; fewer where there are no more.

    `order` lists the labels in the order of their turns, by default the task's.
    """
    by_label: dict[str, list[Json]] = {label: [] for label in order or data.task.labels}
    for row in rows:
        by_label[data.label(row)].append(row)
    longest = max(map(len, by_label.values()))
    turns = [found[turn] for turn in range(longest) for found in by_label.values() if turn < len(found)]
    return turns[:count]


def _load_task(task_file: Path, some_file: Path) -> tuple[Json, Task]:
    """Return the YAML's fields with resolved prompts, and the task. Any file stands for the seeds, which a run writes
    itself.
    """
    try:
        fields: Any = yaml.safe_load(task_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"--task {task_file}: cannot be read as YAML: {error}") from error
    if not isinstance(fields, dict):
        raise InputError(f"--task {task_file}: no YAML mapping; see docs/tasks.md for what a task file holds")
    fields = {**fields, "seeds": str(some_file.absolute()), "eval": None}
    try:
        config = TaskConfig(**fields)
    except TypeError as error:
        raise ConfigError(f"--task {task_file}: {str(error).partition(') ')[2] or error}") from error
    base = task_file.absolute().parent
    task = load_task(config, [base, base.parent])
    if task.kind != "classification":
        raise ConfigError(
            f"--task {task_file}: kind is {task.kind}; this benchmark compares students of classification"
        )
    return {**fields, "prompts": str(task.prompts)}, task


def _read(source: Path, task: Task, what: Literal["train", "test"]) -> tuple[list[Json], int]:
    """Return the rows with only the task's fields, and the number of rows whose label the task does not have."""
    needed = [*task.input, *task.target]
    problems = Problems(source, what)
    rows: list[Json] = []
    strange = 0
    for row in read_rows(source, Columns(task.schema, frozenset(needed), "drop"), problems):
        lacking = [name for name in needed if row.data.get(name) in (None, "")]
        if lacking:
            problems.add(row.place, f"lacks the field '{lacking[0]}' of task {task.name}; add it")
        elif task.label_of(row.data) not in task.labels:
            strange += 1
        else:
            rows.append({name: row.data[name] for name in task.schema["properties"] if name in row.data})
    problems.raise_any()
    if not rows:
        raise InputError(f"{source}: no row has a label of task {task.name} ({', '.join(list(task.labels)[:8])} ...)")
    return rows, strange


def _key(task: Task, row: Json) -> str:
    return task.input_text(row).lower()


def _holds_control_token(row: Json) -> bool:
    return any(isinstance(value, str) and CONTROL_TOKEN.search(value) for value in row.values())
