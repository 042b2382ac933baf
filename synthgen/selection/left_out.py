"""Count the accepted samples that a student was not trained on, and put the counts into words.

Other modules leave samples out and count them by the reasons below.
"""

from collections.abc import Mapping

from synthgen.records import Json

NO_SPAN, NO_WEIGHT, NOT_SELECTED, VALIDATION = "no_span", "no_weight", "not_selected", "validation"
REASONS = {
    NO_SPAN: "have a target that does not occur verbatim in their input",
    NO_WEIGHT: "have no weight",
    NOT_SELECTED: "were not selected, or were marked by people as no samples of the task",
    VALIDATION: "are held out in the validation file",
}
"""Reason code to words that follow a number of samples."""


def counted(**reasons: int) -> dict[str, int]:
    """Return {reason: number} without the reasons that left out no sample."""
    return {reason: count for reason, count in reasons.items() if count}


def sentence(student: Json | None) -> str | None:
    """Return `42 of 60 accepted samples: 38 have ..., 4 are ...`, or None if only the validation file holds some out.

    `student` are a student's metrics. Metrics of older versions lack these counts.
    """
    left: Mapping[str, int] = (student or {}).get("left_out") or {}
    if not student or not left.keys() - {VALIDATION}:
        return None
    total = sum(left.values()) + student["synthetic_rows"]
    parts = ", ".join(f"{count:,} {REASONS.get(reason, reason)}" for reason, count in left.items())
    return f"{sum(left.values()):,} of {total:,} accepted samples: {parts}"
