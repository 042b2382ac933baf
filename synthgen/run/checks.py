"""All checks that a run may have, in the order in which they are asked; reports and docs read their specs here."""

from functools import cache

from synthgen.diversity.near import NearDuplicate
from synthgen.diversity.off_task import OffTask
from synthgen.diversity.restated import Restated
from synthgen.filters.declared.base import spec_of
from synthgen.filters.declared.kinds import KINDS
from synthgen.filters.rules import EvalOverlap, ExactDuplicate, FormCheck, TextRules
from synthgen.judge.label import LabelCheck
from synthgen.judge.rubric import RubricCheck
from synthgen.labels.decide import LabelDecider
from synthgen.records import CheckSpec
from synthgen.run.budget import Surplus

SPECS: tuple[CheckSpec, ...] = (
    FormCheck.spec,
    TextRules.spec,
    *map(spec_of, KINDS),
    EvalOverlap.spec,
    ExactDuplicate.spec,
    NearDuplicate.spec,
    OffTask.spec,
    LabelCheck.spec,
    RubricCheck.spec,
    LabelDecider.spec,
    Restated.spec,
    Surplus.spec,
)


@cache
def reasons() -> dict[str, str]:
    """Return each reason's code and words; where checks share a code, the words of all."""
    found: dict[str, list[str]] = {}
    for reason in (reason for spec in SPECS for reason in spec.reasons):
        words = found.setdefault(reason.code, [])
        words += [reason.words] if reason.words not in words else []
    return {code: ", or ".join(words) for code, words in found.items()}


@cache
def threshold_key(check: str, reason: str) -> str | None:
    """Return the config key that a rejection's score was held against, where there is one."""
    keys = {(spec.name, each.code): each.threshold for spec in SPECS for each in spec.reasons}
    return keys.get((check, reason))


def words(check: str, reason: str) -> str | None:
    """Return why a check rejects for a reason, in plain words; None where it declares no such reason."""
    found = (each.words for spec in SPECS if spec.name == check for each in spec.reasons if each.code == reason)
    return next(found, None)
