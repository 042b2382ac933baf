"""Hold the answers that another tool gives back, before they enter the ledger."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from synthgen.annotate.controls import NOT_A_SAMPLE
from synthgen.errors import InputError
from synthgen.records import GOOD, Json, canonical, parse_json

SAMPLE, GUIDE = "synthgen_id", "synthgen_guide"
"""Keys under which a tool keeps the id of a sample, and the hash of the guide in force."""


@dataclass(frozen=True)
class Answered:
    """Hold one person's answer from a tool."""

    where: str
    sample_id: str
    annotator: str
    answer: str | None
    """A label, GOOD, or None for "not a sample"."""
    data: Json | None
    """The sample as the person corrected it; None where nothing was changed."""
    at: float | None
    guide: str | None
    unfinished: str | None = None
    """Names the missing part of an unfinished answer, which is left out. None for a finished one."""


def begun(where: str, sample_id: str, annotator: str, missing: str) -> Answered:
    """Return an answer that a person has begun and not finished."""
    return Answered(where, sample_id, annotator, None, None, None, None, missing)


def of_unlabelled(
    where: str,
    sample_id: str,
    annotator: str,
    good: bool,
    before: Json,
    after: Json,
    at: float | None,
    guide: str | None,
) -> Answered:
    """Return the answer to a sample without a label: a correction where a good sample was changed.

    A list in another order is unchanged, because the tools do not keep the order.
    """
    same = {name for name, value in after.items() if _same(before.get(name), value)}
    after = {name: before[name] if name in same else value for name, value in after.items()}
    changed = good and after != before
    return Answered(where, sample_id, annotator, GOOD if good else None, after if changed else None, at, guide)


def of_label(
    where: str, sample_id: str, annotator: str, chosen: Any, before: Json, after: Json, at: float | None, guide: str | None
) -> Answered:  # fmt: skip
    """Return the answer to a sample with a label: a correction where the person changed the text of a good sample."""
    label = None if chosen == NOT_A_SAMPLE else str(chosen)
    changed = label is not None and after != before
    return Answered(where, sample_id, annotator, label, after if changed else None, at, guide)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return sorted(map(canonical, one)) == sorted(map(canonical, other))
    return bool(one == other)


def seconds(stamp: Any) -> float | None:
    """Return an ISO 8601 time in seconds since the epoch; None where there is none."""
    try:
        return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).timestamp() if stamp else None
    except ValueError:
        return None


def read_json_file(path: Path) -> Any:
    """Return the value of a JSON file. Raise InputError with the place of the fault."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the file that the tool exported") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); export it again as JSON") from error


def json_value(where: str, field: str, text: str, tool: str) -> Any:
    """Return the value of a field that people wrote as JSON in a tool. Raise InputError where it is no JSON."""
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"{where}: {field} is not JSON ({error}); correct it in {tool}") from error


def json_lines(path: str, text: str) -> Iterator[tuple[str, Json]]:
    """Yield the place and the object of each line. Raise InputError for a line that is not an object."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = parse_json(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error}); export it again as JSON Lines") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: not an object; export it again as JSON Lines")
        yield where, row


def shaped(where: str, value: Any, shape: Any) -> Any:
    """Return a value of a tool's file converted to the type `shape`.

    Raise InputError with its place if it has another type.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: cannot be read ({error}); export it again, and do not edit the file") from error


def guide_of(about: Json) -> str | None:
    """Return the hash of the guide under which a sample was pushed; None where there is none."""
    found = about.get(GUIDE)
    return found if found and isinstance(found, str) else None


def sample_of(where: str, found: Any, samples: Mapping[str, Any]) -> str:
    """Return the id of a row's sample. Raise InputError where it is missing, or of another run."""
    if not isinstance(found, str) or not found:
        raise InputError(
            f"{where}: lacks '{SAMPLE}'; import the files that synthgen review --to wrote, and export those"
        )
    if found not in samples:
        raise InputError(f"{where}: this run accepted no sample {found[:60]}; is the file from another run?")
    return found
