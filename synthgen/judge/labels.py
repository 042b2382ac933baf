"""Check the labels of a sample that may have several: ask the judge about each label alone, with yes or no.

A wrong label and a missing one both teach a student something false, so the judge is asked about all labels of the task.
"""

import asyncio
from collections.abc import Mapping

from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions
from synthgen.judge.label import LabelConfig
from synthgen.judge.question import NO, YES, Answer, YesNo
from synthgen.judge.reading import calibrated
from synthgen.records import TOO_LONG, UNSCORED, Candidate, CheckSpec, Grammar, Json, Reason, Verdict
from synthgen.tasks.task import Task

TEMPLATE = "judge_label"
_DIGITS = 4
_NOTHING = "N/A"


class LabelsCheck:
    """Reject a sample when the judge is sure that one of its labels does not fit, or that another label fits."""

    spec = CheckSpec(
        "labels",
        "Each label of the sample fits its text, and no other label does: the model answers yes or no for each alone.",
        (
            Reason("label_wrong", "has a label that does not fit its text", "judge.label.sure"),
            Reason("label_missing", "lacks a label that fits its text", "judge.label.sure"),
            UNSCORED,
            TOO_LONG,
        ),
        "lowest probability, over all labels, that the sample is right about the label, 0 to 1",
    )
    name = spec.name

    def __init__(self, task: Task, cfg: LabelConfig, questions: Questions, prompts: Prompts, salt: int) -> None:
        self._task = task
        self._cfg = cfg
        self._yes_no = YesNo(task, prompts, questions, salt)
        self._asked = {label: question(prompts, task, label) for label in task.multi_labels}
        self._prior: asyncio.Task[dict[str, Answer]] | None = None

    @property
    def grammar(self) -> Grammar:
        return self._yes_no.grammar

    async def __call__(self, candidate: Candidate) -> Verdict:
        data, request = candidate.data or {}, f"{candidate.slot}.{candidate.item}/labels"
        own = set(self._task.labels_of(data))
        prior: Mapping[str, Answer] = await self._prior_answers() if self._cfg.calibrate else {}
        found = await self._ask(request, {name: data.get(name, "") for name in self._task.input})
        fits = {
            label: _calibrated(answer, prior.get(label)) for label, answer in found.items() if answer.yes is not None
        }
        right = {label: share if label in own else 1 - share for label, share in fits.items()}
        if not right:
            return Verdict(check=self.name, outcome="unscored", reason=self._yes_no.unanswered(request))
        worst = min(right, key=lambda label: right[label])
        details: Json = {
            "label": worst,
            "probabilities": {label: round(share, _DIGITS) for label, share in fits.items()},
        }
        score = right[worst]
        if 1 - score >= self._cfg.sure:
            reason = "label_wrong" if worst in own else "label_missing"
            return Verdict(check=self.name, outcome="reject", reason=reason, score=score, details=details)
        if len(fits) < len(found):
            reason = self._yes_no.unanswered(request)
            return Verdict(check=self.name, outcome="unscored", reason=reason, details=details)
        return Verdict(check=self.name, score=score, details=details)

    async def _ask(self, request: str, fields: Json) -> dict[str, Answer]:
        """Return for each label the answer to the question whether it fits."""
        asked = (
            self._yes_no.answer(f"{request}/{place}", text, fields) for place, text in enumerate(self._asked.values())
        )
        return dict(zip(self._asked, await asyncio.gather(*asked), strict=True))

    async def _prior_answers(self) -> Mapping[str, Answer]:
        """Return the answers about a text without content. The questions are asked once."""
        if self._prior is None:
            nothing = dict.fromkeys(self._task.input, _NOTHING)
            self._prior = asyncio.create_task(self._ask("-1/labels/prior", nothing))
            self._prior.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._prior)


def question(prompts: Prompts, task: Task, label: str) -> str:
    """Return the question about one label."""
    return prompts.render(TEMPLATE, "ask", task=task, label=label, meaning=task.multi_labels[label])


def _calibrated(answer: Answer, prior: Answer | None) -> float:
    """Return a probability of yes, divided by that for a text without content where both come from logprobs."""
    share = answer.yes or 0.0
    if prior is None or prior.yes is None or answer.is_counted or prior.is_counted:
        return share
    return calibrated({YES: share, NO: 1 - share}, {YES: prior.yes, NO: 1 - prior.yes})[YES]
