"""Check candidates for personal data: e-mail addresses, phone and card numbers, identity numbers."""

from collections import Counter

from synthgen.filters.rules import FiltersConfig
from synthgen.records import Candidate, CheckSpec, Reason, Verdict
from synthgen.safety.personal import find
from synthgen.tasks.task import Task


class PersonalData:
    """Count personal data of a fixed form. Reject a text that contains some if `filters.personal_data` is `reject`.

    A model may invent such data or repeat it from its training. The check cannot distinguish the two.
    """

    spec = CheckSpec(
        "personal_data",
        "The text holds no personal data of a fixed form; by default it is only counted.",
        (Reason("personal_data", "holds personal data, such as a phone number", "filters.personal_data"),),
        "number of pieces of personal data",
    )
    name = spec.name

    def __init__(self, task: Task, cfg: FiltersConfig) -> None:
        self._task, self._rejects = task, cfg.personal_data == "reject"
        self._nothing = Verdict(check=self.name, score=0.0)

    async def __call__(self, candidate: Candidate) -> Verdict:
        found = find(self._task.text(candidate.data or {}))
        if not found:
            return self._nothing
        details = {"kinds": dict(Counter(each.kind for each in found))}
        if self._rejects:
            return Verdict(self.name, "reject", "personal_data", score=float(len(found)), details=details)
        return Verdict(self.name, score=float(len(found)), details=details)
