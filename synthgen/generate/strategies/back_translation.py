"""Rewrite the texts of samples by a translation into another language and back (Sennrich et al. 2016).

Only the input texts change. Other fields are kept, except those that quote the text: they are asked for anew.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from synthgen.errors import ConfigError
from synthgen.generate.copies import written_freely
from synthgen.generate.object_requests import ObjectRequest
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting, compact
from synthgen.generate.rewriting import SampleRewriter
from synthgen.generate.strategy import Asking
from synthgen.records import LANGUAGE, Candidate, Completion, Grammar, Json, Message, PlannedSlot, Request, Sample
from synthgen.tasks.task import Task

_QUOTING = ("spans", "offsets")
"""Kinds of declared checks on fields that quote a text."""


@dataclass
class BackTranslationConfig:
    languages: list[str] = field(default_factory=lambda: ["French", "German", "Spanish"])
    """Names of the languages that texts are translated into and back from; each slot draws one. The model must know
    them."""

    def __post_init__(self) -> None:
        if not self.languages or not all(language.strip() for language in self.languages):
            raise ConfigError("generate.back_translation.languages: name at least one language, such as [German]")


class BackTranslation:
    """Translate the input texts of a sample of the label asked for, and translate them back."""

    name = "back_translation"
    rewrites = True

    def __init__(self, cfg: BackTranslationConfig, prompting: Prompting) -> None:
        """Raise ConfigError for a task whose inputs cannot be translated and back."""
        self._task = task = prompting.task
        self._texts = [name for name in task.input if name in written_freely(task.free_schema)]
        if reason := _unfit(task, self._texts):
            raise ConfigError(f"generate.strategies.back_translation: {reason}; leave it out for task {task.name}")
        self._prompting = prompting
        self._rewriting = SampleRewriter(prompting, self.name)
        self._languages = tuple(dict.fromkeys(cfg.languages))
        # The other language may need more characters than the task allows.
        plain = {name: {"type": "string"} for name in self._texts}
        self._away = prompting.part({**prompting.schema_of(self._texts), "properties": plain})
        self._back = prompting.part(prompting.schema_of(self._texts))
        others = [name for name in task.free_fields if name not in self._texts]
        self._targets = prompting.part(prompting.schema_of(others)) if others and _quotes(task) else None
        """Asks for the fields that quote the texts; None where there are none."""

    @property
    def grammars(self) -> list[Grammar]:
        asked = [self._away, self._back, *([self._targets] if self._targets is not None else [])]
        return [*(part.grammar for part in asked), self._prompting.grammar]

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        parents = self._rewriting.draw(group, rng, pool)
        return self._rewriting.slots(group, parents, lambda _: {LANGUAGE: rng.choice(self._languages)})

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        if not shown:
            completion = yield self._prompting.request(planned, shown)
            return self._prompting.candidates(planned, completion, shown)
        (parent,) = shown
        fields = self._rewriting.fields(parent)
        texts = {name: text for name in self._texts if (text := fields.get(name, "")).strip()}
        completion = yield self._translation(planned, "away", texts)
        there = self._read(self._away, completion, texts)
        if there is None:
            return self._made(planned, shown, None, completion)
        completion = yield self._translation(planned, "back", there)
        back = self._read(self._back, completion, texts)
        if back is None or self._targets is None:
            return self._made(planned, shown, None if back is None else fields | back, completion)
        kept = {name: value for name, value in fields.items() if name not in texts}
        completion = yield self._annotation(planned, texts, kept, back)
        found = self._targets.read(completion)
        return self._made(planned, shown, None if found is None else back | found, completion)

    def _translation(self, planned: PlannedSlot, step: str, texts: Json) -> Request:
        asked = Message(role="user", content=compact(texts))
        part = self._away if step == "away" else self._back
        return part.request(planned, step, (self._system(step, planned), asked))

    def _annotation(self, planned: PlannedSlot, texts: Json, kept: Json, back: Json) -> Request:
        """Return the request for the other fields of a new text. It shows the parent's text and fields as an example."""
        assert self._targets is not None
        turns = (("user", texts), ("assistant", kept), ("user", back))
        messages = [Message(role=role, content=compact(value)) for role, value in turns]  # type: ignore[arg-type]
        return self._targets.request(planned, "targets", (self._system("targets", planned), *messages))

    def _system(self, block: str, planned: PlannedSlot) -> Message:
        language = planned.given[LANGUAGE]
        content = self._prompting.prompts.render(self.name, block, task=self._task, language=language)
        return Message(role="system", content=content)

    @staticmethod
    def _read(part: ObjectRequest, completion: Completion, texts: Json) -> Json | None:
        """Return the translation of each text; None where one is missing or empty."""
        found = part.read(completion) or {}
        read = {name: found.get(name) for name in texts}
        return read if all(isinstance(text, str) and text.strip() for text in read.values()) else None

    def _made(
        self, planned: PlannedSlot, shown: Sequence[Sample], data: Json | None, completion: Completion
    ) -> list[Candidate]:
        return [self._prompting.candidate(planned, shown, data, completion, template=self.name)]


def _quotes(task: Task) -> bool:
    return task.kind == "extraction" or any(check.get("kind") in _QUOTING for check in _declared(task))


def _declared(task: Task) -> list[Json]:
    return [check for check in task.checks if isinstance(check, dict)]


def _unfit(task: Task, texts: Sequence[str]) -> str:
    """Return why the input of a task cannot be translated and back; empty if it can."""
    if not texts:
        return "no input field is a text of its own"
    for check in _declared(task):
        fields = check.get("field")
        for name in texts:
            if name in (fields if isinstance(fields, list) else [fields]):
                if check.get("kind") == "code":
                    return f"the input field '{name}' is code"
                if check.get("kind") == "language" and str(check.get("language")) != task.language:
                    return f"the input field '{name}' is not in the task's language, {task.language}"
    return ""
