"""Use the user's real texts as samples instead of generated ones. The label check and the label model label them.

In tasks without labels, the model writes the other fields of a sample for each text. Each text is used once.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting, compact
from synthgen.generate.strategy import Asking, Resources
from synthgen.numerics.anchors import STRENGTH, anchor_rows, anchored_shares
from synthgen.numerics.regression import Floats, regression
from synthgen.records import PROPOSED, SUPPLIED, Json, Message, PlannedSlot, Sample, canonical, content_id
from synthgen.safety.fences import fence
from synthgen.tasks.task import THINKING_FIELD

TEXT = "text"
"""Key of `given` that holds a text's id and its number among the different texts of the source, from 1 on."""
_TEMPLATE = "label_text"
_KEPT_LABELS, _DIGITS = 5, 3
_AT_ONCE, _SAY_EVERY = 1024, 15.0
"""Number of texts that are embedded in one call, and seconds between two lines about the progress."""
_Places = npt.NDArray[np.int32]
"""Positions of texts in the source."""


@dataclass
class LabelTextConfig:
    explore: float = 0.2
    """Share of texts that are taken at random, whatever their likely label, so that the samples also show what is rare
    or uncertain. The others are the texts that most probably have the label asked for. Only for classification."""
    demonstrations: int = 4
    """Number of samples shown in a prompt that asks for the other fields of a text's sample. Not for classification."""

    def __post_init__(self) -> None:
        if not 0 <= self.explore <= 1:
            raise ConfigError(f"generate.label_text.explore: must be from 0 to 1, got {self.explore}")
        if self.demonstrations < 0:
            raise ConfigError(f"generate.label_text.demonstrations: must be 0 or more, got {self.demonstrations}")


