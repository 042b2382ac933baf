"""Define the records that the stages of a run exchange, and the protocols of engines and checks.

This module imports nothing of synthgen. A `Grammar` is the serialisable form of an Outlines type;
`synthgen.engines.grammar.schema` maps it to Outlines and to the engines.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, Self

from msgspec import Struct, field
from msgspec.structs import asdict, replace

Json = dict[str, Any]


# One encoder for all calls: `json.dumps` with non-default settings builds a new encoder each time.
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
_PLAIN = json.JSONEncoder(ensure_ascii=False).encode
_SHALLOW = 64  # a text with at most so many opening brackets cannot nest too deep


def to_json(value: Any) -> str:
    """Return a JSON value as readable text: keys in their own order, non-ASCII characters kept."""
    return _PLAIN(value)


def canonical(value: Any) -> str:
    """Return the canonical text of a JSON value: sorted keys, no spaces, non-ASCII characters kept."""
    return _CANONICAL(value)


def content_id(value: Any) -> str:
    """Return the 128-bit hash of a JSON value's content in hex. All content ids come from this function."""
    return hashlib.blake2b(canonical(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def parse_json(text: str) -> Any:
    """Parse JSON strictly, so that every other program reads the same value.

    Raise ValueError for NaN, a number beyond the range of a double, a repeated key, a lone surrogate, or nesting too
    deep to process.
    """
    if text.startswith("\ufeff"):
        raise json.JSONDecodeError(
            "Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0
        )  # the message of json.loads
    try:
        value = _DECODE(text)
        text.encode("utf-8")
        if (
            "\\u" in text or text.count("[") + text.count("{") > _SHALLOW
        ):  # only then can it have a lone surrogate or nest too deep
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
        raise ValueError(f"the key {twice!r} appears twice in one object")
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


class Record(Struct, frozen=True):
    """Hold values that do not change. Types are checked by mypy, not when a record is made: a run makes millions."""

    def model_copy(self, update: Json) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **update)

    def model_dump(self, exclude: Collection[str] = ()) -> Json:
        """Return the fields by name, except those in `exclude`."""
        return {name: value for name, value in asdict(self).items() if name not in exclude}


class Message(Record, frozen=True):
    """Hold one turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class Grammar(Record, frozen=True, dict=True):
    """Hold the constraint on a completion: an Outlines type (JsonSchema, Regex, Choice, CFG) as data."""

    kind: Literal["json_schema", "regex", "choice", "cfg"]
    spec: Json | str | tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """Return a hash of the content, because a schema is not hashable itself."""
        return content_id([self.kind, self.spec])


class Sampling(Record, frozen=True):
    """Hold the sampling parameters of a completion.

    The engine returns `logprobs` alternatives for each token. The completion never contains one of `bad_words`. A model
    that thinks may write `thinking_tokens` more than `max_tokens`.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 256
    seed: int | None = None
    logprobs: int | None = None
    bad_words: tuple[str, ...] = ()  # one shared object for all requests of a group
    thinking_tokens: int = 0


class Request(Record, frozen=True):
    """Hold one request to an engine. `id` is unique within the run; an engine serves lower `priority` first."""

    id: str
    messages: tuple[Message, ...]
    """One object for all requests of a group; caches use its identity."""
    grammar: Grammar | None = None
    sampling: Sampling = Sampling()
    priority: int = 0
    adapter: str | None = None
    """Name under which the LoRA adapter is served that should answer; None for the base model."""
    model: str | None = None
    """Name of the model that should answer, where an engine mixes several; None for the engine's first or only model."""
    thinking: bool | None = None
    """Ask a reasoning model to think first, or not to; None leaves it at its default."""
    continues: bool = False
    """Continue the last message, such as an empty turn of the user, instead of answering it."""
    group: int | None = None
    """Number of the group of slots that share the beginning of this prompt, so that one replica can cache it."""


class AdapterExample(Record, frozen=True):
    """Hold one training example for an adapter: a conversation as a run sends it, and the right answer."""

    kind: str
    row: str
    """Id of the row that the conversation is about. All exchanges about one row are either trained on or held out."""
    messages: tuple[Message, ...]
    answer: str
    options: tuple[str, ...] = ()
    """The options to choose the answer from; empty for free text."""
    stratum: str = ""
    """Stratum of the row, because held-out rows are drawn from every stratum."""


UNPARSABLE, REFUSED, THINKING_ONLY = "unparsable", "refused", "thinking_only"
"""Finish reasons in addition to the servers' own: no JSON in a reply that should be JSON; the model declined, or its
answer was filtered; thinking without an answer. Candidates are rejected with the same reasons."""


class Completion(Record, frozen=True):
    """Hold an engine's answer. `logprobs` has one {token text: logprob} mapping for each token of `text`.

    `thinking` is the text that a reasoning model wrote before the answer. `completion_tokens` counts it too.
    `thinking_tokens` is the count that some endpoints state; no ledger stores it.
    """

    text: str
    finish_reason: str
    logprobs: tuple[dict[str, float], ...] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine: str = ""
    seconds: float = 0.0
    thinking: str = ""
    thinking_tokens: int = 0


class PlannedSlot(Record, frozen=True):
    """Hold the plan of one slot; it never changes once recorded. `parents` are the ids of the samples shown.

    `model` is the model that writes, where the engine mixes several. `given` holds the strategy's other choices for the
    slot by name, such as attributes or a passage.
    """

    slot: int
    group: int
    label: str | None
    strategy: str
    parents: tuple[str, ...]
    model: str | None = None
    given: Json = field(default_factory=dict)  # one shared object for all slots of a group


class Verdict(Record, frozen=True):
    """Hold one check's verdict on one candidate. `unscored` means that the check could not decide."""

    check: str
    outcome: Literal["pass", "reject", "unscored"] = "pass"
    reason: str | None = None
    score: float | None = None
    details: Json = field(default_factory=dict)


DECISION = "trust"
"""Name of the check that decides a candidate's label. The verdict's details contain the label."""
REWRITES = "rewrites"
"""Key of `given` that holds the id of the parent that a candidate rewrites. It may share words with this parent."""
PAIR = "pair"
"""Key of `given` that holds the id of the parent from which a candidate should differ in little but its label. It may be
a near-duplicate of this parent, and is rejected if it has the parent's label."""

LANGUAGE = "language"
"""Key of `given` that holds the language through which a candidate's texts were translated."""


def demonstrations(parents: tuple[str, ...], given: Json) -> tuple[str, ...]:
    """Return the parents from which a sample must not copy: all but the one that it rewrites."""
    rewritten = given.get(REWRITES)
    return parents if rewritten is None else tuple(parent for parent in parents if parent != rewritten)


class Candidate(Struct):
    """Hold one proposed sample from a reply, before it is accepted or rejected.

    `data` is None where the text is not a JSON object. The diversity check sets `embedding`, a unit vector of shape
    (dim,), and `near_match`, the result of its first near-duplicate search.
    """

    id: str
    slot: int
    item: int
    text: str
    data: Json | None  # one shared object from the parser to the ledger; caches use its identity
    finish_reason: str
    parents: tuple[str, ...]
    depth: int
    strategy: str
    template: str
    label: str | None = None
    """The label that its prompt asked for."""
    model: str | None = None
    """The model that wrote it, where the engine mixes several."""
    given: Json = field(default_factory=dict)
    """Its sources besides its parents, by name, such as attributes, a passage, or `REWRITES`."""
    quality: float | None = None
    """Quality from 0 to 1, where its strategy measures one."""
    verdicts: list[Verdict] = field(default_factory=list)
    """The verdicts so far, in the order in which the checks ran."""
    embedding: Any = None
    near_match: Any = None

    def model_copy(self, update: Json) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **update)

    def __repr__(self) -> str:
        return f"Candidate(slot={self.slot}, item={self.item}, id={self.id!r}, text={self.text!r})"

    @property
    def decided_label(self) -> str | None:
        """Return the label that the label model decided, or else the label that the prompt asked for."""
        for verdict in reversed(self.verdicts):
            if verdict.check == DECISION:
                return str(verdict.details["label"])
        return self.label

    @property
    def demonstrations(self) -> tuple[str, ...]:
        """Return the ids of the parents that the sample must not copy: all but the parent that it rewrites."""
        return demonstrations(self.parents, self.given)


