"""Read seed, eval and prediction rows and check them against the task. Report all problems of a file together.

`synthgen.tasks.rows` reads the rows from files.
"""

import difflib
import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Literal

from synthgen.errors import InputError
from synthgen.records import Json, canonical, content_id
from synthgen.safety.control_tokens import CONTROL_TOKEN
from synthgen.safety.untrusted import control_character
from synthgen.tasks.normal import comparable
from synthgen.tasks.prepared import origin_of, without_added
from synthgen.tasks.rows import Columns, Place, Problems, Row, Source, read_rows
from synthgen.tasks.rows.columns import fits
from synthgen.tasks.task import Task


class Rows(list[Json]):
    """Hold rows in file order, with the position of each row in its file.

    `origins` says of a row that `synthgen prepare` wrote where it came from, and under which licence.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []
        self.origins: list[Json] = []

    def add(self, data: Json, place: Place, origin: Json | None = None) -> None:
        self.append(data)
        self.places.append(place)
        self.origins.append(origin or {})


Path = tuple[str | int, ...]
Declared = Callable[[Json], Iterable[tuple[Path, str]]]
"""Function that returns the problems of a valid row that the task's declared checks find: place, cause and cure."""


def read_samples(
    source: Source,
    task: Task,
    what: Literal["seed", "eval"],
    declared: Declared = lambda _: (),
    repeats: bool = False,
) -> Rows:
    """Read rows that are whole samples of `task` and pass its `declared` checks.

    Seeds must not hold control tokens of chat templates, because seeds go into prompts. Eval rows never do, so they may
    hold control tokens. Eval rows may also be longer or shorter than generated samples; see `Task.held_out_faults`. The
    fields that `synthgen prepare` adds to rows are left out. If `repeats`, the same row may occur in the file twice.
    Raise InputError with `file:line:column`, cause and cure for every row that is not a valid sample.
    """
    others: Literal["refuse", "keep"] = "refuse" if task.schema.get("additionalProperties") is False else "keep"
    columns = Columns(task.schema, frozenset(task.schema.get("required", ())), others)
    faults = task.faults if what == "seed" else task.held_out_faults
    problems = Problems(source, what)
    rows = Rows()
    first_seen: dict[str, Place] = {}
    for row in read_rows(source, columns, problems):
        origin = origin_of(row.data, task.schema["properties"])
        row = row._replace(data=without_added(row.data, task.schema["properties"]))
        if found := faults(row.data):
            for path, text in found[:3]:
                problems.add(row.find(path, ""), explain(text, row.data, task, path))
            continue
        if against := list(islice(declared(row.data), 3)):
            for where, text in against:
                problems.add(row.find(where, ""), text)
            continue
        earlier = first_seen.setdefault(content_id(row.data), row.place)
        if earlier is not row.place and not repeats:
            problems.add(row.place, f"the same row as {source}:{earlier[0]}; remove one of them")
        elif what == "seed" and (token := control_token(row)):
            problems.add(*token)
        else:
            data = {name: row.data[name] for name in task.schema["properties"] if name in row.data}
            rows.add(data, row.place, origin)
    return _some(rows, problems)


def length_hint(rows: Sequence[Json], source: Source | None, task: Task) -> str | None:
    """Return a hint with the number of eval rows that the generator could not have written; None if there are none."""
    outside = sum(not task.validator.is_valid(row) for row in rows)
    if not outside:
        return None
    return (
        f"hint: {source}: {outside} of {len(rows)} rows are outside the lengths or patterns that task.schema lets the "
        "generator write; they are used as they are"
    )


def read_inputs(source: Source, task: Task, optional: Sequence[str] = (), what: str = "input") -> Rows:
    """Read rows that hold at least the task's input fields with the right types. Drop other fields, except `optional`.

    The content, the length and the tokens of a text are not checked. Messages call the file a `what` file.
    Raise InputError with `file:line:column`, cause and cure for every row that lacks a field.
    """
    names = [*task.input, *optional]
    properties = {name: task.schema["properties"][name] for name in names}
    columns = Columns({**task.schema, "properties": properties}, frozenset(names), "drop")
    allowed = {name: columns.allowed(name) for name in names}
    problems = Problems(source, what)
    rows = Rows()
    for row in read_rows(source, columns, problems):
        whole = True
        for name, kinds in allowed.items():
            if name not in row.data:
                if name in optional:
                    continue
                problems.add(row.place, f"lacks the input field '{name}' of task {task.name}; add it")
                whole = False
            elif kinds is not None and not fits(row.data[name], kinds):
                problems.add(row.find([name], ""), f"{name}: not of type {' or '.join(sorted(kinds))}; write it as one")
                whole = False
        if whole:
            rows.add({name: row.data[name] for name in names if name in row.data}, row.place)
    return _some(rows, problems)


