"""The rubric judge's check: the panel's grades, made into a verdict by the gate."""

from collections.abc import Mapping
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.judge.asking import UNSCORED
from synthgen.judge.canaries import Canaries
from synthgen.judge.grader import Grades, Panel
from synthgen.judge.panel import Gate
from synthgen.records import TOO_LONG, Candidate, CheckSpec, Json, Reason, Verdict


@dataclass
class RubricConfig:
    enabled: bool = True
    """Grade each of the task's rubric criteria from 1 to 5."""
    threshold: float = 1.5
    """Least mean grade (an expectation, so any number from 1 to 5); calibration chooses one of its own."""
    after_label: bool = True
    """Ask for several criteria in the label check's conversation, so that the engine reads examples and text once for
    all; else apart. A rubric's only criterion is asked for apart, ahead of the sample."""
    ask_untrusted: bool = False
    """Ask about candidates although calibration took the gate away, or the judge passed all canaries that it must reject:
    grades to look at, for tokens that decide nothing."""

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= 5:
            raise ConfigError(f"judge.rubric.threshold: must be from 1 to 5, got {self.threshold}")


class RubricCheck:
    """Rejects what the gate does not let pass. A gate that does not bind, or whose judge falls for this round's canaries,
    passes everything and gives no score, and nobody is asked then unless `ask_untrusted` is set."""

    spec = CheckSpec(
        "rubric",
        "A sample whose mean grade over the task's criteria is high enough.",
        (Reason("rubric", "rated too low by the judge", "judge.rubric.threshold"), UNSCORED, TOO_LONG),
        "mean grade, 1 to 5",
    )
    name = spec.name

    def __init__(self, panel: Panel, gate: Gate, ask_untrusted: bool = False) -> None:
        self.gate = gate
        self._ask_untrusted = ask_untrusted
        self.canaries: Canaries | None = None
        self._panel = panel

    async def __call__(self, candidate: Candidate) -> Verdict:
        binding = self.gate.binding
        if binding and self.canaries is not None:
            binding = not await self.canaries.fooled(candidate.slot)
        if not (binding or self._ask_untrusted):
            return Verdict(check=self.name)
        opinion = await self._panel.ask(f"{candidate.slot}.{candidate.item}", candidate.data or {})
        means = self._panel.means(opinion)
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
    """Return each criterion's grade over all judges, and with several judges also each judge's grades."""
    by_criterion: dict[str, list[float]] = {}
    for grades in opinion.values():
        for criterion, grade in grades.items():
            by_criterion.setdefault(criterion, []).append(grade)
    details: Json = {name: round(sum(found) / len(found), 3) for name, found in by_criterion.items()}
    if len(means) > 1:
        details["members"] = {name: round(mean, 3) for name, mean in means.items() if mean is not None}
    return details
