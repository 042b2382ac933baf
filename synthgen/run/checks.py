"""List all checks that a run may have, in the order in which they run. Reports and docs read the specs from here."""

from functools import cache

from synthgen.diversity.near import NearDuplicate
from synthgen.diversity.off_task import OffTask
from synthgen.diversity.restated import Restated
from synthgen.filters.assigned import AssignedCheck
from synthgen.filters.declared.base import Stage, spec_of
from synthgen.filters.declared.kinds import KINDS
from synthgen.filters.rules import EvalOverlap, ExactDuplicate, FormCheck, TextRules
from synthgen.judge.label import LabelCheck
from synthgen.judge.labels import LabelsCheck
from synthgen.judge.rubric import RubricCheck
from synthgen.labels.decide import LabelDecider
from synthgen.records import CheckSpec
from synthgen.run.budget import Surplus


def _declared(stage: Stage) -> list[CheckSpec]:
    return [spec_of(kind) for kind in KINDS if kind.stage == stage]


SPECS: tuple[CheckSpec, ...] = (
    FormCheck.spec,
    AssignedCheck.spec,
    TextRules.spec,
    *_declared("rules"),
    EvalOverlap.spec,
    ExactDuplicate.spec,
    NearDuplicate.spec,
    OffTask.spec,
    *_declared("embedding"),
    *_declared("sandbox"),
    LabelCheck.spec,
    LabelsCheck.spec,
    RubricCheck.spec,
    *_declared("judge"),
    LabelDecider.spec,
    Restated.spec,
    Surplus.spec,
)


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
