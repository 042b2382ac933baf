"""Measure how much of an answer its input supports, and whether code in it passes its tests."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from synthgen.filters.declared import sandbox
from synthgen.filters.declared.kept import found_in
from synthgen.records import Json
from synthgen.student.metrics.base import Share
from synthgen.student.scores import Floats
from synthgen.student.turns import asked, conversation, read_target
from synthgen.tasks.task import Task, as_text

_AT_ONCE = 2
_LIMITS = sandbox.Limits(5.0, 256)


def supported(task: Task) -> Share:
    """Return the share of the names and numbers of the answers that occur in their inputs too."""

    def count(row: Json, answer: str) -> tuple[int, int]:
        return found_in(answer, "\n".join(turn.text for turn in asked(conversation(task, row))), ("names", "numbers"))

    return Share("supported", count)


@dataclass(frozen=True)
class Tested:
    """Name the fields with the code of a row and with its tests, as the check `code` of a task says."""

    code: tuple[str, ...]
    """Fields that make up the code, in order."""
    tests: str


def tested(task: Task) -> Tested | None:
    """Return the fields of code and tests; None if the task has no check of kind `code` with tests on a target."""
    for check in task.checks:
        if not isinstance(check, dict) or check.get("kind") != "code" or not check.get("tests"):
            continue
        fields = check.get("field")
        code = tuple(map(str, fields)) if isinstance(fields, list) else (str(fields),)
        names = {*code, str(check["tests"])}
        if set(code) & set(task.target) and names <= set(task.schema["properties"]):
            return Tested(code, str(check["tests"]))
    return None


class PassAt1:
    """Compute the share of answers whose code passes the tests of their row, in the sandbox.

    An answer that the sandbox could not run counts as not asked for.
    """

    name = "pass_at_1"
    width = 1

    def __init__(self, task: Task, parts: Tested) -> None:
        self._task = task
        self._parts = parts

    def measure(self, rows: Sequence[Json], answers: Sequence[str]) -> Floats:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return np.asarray([list(pool.map(self._passes, rows, answers))], dtype=float)

    def figure(self, stats: Floats) -> float:
        return float(stats[0].mean())

    def of_row(self, stats: Floats) -> float:
        return float(stats[0])

    def details(self, stats: Floats) -> Json:  # noqa: ARG002
        return {}

    def _passes(self, row: Json, answer: str) -> float:
        fields = {**row, **read_target(self._task, answer)}
        code = "".join(as_text(fields.get(name) or "") for name in self._parts.code)
        result = sandbox.executed(code, as_text(row.get(self._parts.tests) or ""), _LIMITS)
        return float("nan") if result.outcome == "no_sandbox" else float(result.outcome == "passed")
