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
from synthgen.errors import ConfigError
from synthgen.generate.copies import not_again, written_freely
from synthgen.generate.planner import Group
from synthgen.generate.sentences import Cut
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
_GROUP, _LEAST_GROUP = 16, 4
_ROUND = 128  # number of requests within which every label should be asked for
_PRIORITY = 10  # lower than that of the judge's requests
_KEPT_PROMPTS = 64
_PromptKey = tuple[str | None, tuple[str, ...], str, str | None]
"""The label, the samples shown, the wish and the sample that is rewritten: everything that a prompt depends on."""
_Prompt = tuple[tuple[Message, ...], tuple[str, ...]]
"""The messages of a prompt, and the word sequences that its replies must not contain."""
# The grammar makes the model write compact JSON, so demonstrations must have the same form.
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass
class PromptingConfig:
    group: int | None = None
    """Most requests that share one prompt before other demonstrations are drawn. null means 16, or fewer (at least 4)
    when there are many labels. Groups are smaller in short runs and at the end of every run."""
    items: int = 1
    """Number of samples that one request asks for."""
    temperature: float = 0.8
    """Sampling temperature."""
    top_p: float = 1.0
    """Nucleus sampling (top-p). A value below 1 sorts the vocabulary for each token, which is slow on CPU."""
    min_p: float = 0.05
    """Never sample a token whose probability is below this share of the likeliest token's probability (min-p)."""
    max_tokens: int = 256
    """Most tokens of one reply."""
    whole_sentences: bool = True
    """If the last field of a reply fills its maximum length, cut its text back to the last complete sentence."""
    copied_words: int | None = 5
    """A reply must not copy this many words in a row from a demonstration; null for no limit. vLLM (also behind
    engine=openai) and engine=transformers prevent such copies during generation;
    with other engines a check rejects them afterwards."""
    adapter: str | None = None
    """Folder of a LoRA adapter for the generator, made by `synthgen adapt generator`. With engine=openai, the name
    under which the endpoints serve an adapter. null for the base model."""

    def __post_init__(self) -> None:
        for key in ("group", "items", "max_tokens"):
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise ConfigError(f"generate.{key}: must be 1 or more, got {getattr(self, key)}")
        if self.copied_words is not None and self.copied_words < 2:
            raise ConfigError(f"generate.copied_words: must be 2 or more, or null, got {self.copied_words}")
        if not 0 <= self.temperature <= 5:
            raise ConfigError(f"generate.temperature: must be from 0 to 5, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"generate.top_p: must be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.min_p < 1:
            raise ConfigError(f"generate.min_p: must be from 0 to below 1, got {self.min_p}")


def group_size(cfg: PromptingConfig, labels: int) -> int:
    """Return the most slots of a group, for a task with this number of labels."""
    return cfg.group or min(_GROUP, max(_LEAST_GROUP, _ROUND // max(1, labels)))


def check_shown(key: str, demonstrations: int, foils: int) -> None:
    """Raise ConfigError where the settings under `key` give an invalid number of samples to show."""
    if demonstrations < 1:
        raise ConfigError(f"{key}.demonstrations: must be 1 or more, got {demonstrations}")
    if foils < 0:
        raise ConfigError(f"{key}.foils: must be 0 or more, got {foils}")


@dataclass(frozen=True)
class Fit:
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
        self._cfg = cfg
        self.prompts = prompts
        self._seed = seed
        self._template = prompts.hash("generate")
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
        self.limits = cfg
        self._free_texts = written_freely(task.free_schema)
        self._cut = Cut(self.schema) if cfg.whole_sentences else None
        self.fit: Fit | None = None
        """The limit on prompts; None where the model's window is not known."""

    def foils(self, count: int) -> int:
        """Return how many seeds of other labels a prompt shows where the config sets `count`.

        Return 0 for a task without labels, and where one reply has several items.
        """
        return count if self.task.labels and self._cfg.items == 1 else 0

    def slots(
        self, group: Group, strategy: str, shown: Sequence[Sample], given: Json | None = None, wish: str = ""
    ) -> list[PlannedSlot]:
        """Return the slots of a group whose prompt shows `shown` in this order. `strategy` is its strategy's name.

        `given` is what else the strategy chose for the group. `wish` is what `request` will get.
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
        return Request(
            id=f"{planned.slot}/generate",
            messages=messages,
            grammar=self.grammar,
            sampling=Sampling(**self._sampling, seed=self._slot_seed(planned.slot), bad_words=bad_words),
            priority=_PRIORITY,
            adapter=self._adapter,
            thinking=self._thinking,
        )

    def part(self, schema: Json) -> "Part":
        """Return what asks for an object of this JSON Schema, in a strategy whose replies are no whole samples."""
        return Part(self, schema)

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
        seed = self._slot_seed(planned.slot, name)
        return Request(
            id=f"{planned.slot}/generate-{name}",
            messages=tuple(messages),
            grammar=grammar,
            sampling=Sampling(**{**self._sampling, "seed": seed, **sampling}, bad_words=bad_words),
            priority=_PRIORITY,
            adapter=self._adapter,
            thinking=self._thinking,
        )

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
                words = self._cfg.copied_words
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
        depth = 1 + max([sample.depth for sample in shown], default=0)
        return [
            Candidate(
                id=content_id(data if data is not None else completion.text),
                slot=planned.slot,
                item=item,
                text=completion.text,
                data=data,
                finish_reason=completion.finish_reason,
                parents=planned.parents,
                depth=depth,
                strategy=planned.strategy,
                template=self._template,
                label=planned.label,
                given=planned.given,
            )
            for item, data in enumerate(self._parse(completion, planned.label))
        ]

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
        """Return a candidate that a strategy put together itself from `data`, the fields without the label.

        `data` is None where the reply, `completion`, could not be read. `given` is added to what the slot was given.
        `template` names the prompt file, or is empty for a candidate without one.
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
            template=self.prompts.hash(template) if template else "",
            label=planned.label,
            given={**planned.given, **(given or {})},
            quality=quality,
        )

    def messages(self, label: str | None, shown: Sequence[Sample], wish: str = "") -> tuple[Message, ...]:
        """Return the messages of the prompt that shows `shown` and asks for `label`, with `wish` after its last turn."""
        items = self._cfg.items
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
        return self.prompts.render("generate", block, task=self.task, items=self._cfg.items, label=label)

    def _label_shown(self, sample: Sample, asked: str | None) -> str | None:
        """Return what a demonstration is said to have been asked for: the same as the prompt asks for, where it fits."""
        return self.task.asked_of(sample.data, asked) if self.task.assign else sample.label

    def reply(self, samples: Sequence[Sample]) -> str:
        """Return the text of a reply that consists of `samples`. Their number must be the items of one reply."""
        free = self.task.free_fields
        replies = [{name: s.data[name] for name in free if name in s.data} for s in samples]
        return _COMPACT(replies[0] if self._cfg.items == 1 else {"items": replies})

    def _parse(self, completion: Completion, label: str | None) -> list[Json | None]:
        try:
            reply = parse_json(completion.text)
        except ValueError:
            return [None]
        found = [reply] if self._cfg.items == 1 else reply.get("items") if isinstance(reply, dict) else None
        if not isinstance(found, list) or not found or not all(isinstance(data, dict) for data in found):
            return [None]
        whole = found if self._cut is None else map(self._cut.back, found)
        if self.task.takes_thinking and completion.thinking:
            whole = [{**data, THINKING_FIELD: completion.thinking} for data in whole]
        return [self.task.labelled(data, label) for data in whole]


def _with_wish(messages: tuple[Message, ...], wish: str) -> tuple[Message, ...]:
    """Return the messages with `wish` after the last turn."""
    *before, last = messages
    return (*before, Message(role=last.role, content=f"{last.content}\n{wish}"))


class Part:
    """Ask for an object of a JSON Schema that is no whole sample, such as some of a sample's fields."""

    def __init__(self, prompting: Prompting, schema: Json) -> None:
        self._prompting = prompting
        limits = prompting.limits
        self.schema = bounded_sample(schema, 1, limits.max_tokens)
        self.grammar = sample_grammar(schema, 1, limits.max_tokens)
        self._cut = Cut(self.schema) if limits.whole_sentences else None

    def request(
        self,
        planned: PlannedSlot,
        name: str,
        messages: Sequence[Message],
        bad_words: tuple[str, ...] = (),
        **sampling: float | int | None,
    ) -> Request:
        """Return the request; see `Prompting.step`."""
        return self._prompting.step(planned, name, messages, self.grammar, bad_words, **sampling)

    def read(self, completion: Completion) -> Json | None:
        """Return the object in a reply; None where there is none. Values are checked when the sample is whole."""
        try:
            found = parse_json(completion.text)
        except ValueError:
            return None
        if not isinstance(found, dict):
            return None
        return found if self._cut is None else self._cut.back(found)
