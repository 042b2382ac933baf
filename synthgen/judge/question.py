"""Ask the judge a question about fields of a sample, which it answers with yes or no in one constrained token."""

from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions, fence
from synthgen.records import Json, Message, canonical
from synthgen.tasks.task import Task

TEMPLATE = "judge_question"
YES, NO = "yes", "no"


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
        messages = (
            self._head,
            Message(role="user", content=ask_text(self._prompts, self._task, question, fields, self._salt)),
        )
        probabilities, _ = await self._questions.ask(request_id, messages, self.grammar, (YES, NO), 1)
        return None if probabilities is None else probabilities[YES]

    @property
    def counts_votes(self) -> bool:
        """Return True when the engine gives no logprobs, so that probabilities are shares of a few votes."""
        return self._questions.counts_votes

    def unanswered(self, request_id: str) -> str:
        """Return the reason why a question about a candidate has no answer. The id begins with its slot and item."""
        slot, _, item = request_id.partition("/")[0].partition(".")
        return self._questions.unanswered(int(slot), int(item))


def ask_text(prompts: Prompts, task: Task, question: str, fields: Json, salt: int) -> str:
    """Return the last message of a question."""
    mark = fence(canonical(fields), salt)
    return prompts.render(TEMPLATE, "ask", task=task, question=question, fields=fields, mark=mark)
