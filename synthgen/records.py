"""The domain in one file: what travels between the stages of a run.

Imports nothing of synthgen. A `Grammar` is the serialisable form of an Outlines type;
`synthgen.engines.grammar.schema` maps it to Outlines and to the engines.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

Json = dict[str, Any]


# Kept, because `json.dumps` with any setting makes an encoder for every call.
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
_PLAIN = json.JSONEncoder(ensure_ascii=False).encode
_SHALLOW = 64  # brackets in a text that cannot nest too deep


def to_json(value: Any) -> str:
    """A JSON value as people read it: its own order of keys, non-ASCII kept."""
    return _PLAIN(value)


def canonical(value: Any) -> str:
    """One spelling of a JSON value: sorted keys, no spaces, non-ASCII kept."""
    return _CANONICAL(value)


def content_id(value: Any) -> str:
    """128-bit hex hash of a JSON value's content; the only source of ids."""
    return hashlib.blake2b(canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def parse_json(text: str) -> Any:
    """A JSON value that other programs would read the same way.

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
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Grammar(Record):
    """What a completion may be: an Outlines type (JsonSchema, Regex, Choice, CFG) as data."""

    kind: Literal["json_schema", "regex", "choice", "cfg"]
    spec: Json | str | tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """Hash of the content; a schema is no dictionary key itself."""
        return content_id([self.kind, self.spec])


class Sampling(Record):
    """How to draw a completion; `logprobs` asks for that many alternatives a token, `bad_words` are never written."""

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 256
    seed: int | None = None
    logprobs: int | None = None
    bad_words: SkipValidation[tuple[str, ...]] = ()  # one object for a whole group


class Request(Record):
    """One question to an engine. `id` names it for ever; lower `priority` is served first."""

    id: str
    messages: SkipValidation[tuple[Message, ...]]  # one object for a whole group, and known by that
    grammar: Grammar | None = None
    sampling: Sampling = Sampling()
    priority: int = 0
    adapter: str | None = None
    """The LoRA adapter that is to answer, by the name it is served under; None for the model itself."""
    scored: bool = False
    """Whether the prompt's own log probability is wanted, the last message, an assistant's, standing as written so far."""


class Exchange(Record):
    """A conversation as a run would send it and the answer that is wanted: what an adapter is trained on."""

    kind: str
    row: str
    """Id of the row that it is about; all exchanges about a row are trained on, or none."""
    messages: tuple[Message, ...]
    answer: str
    options: tuple[str, ...] = ()
    """What the answer is chosen from; empty for running text."""
    stratum: str = ""
    """What kind of row it is: held-out rows are taken from all kinds."""


SCORE = "<prompt>"
UNPARSABLE, REFUSED, THINKING_ONLY = "unparsable", "refused", "thinking_only"
"""Finish reasons beside the servers' own: text that holds no JSON where JSON was asked for, a model that declined or
whose answer was filtered, and thinking without an answer. They are the reasons of rejections too."""


class Completion(Record):
    """An engine's answer; `logprobs` has one {token text: logprob} a generated token.

    Of a scored request it has one entry with the one key SCORE: the sum over the prompt's tokens, in nats.
    """

    text: str
    finish_reason: str
    logprobs: tuple[dict[str, float], ...] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine: str = ""
    seconds: float = 0.0


class PlannedSlot(Record):
    """What one slot asks for; the same for ever once recorded. `parents` are the samples shown."""

    slot: int
    group: int
    label: str | None
    strategy: str
    parents: tuple[str, ...]


class Candidate(BaseModel):
    """What one generation request produced, before it is accepted or rejected.

    `data` is None where the text is not a JSON object. `embedding`, a unit vector of shape (dim,), and
    `sighting`, what it was near to at first sight, are the diversity check's and in no serialised form.
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
    embedding: Any = Field(default=None, exclude=True, repr=False)
    sighting: Any = Field(default=None, exclude=True, repr=False)


class Verdict(Record):
    """One check's answer on one candidate. `unscored` means the check could not tell."""

    check: str
    outcome: Literal["pass", "reject", "unscored"] = "pass"
    reason: str | None = None
    score: float | None = None
    details: Json = Field(default_factory=dict)


INHERITED = -1
"""The slot of a sample that a run took over from another one: before its own first."""
LABEL_FULL, OTHER_LABEL, OVER_TARGET = "label_full", "other_label", "over_target"
"""Reasons of rejections for number alone: the label that was asked for has its share, or another one that the candidate
turned out to have, or the target is reached."""
SURPLUS = (LABEL_FULL, OTHER_LABEL, OVER_TARGET)
"""Those of candidates that passed all checks."""


class Sample(Record):
    """A seed or an accepted candidate, with its lineage; `depth` is 0 for a seed."""

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


class PersonAnswer(NamedTuple):
    """Holds what one person said of one accepted sample."""

    sample_id: str
    annotator: str
    answer: str | None
    """A label, or GOOD where the task has no labels; None for "not a sample"."""
    at: float
    """Seconds since the epoch."""


class Withdrawal(NamedTuple):
    """Takes back what one person said of one sample."""

    sample_id: str
    annotator: str


GOOD = "good"
"""The answer for a good sample of a task without labels."""


class Engine(Protocol):
    """Answers requests. Raises the EngineErrors of `synthgen.errors` and nothing else."""

    name: str

    async def complete(self, request: Request) -> Completion: ...

    async def aclose(self) -> None: ...


class Check(Protocol):
    """Says pass, reject or unscored on a candidate, with a reason code and a score."""

    name: str

    async def __call__(self, candidate: Candidate) -> Verdict: ...
