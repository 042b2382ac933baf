"""Read rows that people rated, for calibrating a judge.

A row is a complete sample of the task with one more field, `rating`. It is "good", "bad", or grades from 1 to 5 for some
or all criteria of the task's rubric. Rated rows must not be eval rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from synthgen.errors import InputError
from synthgen.judge.calibration import LEAST_OF_EACH
from synthgen.judge.grader import own_criteria
from synthgen.records import Json, content_id, parse_json
from synthgen.tasks.rows import Columns, Place, Problems, Row, Source, read_rows
from synthgen.tasks.rows.columns import fits
from synthgen.tasks.seeds import control_token, explain, shown_input
from synthgen.tasks.task import Task

RATING = "rating"
_MIDDLE = 3


@dataclass(frozen=True)
class Rated:
    """Hold a sample and its rating by people. `good` is None for a mean grade of exactly 3."""

    id: str
    data: Json
    good: bool | None
    grades: dict[str, float]
    """Map each criterion to its grade; empty when the row has no grades."""

    def good_by(self, criterion: str) -> bool | None:
        """Tell whether the sample is good by one criterion: by the grade for it if there is one, else by `good`."""
        return _above_middle(self.grades[criterion]) if criterion in self.grades else self.good


def read_rated(source: Source, task: Task, eval_rows: Sequence[Json]) -> list[Rated]:
    """Read the rated rows of `source`, in order.

    Raise InputError with `file:line:column`, cause and cure for every row that cannot be used or that has the input of
    an eval row. Raise it also when fewer than LEAST_OF_EACH rows are good, or fewer are bad.
    """
    if RATING in task.schema["properties"]:
        raise InputError(f"judge.calibration: the task has a field '{RATING}' of its own; rename it in task.schema")
    columns = Columns(_with_rating(task), frozenset([*task.schema.get("required", ()), RATING]), "refuse")
    problems = Problems(source, "calibration")
    held_out = {shown_input(row, task) for row in eval_rows}
    first_seen: dict[str, Place] = {}
    found: list[Rated] = []
    for row in read_rows(source, columns, problems):
        if (rated := _rated(row, task, problems)) is None:
            continue
        earlier = first_seen.setdefault(rated.id, row.place)
        if earlier is not row.place:
            problems.add(row.place, f"repeats the sample of {source}:{earlier[0]}; remove one of them")
        elif shown_input(rated.data, task) in held_out:
            cure = "a judge must not be calibrated on eval rows; remove the row from one of the files"
            problems.add(row.place, f"a row of {task.eval} has the same input; {cure}")
        else:
            found.append(rated)
    problems.raise_any()
    if not enough(found):
        _too_few(source, found)
    return found


def enough(rated: Sequence[Rated]) -> bool:
    """Return True when there are LEAST_OF_EACH good rows and as many bad ones."""
    return min(sum(row.good is good for row in rated) for good in (True, False)) >= LEAST_OF_EACH


def _rated(row: Row, task: Task, problems: Problems) -> Rated | None:
    """Return the row as a sample with its rating. If it is not valid, report the problem and return None."""
    data = {name: row.data[name] for name in row.data if name != RATING}
    if faults := task.faults(data):
        for path, text in faults[:3]:
            problems.add(row.find(path, ""), explain(text, data, task, path))
        return None
    if (token := control_token(row)) is not None:
        problems.add(*token)
        return None
    rating = _read(row.data.get(RATING))
    if wrong := _wrong(rating, task):
        problems.add(row.find([RATING], "") if RATING in row.data else row.place, wrong)
        return None
    ordered = {name: data[name] for name in task.schema["properties"] if name in data}
    if isinstance(rating, str):
        return Rated(content_id(ordered), ordered, rating == "good", {})
    grades = {name: float(grade) for name, grade in rating.items()}
    return Rated(content_id(ordered), ordered, _above_middle(sum(grades.values()) / len(grades)), grades)


def _read(rating: Any) -> Any:
    """Return a rating. In a table, grades are written as JSON text and are parsed here."""
    if not isinstance(rating, str) or not rating.startswith("{"):
        return rating
    try:
        return parse_json(rating)
    except ValueError:
        return rating


def _wrong(rating: Any, task: Task) -> str | None:
    """Return a message about the fault of a rating; None for a valid one."""
    wanted = f'"good", "bad", or grades from 1 to 5 such as {{"{own_criteria(task)[0]}": 4}}'
    if rating is None:
        return f"lacks the field '{RATING}'; add it: {wanted}"
    if isinstance(rating, str):
        return None if rating in ("good", "bad") else f"{RATING}: '{rating[:60]}' is not {wanted}"
    if not isinstance(rating, dict) or not rating:
        return f"{RATING}: write {wanted}"
    for name, grade in rating.items():
        if name not in task.rubric:
            return f"{RATING}: '{name}' is not a criterion of task.rubric; it has {', '.join(task.rubric)}"
        if name in task.compared:
            return f"{RATING}: '{name}' compares a sample with those it was made after; leave its grade out"
        if not fits(grade, frozenset(["number"])) or not 1 <= grade <= 5:
            return f"{RATING}.{name}: {grade!r} is not a grade from 1 to 5"
    return None


def _above_middle(grade: float) -> bool | None:
    return None if grade == _MIDDLE else grade > _MIDDLE


def _with_rating(task: Task) -> Json:
    """Return the schema of a rated row. In a table, the rating is text or JSON."""
    rating = {"type": ["string", "object"]}
    return {**task.schema, "properties": {**task.schema["properties"], RATING: rating}}


def _too_few(source: Source, found: Sequence[Rated]) -> NoReturn:
    good, bad = (sum(row.good is kind for row in found) for kind in (True, False))
    raise InputError(
        f"{source}: {good} good and {bad} bad rows; calibrating a judge needs at least {LEAST_OF_EACH} of each, and "
        "about 30 of each for a useful result. Rate more samples, or leave judge.calibration out"
    )
