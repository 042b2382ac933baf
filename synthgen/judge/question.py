"""Ask the judge a question about fields of a sample, which it answers with yes or no in one constrained token."""

from typing import NamedTuple

from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions
from synthgen.records import Json, Message, canonical
from synthgen.safety.fences import fence
from synthgen.tasks.task import Task

TEMPLATE = "judge_question"
YES, NO = "yes", "no"


class Answer(NamedTuple):
    """Hold the probability of yes; None where the reply cannot be read."""

    yes: float | None
    is_counted: bool
    """True where the reply has no logprobs. The probability is a share of a few votes, too coarse to calibrate."""


class YesNo:
    """Ask questions that yes or no answers. A question about the same fields gets the same prompt in every run."""

    grammar = choice((YES, NO))

    def __init__(self, task: Task, prompts: Prompts, questions: Questions, salt: int) -> None:
        self._task = task
        self._prompts = prompts
        self._questions = questions
        self._salt = salt
        self._head = Message(role="system", content=prompts.render(TEMPLATE, "system", task=task))

    async def ask(self, request_id: str, question: str, fields: Json) -> float | None:
        """Return the probability of yes; None when no answer can be read."""
        return (await self.answer(request_id, question, fields)).yes

    async def answer(self, request_id: str, question: str, fields: Json) -> "Answer":
        """Return the probability of yes, and whether it is a share of a few votes."""
        messages = (
            self._head,
            Message(role="user", content=ask_text(self._prompts, self._task, question, fields, self._salt)),
        )
        probabilities, completion = await self._questions.ask(request_id, messages, self.grammar, (YES, NO), 1)
        is_counted = completion is not None and bool(completion.text.strip()) and not completion.logprobs
        return Answer(None if probabilities is None else probabilities[YES], is_counted)

    def unanswered(self, request_id: str) -> str:
        """Return the reason why a question about a candidate has no answer. The id begins with its slot and item."""
        slot, _, item = request_id.partition("/")[0].partition(".")
        return self._questions.unanswered(int(slot), int(item))


def ask_text(prompts: Prompts, task: Task, question: str, fields: Json, salt: int) -> str:
    """Return the last message of a question."""
    mark = fence(canonical(fields), salt)
    return prompts.render(TEMPLATE, "ask", task=task, question=question, fields=fields, mark=mark)
