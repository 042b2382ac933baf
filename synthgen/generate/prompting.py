"""Prompting by example: demonstrations as turns of a chat, one grammar, replies read into candidates.

Strategies that prompt in this way share it. All requests with the same demonstrations and label have one prompt to the last
character, so that an engine with a prefix cache reads it once. Which samples are shown is left to the strategy.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synthgen.engines.grammar.schema import bounded_sample, sample_grammar
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.generate.copies import not_again, written_freely
from synthgen.generate.planner import Group
from synthgen.generate.sentences import Cut
from synthgen.records import (
    Candidate,
    Completion,
    Json,
    Message,
    PlannedSlot,
    Request,
    Sample,
    Sampling,
    content_id,
    parse_json,
)
from synthgen.tasks.task import Task

_GROUP, _LEAST_GROUP = 16, 4
_ROUND = 128  # requests in which every label should have its turn
_PRIORITY = 10  # the judge's questions go ahead of it
_KEPT_PROMPTS = 64
# As grammars have replies written: demonstrations that look otherwise would pull against them.
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass
class PromptingConfig:
    group: int | None = None
    """Most requests that share one prompt before the demonstrations rotate; null for 16, and fewer, down to 4, where there
    are many labels to go round. Short runs, and the end of every run, have smaller groups."""
    items: int = 1
    """Samples asked for in one request."""
    temperature: float = 0.8
    """Sampling temperature."""
    top_p: float = 1.0
    """Nucleus sampling; below 1 it costs a sort of the vocabulary a token, dear on CPU."""
    min_p: float = 0.05
    """Tokens below this share of the likeliest one's probability are not drawn."""
    max_tokens: int = 256
    """Tokens that one reply may have."""
    whole_sentences: bool = True
    """Cut a text that its field's last allowed character cut off back to its last whole sentence, where it is the last thing
    in the reply."""
    copied_words: int | None = 5
    """Words in a row that a reply may not take from a demonstration; null allows all. vLLM's engines and transformers hold
    the model to it, others leave it to the check."""
    adapter: str | None = None
    """A LoRA folder for the generator, as `synthgen adapt generator` makes it; with engine=openai the name that the
    endpoints serve one under. null for the model itself."""

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
    """Return the most slots of a group, for a task with so many labels."""
    return cfg.group or min(_GROUP, max(_LEAST_GROUP, _ROUND // max(1, labels)))


def check_shown(key: str, demonstrations: int, foils: int) -> None:
    """Check how many samples the strategy whose settings are under `key` shows. Raises ConfigError."""
    if demonstrations < 1:
        raise ConfigError(f"{key}.demonstrations: must be 1 or more, got {demonstrations}")
    if foils < 0:
        raise ConfigError(f"{key}.foils: must be 0 or more, got {foils}")


@dataclass(frozen=True)
class Fit:
    """Says how long prompts may be."""

    room: int
    """Tokens that a prompt may take."""
    count: Callable[[Sequence[Message]], int]
    """Returns the tokens that a prompt takes at most."""


class Prompting:
    """Turn a slot and the samples it shows into a request, and the reply into candidates."""

    def __init__(
        self, task: Task, cfg: PromptingConfig, prompts: Prompts, seed: int, adapter: str | None = None
    ) -> None:
        self._adapter = adapter
        self._task = task
        self._cfg = cfg
        self._prompts = prompts
        self._seed = seed
        self._template = prompts.hash("generate")
        self.schema = bounded_sample(task.free_schema, cfg.items, cfg.max_tokens)
        self.grammar = sample_grammar(task.free_schema, cfg.items, cfg.max_tokens)
        self._sampling: Json = {
            "temperature": cfg.temperature,
            "top_p": cfg.top_p,
            "min_p": cfg.min_p,
            "max_tokens": cfg.max_tokens,
        }
        self._prompted: dict[tuple[str | None, tuple[str, ...]], tuple[tuple[Message, ...], tuple[str, ...]]] = {}
        self._free_texts = written_freely(task.free_schema)
        self._cut = Cut(self.schema) if cfg.whole_sentences else None
        self.fit: Fit | None = None
        """None where the model's window is not known."""

    def foils(self, count: int) -> int:
        """Return how many seeds of other labels a prompt shows where `count` are wanted: none of tasks without labels, and
        none where one reply has several items."""
        return count if self._task.labels and self._cfg.items == 1 else 0

    def slots(self, group: Group, strategy: str, shown: Sequence[Sample]) -> list[PlannedSlot]:
        """Return the slots of a group that shows `shown` in this order; `strategy` is the name of the one that chose it."""
        parents = tuple(sample.id for sample in self._fitting(group.label, shown))
        return [
            PlannedSlot(slot=slot, group=group.number, label=group.label, strategy=strategy, parents=parents)
            for slot in range(group.first, group.first + group.size)
        ]

    def _fitting(self, label: str | None, shown: Sequence[Sample]) -> Sequence[Sample]:
        """Return the samples without the longest ones, so that their prompt fits; at least one with the label stays."""
        left = list(shown)
        while self.fit is not None and len(left) > 1 and self.fit.count(self.messages(label, left)) > self.fit.room:
            own = [sample for sample in left if sample.label == label]
            spare = left if len(own) != 1 else [sample for sample in left if sample is not own[0]]
            left.remove(max(spare, key=lambda sample: len(self.reply([sample]))))
        return left

    def request(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Request:
        """Return the request of a slot; a prompt is rendered once for all slots that share it."""
        prompt = planned.label, planned.parents
        known = self._prompted.get(prompt)
        if known is None:
            if len(self._prompted) >= _KEPT_PROMPTS:
                self._prompted.pop(next(iter(self._prompted)))
            words = self._cfg.copied_words
            bad = not_again(shown, self._free_texts, words) if words is not None else ()
            known = self._prompted[prompt] = self.messages(planned.label, shown), bad
        messages, bad_words = known
        return Request(
            id=f"{planned.slot}/generate",
            messages=messages,
            grammar=self.grammar,
            sampling=Sampling(**self._sampling, seed=self._slot_seed(planned.slot), bad_words=bad_words),
            priority=_PRIORITY,
            adapter=self._adapter,
        )

    def _slot_seed(self, slot: int) -> int:
        """Return 31 bits of a hash; seeding a random number generator would take longer."""
        digest = hashlib.blake2b(f"{self._seed}/slot/{slot}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) >> 1

    def candidates(self, planned: PlannedSlot, completion: Completion, shown: Sequence[Sample]) -> list[Candidate]:
        """Return the samples that a reply proposes; one without data where it is not the JSON asked for."""
        depth = 1 + max((sample.depth for sample in shown), default=0)
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
            )
            for item, data in enumerate(self._parse(completion.text, planned.label))
        ]

    def messages(self, label: str | None, shown: Sequence[Sample]) -> tuple[Message, ...]:
        """Return the prompt that shows `shown` and asks for `label`."""
        task, items = self._task, self._cfg.items
        system = self._prompts.render("generate", "system", task=task, items=items, label=label)
        messages = [Message(role="system", content=system)]
        for start in range(0, len(shown), items):
            chosen = shown[start : start + items]
            messages += [self._ask(chosen[0].label), Message(role="assistant", content=self.reply(chosen))]
        return (*messages, self._ask(label))

    def _ask(self, label: str | None) -> Message:
        shown = {"task": self._task, "items": self._cfg.items, "label": label}
        return Message(role="user", content=self._prompts.render("generate", "ask", **shown))

    def reply(self, samples: Sequence[Sample]) -> str:
        """Return the reply that proposes `samples`, which are as many as one reply has."""
        free = self._task.free_fields
        replies = [{name: s.data[name] for name in free if name in s.data} for s in samples]
        return _COMPACT(replies[0] if self._cfg.items == 1 else {"items": replies})

    def _parse(self, text: str, label: str | None) -> list[Json | None]:
        try:
            reply = parse_json(text)
        except ValueError:
            return [None]
        found = [reply] if self._cfg.items == 1 else reply.get("items") if isinstance(reply, dict) else None
        if not isinstance(found, list) or not found or not all(isinstance(data, dict) for data in found):
            return [None]
        whole = found if self._cut is None else map(self._cut.back, found)
        return [self._task.labelled(data, label) for data in whole]
