"""Export samples to label to a file, and import answers from a file, in JSON Lines or a table."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.errors import InputError
from synthgen.labels.questions import Form
from synthgen.records import GOOD, Json, PersonAnswer
from synthgen.tasks.rows import Columns, Place, Problems, Row, Source, read_rows

ID, LABELS, ANSWER, ANNOTATOR = "id", "labels", "answer", "annotator"
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_DIGITS = 4
_LONGEST_NAME = 60
_TABLES = (".csv", ".tsv")

_SCHEMA: Json = {
    "type": "object",
    "properties": {
        ID: {"type": "string"},
        ANSWER: {"type": ["string", "null"]},
        ANNOTATOR: {"type": ["string", "null"]},
    },
}


def export_rows(chosen: Iterable[tuple[str, Json, Mapping[str, float]]], form: str) -> list[Json]:
    """Return one row for each (id, data, label probabilities): `id`, the sample's fields, `labels`.

    A table also has the empty columns `answer` and `annotator`, to be filled in. Raise InputError when the sample has a
    field with one of these names.
    """
    rows: list[Json] = []
    empty = {ANSWER: None, ANNOTATOR: None} if form == "csv" else {}
    for sample_id, data, shares in chosen:
        if clash := sorted({ID, LABELS, *empty} & data.keys()):
            raise InputError(
                f"--export: the task has a field '{clash[0]}', but the exported file uses that name for its own column; "
                "label in the terminal or with --web instead"
            )
        rounded = {label: round(share, _DIGITS) for label, share in shares.items()}
        rows.append({ID: sample_id, **data, LABELS: rounded, **empty})
    return rows


def check_annotator(name: str) -> str:
    """Return the name without surrounding spaces. Raise InputError when it is empty, too long or not printable."""
    name = name.strip()
    if problem := _wrong_name(name):
        raise InputError(f"--annotator: {problem}")
    return name


@dataclass(frozen=True)
class Imported:
    """Hold the answers of a file."""

    answers: list[PersonAnswer]
    empty: int
    """Number of rows of a table with an empty answer, which nobody has answered yet."""


def read_answers(
    source: Source, form: Form, accepted: Set[str], seeds: Set[str], annotator: str, now: float
) -> Imported:
    """Read the answers of a file. An answer without an annotator is attributed to `annotator`.

    In a table, `null` means "not a sample", and an empty cell means no answer yet. Raise InputError with
    `file:line:column`, cause and cure for every row that cannot be used.
    """
    table = isinstance(source, Path) and any(suffix.lower() in _TABLES for suffix in source.suffixes)
    problems = Problems(source, "answers")
    columns = Columns(_SCHEMA, frozenset([ID, ANSWER]), "drop")
    found: dict[tuple[str, str], tuple[PersonAnswer, Place]] = {}
    empty = 0
    for row in read_rows(source, columns, problems):
        answer = row.data.get(ANSWER)
        if table:
            answer = answer.strip() if isinstance(answer, str) else answer
            if answer == "":
                empty += 1
                continue
            if answer == "null" and answer not in form.labels:
                answer = None
        if wrong := _wrong(row, answer, form, accepted, seeds):
            problems.add(*wrong)
            continue
        name = str(row.data.get(ANNOTATOR) or annotator).strip()
        one = PersonAnswer(row.data[ID], name, answer, now)
        earlier, place = found.setdefault((one.sample_id, name), (one, row.place))
        if earlier != one:
            problems.add(row.place, f"{name} gives a different answer in {source}:{place[0]}; remove one of them")
    problems.raise_any()
    if not found and not empty:
        problems.stop(
            (1, 1),
            f'the file has no rows; write one object per line: {{"{ID}": ..., "{ANSWER}": ..., "{ANNOTATOR}": ...}}',
        )
    return Imported([answer for answer, _ in found.values()], empty)


def changed(new: Sequence[PersonAnswer], known: Iterable[PersonAnswer]) -> list[PersonAnswer]:
    """Return the answers of `new` that are not in `known`. The time of an answer is ignored."""
    there = {(answer.sample_id, answer.annotator): answer.answer for answer in known}
    missing = object()
    return [one for one in new if there.get((one.sample_id, one.annotator), missing) != one.answer]


def _wrong(row: Row, answer: Any, form: Form, accepted: Set[str], seeds: Set[str]) -> tuple[Place, str] | None:
    """Return the place and the message for the first problem of a row; None for a valid row."""
    sample_id, name = row.data.get(ID), row.data.get(ANNOTATOR)
    if not isinstance(sample_id, str) or not sample_id:
        return row.place, f"lacks the field '{ID}'; give the sample's id, as synthgen label --export writes it"
    at = row.find([ID], "")
    if sample_id in seeds:
        return at, f"{ID}: {sample_id[:60]} is a seed, whose label cannot be changed; remove the row"
    if sample_id not in accepted:
        return at, f"{ID}: this run accepted no sample {sample_id[:60]}; is the file from another run?"
    if ANSWER not in row.data:
        return row.place, f"lacks the field '{ANSWER}'; give {_answers(form)}"
    if answer is not None and answer not in (form.labels or (GOOD,)):
        near = [label for label in form.labels if label.casefold() == str(answer).casefold()]
        hint = f"did you mean '{near[0]}'?" if near else f"give {_answers(form)}"
        unlabelled = "" if form.labels else "the task has no labels; "
        return row.find([ANSWER], ""), f"{ANSWER}: {str(answer)[:60]!r} is not a valid answer; {unlabelled}{hint}"
    if name is not None and name != "" and (wrong := _wrong_name(name)):
        return row.find([ANNOTATOR], ""), f"{ANNOTATOR}: {wrong}"
    return None


def _answers(form: Form) -> str:
    return (
        f'one of {", ".join(form.labels)}, or null for "not a sample"'
        if form.labels
        else f'"{GOOD}", or null for "not a sample"'
    )


def _wrong_name(name: Any) -> str | None:
    if not isinstance(name, str) or not name.strip():
        return "give a name"
    if len(name) > _LONGEST_NAME or not name.isprintable():
        return f"give a name of at most {_LONGEST_NAME} printable characters"
    return None
