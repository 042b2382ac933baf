"""The domain in one file: what travels between the stages of a run.

Imports nothing of synthgen. A `Grammar` is the serialisable form of an Outlines type;
`synthgen.engines.grammar.schema` maps it to Outlines and to the engines.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

Json = dict[str, Any]


# Kept, because `json.dumps` with any setting makes an encoder for every call.
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
_PLAIN = json.JSONEncoder(ensure_ascii=False).encode
_SHALLOW = 64  # brackets in a text that cannot nest too deep


def to_json(value: Any) -> str:
    """Spell a JSON value for people: its own order of keys, non-ASCII kept."""
    return _PLAIN(value)


def canonical(value: Any) -> str:
    """Spell a JSON value in its one canonical form: sorted keys, no spaces, non-ASCII kept."""
    return _CANONICAL(value)


def content_id(value: Any) -> str:
    """Return the 128-bit hex hash of a JSON value's content; the only source of ids."""
    return hashlib.blake2b(canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def parse_json(text: str) -> Any:
    """Parse a JSON value strictly, so that other programs would read the same value.

    Raises ValueError for anything else: NaN, a number past a double, a key twice, a lone
    surrogate, nesting too deep to walk.
    """
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)  # as json.loads has it
    try:
        value = _DECODE(text)
        text.encode("utf-8")
        if "\\u" in text or text.count("[") + text.count("{") > _SHALLOW:  # a surrogate or a depth that is not seen yet
            canonical(value).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeEncodeError:
        raise ValueError("a lone surrogate (\\ud800 to \\udfff) is not text; remove it") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(convert: Callable[[str], float]) -> Callable[[str], float]:
    def number(digits: str) -> float:
        if math.isinf(float(digits)):
            raise ValueError(f"the number {digits[:20]}{'...' if len(digits) > 20 else ''} is too large")
        return convert(digits)

    return number


_DECODE = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_finite(int), parse_float=_finite(float)
).decode


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """Hold one turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Grammar(Record):
    """Say what a completion may be: an Outlines type (JsonSchema, Regex, Choice, CFG) as data."""

    kind: Literal["json_schema", "regex", "choice", "cfg"]
    spec: Json | str | tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """Hash of the content; a schema is no dictionary key itself."""
        return content_id([self.kind, self.spec])


class Sampling(Record):
    """Say how to draw a completion; `logprobs` alternatives are returned per token, `bad_words` are never written."""

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 256
    seed: int | None = None
    logprobs: int | None = None
    bad_words: SkipValidation[tuple[str, ...]] = ()  # one object for a whole group


class Request(Record):
    """Hold one question to an engine. `id` names it for ever; lower `priority` is served first."""

    id: str
    messages: SkipValidation[tuple[Message, ...]]  # one object for a whole group, and known by that
    grammar: Grammar | None = None
    sampling: Sampling = Sampling()
    priority: int = 0
    adapter: str | None = None
    """The LoRA adapter that is to answer, by the name it is served under; None for the model itself."""


class Exchange(Record):
    """Hold a conversation as a run sends it and the wanted answer, to train an adapter on."""

    kind: str
    row: str
    """Id of the row that it is about; all exchanges about a row are trained on, or none."""
    messages: tuple[Message, ...]
    answer: str
    options: tuple[str, ...] = ()
    """What the answer is chosen from; empty for running text."""
    stratum: str = ""
    """What kind of row it is: held-out rows are taken from all kinds."""


UNPARSABLE, REFUSED, THINKING_ONLY = "unparsable", "refused", "thinking_only"
"""Finish reasons beside the servers' own: text that holds no JSON where JSON was asked for, a model that declined or
whose answer was filtered, and thinking without an answer. They are the reasons of rejections too."""


class Completion(Record):
    """Hold an engine's answer; `logprobs` has one {token text: logprob} per generated token."""

    text: str
    finish_reason: str
    logprobs: tuple[dict[str, float], ...] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine: str = ""
    seconds: float = 0.0


class PlannedSlot(Record):
    """Hold what one slot asks for; never changed once recorded. `parents` are the samples shown."""

    slot: int
    group: int
    label: str | None
    strategy: str
    parents: tuple[str, ...]


class Verdict(Record):
    """Hold one check's answer on one candidate. `unscored` means the check could not tell."""

    check: str
    outcome: Literal["pass", "reject", "unscored"] = "pass"
    reason: str | None = None
    score: float | None = None
    details: Json = Field(default_factory=dict)


