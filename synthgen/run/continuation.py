"""Return the command that continues a stopped run, with the overrides that raise the budget or turn the rule off."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from synthgen.run.budget import BudgetConfig

_OF_THE_TASK = ("texts", "templates")
"""Stop rules whose cure changes the task, so that the run can only be continued as a fork."""


def continuation_overrides(cfg: BudgetConfig, reason: str, budget_usd: float | None = None) -> list[str]:
    """Return overrides with which a run that `reason` stopped can continue: a doubled budget, or no such rule.

    `budget_usd` is the engine's budget in US dollars.
    """
    if reason == "budget_usd" and budget_usd is not None:
        return [f"engine.budget_usd={2 * budget_usd:g}"]
    if reason == "texts":
        return ["task.texts=MORE_TEXTS"]
    if reason == "templates":
        return ["task.templates.slots.SLOT=[MORE_VALUES]"]
    if reason == "unfilled_labels" and cfg.label_attempts is not None:
        return [f"budget.label_attempts={2 * cfg.label_attempts}"]
    if reason in ("candidates", "output_tokens", "minutes", "idle_minutes"):
        return [f"budget.{reason}={2 * getattr(cfg, reason)}"]
    if reason == "canaries":
        return ["judge.canaries.stop=false"]
    if reason in ("collapse", "drift"):
        return ["diversity.alarms.stop=false"]
    off = {"until": "null", "min_acceptance": "0", "max_similarity": "1"}
    return [f"budget.{reason}={off[reason]}"] if reason in off else []


def resume_command(
    folder: Path, cfg: BudgetConfig, reason: str, budget_usd: float | None = None, more: Sequence[str] = ()
) -> str:
    """Return the command, for the working directory, that continues the run in `folder` after `reason` stopped it.

    `budget_usd` is the engine's budget in US dollars, and `more` further arguments. A run that has used all its texts
    or templates continues in a fork, because a resumed run refuses a changed task.
    """
    place = relative(folder)
    fork = fork_into(folder) if reason in _OF_THE_TASK else []
    return shlex.join(["synthgen", "resume", place, *continuation_overrides(cfg, reason, budget_usd), *more, *fork])


def fork_into(folder: Path) -> list[str]:
    """Return the arguments of `synthgen resume` that fork the run in `folder` into a new folder beside it."""
    return ["--fork", f"{relative(folder)}-2"]


def relative(folder: Path) -> str:
    """Return the shortest path of `folder`, relative to the working directory or absolute."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
