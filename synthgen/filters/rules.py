"""Check the form of replies, apply text rules, and find exact duplicates and overlap with the eval file.

These checks count characters and words and ignore meaning. Only the ending of a text is judged by its language, in
`endings`. Leaks and repetition are searched for in each field separately, because an answer may quote its passage.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from synthgen.errors import ConfigError
from synthgen.filters.endings import Endings
from synthgen.filters.repetition import repetition
from synthgen.filters.seen import Seen
from synthgen.records import (
    REFUSED,
    SUPPLIED,
    THINKING_ONLY,
    TOO_LONG,
    UNPARSABLE,
    Candidate,
    CheckSpec,
    Json,
    Reason,
    Sample,
    Verdict,
)
from synthgen.safety.control_tokens import CONTROL_TOKEN
from synthgen.safety.untrusted import control_character
from synthgen.tasks.normal import SPACED, comparable, normalise, shingles
from synthgen.tasks.schemas import nodes
from synthgen.tasks.task import Task, as_text

_KEPT_GROUPS = 128
_KEPT_SHOWN = 512  # demonstrations whose shingles are kept; the seeds return in many groups
_Shown = tuple[list[tuple[str, frozenset[str]]], frozenset[str]]
"""Hold the shingles of a group's demonstrations: those of each demonstration, and those of all together. The sample that a
slot rewrites is not among them."""
_ROLE_LINE = r"^\s*(user|assistant|system)\s*:"


@dataclass
class FiltersConfig:
    min_chars: int = 2
    """Minimum number of letters and digits in a sample's text."""
    max_repetition: float = 0.3
    """Maximum share of repeated word pairs, or of characters in repeated runs, in the text of one field. In scripts without
    spaces, four Chinese characters, or five kana, count as a word pair."""
    max_copy: float = 0.85
    """Maximum share of a text's substrings of 8 letters that may occur in one demonstration. Above it, the text is a copy
    of part of the demonstration. Texts that only resemble one are left to the near-duplicate check. A Chinese character
    counts as 3 letters and a kana as 2, here and in max_eval_overlap."""
    max_eval_overlap: float = 0.7
    """Maximum share of a text's substrings of 8 letters that may occur in one eval row."""
    leaks: list[str] = field(default_factory=list)
    """Phrases that show that a text quotes its prompt or comes from a model. A text with one of them is rejected."""
    truncation: bool = True
    """Reject a text that was cut off: it fills its field to the last allowed character, or ends in the middle."""
    personal_data: str = "report"
    """Treatment of e-mail addresses, phone, card, account and identity numbers, and IP addresses in a text: `report`
    counts them in summary and report, `reject` rejects the text, `off` does not search for them."""

    def __post_init__(self) -> None:
        for key in ("max_repetition", "max_copy", "max_eval_overlap"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigError(f"filters.{key}: must be above 0 and at most 1, got {getattr(self, key)}")
        if self.personal_data not in ("report", "reject", "off"):
            raise ConfigError(f"filters.personal_data: must be report, reject or off, got '{self.personal_data}'")
        if self.min_chars < 0:
            raise ConfigError(f"filters.min_chars: must be 0 or more, got {self.min_chars}")
        for leak in self.leaks:
            if not normalise(leak):
                raise ConfigError(
                    f"filters.leaks: '{leak}' has no letter or digit to search for; remove it or add a word"
                )


class FormCheck:
    """Reject a reply that `max_tokens` cut off, that is not JSON, breaks the task's schema, or holds control characters."""

    spec = CheckSpec(
        "form",
        "The reply is complete, is JSON, and is valid under the task's schema.",
        (
            Reason("length", "cut off at the token limit"),
            Reason(UNPARSABLE, "contains no JSON"),
            Reason(REFUSED, "the model declined to answer, or its answer was filtered"),
            Reason(THINKING_ONLY, "contains only the model's thinking, without an answer: raise model.thinking_tokens"),
            Reason("schema", "not a valid sample under the task's JSON Schema"),
            TOO_LONG,
            Reason("control", "contains control characters, which do not belong in a text"),
        ),
    )
    name = spec.name

    def __init__(self, task: Task) -> None:
        self._task = task
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        if candidate.finish_reason == "length":
            return Verdict(check=self.name, outcome="reject", reason="length")
        if candidate.data is None and candidate.finish_reason in (UNPARSABLE, REFUSED, THINKING_ONLY, TOO_LONG.code):
            return Verdict(check=self.name, outcome="reject", reason=candidate.finish_reason)
        if candidate.data is None:
            return Verdict(
                check=self.name, outcome="reject", reason="schema", details={"problem": "not the JSON asked for"}
            )
        if problems := self._task.problems(candidate.data):
            return Verdict(check=self.name, outcome="reject", reason="schema", details={"problem": problems[0]})
        if (char := control_character(candidate.data)) is not None:
            return Verdict(
                check=self.name, outcome="reject", reason="control", details={"character": f"U+{ord(char):04X}"}
            )
        return self._passed


class TextRules:
    """Reject a text that is empty, cut off or repetitive, copies a demonstration, or leaks the prompt.

    `find` returns a sample by its id. `schema` is the JSON Schema of a reply, with the bounds of its grammar. `seeds`
    show how whole texts end.
    """

    spec = CheckSpec(
        "text",
        "The text is long enough and complete, does not repeat itself, and neither copies nor leaks its prompt.",
        (
            Reason("empty", "is empty or too short", "filters.min_chars"),
            Reason("truncated", "cut off: fills its field to the last allowed character, or ends in the middle"),
            Reason("leak", "quotes its prompt or reveals the model that wrote it"),
            Reason("repetition", "repeats itself", "filters.max_repetition"),
            Reason("copy", "copied from a demonstration", "filters.max_copy"),
        ),
        "share of the text that breaks a rule, 0 to 1",
    )
    name = spec.name

    def __init__(
        self, task: Task, cfg: FiltersConfig, find: Callable[[str], Sample], schema: Json, seeds: Sequence[Json] = ()
    ) -> None:
        self._task = task
        self._cfg = cfg
        self._find = find
        self._groups: dict[tuple[str, ...], _Shown] = {}
        self._runs_of = lru_cache(_KEPT_SHOWN)(self._shown_runs)
        self._phrases = [normalise(leak) for leak in cfg.leaks]
        self._leaks = re.compile("|".join(map(_as_words, self._phrases)))
        self._limits = _string_limits(schema)
        self._endings = _endings(task, schema, seeds) if cfg.truncation else {}
        self._choices = _choices(schema)
        markers = [CONTROL_TOKEN.pattern] if task.kind == "dialogue" else [CONTROL_TOKEN.pattern, _ROLE_LINE]
        self._markers = re.compile("|".join(markers), re.I | re.M)
        self._nothing_copied = Verdict(check=self.name, score=0.0)

    async def __call__(self, candidate: Candidate) -> Verdict:
        data = candidate.data or {}
        text = self._task.text(data)
        plain = normalise(text)
        if len(plain) - plain.count(" ") < self._cfg.min_chars:
            return self._no("empty", 0.0)
        supplied = candidate.given.get(SUPPLIED, ())
        if self._cfg.truncation and (field := self._full(data, supplied)):
            return self._no("truncated", 1.0, field=field)
        fields = [(name, data[name]) for name in self._task.free_fields if data.get(name) not in (None, "")]
        for name, value in fields:
            if leak := self._leak(as_text(value)):
                return self._no("leak", 1.0, field=name, phrase=leak)
        for name, value in fields:
            if (share := repetition(normalise("\n".join(self._wording(value))))) > self._cfg.max_repetition:
                return self._no("repetition", share, field=name)
        if open_end := self._open_end(data, supplied):
            return self._no("truncated", 1.0, **open_end)
        share, parent = self._copied(plain, candidate.demonstrations)
        if share > self._cfg.max_copy:
            return self._no("copy", share, neighbour=parent)
        return Verdict(check=self.name, score=share) if share else self._nothing_copied

    def _no(self, reason: str, score: float, **details: str) -> Verdict:
        return Verdict(check=self.name, outcome="reject", reason=reason, score=score, details=details)

    def _full(self, data: Json, supplied: Collection[str]) -> str | None:
        for name, limit in self._limits.items():
            if name not in supplied and len(as_text(data.get(name, ""))) >= limit:
                return name
        return None

    def _open_end(self, data: Json, supplied: Collection[str]) -> dict[str, str] | None:
        """Return the first written field that ends in the middle, and the word or mark that it ends with."""
        for name, endings in self._endings.items():
            text = data.get(name)
            if name not in supplied and isinstance(text, str) and (end := endings.open_end(text)):
                return {"field": name, "ends_in": end}
        return None

    def _wording(self, value: Any) -> Iterator[str]:
        """Yield the free text in a field's value: its strings without keys and without choices of the schema."""
        if isinstance(value, str):
            if value not in self._choices:
                yield value
        elif isinstance(value, list | dict):
            for part in value.values() if isinstance(value, dict) else value:
                yield from self._wording(part)

    def _leak(self, text: str) -> str | None:
        if marker := self._markers.search(text):
            return marker.group()
        plain = normalise(text)
        if not any(map(plain.__contains__, self._phrases)):  # takes a twentieth of the pattern's time
            return None
        found = self._leaks.search(plain)
        return found.group() if found else None

    def _copied(self, plain: str, parents: tuple[str, ...]) -> tuple[float, str]:
        """Return the largest share of the text that occurs in one demonstration, and the id of that demonstration."""
        mine = shingles(plain, 8)
        each, together = self._shown(parents)
        common = mine & together
        if not common:  # true of most texts
            return 0.0, ""
        return max((len(common & theirs) / len(mine), parent) for parent, theirs in each)

    def _shown(self, parents: tuple[str, ...]) -> _Shown:
        known = self._groups.get(parents)
        if known is None:
            if len(self._groups) >= _KEPT_GROUPS:
                self._groups.clear()
            each = [(parent, self._runs_of(parent)) for parent in parents]
            known = self._groups[parents] = each, frozenset[str]().union(*(runs for _, runs in each))
        return known

    def _shown_runs(self, parent: str) -> frozenset[str]:
        return shingles(normalise(self._task.text(self._find(parent).data)), 8)


class ExactDuplicate:
    """Reject a text that equals an earlier sample after normalisation by `comparable`."""

    spec = CheckSpec(
        "exact",
        "The text differs from every sample, compared in lower case, without punctuation, and in simplified characters.",
        (Reason("duplicate", "equals an earlier sample"),),
        "1 for a duplicate",
    )
    name = spec.name

    def __init__(self, task: Task, name: Callable[[int], str]) -> None:
        self._task = task
        self._name = name
        self._seen = Seen()
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        return self.decide(candidate)

    def decide(self, candidate: Candidate) -> Verdict:
        """Decide about a candidate by the samples so far."""
        position = self._seen.find(comparable(self._task.text(candidate.data or {})))
        if position is None:
            return self._passed
        first = self._name(position)
        return Verdict(check=self.name, outcome="reject", reason="duplicate", score=1.0, details={"neighbour": first})

    def add(self, sample: Sample, position: int) -> None:
        """Add a sample. `position` is its position among all samples of the run."""
        self._seen.add(comparable(self._task.text(sample.data)), position)


class EvalOverlap:
    """Reject a text that equals a held-out row by `comparable`, or shares most of its characters with one."""

    spec = CheckSpec(
        "eval",
        "The text has few characters in common with every held-out row.",
        (Reason("eval_overlap", "too close to a held-out eval row", "filters.max_eval_overlap"),),
        "share of the text that occurs in one eval row, 0 to 1",
    )
    name = spec.name

    def __init__(self, task: Task, cfg: FiltersConfig, rows: Iterable[Json]) -> None:
        self._task = task
        self._limit = cfg.max_eval_overlap
        self._rows: dict[str, list[int]] = {}
        self._same: dict[str, int] = {}
        for index, row in enumerate(rows):
            self._same.setdefault(comparable(task.input_text(row)), index)
            for run in shingles(normalise(task.input_text(row)), 8):
                self._rows.setdefault(run, []).append(index)
        self._runs = frozenset(self._rows)
        self._clear = Verdict(check=self.name, score=0.0)

    async def __call__(self, candidate: Candidate) -> Verdict:
        text = self._task.input_text(candidate.data or {})
        if (same := self._same.get(comparable(text))) is not None:  # texts without words have no shingles
            return self._overlap(same, 1.0)
        mine = shingles(normalise(text), 8)
        common = mine & self._runs
        if not common:
            return self._clear
        hits = Counter(row for run in common for row in self._rows[run])
        row, count = hits.most_common(1)[0]
        share = count / len(mine)
        return self._overlap(row, share) if share > self._limit else Verdict(check=self.name, score=share)

    def _overlap(self, row: int, share: float) -> Verdict:
        return Verdict(check=self.name, outcome="reject", reason="eval_overlap", score=share, details={"row": row})


def _as_words(phrase: str) -> str:
    """Return a pattern that matches `phrase` as whole words, or anywhere in scripts without spaces."""
    before = f"(?<!{SPACED})" if re.match(SPACED, phrase) else ""
    after = f"(?!{SPACED})" if re.match(SPACED, phrase[-1]) else ""
    return f"{before}{re.escape(phrase)}{after}"


def _choices(schema: Json) -> frozenset[str]:
    """Return the strings that the schema lists as allowed values, such as the types of an entity."""
    listed = (value for _, part in nodes(schema) for value in [*part.get("enum", ()), part.get("const")])
    return frozenset(value for value in listed if isinstance(value, str))


def _string_limits(schema: Json) -> dict[str, int]:
    """Return the maximum length of each top-level string field. Leave out fields that allow only one length."""
    return {
        name: part["maxLength"]
        for name, part in schema["properties"].items()
        if part.get("type") == "string" and part.get("minLength", 0) < part.get("maxLength", 0)
    }


def _endings(task: Task, schema: Json, seeds: Sequence[Json]) -> dict[str, Endings]:
    """Return an Endings object for each field of free text, built from the same field of the seeds."""
    known = list(task.label_texts.values())
    return {
        name: Endings(task.language, [as_text(row[name]) for row in seeds if name in row], known)
        for name, part in schema["properties"].items()
        if part.get("type") == "string" and not part.keys() & {"enum", "const", "pattern", "format"}
    }