def check_seeds(seeds: Sequence[Json], task: Task) -> None:
    """Raise InputError if a label has no seed, because prompts for it would have no demonstrations."""
    have = {label for row in seeds for label in (task.labels_of(row) if task.multi_labels else [task.label_of(row)])}
    lacking = [label for label in (*task.labels, *task.multi_labels) if label not in have]
    if lacking:
        raise InputError(f"{task.seeds}: no seed for label {', '.join(lacking)}; write at least one for each label")


def check_texts(seeds: Rows, task: Task) -> None:
    """Raise InputError for seeds with control characters, and for one input with two labels.

    Control characters would get into prompts and datasets. From two labels for one input, nothing can be learnt.
    """
    problems = Problems(task.seeds, "seed")
    first: dict[str, tuple[str | None, Place]] = {}
    for row, place in zip(seeds, seeds.places, strict=True):
        if (char := control_character(row)) is not None:
            problems.add(place, f"holds the control character U+{ord(char):04X}; remove it")
        label = ", ".join(task.labels_of(row)) if task.multi_labels else task.label_of(row)
        earlier, where = first.setdefault(shown_input(row, task), (label, place))
        if earlier != label:
            cause = f"the input of {task.seeds}:{where[0]}, labelled '{earlier}' there and '{label}' here"
            problems.add(place, f"{cause}; remove one of them")
    problems.raise_any()


def check_disjoint(seeds: Rows, held_out: Rows, task: Task) -> None:
    """Raise InputError if an eval row has the same input as a seed, because its score would be meaningless."""
    known = {shown_input(row, task): place for row, place in zip(seeds, seeds.places, strict=True)}
    problems = Problems(task.eval, "eval")
    for row, place in zip(held_out, held_out.places, strict=True):
        if (seed := known.get(shown_input(row, task))) is not None:
            problems.add(
                place, f"the input is also that of {task.seeds}:{seed[0]}; take the row out of one of the files"
            )
    problems.raise_any()


def shown_input(row: Json, task: Task) -> str:
    """Return a row's input in the form in which rows are compared; see `comparable`."""
    return comparable(task.input_text(row))


def stratified_split(labels: Sequence[str | None], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split rows with these labels. Return the indices for training and for validation, `share` of the rows.

    Each label gives validation rows in proportion to its rows, by the largest remainder method. Rounding each label's
    share separately would give 0 rows for labels with few rows. A label never gives its last row. scikit-learn's
    `train_test_split` refuses a label with one row, and fewer validation rows than labels. Do not change which rows are
    chosen for the same arguments: an export of an older run must give the same files again, and its finished student
    was trained on these rows.
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


def _some(rows: Rows, problems: Problems) -> Rows:
    problems.raise_any()
    if not rows:
        problems.stop((1, 1), "no rows; write one JSON object a line, or what the end of the file's name says")
    return rows


def control_token(row: Row) -> tuple[Place, str] | None:
    """Return the place and the message for the first control token in a row, or None."""
    for name, value in row.data.items():
        if match := CONTROL_TOKEN.search(value if isinstance(value, str) else canonical(value)):
            token = match.group()
            cause = f"{name}: {token} is a control token of chat templates and would break the prompt"
            return row.find([name], token), f"{cause}; remove it, or put a space into it"
    return None


def explain(problem: str, row: Json, task: Task, path: Sequence[str | int]) -> str:
    """Add advice to a message of the schema validator about the value at `path` of a row."""
    value, schema = _at(row, task.schema, path)
    if (near := _nearest(value, schema.get("enum", []))) is not None:
        shown = f"'{near}'" if isinstance(near, str) else json.dumps(near)
        return f"{problem} (did you mean {shown}?)"
    if task.label_field and list(path) == [task.label_field]:
        return f"{problem}; labels are {', '.join(task.labels)}"
    return f"{problem}; change the row, or task.schema"


def _at(row: Json, schema: Json, path: Sequence[str | int]) -> tuple[Any, Json]:
    """Return the value at `path` of a row, and its schema; an empty schema where the path leads through other keywords."""
    value: Any = row
    for step in path:
        value = value[step]
        inner = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
        schema = inner if isinstance(inner, dict) else {}
    return value, schema


def _nearest(value: Any, choices: Sequence[Any]) -> Any | None:
    """Return the choice that a value was probably meant to be: equal apart from typing differences, or misspelt."""
    if not isinstance(value, str | int | float) or value in choices:
        return None
    by_form = {_loose(choice): choice for choice in reversed(choices) if isinstance(choice, str | int | float)}
    near = difflib.get_close_matches(_loose(value), by_form, n=1, cutoff=_CLOSE)
    return by_form[near[0]] if near else None


_CLOSE = 0.82
"""Least similarity of a misspelt value to a choice: one wrong letter of eight or more, or one too many of four or more."""


def _loose(label: object) -> str:
    """Return a label without common typing differences: case, white space, and '-' for '_'."""
    return re.sub(r"[\s_-]+", "", str(label).casefold())
