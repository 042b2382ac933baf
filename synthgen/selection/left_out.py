"""Counts, and says in words, which accepted samples a student was not trained on.

Knows no student and no file: who leaves samples out counts them by the reasons below.
"""

from collections.abc import Mapping

from synthgen.records import Json

NO_SPAN, NO_WEIGHT, NOT_SELECTED, VALIDATION = "no_span", "no_weight", "not_selected", "validation"
REASONS = {
    NO_SPAN: "have a target that does not stand in their input word for word",
    NO_WEIGHT: "have no weight",
    NOT_SELECTED: "were not selected, or people said that they are no samples",
    VALIDATION: "are held out in the validation file",
}
"""Reason code to words, which stand behind a number of samples."""


def counted(**reasons: int) -> dict[str, int]:
    """Return the reasons that left any sample out, and how many."""
    return {reason: count for reason, count in reasons.items() if count}


def sentence(student: Json | None) -> str | None:
    """Return `42 of 60 accepted samples: 38 have ..., 4 are ...`; None where only the validation file has some.

    `student` are a student's metrics, from which older versions left these counts out.
    """
    left: Mapping[str, int] = (student or {}).get("left_out") or {}
    if not student or not left.keys() - {VALIDATION}:
        return None
    total = sum(left.values()) + student["synthetic_rows"]
    parts = ", ".join(f"{count:,} {REASONS.get(reason, reason)}" for reason, count in left.items())
    return f"{sum(left.values()):,} of {total:,} accepted samples: {parts}"
