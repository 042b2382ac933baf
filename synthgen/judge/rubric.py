"""Check candidates with the rubric judge: the panel grades them, and the gate turns the grades into a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.judge.canaries import Canaries
from synthgen.judge.grader import Grades, Panel
from synthgen.judge.panel import Gate
from synthgen.records import ONLY_THOUGHT, TOO_LONG, UNSCORED, Candidate, CheckSpec, Json, Reason, Sample, Verdict


@dataclass
class RubricConfig:
    enabled: bool = True
    """Grade each criterion of the task's rubric from 1 to 5."""
    threshold: float = 1.5
    """Minimum mean grade, from 1 to 5. It need not be a whole number, because grades are expected values. Calibration
    replaces it by its own threshold."""
    after_label: bool = True
    """Ask about several criteria in the label check's conversation, so that the engine processes examples and text only
    once; false starts a separate conversation. A rubric with one criterion always has a separate one."""
    ask_untrusted: bool = False
    """Ask about candidates even when the judge is off, because calibration did not trust it or because it accepted every
    canary that it must reject. This costs tokens and records grades for inspection, which decide nothing."""

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= 5:
            raise ConfigError(f"judge.rubric.threshold: must be from 1 to 5, got {self.threshold}")


class RubricCheck:
    """Reject candidates that the gate does not accept.

    Criteria that compare a candidate with the samples of its prompt, except the one that it rewrites, are asked about
    where it has any; `find` returns a sample by its id. The check passes everything without a score when the gate is
    not binding, or when the judge accepted every bad canary of this round. The judge is then asked only if
    `ask_untrusted` is set.
    """

    spec = CheckSpec(
        "rubric",
        "The mean grade of the sample over the task's criteria is high enough.",
        (Reason("rubric", "rated too low by the judge", "judge.rubric.threshold"), UNSCORED, TOO_LONG, ONLY_THOUGHT),
        "mean grade, 1 to 5",
    )
    name = spec.name

    def __init__(self, panel: Panel, gate: Gate, find: Callable[[str], Sample], ask_untrusted: bool = False) -> None:
        self.gate = gate
        self._ask_untrusted = ask_untrusted
        self.canaries: Canaries | None = None
        self._panel = panel
        self._find = find

    async def __call__(self, candidate: Candidate) -> Verdict:
        binding = self.gate.binding
        if binding and self.canaries is not None:
            binding = not await self.canaries.fooled(candidate.slot)
        if not (binding or self._ask_untrusted):
            return Verdict(check=self.name)
        parents = [self._find(parent).data for parent in candidate.demonstrations] if self._panel.compares else []
        if not self._panel.criteria(parents):
            return Verdict(check=self.name)
        opinion = await self._panel.ask(f"{candidate.slot}.{candidate.item}", candidate.data or {}, parents)
        means = self._panel.means(opinion, parents)
        details = _details(opinion, means)
        score = self.gate.score(means)
        if not binding:
            return Verdict(check=self.name, details=details)
        if score is None:
            reason = self._panel.unanswered(candidate.slot, candidate.item)
            return Verdict(check=self.name, outcome="unscored", reason=reason, details=details)
        if score < self.gate.threshold:
            return Verdict(check=self.name, outcome="reject", reason="rubric", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)


def _details(opinion: Mapping[str, Grades], means: Mapping[str, float | None]) -> Json:
    """Return the mean grade of each criterion over all judges; with several judges, also the mean grade of each judge."""
    by_criterion: dict[str, list[float]] = {}
    for grades in opinion.values():
        for criterion, grade in grades.items():
            by_criterion.setdefault(criterion, []).append(grade)
    details: Json = {name: round(sum(found) / len(found), 3) for name, found in by_criterion.items()}
    if len(means) > 1:
        details["members"] = {name: round(mean, 3) for name, mean in means.items() if mean is not None}
    return details
