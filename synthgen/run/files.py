"""Read the seed and eval rows of a task, and report the mistakes of both files together."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from synthgen.errors import InputError
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.prepare import Settings
from synthgen.run.cleaning import clean_seeds
from synthgen.tasks.seeds import Rows, check_disjoint, check_seeds, check_texts, read_samples
from synthgen.tasks.task import Task

T = TypeVar("T")


class TaskRows(NamedTuple):
    """Hold the rows of a task's files, and warnings about rows that are not allowed today."""

    seeds: Rows
    eval: Rows
    warnings: list[str]


def read_task_rows(task: Task, declared: DeclaredChecks, begun: bool, settings: Settings | None = None) -> TaskRows:
    """Read and check the seeds and the eval rows of a task. Raise InputError with the mistakes of both files.

    `settings`, where given, are the steps that clean the seeds first (`run.prepare`).

    If the run has `begun`, an earlier version may have accepted rows that are not allowed today: warn about these rows.
    """
    warnings: list[str] = []
    seeds, held_out = _together(partial(_seeds, task, declared, settings, warnings), partial(_held_out, task, declared))
    for rows in (seeds, held_out):
        rows[:] = map(declared.without_offsets, rows)
    try:
        _together(partial(check_texts, seeds, task), partial(check_disjoint, seeds, held_out, task))
    except InputError as error:
        if not begun:
            raise
        warnings.append(f"warning: {error}")
    return TaskRows(seeds, held_out, warnings)


def _seeds(task: Task, declared: DeclaredChecks, settings: Settings | None, said: list[str]) -> Rows:
    if task.seeds is None:
        return Rows()
    rows = read_samples(task.seeds, task, "seed", declared.problems, repeats=settings is not None)
    if settings is not None:
        rows = clean_seeds(rows, task, settings, said)
    check_seeds(rows, task)
    return rows


def _held_out(task: Task, declared: DeclaredChecks) -> Rows:
    return read_samples(task.eval, task, "eval", declared.problems) if task.eval else Rows()


def _together(*checks: Callable[[], T]) -> list[T]:
    """Return the results of all checks. Raise one InputError with the messages of those that fail."""
    results, said = [], []
    for check in checks:
        try:
            results.append(check())
        except InputError as error:
            said.append(str(error))
    if said:
        raise InputError("\n".join(said))
    return results
