"""Check that a sample has the value that its slot asked for, where the generator writes the field."""

from synthgen.records import Candidate, CheckSpec, Reason, Verdict
from synthgen.tasks.assign import Assigned


class AssignedCheck:
    """Reject a sample without the value that was asked for, such as an entity of a type."""

    spec = CheckSpec(
        "assigned",
        "The text has the value that its slot asked for, such as an entity of a type.",
        (Reason("not_assigned", "lacks the value that it was asked for"),),
        keeps_passes=False,
    )
    name = spec.name

    def __init__(self, assigned: Assigned) -> None:
        self._assigned = assigned
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        wish = self._assigned.lacking(candidate.label, candidate.data or {})
        if wish is None:
            return self._passed
        details = {"wanted": wish.text, "in": wish.inside or wish.field}
        return Verdict(check=self.name, outcome="reject", reason="not_assigned", details=details)