FAULT = "fault"
"""Key of `given` that holds the reason for which the candidate's own strategy rejects it; see `synthgen.generate.faults`."""
PROPOSED = "proposed"
"""Key of `given` that holds the label which a strategy proposed for a text by its vector. Such a label is no evidence
beside the text, unlike a label that a prompt asked for."""
SUPPLIED = "supplied"
"""Key of `given` that lists the fields which the user's texts or documents supplied. No model wrote them, so
they cannot be cut off."""
INHERITED = -1
"""Slot of the samples that a fork took over from another run; it precedes the first slot of the fork."""
LABEL_FULL, OTHER_LABEL, OVER_TARGET = "label_full", "other_label", "over_target"
"""Reasons to reject a surplus candidate: the label asked for has its share of the target; the label decided instead has
its share; the run has reached its target."""
SURPLUS = (LABEL_FULL, OTHER_LABEL, OVER_TARGET)
"""All reasons to reject a candidate that passed every other check."""


class Sample(Record, frozen=True):
    """Hold a seed or an accepted candidate, with its lineage; `depth` is 0 for a seed."""

    id: str
    data: Json
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
    model: str | None = None
    """The model that wrote it, where the engine mixes several."""
    given: Json = field(default_factory=dict)
    """Its sources besides its parents, by name, such as attributes or a passage."""

    @property
    def demonstrations(self) -> tuple[str, ...]:
        """Return the ids of the parents that it must not copy: all but the one that it rewrites."""
        return demonstrations(self.parents, self.given)


