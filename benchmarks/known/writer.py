"""Write the known generator's replies: real rows of the train file for the requested label, with planted faults.

A reply depends on the request's own seed and label, so that two runs that decide labels differently get nearly the same
rows. Only two things depend on the order of requests: which earlier row a duplicate repeats, and which of two requests
gets a row that both drew.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.gain.data import Data
from benchmarks.known.faults import COPY, CUT_OFF, GOOD, NEAR, OFF_TASK, RUN_OUT, WRONG, Faults, cut, paraphrase
from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.safety.control_tokens import CONTROL_TOKEN
from synthgen.tasks.normal import normalise

_AGE = 16  # least number of new rows between an original and its duplicate, because requests arrive only nearly in slot order
_CUT_TRIES = 10


@dataclass(frozen=True)
class Plant:
    """Hold one reply of the known generator, and the truth about it."""

    kind: str
    asked: str
    true: str | None
    """The label that the text has in its file; None for an off-task row."""
    text: str
    """The input text as it was sent."""
    reply: str
    """The reply's text: JSON behind blanks that are a number, so that no two replies are the same."""
    finish: str
    source: int
    """The row of the train file, by its place; -1 for an off-task row."""


class KnownGenerator:
    """Serve the rows of `data.train`, each as new at most once, and record every reply in `plants`."""

    def __init__(
        self,
        data: Data,
        kept_back: Iterable[Json],
        faults: Faults,
        mates: Mapping[str, str],
        off_task: Sequence[str],
        seed: str,
    ) -> None:
        """Prepare the rows, except the seeds in `kept_back`; `mates` maps each label to its confusable one."""
        self._task = data.task
        self._field = data.task.input[0]
        self._faults = faults
        self._mates = mates
        self._seed = seed
        self._rows = data.train
        self._pools = _by_label(data, kept_back)
        self._off_task = [text for text in dict.fromkeys(off_task) if self._fits(text)]
        if faults.off_task and not self._off_task:
            raise InputError("--off-task: no row of the file fits the task's schema; give another file")
        self._served: set[int] = set()
        self._off_served: set[int] = set()
        self._asked: Counter[str] = Counter()
        self._originals: list[Plant] = []
        self._cut_texts: set[str] = set()
        self.truth: dict[str, str | None] = {
            normalise(data.task.input_text(row)): data.label(row) for row in [*data.train, *kept_back]
        }
        """The true label of every text that may come up, by its normalised form; None for an off-task one."""
        self.plants: list[Plant] = []

    def reply(self, label: str, request: str) -> Plant:
        """Answer a request for a sample of `label`; a repeated `request` gets another answer."""
        self._asked[request] += 1
        rng = random.Random(f"{self._seed}/{request}/{self._asked[request]}")
        fault, right = self._faults.fault(rng), rng.random() < self._faults.fidelity
        plant = self._faulty(fault, label, rng) or self._new(right, label, rng)
        if plant.kind in (GOOD, WRONG):
            self._originals.append(plant)
        if plant.kind == CUT_OFF:
            self._cut_texts.add(normalise(plant.text))
        self.truth.setdefault(normalise(plant.text), plant.true)
        plant = replace(plant, reply=_numbered(len(self.plants), plant.reply))
        self.plants.append(plant)
        return plant

    def is_sound(self, text: str) -> bool:
        """Return True for an on-task text that is not cut off."""
        plain = normalise(text)
        return self.truth.get(plain) is not None and plain not in self._cut_texts

    def _faulty(self, fault: str | None, label: str, rng: random.Random) -> Plant | None:
        """Plant a fault other than a wrong label. Return None where no fault was drawn, or no row fits it."""
        if fault in (NEAR, COPY):
            return self._again(fault, label, rng)
        if fault == OFF_TASK:
            number = _unserved(range(len(self._off_task)), self._off_served, rng)
            text = self._off_task[rng.randrange(len(self._off_task)) if number is None else number]
            return Plant(OFF_TASK, label, None, text, self._json({self._field: text}), "stop", -1)
        return self._cut_off(label, rng) if fault == CUT_OFF else None

    def _again(self, kind: str, label: str, rng: random.Random) -> Plant | None:
        if len(self._originals) <= _AGE:
            return None
        first = rng.choice(self._originals[:-_AGE])
        if kind == COPY:
            return replace(first, kind=COPY, asked=label, reply=first.reply.lstrip())
        text = paraphrase(first.text, rng, self._fits)
        if text is None:
            return None
        reply = self._json({**self._rows[first.source], self._field: text})
        return Plant(NEAR, label, first.true, text, reply, "stop", first.source)

    def _cut_off(self, label: str, rng: random.Random) -> Plant | None:
        for _ in range(_CUT_TRIES):
            row = self._row(label, rng)
            if row is None:
                return None
            whole = str(self._rows[row][self._field])
            text = cut(whole, rng, self._fits)
            if text is not None:
                break
        else:
            return None
        reply, finish = self._json({**self._rows[row], self._field: text}), "stop"
        if rng.random() < 0.5:
            reply, finish = self._json({self._field: text}).rstrip('"}'), "length"
        return Plant(CUT_OFF, label, label, text, reply, finish, row)

    def _new(self, right: bool, label: str, rng: random.Random) -> Plant:
        """Serve a new row of the label or of another one. Serve an earlier row once all are served."""
        true, kind = (label, GOOD) if right else (self._wrong(label, rng), WRONG)
        row = self._row(true, rng)
        if row is None:
            kind, row = RUN_OUT, rng.choice(self._pools[true])
        data = self._rows[row]
        return Plant(kind, label, true, self._task.input_text(data), self._json(data), "stop", row)

    def _wrong(self, label: str, rng: random.Random) -> str:
        if rng.random() < self._faults.confusable:
            return self._mates[label]
        others = [other for other in self._task.labels if other not in (label, self._mates[label])]
        return rng.choice(others) if others else self._mates[label]

    def _row(self, label: str, rng: random.Random) -> int | None:
        return _unserved(self._pools[label], self._served, rng)

    def _json(self, data: Json) -> str:
        written = {name: data[name] for name in self._task.free_fields if name in data}
        return json.dumps(written, ensure_ascii=False, separators=(",", ":"))

    def _fits(self, text: str) -> bool:
        label_field = self._task.label_field
        data = {self._field: text, label_field: next(iter(self._task.labels))}
        return not self._task.problems(data) and not CONTROL_TOKEN.search(text)


