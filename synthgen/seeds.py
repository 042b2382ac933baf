"""Reading seed, eval and prediction files: every problem of a file is named in one go.

Checks rows against the task; what a run does with them is for others. A file is read line by
line with a cap on its bytes, so that a wrong file costs a message and not the machine's memory.
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthgen.errors import InputError
from synthgen.records import Json, content_id, parse_json
from synthgen.task import Task

MAX_PROBLEMS = 20
MAX_LINE_BYTES = 1_000_000
MAX_FILE_BYTES = 1_000_000_000


class _Problems:
    """Collects `file:line:column: cause` lines and raises them together."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self.lines: list[str] = []

    def add(self, line: int, column: int, cause: str) -> None:
        self.lines.append(f"{self.path}:{line}:{column}: {cause}")
        if len(self.lines) >= MAX_PROBLEMS:
            self.lines.append(f"... stopped after {MAX_PROBLEMS} problems")
            self.raise_any()

    def raise_any(self) -> None:
        if self.lines:
            raise InputError(f"the {self.what} file cannot be used:\n" + "\n".join(self.lines))


def read_samples(path: Path, task: Task, what: str) -> list[Json]:
    """Rows of a JSONL file that are whole samples of `task`, in file order.

    Raises InputError with `file:line:column`, cause and cure for every row that is not.
    """
    problems = _Problems(path, what)
    rows: list[Json] = []
    first_seen: dict[str, int] = {}
    for number, row in _rows(path, problems):
        if found := task.problems(row):
            problems.add(number, 1, "; ".join(_explain(text, row, task) for text in found[:3]))
            continue
        earlier = first_seen.setdefault(content_id(row), number)
        if earlier != number:
            problems.add(number, 1, f"the same row stands on line {earlier}; remove one of them")
            continue
        rows.append({name: row[name] for name in task.schema["properties"] if name in row})
    problems.raise_any()
    if not rows:
        raise InputError(f"{path}: the {what} file holds no rows; write one JSON object a line")
    return rows


def read_inputs(path: Path, task: Task) -> list[Json]:
    """Rows of a JSONL file that hold at least the task's input fields; other fields are dropped."""
    problems = _Problems(path, "input")
    rows: list[Json] = []
    for number, row in _rows(path, problems):
        missing = [name for name in task.input if name not in row]
        if missing:
            problems.add(number, 1, f"lacks the input field '{missing[0]}' of task {task.name}")
            continue
        rows.append({name: row[name] for name in task.input})
    problems.raise_any()
    return rows


def check_seeds(seeds: Sequence[Json], task: Task) -> None:
    """Raises InputError where a label has no seed: there is nothing to show for it."""
    have = {task.label_of(row) for row in seeds}
    lacking = [label for label in task.labels if label not in have]
    if lacking:
        raise InputError(f"{task.seeds}: no seed for label {', '.join(lacking)}; write at least one for each label")


def check_disjoint(seeds: Sequence[Json], held_out: Sequence[Json], task: Task) -> None:
    """Raises InputError when an eval row's input is also a seed's: its score would mean nothing."""

    def shown(row: Json) -> str:
        return " ".join(task.input_text(row).casefold().split())

    known = {shown(row) for row in seeds}
    shared = [index for index, row in enumerate(held_out, 1) if shown(row) in known]
    if shared:
        more = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
        raise InputError(
            f"{task.eval}: row {shared[0]}{more} has the same input as a row of {task.seeds}; eval rows must be held out"
        )


def stratified_split(labels: Sequence[str | None], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of rows with these labels for training and validation; `share` of the rows is validation.

    Labels give in proportion to their rows, by largest remainder: with few rows a label each label's
    own share would round to nothing. A label never gives its last row.
    """
    by_label: dict[str | None, list[int]] = {}
    for index, label in enumerate(labels):
        by_label.setdefault(label, []).append(index)
    rng = random.Random(f"{seed}/split")
    wanted = {label: len(indices) * share for label, indices in by_label.items()}
    counts = {label: min(int(wanted[label]), len(indices) - 1) for label, indices in by_label.items()}
    by_remainder = sorted(by_label, key=lambda label: counts[label] - wanted[label])  # stable: ties in order of arrival
    for label in by_remainder[: max(round(len(labels) * share) - sum(counts.values()), 0)]:
        counts[label] = min(counts[label] + 1, len(by_label[label]) - 1)
    validation: set[int] = set()
    for label, indices in by_label.items():
        validation.update(rng.sample(indices, counts[label]))
    return [i for i in range(len(labels)) if i not in validation], sorted(validation)


def _rows(path: Path, problems: _Problems) -> Iterator[tuple[int, Json]]:
    """(line number, object) of every usable line; the rest go to `problems`."""
    try:
        size, opened = path.stat().st_size, path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    with opened as file:
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {size:,} bytes is more than the {MAX_FILE_BYTES:,} that is read; split the file")
        for number in range(1, MAX_FILE_BYTES):
            raw = file.readline(MAX_LINE_BYTES + 1)
            if not raw:
                return
            if len(raw) > MAX_LINE_BYTES:
                problems.add(number, 1, f"the line is longer than {MAX_LINE_BYTES:,} bytes; is this JSON Lines?")
                problems.raise_any()
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            row = _parse(raw, number, problems)
            if row is not None:
                yield number, row


def _parse(raw: bytes, number: int, problems: _Problems) -> Json | None:
    if not raw.strip():
        return None
    try:
        text = raw.decode("utf-8").rstrip("\r\n")  # the column of what is missing counts from the last newline
    except UnicodeDecodeError as error:
        problems.add(number, error.start + 1, f"not UTF-8 (byte 0x{raw[error.start]:02x}); save the file as UTF-8")
        return None
    try:
        row = parse_json(text)
    except json.JSONDecodeError as error:
        problems.add(number, error.colno, f"not JSON: {error.msg}; write one JSON object a line")
        return None
    except ValueError as error:
        problems.add(number, 1, f"not usable JSON: {error}")
        return None
    if not isinstance(row, dict):
        problems.add(number, 1, f"a {type(row).__name__}, not an object; write one JSON object a line")
        return None
    return row


def _explain(problem: str, row: Json, task: Task) -> str:
    """Adds what the label should have been to a schema message about a label."""
    field = task.label_field
    if not field or not problem.startswith(f"{field}: "):
        return problem
    near = [label for label in task.labels if _loose(label) == _loose(row.get(field))]
    return f"{problem} (did you mean '{near[0]}'?)" if near else f"{problem}; labels are {', '.join(task.labels)}"


def _loose(label: object) -> str:
    """A label without what is easily mistyped: case, white space, '-' for '_'."""
    return re.sub(r"[\s_-]+", "", str(label).casefold())
