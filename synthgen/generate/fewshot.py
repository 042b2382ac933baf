"""The few-shot strategy: a rotating group of demonstrations, asked many times.

All requests of a group share one prompt to the last character, so that an engine with a prefix
cache reads it once. What varies between them is sampling alone.
"""

import hashlib
import json
import random
from collections.abc import Sequence
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
class GenerateConfig:
    demonstrations: int = 4
    """Samples shown in each prompt, of the label asked for where there are labels."""
    foils: int = 3
    """Seeds of other labels shown before them, one a label: what the label is not (classification, one item a request)."""
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
        if self.foils < 0:
            raise ConfigError(f"generate.foils: must be 0 or more, got {self.foils}")
        for key in ("demonstrations", "group", "items", "max_tokens"):
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


def group_size(cfg: GenerateConfig, labels: int) -> int:
    """Return the most slots of a group, for a task with so many labels."""
    return cfg.group or min(_GROUP, max(_LEAST_GROUP, _ROUND // max(1, labels)))


class FewShot:
    """Plans groups of slots, and turns a slot into a request and its reply into candidates."""

    name = "fewshot"

    def __init__(
        self, task: Task, cfg: GenerateConfig, prompts: Prompts, seed: int, adapter: str | None = None
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
        self._prompted: dict[int, tuple[tuple[Message, ...], tuple[str, ...]]] = {}
        self._free_texts = written_freely(task.free_schema)
        self._cut = Cut(self.schema) if cfg.whole_sentences else None
        self.group_size = group_size(cfg, len(task.labels))

    @property
    def demonstrations(self) -> int:
        return self._cfg.demonstrations

    @property
    def foils(self) -> int:
        """How many seeds of other labels a prompt shows first."""
        return self._cfg.foils if self._task.labels and self._cfg.items == 1 else 0

    def seeded(self, group: int) -> random.Random:
        """The random numbers of one group, whatever came before it."""
        return random.Random(f"{self._seed}/group/{group}")

    def plan(self, group: Group, shown: Sequence[Sample]) -> list[PlannedSlot]:
        """Return the slots of a group that shows `shown`, in this order."""
        parents = tuple(sample.id for sample in shown)
        return [
            PlannedSlot(slot=slot, group=group.number, label=group.label, strategy=self.name, parents=parents)
            for slot in range(group.first, group.first + group.size)
        ]

    def request(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Request:
        """What to send for a slot; the prompt is rendered once a group."""
        known = self._prompted.get(planned.group)
        if known is None:
            if len(self._prompted) >= _KEPT_PROMPTS:
                self._prompted.pop(next(iter(self._prompted)))
            words = self._cfg.copied_words
            bad = not_again(shown, self._free_texts, words) if words is not None else ()
            known = self._prompted[planned.group] = self.messages(planned.label, shown), bad
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
        """31 bits; a hash, for a random number generator is dear to seed."""
        digest = hashlib.blake2b(f"{self._seed}/slot/{slot}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) >> 1

    def candidates(self, planned: PlannedSlot, completion: Completion, shown: Sequence[Sample]) -> list[Candidate]:
        """The samples that a reply proposes; one without data where it is not the JSON asked for."""
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
        """The prompt of a group that shows `shown`."""
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
        """What a model would have written to propose `samples`, which are as many as one reply has."""
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
        return [self.labelled(data, label) for data in whole]

    def labelled(self, data: Json, label: str | None) -> Json:
        """The sample in schema order, with a label where the task has any."""
        field = self._task.label_field
        if field is not None:
            data = {**data, field: label}
        known = {name: data[name] for name in self._task.schema["properties"] if name in data}
        return known | {name: value for name, value in data.items() if name not in known}