def _by_label(data: Data, kept_back: Iterable[Json]) -> dict[str, list[int]]:
    """Return the places of the rows to serve by label: whole, different from each other and from those kept back."""
    taken = {normalise(data.task.input_text(row)) for row in kept_back}
    pools: dict[str, list[int]] = {label: [] for label in data.task.labels}
    for place, row in enumerate(data.train):
        text = data.task.input_text(row)
        if normalise(text) not in taken and not data.task.problems(row) and not CONTROL_TOKEN.search(text):
            taken.add(normalise(text))
            pools[data.label(row)].append(place)
    if empty := [label for label, rows in pools.items() if not rows]:
        raise InputError(f"--train: no row to serve is left of label '{empty[0]}' beside its seeds; give more rows")
    return pools


def _unserved(pool: Sequence[int], served: set[int], rng: random.Random) -> int | None:
    """Draw a row of `pool` that is not served yet, and note that it is now; None where all are."""
    start = rng.randrange(len(pool)) if pool else 0
    for row in (*pool[start:], *pool[:start]):
        if row not in served:
            served.add(row)
            return row
    return None


def _numbered(number: int, reply: str) -> str:
    """Put the reply's number in front of it, in base two, written as blanks and tabs, which JSON allows."""
    return f"{number:b}".translate({ord("0"): " ", ord("1"): "\t"}) + reply
