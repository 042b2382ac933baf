"""Write a prompt and two answers. A judge compares the answers in both orders and chooses the better one."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from synthgen.errors import ConfigError
from synthgen.generate.faults import CONTRADICTED, SHARE, TIE
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting, compact
from synthgen.generate.settings import check_shown
from synthgen.generate.steps import barred, refuse_labels, refuse_missing, taken, turns, usable
from synthgen.generate.strategy import Asking, Requests
from synthgen.records import FAULT, UNSCORED, Completion, Grammar, Json, Message, PlannedSlot, Request, Sample
from synthgen.tasks.normal import comparable

_ANSWER = "answer"
"""Name of both answers in prompts. The names of the fields would tell the judge which one should win."""


@dataclass
class PreferConfig:
    demonstrations: int = 3
    """Number of samples shown in the prompts of the prompt and of its answers."""
    temperatures: list[float] = field(default_factory=lambda: [0.3, 1.2])
    """Sampling temperatures of the two answers."""
    models: list[str] = field(default_factory=list)
    """Names of two models of engine.models that write one answer each; empty for the model that writes the prompt."""
    chosen: str | None = None
    """Field of the better answer; null for the field of the task's check `prefers`, or else the first target field."""
    rejected: str = "rejected"
    """Field of the worse answer. The task's check `prefers` decides instead where `chosen` is null."""
    margin: float = 0.05
    """Least distance of the probability that an answer is better, the mean of both orders, from 0.5."""

    def __post_init__(self) -> None:
        check_shown("generate.prefer", self.demonstrations, 0)
        if len(self.temperatures) != 2 or not all(0 <= one <= 5 for one in self.temperatures):
            raise ConfigError(
                f"generate.prefer.temperatures: must be two numbers from 0 to 5, such as [0.3, 1.2], got {self.temperatures}"
            )
        if len(self.models) not in (0, 2):
            raise ConfigError(f"generate.prefer.models: name two models of engine.models, got {self.models}")
        if not 0 <= self.margin < 0.5:
            raise ConfigError(f"generate.prefer.margin: must be from 0 to below 0.5, got {self.margin}")


class PairJudge(Protocol):
    """Ask which of two samples is better."""

    grammar: Grammar

    def messages(self, first: Json, second: Json) -> tuple[Message, ...]: ...

    def first_wins(self, completion: Completion) -> float | None:
        """Return the probability that the first is better; None where the answer cannot be read."""
        ...


