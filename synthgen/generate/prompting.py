"""Prompt with demonstrations: render them as turns of a chat, and parse replies into candidates.

Few-shot strategies share this module; each chooses for itself which samples to show. All requests with the same
demonstrations and label have exactly the same prompt, so that an engine with a prefix cache computes it once.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from synthgen.engines.grammar.schema import bounded_sample, sample_grammar
from synthgen.engines.prompts import Prompts
from synthgen.generate.copies import not_again, written_freely
from synthgen.generate.object_requests import ObjectRequest
from synthgen.generate.planner import Group
from synthgen.generate.sentences import Cut
from synthgen.generate.settings import PromptingConfig
from synthgen.records import (
    REWRITES,
    Candidate,
    Completion,
    Grammar,
    Json,
    Message,
    PlannedSlot,
    Request,
    Sample,
    Sampling,
    content_id,
    parse_json,
    to_json,
)
from synthgen.tasks.task import THINKING_FIELD, Task

ASSIGNED = "assigned"
"""Name of the template that says which values of assigned fields a slot asks for."""
_PRIORITY = 10  # lower than that of the judge's requests
_KEPT_PROMPTS = 64
_PromptKey = tuple[str | None, tuple[str, ...], str, str | None]
"""The label, the samples shown, the wish and the sample that is rewritten: everything that a prompt depends on."""
_Prompt = tuple[tuple[Message, ...], tuple[str, ...]]
"""The messages of a prompt, and the word sequences that its replies must not contain."""
# The grammar makes the model write compact JSON, so demonstrations must have the same form.
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class PromptLimit:
    """Hold the limit on the length of prompts."""

    room: int
    """Most tokens of a prompt."""
    count: Callable[[Sequence[Message]], int]
    """Returns the most tokens that the messages of a prompt may take."""


class Prompting:
    """Make the request of a slot from the samples that it shows, and parse the reply into candidates."""

    def __init__(
        self,
        task: Task,
        cfg: PromptingConfig,
        prompts: Prompts,
        seed: int,
        adapter: str | None = None,
        thinking: bool | None = None,
        thinking_tokens: int = 0,
    ) -> None:
        """Prepare the prompts of `task`. `thinking` and `thinking_tokens` are those of every request."""
        self._adapter = adapter
        self._thinking = thinking
        self.task = task
        self.limits = cfg
        self.prompts = prompts
        self._seed = seed
        self._hash = cache(prompts.hash)
        self.schema = bounded_sample(task.free_schema, cfg.items, cfg.max_tokens)
        self.grammar = sample_grammar(task.free_schema, cfg.items, cfg.max_tokens)
        self._sampling: Json = {
            "temperature": cfg.temperature,
            "top_p": cfg.top_p,
            "min_p": cfg.min_p,
            "max_tokens": cfg.max_tokens,
            "thinking_tokens": thinking_tokens,
        }
        self._prompted: dict[_PromptKey, _Prompt] = {}
        self._system, self._ask = cache(self._system_turn), cache(self._ask_turn)  # rendered once for each label
        self._free_texts = written_freely(task.free_schema)
        self._cut = Cut(self.schema) if cfg.whole_sentences else None
        self.fit: PromptLimit | None = None
        """The limit on prompts; None where the model's window is not known."""

    def foils(self, count: int) -> int:
        """Return how many seeds of other labels a prompt shows where the config sets `count`.

        Return 0 for a task without labels, and where one reply has several items.
        """
        return count if self.task.labels and self.limits.items == 1 else 0

    def slots(
        self, group: Group, strategy: str, shown: Sequence[Sample], given: Json | None = None, wish: str = ""
    ) -> list[PlannedSlot]:
        """Return the slots of a group whose prompt shows `shown` in this order. `strategy` is its strategy's name.

        `given` holds the strategy's other choices for the group. `wish` is passed on to `request`.
        """
        parents = tuple(sample.id for sample in self.fitting(group.label, shown, wish))
        return [
            PlannedSlot(
                slot=slot, group=group.number, label=group.label, strategy=strategy, parents=parents, given=given or {}
            )
            for slot in range(group.first, group.first + group.size)
        ]

    def fitting(self, label: str | None, shown: Sequence[Sample], wish: str = "") -> Sequence[Sample]:
        """Leave out the longest samples until the prompt fits, but keep at least one with the label asked for."""
        left, fit = list(shown), self.fit
        while fit is not None and len(left) > 1 and fit.count(self._prompt(label, left, wish)[0]) > fit.room:
            own = [sample for sample in left if sample.label == label]
            spare = left if len(own) != 1 else [sample for sample in left if sample is not own[0]]
            left.remove(max(spare, key=lambda sample: len(self.reply([sample]))))
        return left

    def request(self, planned: PlannedSlot, shown: Sequence[Sample], wish: str = "") -> Request:
        """Return the request of a slot. Slots that share a prompt reuse the rendered messages.

        `wish` is a sentence that follows the last turn of the prompt. The reply may copy words of the sample that the
        slot rewrites.
        """
        rewritten = planned.given.get(REWRITES)
        known = self._prompted.get((planned.label, planned.parents, wish, rewritten))
        messages, bad_words = self._prompt(planned.label, shown, wish, rewritten) if known is None else known
        sampling = Sampling(**self._sampling, seed=self._slot_seed(planned.slot), bad_words=bad_words)
        return self._request(f"{planned.slot}/generate", planned.group, messages, self.grammar, sampling)

    def part(self, schema: Json) -> ObjectRequest:
        """Return the part of a sample, or another object, that has this JSON Schema."""
        return ObjectRequest(schema, self.limits, self.step)

    def schema_of(self, fields: Sequence[str]) -> Json:
        """Return the JSON Schema of some fields of a sample."""
        schema = self.task.schema
        return {
            "type": "object",
            "properties": {name: schema["properties"][name] for name in fields},
            "required": [name for name in schema.get("required", []) if name in fields],
            "additionalProperties": False,
        }

    def step(
        self,
        planned: PlannedSlot,
        name: str,
        messages: Sequence[Message],
        grammar: Grammar | None,
        bad_words: tuple[str, ...] = (),
        **sampling: float | int | None,
    ) -> Request:
        """Return one request of a slot that has several. `name` is unique within the slot.

        Sampling is that of the config, except for the given parameters.
        """
        chosen = Sampling(
            **{**self._sampling, "seed": self._slot_seed(planned.slot, name), **sampling}, bad_words=bad_words
        )
        return self._request(f"{planned.slot}/generate-{name}", planned.group, tuple(messages), grammar, chosen)

    def _request(
        self, request_id: str, group: int, messages: tuple[Message, ...], grammar: Grammar | None, sampling: Sampling
    ) -> Request:
        return Request(
            id=request_id, messages=messages, grammar=grammar, sampling=sampling, priority=_PRIORITY,
            adapter=self._adapter, thinking=self._thinking, group=group,
        )  # fmt: skip

    def _prompt(
        self, label: str | None, shown: Sequence[Sample], wish: str = "", rewritten: str | None = None
    ) -> _Prompt:
        """Return the prompt that shows `shown` and asks for `label`. It is rendered once and cached."""
        prompt = label, tuple(sample.id for sample in shown), wish, rewritten
        known = self._prompted.get(prompt)
        if known is None:
            if wish:  # the slots of a group may have different wishes, and share everything else
                messages, bad = self._prompt(label, shown, rewritten=rewritten)
                known = _with_wish(messages, wish), bad
            else:
                words = self.limits.copied_words
                others = [sample for sample in shown if sample.id != rewritten]
                bad = not_again(others, self._free_texts, words) if words is not None else ()
                known = self.messages(label, shown), bad
            if len(self._prompted) >= _KEPT_PROMPTS:
                self._prompted.pop(next(iter(self._prompted)))
            self._prompted[prompt] = known
        return known

    def _slot_seed(self, slot: int, step: str = "") -> int:
        """Return a seed of 31 bits from a hash, which is faster than to seed a random number generator."""
        of = f"{self._seed}/slot/{slot}/{step}" if step else f"{self._seed}/slot/{slot}"
        digest = hashlib.blake2b(of.encode(), digest_size=4).digest()
        return int.from_bytes(digest) >> 1

    def candidates(self, planned: PlannedSlot, completion: Completion, shown: Sequence[Sample]) -> list[Candidate]:
        """Return the candidates in a reply. Where it is not the JSON asked for, return one candidate without data."""
        found = enumerate(self._parse(completion))
        return [self.candidate(planned, shown, data, completion, item=item) for item, data in found]

    def candidate(
        self,
        planned: PlannedSlot,
        shown: Sequence[Sample],
        data: Json | None,
        completion: Completion | None = None,
        given: Json | None = None,
        template: str = "generate",
        quality: float | None = None,
        item: int = 0,
    ) -> Candidate:
        """Return the candidate that has `data` in the fields that the generator writes.

        `data` is None where the reply, `completion`, could not be read. `given` is added to the slot's own. `template`
        names the prompt file, or is empty for a candidate without one.
        """
        if data is not None and completion is not None and self.task.takes_thinking and completion.thinking:
            data = {**data, THINKING_FIELD: completion.thinking}
        whole = None if data is None else self.task.labelled(data, planned.label)
        text = completion.text if completion is not None else to_json(whole or {})
        return Candidate(
            id=content_id(text if whole is None else whole),
            slot=planned.slot,
            item=item,
            text=text,
            data=whole,
            finish_reason="stop" if completion is None else completion.finish_reason,
            parents=planned.parents,
            depth=1 + max([sample.depth for sample in shown], default=0),
            strategy=planned.strategy,
            template=self._hash(template) if template else "",
            label=planned.label,
            given={**planned.given, **given} if given else planned.given,
            quality=quality,
        )

    def messages(self, label: str | None, shown: Sequence[Sample], wish: str = "") -> tuple[Message, ...]:
        """Return the messages of the prompt that shows `shown` and asks for `label`, with `wish` after its last turn."""
        items = self.limits.items
        messages = [self._system(label)]
        for start in range(0, len(shown), items):
            chosen = shown[start : start + items]
            messages += [
                self._ask(self._label_shown(chosen[0], label)),
                Message(role="assistant", content=self.reply(chosen)),
            ]
        whole = (*messages, self._ask(label))
        return _with_wish(whole, wish) if wish else whole

    def _system_turn(self, label: str | None) -> Message:
        return Message(role="system", content=self._render("system", label))

    def _ask_turn(self, label: str | None) -> Message:
        content = self._render("ask", label)
        if wanted := self.task.assigned.wishes.get(label or ""):
            content += "\n" + self.prompts.render(ASSIGNED, "ask", wanted=wanted)
        return Message(role="user", content=content)

    def _render(self, block: str, label: str | None) -> str:
        return self.prompts.render("generate", block, task=self.task, items=self.limits.items, label=label)

    def _label_shown(self, sample: Sample, asked: str | None) -> str | None:
        """Return the label or value that a demonstration seems to answer: the one that the prompt asks for, if the
        sample fits it."""
        return self.task.asked_of(sample.data, asked) if self.task.assign else sample.label

    def reply(self, samples: Sequence[Sample]) -> str:
        """Return the text of a reply that consists of `samples`. Their number must be the items of one reply."""
        free = self.task.free_fields
        replies = [{name: s.data[name] for name in free if name in s.data} for s in samples]
        return compact(replies[0] if self.limits.items == 1 else {"items": replies})

    def _parse(self, completion: Completion) -> Sequence[Json | None]:
        try:
            reply = parse_json(completion.text)
        except ValueError:
            return [None]
        found = [reply] if self.limits.items == 1 else reply.get("items") if isinstance(reply, dict) else None
        if not isinstance(found, list) or not found or not all(isinstance(data, dict) for data in found):
            return [None]
        return found if self._cut is None else [self._cut.back(data) for data in found]


def _with_wish(messages: tuple[Message, ...], wish: str) -> tuple[Message, ...]:
    """Return the messages with `wish` after the last turn."""
    *before, last = messages
    return (*before, Message(role=last.role, content=f"{last.content}\n{wish}"))