class LabelText:
    """Propose a label for each text by its vector, or ask the model for the fields that a text's sample lacks."""

    name = "label_text"
    starts_without_seeds = True
    proposes = True
    used_up = "texts"

    def __init__(
        self, cfg: LabelTextConfig, prompting: Prompting, texts: Sequence[Json], seeds: Sequence[Sample], seed: int
    ) -> None:
        """Prepare to use `texts`, rows with the task's input fields. `seed` is the run's seed."""
        task = prompting.task
        if not texts:
            raise ConfigError(
                "generate.strategies.label_text: needs real texts; set task.texts to a file or dataset of rows with "
                f"{', '.join(task.input)}, or to a .txt file with one text a line"
            )
        self._cfg = cfg
        self._prompting = prompting
        self._task = task
        self._texts = list(texts)
        self._seeds = seeds
        self._seed = seed
        self._ids = [content_id(text) for text in self._texts]
        self._places = {key: place for place, key in enumerate(self._ids)}
        skipped = {*task.input, task.label_field, *([THINKING_FIELD] if task.takes_thinking else [])}
        self._written = [name for name in task.schema["properties"] if name not in skipped]
        """The fields that the model writes for a text."""
        self._part = prompting.part(prompting.schema_of(self._written)) if self._written else None
        self.grammars = (self._part.grammar,) if self._part else ()
        self._shuffled = np.asarray(random.Random(f"{seed}/label_text").sample(range(len(texts)), len(texts)), np.int32)
        self._shares: Floats | None = None
        """Probabilities (texts, labels) by seeds and label meanings; None before they are known, and without labels."""
        self._orders: dict[str | None, _Places] = {}
        self._next: dict[str | None, int] = {}
        self._used: set[int] = set()

    def left(self, label: str | None, planned: int) -> int:  # noqa: ARG002
        """Return the number of texts that no slot has used. Each can be used for any label."""
        return len(self._texts) - len(self._used)

    async def begin(self, resources: Resources) -> Json:
        """Return the likeliest labels of every text by seeds and label meanings: [[[label, probability], ...], ...]."""
        task = self._task
        if not task.labels:
            return {}
        resources.say(f"ranking {len(self._texts):,} texts by their likely labels")
        texts = await _embedded([task.text(text) for text in self._texts], resources)
        known = [task.text(seed.data) for seed in self._seeds] + list(task.label_texts.values())
        known_vectors = np.asarray(await resources.embed(known), dtype=np.float64)
        seeds, meanings = np.split(known_vectors, [len(self._seeds)])
        index = {label: number for number, label in enumerate(task.labels)}
        rows = anchor_rows(seeds, [index[str(seed.label)] for seed in self._seeds], meanings)
        slopes, bias = regression(*rows, STRENGTH, {"maxiter": 200})
        shares = anchored_shares(np.asarray(texts @ slopes.T + bias, dtype=np.float64))
        best = np.argsort(-shares, axis=1, kind="stable")[:, :_KEPT_LABELS]
        return {
            "labels": [
                [[int(label), round(float(row[label]), _DIGITS)] for label in labels]
                for row, labels in zip(shares, best, strict=True)
            ]
        }

    async def restore(self, found: Json, resources: Resources) -> None:
        """Take over the likeliest labels, and leave out the texts that earlier slots have used."""
        if "labels" in found:
            self._shares = np.zeros((len(self._texts), len(self._task.labels)))
            for row, labels in zip(self._shares, found["labels"], strict=True):
                for label, share in labels:
                    row[label] = share
        self._orders, self._next = {}, {}
        given = (each.get(TEXT) for each in resources.given(self.name))
        self._used = {self._places[each["id"]] for each in given if each and each["id"] in self._places}

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self._cfg.demonstrations, group.label, group.horizon) if self._written else []
        parents = tuple(sample.id for sample in self._prompting.fitting(group.label, shown))
        slots = []
        for slot in range(group.first, group.first + group.size):
            place = self._take(group.label, rng)
            # The last group may have more slots than there are texts left. Its other slots bring nothing.
            given: Json = {} if place is None else {TEXT: {"id": self._ids[place], "number": place + 1}}
            slots.append(
                PlannedSlot(
                    slot=slot, group=group.number, label=group.label, strategy=self.name, parents=parents, given=given
                )
            )
        return slots

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        if TEXT not in planned.given:
            return []
        place = self._places[planned.given[TEXT]["id"]]
        data: Json | None = self._texts[place]
        proposed = planned.model_copy(update={"label": self._proposal(place, planned.label)})
        given: Json = {SUPPLIED: list(self._task.input)}
        if self._shares is not None:
            given[PROPOSED] = proposed.label
        if self._part is None:
            return [self._prompting.candidate(proposed, shown, data, given=given, template="")]
        completion = yield self._part.request(planned, "fields", self._messages(shown, self._texts[place]))
        reply = self._part.read(completion)
        data = None if reply is None else {**self._texts[place], **reply}
        if data is not None and self._task.assign:  # the text has the value that it has, whatever was asked for
            kept = self._task.asked_of(data, planned.label) if not self._task.problems(data) else planned.label
            proposed = planned.model_copy(update={"label": kept})
        return [self._prompting.candidate(proposed, shown, data, completion, given, _TEMPLATE)]

    def _messages(self, shown: Sequence[Sample], text: Json) -> list[Message]:
        messages = [Message(role="system", content=self._render("system"))]
        for sample in shown:
            begun = {name: sample.data[name] for name in self._task.input if name in sample.data}
            rest = {name: sample.data[name] for name in self._written if name in sample.data}
            messages += [self._asked(begun), Message(role="assistant", content=compact(rest))]
        return [*messages, self._asked(text)]

    def _asked(self, text: Json) -> Message:
        return Message(role="user", content=self._render("ask", text=text, mark=fence(canonical(text), self._seed)))

    def _render(self, block: str, **variables: Any) -> str:
        return self._prompting.prompts.render(_TEMPLATE, block, task=self._task, written=self._written, **variables)

    def _proposal(self, place: int, asked: str | None) -> str | None:
        """Return the likeliest label of a text by its vector, or the label asked for where none is known."""
        if self._shares is None:
            return asked
        return list(self._task.labels)[int(self._shares[place].argmax())]

    def _take(self, label: str | None, rng: random.Random) -> int | None:
        """Return the next text for a label and mark it as used; None when all texts are used."""
        explores = rng.random() < self._cfg.explore
        label = None if explores or self._shares is None else label
        if label not in self._orders:
            self._orders[label] = self._order(label)
        order, at = self._orders[label], self._next.get(label, 0)
        while at < len(order) and int(order[at]) in self._used:
            at += 1
        self._next[label] = at
        if at == len(order):
            return None
        self._used.add(place := int(order[at]))
        return place

    def _order(self, label: str | None) -> _Places:
        """Return all texts, those first that most probably have the label; in random order without a label."""
        if label is None or self._shares is None:
            return self._shuffled
        column = self._shares[self._shuffled, list(self._task.labels).index(label)]
        return self._shuffled[np.argsort(-column, kind="stable")]


async def _embedded(texts: Sequence[str], resources: Resources) -> Any:
    """Return the vectors of texts (texts, dim). Tell the user how far it is, because many texts take minutes."""
    found, said = [], time.monotonic()
    for start in range(0, len(texts), _AT_ONCE):
        found.append(np.asarray(await resources.embed(texts[start : start + _AT_ONCE])))
        if time.monotonic() - said > _SAY_EVERY:
            resources.say(f"{min(start + _AT_ONCE, len(texts)):,} of {len(texts):,} texts embedded")
            said = time.monotonic()
    return np.concatenate(found)
