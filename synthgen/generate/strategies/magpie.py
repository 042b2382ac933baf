"""Let the model write the instruction itself, in an empty turn of the user, and then answer it.

Magpie: Xu et al. 2024 (arXiv 2406.08464). An instruct model that continues an empty turn of the user writes what users
ask. It needs no sample and no few-shot prompt. The instruction is free text, because a grammar would change what the
model expects of a user.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.sentences import whole_sentences
from synthgen.generate.steps import refuse_labels, refuse_missing, usable
from synthgen.generate.strategy import Asking, Requests
from synthgen.records import Completion, Json, Message, PlannedSlot, Sample

_CHARS_PER_TOKEN = 4
_QUOTES = " \t\n\"'“”‘’「」『』*"


@dataclass
class MagpieConfig:
    field: str | None = None
    """Field that the model writes in the turn of the user; null for the first input field of type string."""
    temperature: float = 1.0
    """Sampling temperature of the instruction. The answer is sampled as `generate` says."""
    system: bool = True
    """Begin with a system turn that describes the task. If false, the prompt is only the empty turn, as in the paper."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 5:
            raise ConfigError(f"generate.magpie.temperature: must be from 0 to 5, got {self.temperature}")


class Magpie:
    """Ask for the rest of an empty turn of the user, then for the answer."""

    name = "magpie"
    starts_without_seeds = True
    continues = True

    def __init__(self, cfg: MagpieConfig, prompting: Prompting) -> None:
        task = prompting.task
        refuse_labels(self.name, task)
        refuse_missing("generate.magpie.field", [cfg.field] if cfg.field else [], task)
        parts = prompting.schema["properties"]
        texts = [name for name in task.input if name in task.free_fields and parts[name].get("type") == "string"]
        if not (cfg.field or texts):
            raise ConfigError(
                f"generate.strategies.magpie: task '{task.name}' has no input field of type string that the model could "
                "write in a turn of the user; use another strategy, such as fewshot"
            )
        self._field = cfg.field or texts[0]
        self._empty = self._left_empty(prompting)
        answered = [name for name in task.free_fields if name != self._field and name not in self._empty]
        if not answered:
            raise ConfigError(f"generate.strategies.magpie: task '{task.name}' has no field for the answer")
        self._cfg = cfg
        self._prompting = prompting
        self._longest = parts[self._field].get("maxLength", prompting.limits.max_tokens * _CHARS_PER_TOKEN)
        self._answer = prompting.part(prompting.schema_of(answered))
        self.grammars = (self._answer.grammar,)
        self.requests = Requests(2, 2)

    def _left_empty(self, prompting: Prompting) -> Json:
        """Return the other input fields, which stay empty. Raise ConfigError where one must not be empty."""
        task = prompting.task
        required, empty = task.schema.get("required", ()), {}
        for name in task.input:
            if name == self._field or name not in task.free_fields:
                continue
            part = task.schema["properties"][name]
            if part.get("type") == "string" and not part.get("minLength"):
                empty[name] = ""
            elif name in required:
                raise ConfigError(
                    f"generate.strategies.magpie: task '{task.name}' needs the input field '{name}' besides "
                    f"'{self._field}', and one turn of the user holds one field; use another strategy, such as fewshot"
                )
        return empty

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:  # noqa: ARG002
        return self._prompting.slots(group, self.name, [])

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        prompting = self._prompting
        opening = [Message(role="user", content="")]
        if self._cfg.system:
            opening.insert(0, Message(role="system", content=self._render("system")))
        room = min(prompting.limits.max_tokens, 16 + self._longest // 2)
        reply: Completion = yield prompting.step(
            planned, "instruction", opening, None, temperature=self._cfg.temperature, max_tokens=room
        ).model_copy(update={"continues": True, "thinking": None})
        instruction = self._cleaned(reply)
        if not instruction:
            return [prompting.candidate(planned, shown, None, reply, template=self.name)]
        messages = [
            Message(role="system", content=self._render("answer_system")),
            Message(role="user", content=instruction),
        ]
        answer: Completion = yield self._answer.request(planned, "answer", messages)
        found = usable(self._answer, answer)
        if found is None:
            return [prompting.candidate(planned, shown, None, answer, template=self.name)]
        written = {**self._empty, self._field: instruction, **found}
        data = {name: written[name] for name in prompting.task.free_fields if name in written}
        return [prompting.candidate(planned, shown, data, template=self.name)]

    def _cleaned(self, reply: Completion) -> str:
        """Return the instruction without quotes around it, cut back to whole sentences where it is too long."""
        text = reply.text.strip(_QUOTES).split("\n\n")[0].strip(_QUOTES)
        cut = reply.finish_reason == "length" and text == reply.text.strip(_QUOTES)
        return whole_sentences(text[: self._longest]) if cut or len(text) > self._longest else text

    def _render(self, block: str) -> str:
        return self._prompting.prompts.render(self.name, block, task=self._prompting.task)