class Outcome(NamedTuple):
    """Hold the outcome of a candidate, for stop rules and planning."""

    label: str | None
    """Label of the sample that the candidate became, or would have become."""
    similarity: float | None
    """Cosine to the nearest neighbour if the candidate was accepted, else None."""
    surplus: bool
    """True when the candidate passed every other check, but its label or the run already had enough samples."""

    @property
    def passed(self) -> bool:
        """Return True when the candidate was accepted, or rejected only as surplus."""
        return self.surplus or self.similarity is not None


class PersonAnswer(NamedTuple):
    """Hold one person's annotation of one accepted sample."""

    sample_id: str
    annotator: str
    answer: str | None
    """A label, or GOOD where the task has no labels; None where the person said that it is not a valid sample."""
    at: float
    """Seconds since the epoch."""
    guide: str | None = None
    """Hash of the annotation guide that was in force; None where there was none."""
    role: str | None = None
    """ADJUDICATION where the answer decides a disagreement of other people; None for an ordinary answer."""


ADJUDICATION = "adjudication"
"""Role of an answer that decides a disagreement and overrules the ordinary answers, which are kept."""


class Correction(NamedTuple):
    """Add a sample that a person made by correcting the fields of another one, its only parent."""

    sample: Sample


class Withdrawal(NamedTuple):
    """Withdraw one person's annotation of one sample."""

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
    """Declare one reason for which a check rejects."""

    code: str
    words: str
    """The end of the sentence "rejected because the sample ..."."""
    threshold: str | None = None
    """The config key whose value the score is compared with."""


TOO_LONG = Reason("too_long", "its prompt does not fit the model's window")
UNSCORED = Reason("unscored", "the judge's answer could not be read")
ONLY_THOUGHT = Reason(THINKING_ONLY, "the judge only thought and gave no answer: raise model.thinking_tokens")
UNANSWERED = (UNSCORED, ONLY_THOUGHT, TOO_LONG)
"""Reasons why a question to the judge has no answer."""


@dataclass(frozen=True)
class CheckSpec:
    """Declare a check, for reports and docs."""

    name: str
    passes: str
    """One sentence that says which candidates pass the check."""
    reasons: tuple[Reason, ...]
    scores: str = ""
    """The meaning and range of the scores; empty for a check without scores."""
    keeps_passes: bool = True
    """True when the ledger records passes; False where a pass says nothing about the candidate."""


class Check(Protocol):
    """Return a verdict on a candidate: pass, reject or unscored, with a reason code and a score."""

    name: str

    @property
    def spec(self) -> CheckSpec: ...

    async def __call__(self, candidate: Candidate) -> Verdict: ...


class Follower(Protocol):
    """Receive every accepted sample, in slot order."""

    def accepted(self, sample: Sample, candidate: Candidate, /) -> None: ...
