"""Build the annotation guide of a task: definitions of a sample and of each label, examples, and rules for doubtful
cases."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.annotate import checks, fields
from synthgen.annotate.blocks import Block, Example, Heading, Items, Paragraph, Table, as_html, as_json, as_markdown
from synthgen.annotate.examples import LabelMargin, letters, placed, split
from synthgen.annotate.words import GuideWords, words
from synthgen.records import GOOD, Json, content_id
from synthgen.tasks.criteria import in_chinese
from synthgen.tasks.task import as_text

EACH = 2
"""Typical and borderline examples of each label."""
MOST = 8
"""Disagreements and uncertain samples in a guide."""
_DIGITS = 12
_KEYS = {"n": "n", "s": "s", "e": "e"}


@dataclass(frozen=True)
class Disputed:
    """Hold a sample on which people disagreed."""

    data: Json
    answers: Sequence[str | None]
    decision: str | None
    """The answer that decided it; None for "not a sample"."""
    decided: bool


@dataclass(frozen=True)
class Uncertain:
    """Hold a sample that the run is uncertain about and that nobody has answered."""

    data: Json
    shares: Mapping[str, float]
    quality: float


@dataclass(frozen=True)
class Findings:
    """Hold the parts of a guide that come from a run: embeddings, disagreements and uncertain samples."""

    vectors: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Embeddings of seeds, by sample id."""
    disputed: Sequence[Disputed] = ()
    uncertain: Sequence[Uncertain] = ()


@dataclass(frozen=True)
class Guide:
    """Hold a guide. Its hash follows from its content alone."""

    name: str
    language: str
    blocks: Sequence[Block]

    @property
    def hash(self) -> str:
        return content_id(as_json(self.blocks))[:_DIGITS]

    def markdown(self) -> str:
        return as_markdown(self._dated())

    def html(self) -> str:
        first = self.blocks[0]
        assert isinstance(first, Heading)
        return as_html(self._dated(), first.text, self.language)

    def _dated(self) -> list[Block]:
        version = words(in_chinese(self.language)).version.format(hash=self.hash)
        return [self.blocks[0], Paragraph(version), *self.blocks[1:]]


def guide(definition: Json, seeds: Sequence[Json], findings: Findings | None = None) -> Guide:
    """Return the guide of a task. `definition` is `Task.definition()`, as the ledger has it too."""
    found = findings or Findings()
    made = _Maker(definition)
    blocks: list[Block] = [*made.opening(), *made.fields()]
    blocks += [*made.labels(seeds, found), *made.good()] if made.named else [*made.good(), *made.seeds(seeds, found)]
    blocks += [*made.disputed(found.disputed), *made.uncertain(found.uncertain), *made.in_doubt()]
    return Guide(str(definition["name"]), str(definition.get("language") or "en"), blocks)


