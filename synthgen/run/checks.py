"""List all checks that a run may have, in the order in which they run.

A run's chain is built from these lists, and reports and docs read the specs from them. To add a check, add one line.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from synthgen.diversity.near import NearDuplicate
from synthgen.diversity.off_task import OffTask
from synthgen.diversity.pair import PairCheck
from synthgen.diversity.restated import Restated
from synthgen.filters.assigned import AssignedCheck
from synthgen.filters.declared.base import Stage, Tools, spec_of
from synthgen.filters.declared.kinds import KINDS, DeclaredChecks
from synthgen.filters.personal import PersonalData
from synthgen.filters.rewritten import Rewritten
from synthgen.filters.rules import EvalOverlap, ExactDuplicate, FiltersConfig, FormCheck, TextRules
from synthgen.generate.faults import ChainCheck
from synthgen.judge.judge import Judge
from synthgen.judge.label import LabelCheck
from synthgen.judge.labels import LabelsCheck
from synthgen.judge.rubric import RubricCheck
from synthgen.labels.decide import LabelDecider
from synthgen.records import Check, CheckSpec, Json, Sample
from synthgen.run.budget import StopRules, Surplus
from synthgen.run.corpus import Corpus
from synthgen.tasks.task import Task


@dataclass(frozen=True)
class RuleParts:
    """Hold the objects from which the checks without a model are built."""

    task: Task
    cfg: FiltersConfig
    schema: Json
    """The schema of what the model writes."""
    seeds: Sequence[Sample]
    eval_rows: Sequence[Json]
    declared: DeclaredChecks
    find: Callable[[str], Sample]
    """Return a sample by its id."""
    rewrites: bool = False
    """True where a strategy lets the model rewrite samples."""
    chains: bool = False
    """True where a strategy takes several requests a slot and may reject its own candidates."""


@dataclass(frozen=True)
class ChainParts:
    """Hold the other checks, or the objects from which they are built.

    A check that is switched off is missing from its list.
    """

    corpus: Corpus
    off_task: Sequence[OffTask]
    declared: DeclaredChecks
    tools: Tools
    judge: Judge
    deciders: Sequence[LabelDecider]
    restated: Sequence[Restated]
    pairs: Sequence[PairCheck]
    rules: StopRules


P = TypeVar("P")


@dataclass(frozen=True)
class CheckEntry(Generic[P]):
    """Hold the specs of one or more checks, and the function that builds the ones that a run has."""

    specs: Sequence[CheckSpec]
    make: Callable[[P], Iterable[Check]]


def _declared(stage: Stage) -> list[CheckSpec]:
    return [spec_of(kind) for kind in KINDS if kind.stage == stage]


RULES: tuple[CheckEntry[RuleParts], ...] = (
    CheckEntry([FormCheck.spec], lambda of: [FormCheck(of.task)]),
    CheckEntry([ChainCheck.spec], lambda of: [ChainCheck()] if of.chains else []),
    CheckEntry(
        [AssignedCheck.spec], lambda of: [AssignedCheck(of.task.assigned)] if of.task.assigned.needs_check else []
    ),
    CheckEntry(
        [TextRules.spec], lambda of: [TextRules(of.task, of.cfg, of.find, of.schema, [s.data for s in of.seeds])]
    ),
    CheckEntry(
        [PersonalData.spec], lambda of: [PersonalData(of.task, of.cfg)] if of.cfg.personal_data != "off" else []
    ),
    CheckEntry([Rewritten.spec], lambda of: [Rewritten(of.task, of.find)] if of.rewrites else []),
    CheckEntry(_declared("rules"), lambda of: of.declared.of("rules")),
    CheckEntry([EvalOverlap.spec], lambda of: [EvalOverlap(of.task, of.cfg, of.eval_rows)]),
)
"""The checks that need no model. They run first when a candidate arrives, the cheapest first."""
ARRIVING: tuple[CheckEntry[ChainParts], ...] = (
    CheckEntry([ExactDuplicate.spec], lambda of: [of.corpus.exact]),
    CheckEntry([PairCheck.spec], lambda of: of.pairs),
    CheckEntry([NearDuplicate.spec], lambda of: [of.corpus.near]),
    CheckEntry([OffTask.spec], lambda of: of.off_task),
    CheckEntry(_declared("embedding"), lambda of: of.declared.of("embedding", of.tools)),
    CheckEntry(_declared("sandbox"), lambda of: of.declared.of("sandbox")),
    CheckEntry([LabelCheck.spec, LabelsCheck.spec, RubricCheck.spec], lambda of: of.judge.checks),
    CheckEntry(_declared("judge"), lambda of: of.declared.of("judge", of.tools)),
)
"""The other checks that run when a candidate arrives."""
SETTLING: tuple[CheckEntry[ChainParts], ...] = (
    CheckEntry([LabelDecider.spec], lambda of: of.deciders),
    CheckEntry([PairCheck.spec], lambda of: of.pairs),
    CheckEntry([ExactDuplicate.spec], lambda of: [of.corpus.exact]),
    CheckEntry([NearDuplicate.spec], lambda of: [of.corpus.near]),
    CheckEntry([Restated.spec], lambda of: of.restated),
    CheckEntry([Surplus.spec], lambda of: [Surplus(of.rules)]),
)
"""The checks that run in slot order, on candidates that passed all others."""
_LISTED = [*(e.specs for e in RULES), *(e.specs for e in ARRIVING), *(e.specs for e in SETTLING)]
SPECS: tuple[CheckSpec, ...] = tuple({spec.name: spec for specs in _LISTED for spec in specs}.values())


def made(entries: Sequence[CheckEntry[P]], parts: P) -> list[Check]:
    """Return the checks of a list that a run has, in order."""
    return [check for entry in entries for check in entry.make(parts)]


@cache
def reasons() -> dict[str, str]:
    """Return the words of each reason by its code. Where several checks share a code, join the words of all."""
    found: dict[str, list[str]] = {}
    for reason in (reason for spec in SPECS for reason in spec.reasons):
        words = found.setdefault(reason.code, [])
        words += [reason.words] if reason.words not in words else []
    return {code: ", or ".join(words) for code, words in found.items()}


@cache
def threshold_key(check: str, reason: str) -> str | None:
    """Return the config key whose value a rejection's score was compared with, or None."""
    keys = {(spec.name, each.code): each.threshold for spec in SPECS for each in spec.reasons}
    return keys.get((check, reason))


def words(check: str, reason: str) -> str | None:
    """Return the plain words for a reason of a check; None where the check declares no such reason."""
    found = (each.words for spec in SPECS if spec.name == check for each in spec.reasons if each.code == reason)
    return next(found, None)