class Prefer:
    """Ask for a prompt, for two answers at once, and for a comparison in both orders at once."""

    name = "prefer"

    def __init__(self, cfg: PreferConfig, prompting: Prompting, pairs: PairJudge, models: Sequence[str] = ()) -> None:
        task = prompting.task
        refuse_labels(self.name, task)
        declared: Json = next((dict(one) for one in task.checks if dict(one).get("kind") == "prefers"), {})
        self._chosen, self._rejected = cfg.chosen or task.target[0], cfg.rejected
        if cfg.chosen is None and declared:
            self._chosen, self._rejected = declared["field"], declared["over"]
        refuse_missing("generate.prefer.chosen", [self._chosen], task)
        refuse_missing("generate.prefer.rejected", [self._rejected], task)
        for name in cfg.models:
            if name not in models:
                raise ConfigError(
                    f"generate.prefer.models: '{name}' is not a model of engine.models; they are "
                    f"{', '.join(models) or 'not set'}"
                )
        self._asked = tuple(name for name in task.free_fields if name not in (self._chosen, self._rejected))
        if not self._asked:
            raise ConfigError(f"generate.strategies.prefer: task '{task.name}' has no field besides the two answers")
        self._cfg = cfg
        self._prompting = prompting
        self._pairs = pairs
        self._prompt = prompting.part(prompting.schema_of(self._asked))
        answer = prompting.task.schema["properties"][self._chosen]
        self._reply = prompting.part(
            {"type": "object", "properties": {_ANSWER: answer}, "required": [_ANSWER], "additionalProperties": False}
        )
        self.grammars = (self._prompt.grammar, self._reply.grammar, pairs.grammar)
        self.requests = Requests(5, 5)

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self._cfg.demonstrations, group.label, group.horizon)
        return self._prompting.slots(group, self.name, shown)

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        prompting = self._prompting
        reply: Completion = yield self._prompt.request(
            planned, "prompt", self._prompt_prompt(shown), barred(prompting, prompting.task, shown)
        )
        prompt = usable(self._prompt, reply)
        if prompt is None:
            return [prompting.candidate(planned, shown, None, reply, template=self.name)]
        replies: tuple[Completion, ...] = yield self._answer_requests(planned, prompt, shown)
        answers = [usable(self._reply, each) for each in replies]
        for answer, each in zip(answers, replies, strict=True):
            if answer is None:
                return [prompting.candidate(planned, shown, None, each, template=self.name)]
        first, second = (str((answer or {})[_ANSWER]) for answer in answers)
        given: Json = {"temperatures": self._cfg.temperatures, "models": self._cfg.models}
        probability = 0.5
        if comparable(first) == comparable(second):
            given[FAULT] = TIE.code
        else:
            judged: tuple[Completion, ...] = yield self._comparisons(planned, prompt, first, second)
            probability, fault = self._decided(judged)
            given |= {FAULT: fault} if fault else {}
        better = max(probability, 1 - probability)
        given |= {"better": 0 if probability >= 0.5 else 1, SHARE: better}
        chosen, rejected = (first, second) if probability >= 0.5 else (second, first)
        data = taken({**prompt, self._chosen: chosen, self._rejected: rejected}, prompting.task.free_fields)
        return [prompting.candidate(planned, shown, data, given=given, template=self.name, quality=better)]

    def _answer_requests(self, planned: PlannedSlot, prompt: Json, shown: Sequence[Sample]) -> tuple[Request, ...]:
        messages = self._answer_prompt(prompt, shown)
        models: Sequence[str | None] = self._cfg.models or [None, None]
        return tuple(
            self._reply.request(planned, f"answer{number}", messages, temperature=temperature).model_copy(
                update={"model": model}
            )
            for number, (temperature, model) in enumerate(zip(self._cfg.temperatures, models, strict=True))
        )

    def _comparisons(self, planned: PlannedSlot, prompt: Json, first: str, second: str) -> tuple[Request, ...]:
        a, b = {**prompt, _ANSWER: first}, {**prompt, _ANSWER: second}
        asked = {"forward": self._pairs.messages(a, b), "backward": self._pairs.messages(b, a)}
        return tuple(
            self._prompting.step(
                planned, f"compare-{order}", messages, self._pairs.grammar, temperature=0.0, max_tokens=1, logprobs=5
            ).model_copy(update={"thinking": False})
            for order, messages in asked.items()
        )

    def _decided(self, judged: Sequence[Completion]) -> tuple[float, str | None]:
        """Return the probability that the first answer is better, and the reason to reject the pair, if there is one."""
        forward, backward = (self._pairs.first_wins(each) for each in judged)
        if forward is None or backward is None:
            return 0.5, UNSCORED.code
        probability = (forward + 1 - backward) / 2
        if abs(probability - 0.5) < self._cfg.margin:
            same = (forward > 0.5) == (backward < 0.5)
            return probability, TIE.code if same else CONTRADICTED.code
        if (forward > 0.5) != (backward < 0.5):
            return probability, CONTRADICTED.code
        return probability, None

    def _prompt_prompt(self, shown: Sequence[Sample]) -> list[Message]:
        ask = self._render("ask")
        return [
            Message(role="system", content=self._render("system")),
            *turns(*((ask, compact(taken(sample.data, self._asked))) for sample in shown)),
            Message(role="user", content=ask),
        ]

    def _answer_prompt(self, prompt: Json, shown: Sequence[Sample]) -> list[Message]:
        answered = (
            (self._answer(taken(sample.data, self._asked)), compact({_ANSWER: sample.data[self._chosen]}))
            for sample in shown
        )
        return [
            Message(role="system", content=self._render("answer_system")),
            *turns(*answered),
            Message(role="user", content=self._answer(prompt)),
        ]

    def _answer(self, prompt: Json) -> str:
        return self._render("answer", prompt=prompt)

    def _render(self, block: str, **variables: object) -> str:
        return self._prompting.prompts.render(self.name, block, task=self._prompting.task, **variables)