DECISION = "trust"
"""Name of the check that decides a candidate's label; the details of its verdict have the label."""


class Candidate(BaseModel):
    """Hold what one generation request produced, before it is accepted or rejected.

    `data` is None where the text is not a JSON object. The fields below `label` are in no serialised form: `embedding`, a
    unit vector of shape (dim,), and `sighting`, what it was near to at first sight, are the diversity check's.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    id: str
    slot: int
    item: int
    text: str
    data: SkipValidation[Json | None]  # one object from the parser to the ledger, and known by that
    finish_reason: str
    parents: tuple[str, ...]
    depth: int
    strategy: str
    template: str
    label: str | None = None
    """The label that its prompt asked for."""
    verdicts: SkipValidation[list[Verdict]] = Field(default_factory=list, exclude=True, repr=False)
    """The answers of the checks so far, in the order in which they were asked."""
    embedding: Any = Field(default=None, exclude=True, repr=False)
    sighting: Any = Field(default=None, exclude=True, repr=False)

    @property
    def decided_label(self) -> str | None:
        """Return the label that was decided, or the one asked for where none was."""
        for verdict in reversed(self.verdicts):
            if verdict.check == DECISION:
                return str(verdict.details["label"])
        return self.label


INHERITED = -1
"""The slot of a sample that a run took over from another one: before its own first."""
LABEL_FULL, OTHER_LABEL, OVER_TARGET = "label_full", "other_label", "over_target"
"""Reasons of rejections for number alone: the label that was asked for has its share, or another one that the candidate
turned out to have, or the target is reached."""
SURPLUS = (LABEL_FULL, OTHER_LABEL, OVER_TARGET)
"""Those of candidates that passed all checks."""


class Sample(Record):
    """Hold a seed or an accepted candidate, with its lineage; `depth` is 0 for a seed."""

    id: str
    data: SkipValidation[Json]
    origin: Literal["seed", "synthetic"]
    label: str | None = None
    slot: int | None = None
    item: int | None = None
    parents: tuple[str, ...] = ()
    depth: int = 0
    strategy: str = "seed"
    template: str = ""
    quality: float = 1.0
    novelty: float = 1.0


class Outcome(NamedTuple):
    """Holds what became of a candidate, for stop rules and planning."""

    label: str | None
    """That of the sample which it is or would be."""
    similarity: float | None
    """The cosine to its nearest neighbour if it was accepted, else None."""
    surplus: bool
    """It passed all checks, and was one too many."""

    @property
    def passed(self) -> bool:
        """True when it passed all checks, or all but the one on numbers."""
        return self.surplus or self.similarity is not None


class PersonAnswer(NamedTuple):
    """Hold what one person said of one accepted sample."""

    sample_id: str
    annotator: str
    answer: str | None
    """A label, or GOOD where the task has no labels; None for "not a sample"."""
    at: float
    """Seconds since the epoch."""


class Withdrawal(NamedTuple):
    """Take back what one person said of one sample."""

    sample_id: str
    annotator: str


GOOD = "good"
"""The answer for a good sample of a task without labels."""


class Engine(Protocol):
    """Answer requests. Raise the EngineErrors of `synthgen.errors` and nothing else."""

    name: str

    async def complete(self, request: Request) -> Completion: ...

    async def aclose(self) -> None: ...


class Reason(NamedTuple):
    """Declares one reason for which a check rejects."""

    code: str
    words: str
    """Plain words that follow "rejected because the sample ..."."""
    threshold: str | None = None
    """The config key that the score is held against."""


TOO_LONG = Reason("too_long", "its prompt does not fit the model's window")


@dataclass(frozen=True)
class CheckSpec:
    """Declares a check, for reports and docs."""

    name: str
    passes: str
    """One sentence on the candidates that it passes."""
    reasons: tuple[Reason, ...]
    scores: str = ""
    """What its scores measure, and their range; empty for a check without scores."""
    keeps_passes: bool = True
    """Record passes in the ledger; False where a pass says nothing about the candidate."""


class Check(Protocol):
    """Answer pass, reject or unscored on a candidate, with a reason code and a score."""

    name: str

    @property
    def spec(self) -> CheckSpec: ...

    async def __call__(self, candidate: Candidate) -> Verdict: ...


class Follower(Protocol):
    """Hears of every accepted sample, in slot order."""

    def accepted(self, sample: Sample, candidate: Candidate, /) -> None: ...