class _Maker:
    """Make the parts of one guide."""

    def __init__(self, definition: Json) -> None:
        self._definition = definition
        self._schema: Json = definition.get("schema") or {}
        self._input = [str(name) for name in definition.get("input") or ()]
        self._target = [str(name) for name in definition.get("target") or ()]
        self.named: dict[str, str] = definition.get("labels") or {}
        self._label_field = self._target[0] if self.named else None
        self.chinese = in_chinese(str(definition.get("language") or ""))
        self.words: GuideWords = words(self.chinese)

    def opening(self) -> list[Block]:
        said = self.words.labelled if self.named else self.words.unlabelled
        described = str(self._definition.get("description") or "").strip()
        paragraphs = [Paragraph(text) for text in (described, said) if text]
        title = self.words.title.format(name=self._definition["name"])
        return [Heading(1, title), Heading(2, self.words.task), *paragraphs]

    def fields(self) -> list[Block]:
        roles = dict.fromkeys(self._input, self.words.given) | dict.fromkeys(self._target, self.words.sought)
        rows = [
            (name, fields.in_words(self._schema, name, self.chinese), roles.get(name, self.words.other))
            for name in self._schema.get("properties", {})
        ]
        return [
            Heading(2, self.words.fields),
            Table((self.words.field, self.words.form, self.words.role), rows),
            *self._values(),
        ]

    def _values(self) -> list[Block]:
        """Return the meanings of the labels, where a sample may have several, and of assigned values."""
        named = self._definition.get("multi_labels") or (not self.named and self._definition.get("asked")) or {}
        given = {name: [one] if isinstance(one, str) else one for name, one in dict(named).items()}
        told = [(name, "; ".join(filter(None, meanings))) for name, meanings in given.items() if any(meanings)]
        if not told:
            return []
        joint = "：" if self.chinese else ": "
        return [Heading(2, self.words.values), Items([f"{name}{joint}{meaning}" for name, meaning in told])]

    def labels(self, seeds: Sequence[Json], found: Findings) -> list[Block]:
        places = self._places(seeds, found)
        blocks: list[Block] = [Heading(2, self.words.labels)]
        for label, meaning in self.named.items():
            typical, borderline = split(places.get(label, []), EACH)
            blocks += [Heading(3, label), Paragraph(meaning or self.words.no_meaning)]
            if not typical:
                blocks.append(Paragraph(self.words.no_seeds))
                continue
            blocks.append(Paragraph(self.words.typical))
            blocks += [self._example(seeds[place.row]) for place in typical]
            if borderline:
                blocks.append(Paragraph(self.words.borderline))
            for place in borderline:
                note = self.words.near.format(label=label, other=place.nearest) if place.nearest else ""
                blocks.append(self._example(seeds[place.row], note))
        return blocks

    def good(self) -> list[Block]:
        rubric: Mapping[str, str] = self._definition.get("rubric") or {}
        language = str(self._definition.get("language") or "")
        said = [
            one
            for entry in self._definition.get("checks") or ()
            for one in checks.in_words(entry, self.chinese, language)
        ]
        said += [self.words.graded.format(name=name, statement=statement) for name, statement in rubric.items()]
        return [Heading(2, self.words.good), Paragraph(self.words.holds), Items(said)] if said else []

    def seeds(self, seeds: Sequence[Json], found: Findings) -> list[Block]:
        if not seeds:
            return []
        typical, unusual = split(self._places(seeds, found)[None], EACH + 1)
        blocks: list[Block] = [Heading(2, self.words.examples), Paragraph(self.words.typical)]
        blocks += [self._example(seeds[place.row]) for place in typical]
        blocks += [Paragraph(self.words.unusual)] if unusual else []
        return [*blocks, *(self._example(seeds[place.row]) for place in unusual)]

    def disputed(self, found: Sequence[Disputed]) -> list[Block]:
        blocks: list[Block] = [Heading(2, self.words.disagreed)] if found else []
        for one in found[:MOST]:
            joint = "、" if self.chinese else ", "
            votes = joint.join(
                f"{count} × {self._said(answer)}" for answer, count in Counter(one.answers).most_common()
            )
            after = self.words.decided.format(answer=self._said(one.decision)) if one.decided else self.words.open
            blocks.append(self._example(one.data, self.words.votes.format(votes=votes) + after))
        return blocks

    def uncertain(self, found: Sequence[Uncertain]) -> list[Block]:
        blocks: list[Block] = []
        if found:
            blocks = [Heading(2, self.words.uncertain), Paragraph(self.words.uncertain_note)]
        for one in found[:MOST]:
            shares = sorted(one.shares.items(), key=lambda pair: -pair[1])[:3]
            likely = (", " if not self.chinese else "、").join(
                f"{label} {100 * share:.0f} %" for label, share in shares
            )
            note = self.words.probably.format(shares=likely) if likely else ""
            blocks.append(self._example(one.data, note or self.words.quality.format(quality=f"{one.quality:.2f}")))
        return blocks

    def in_doubt(self) -> list[Block]:
        own = self.words.when_labelled if self.named else self.words.when_unlabelled
        return [Heading(2, self.words.doubt), Items([text.format(**_KEYS) for text in (*own, *self.words.always)])]

    def _said(self, answer: str | None) -> str:
        if answer is None:
            return self.words.not_a_sample
        return self.words.good_sample if answer == GOOD and not self.named else answer

    def _places(self, seeds: Sequence[Json], found: Findings) -> dict[str | None, list[LabelMargin]]:
        labels = [str(seed[self._label_field]) if self._label_field else None for seed in seeds]
        ids = [content_id(seed) for seed in seeds]
        if seeds and all(key in found.vectors for key in ids):
            return placed(np.stack([found.vectors[key] for key in ids]), labels)
        return placed(letters([self._text(seed) for seed in seeds]), labels) if seeds else {}

    def _text(self, data: Json) -> str:
        return "\n".join(text for _, text in self._shown(data))

    def _example(self, data: Json, note: str = "") -> Example:
        return Example(self._shown(data), note)

    def _shown(self, data: Json) -> list[tuple[str, str]]:
        names = [name for name in self._schema.get("properties", data) if name in data and name != self._label_field]
        return [(name, _readable(data[name])) for name in names if data[name] not in (None, "")]


def _readable(value: Any) -> str:
    """Return a field's value for people: a list as lines, an object of plain values as `first: second` or `a – b – c`."""
    if isinstance(value, list) and value:
        return "\n".join(_readable(one) for one in value)
    if isinstance(value, dict) and value and not any(isinstance(one, dict | list) for one in value.values()):
        parts = [as_text(one) for one in value.values()]
        return (": " if len(parts) == 2 else " – ").join(parts)
    return as_text(value)
