"""Choose the structured-output backend of vLLM that can enforce a run's grammars.

A vLLM server has one backend for all requests. Its own `auto` setting decides by the first request and compiles every
later one with that backend, whatever it supports. So this module chooses, from all grammars of the run. The table
states what each backend does with a keyword; tests/engines/grammar/test_backends.py checks it against the libraries.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from synthgen.errors import ConfigError
from synthgen.records import Grammar, Json
from synthgen.tasks.schemas import nodes

BACKENDS = ("outlines", "xgrammar", "guidance")
_OTHERS = ("guidance", "xgrammar", "outlines")  # tried in this order after the configured one: see docs/decisions.md

Holding = Literal["kept", "loose", "narrow", "refused"]
"""Name the treatment of a feature by a backend. kept: every reply obeys it. loose: it is ignored, and replies that violate it are
rejected on arrival. narrow: only some of the allowed replies can be written. refused: the request fails."""

_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_COUNTS = {"minLength", "maxLength"}
_NOTES = {"title", "description", "$comment", "default", "examples", "$defs", "definitions", "$schema", "$id"}
_ANY_FORMAT = {"date", "time", "date-time", "email", "uri", "uuid"}
_GUIDANCE_FORMAT = _ANY_FORMAT | {"duration", "hostname", "ipv4", "ipv6"}
_XGRAMMAR_FORMAT = _GUIDANCE_FORMAT | {"uri-reference", "uri-template", "json-pointer", "relative-json-pointer"}


@dataclass(frozen=True)
class Feature:
    """Describe a feature of a schema object that not every backend enforces."""

    name: str
    asked: Callable[[Json], bool]
    outlines: Holding
    xgrammar: Holding
    guidance: Holding

    def by(self, backend: str) -> Holding:
        return {"outlines": self.outlines, "xgrammar": self.xgrammar, "guidance": self.guidance}[backend]


def _has(*keywords: str) -> Callable[[Json], bool]:
    return lambda schema: not schema.keys().isdisjoint(keywords)


def _format_outside(known: set[str]) -> Callable[[Json], bool]:
    return lambda schema: "format" in schema and schema["format"] not in known


def _form_and_length(schema: Json) -> bool:
    return bool({"pattern", "format"} & schema.keys() and _COUNTS & schema.keys())


def _alternatives_and_more(schema: Json) -> bool:
    return bool({"anyOf", "oneOf"} & schema.keys() and schema.keys() - _NOTES - {"anyOf", "oneOf"})


def _bounded_text(schema: Json) -> bool:
    return bool({"minLength", "maxLength", "pattern"} & schema.keys())


FEATURES = (
    # xgrammar 0.2.8 drops every escape from a bounded string (mlc-ai/xgrammar#800); `bounded` bounds every string.
    Feature("a quotation mark or line break in a text of bounded length", _bounded_text, "kept", "narrow", "kept"),
    Feature("bounds of a number", _has(*_BOUNDS), "loose", "kept", "kept"),
    Feature("multipleOf", _has("multipleOf"), "loose", "refused", "kept"),
    Feature("minLength or maxLength beside pattern or format", _form_and_length, "loose", "refused", "kept"),
    Feature("minProperties or maxProperties", _has("minProperties", "maxProperties"), "loose", "kept", "kept"),
    Feature("anyOf beside other keywords", _alternatives_and_more, "loose", "loose", "kept"),
    # Outlines refuses parts without a type, and concatenates the others.
    Feature("allOf of several", lambda schema: len(schema.get("allOf", ())) > 1, "refused", "refused", "kept"),
    Feature("patternProperties", _has("patternProperties"), "refused", "refused", "kept"),
    Feature("items as a list", lambda schema: isinstance(schema.get("items"), list), "refused", "refused", "kept"),
    Feature("this format", _format_outside(_XGRAMMAR_FORMAT), "refused", "refused", "refused"),
    Feature(
        "this format", lambda s: s.get("format") in _XGRAMMAR_FORMAT - _GUIDANCE_FORMAT, "refused", "kept", "refused"
    ),
    Feature("this format", lambda s: s.get("format") in _GUIDANCE_FORMAT - _ANY_FORMAT, "refused", "kept", "kept"),
    Feature("uniqueItems", lambda schema: schema.get("uniqueItems") is True, "loose", "refused", "refused"),
    Feature("contains", _has("contains"), "loose", "refused", "refused"),
    Feature("propertyNames", _has("propertyNames"), "loose", "refused", "refused"),
    Feature("dependentRequired", _has("dependentRequired"), "loose", "loose", "refused"),
    Feature("dependentSchemas", _has("dependentSchemas"), "loose", "loose", "refused"),
    Feature("if", _has("if"), "loose", "loose", "refused"),
    Feature("not", _has("not"), "refused", "loose", "refused"),
)
"""List the features that some backend does not keep. All backends keep the others, or the compile before traffic finds them."""

CONTEXT_FREE = Feature("a context-free grammar", bool, "refused", "kept", "kept")
REGEX = Feature("a regular expression that may continue after a whole match", bool, "narrow", "kept", "kept")
PREFIX = Feature("a choice in which one option begins another", bool, "narrow", "kept", "kept")


@dataclass(frozen=True)
class Selected:
    """Hold the backend that a server starts with; `why` explains a change, or what the backend cannot enforce."""

    backend: str
    why: str = ""


def choose(wanted: str, grammars: Iterable[Grammar]) -> Selected:
    """Return the backend for `grammars`: the configured one if it enforces them, else another that does.

    If none enforces everything, return the first that only ignores something, because replies are checked again on
    arrival. Raise ConfigError if every backend would refuse.
    """
    asked = list(dict.fromkeys(found for grammar in grammars for found in asked_for(grammar)))
    order = list(dict.fromkeys((wanted, *_OTHERS)))
    worst = {backend: _worst(backend, asked) for backend in order}
    for backend in order:
        if worst[backend] == "kept":
            return Selected(backend, _instead(backend, wanted, asked))
    for backend in order:
        if worst[backend] != "refused":
            left = _named(asked, backend, "loose", "narrow")
            return Selected(backend, f"no structured-output backend can enforce all of the schema; {backend} leaves "
                                     f"out {left}, and replies are checked again when they come")  # fmt: skip
    said = "; ".join(f"{backend} refuses {_named(asked, backend, 'refused')}" for backend in order)
    where = next(path for path, feature in asked if feature.by(wanted) == "refused")
    raise ConfigError(
        f"{where}: no structured-output backend accepts this schema: {said}; remove or replace one of these"
    )


def asked_for(grammar: Grammar) -> Iterator[tuple[str, Feature]]:
    """Return the features of a grammar that not every backend enforces, and where the grammar uses them."""
    match grammar.kind:
        case "cfg":
            yield "the grammar", CONTEXT_FREE
        case "regex":
            yield "the grammar", REGEX
        case "choice":
            options = sorted(str(option) for option in grammar.spec)
            if any(long.startswith(short) for short, long in pairwise(options)):
                yield "the labels", PREFIX
        case "json_schema":
            assert isinstance(grammar.spec, dict)
            for path, node in nodes(grammar.spec):
                yield from ((path, feature) for feature in FEATURES if feature.asked(node))


def _worst(backend: str, asked: Sequence[tuple[str, Feature]]) -> Holding:
    found: set[Holding] = {feature.by(backend) for _, feature in asked}
    return next((worst for worst in ("refused", "loose", "narrow") if worst in found), "kept")


def _instead(backend: str, wanted: str, asked: Sequence[tuple[str, Feature]]) -> str:
    if backend == wanted:
        return ""
    lacking = _named(asked, wanted, "refused") or _named(asked, wanted, "loose", "narrow")
    return f"structured outputs by {backend} instead of {wanted}, which cannot enforce {lacking}"


def _named(asked: Sequence[tuple[str, Feature]], backend: str, *holdings: Holding) -> str:
    """Return the features that `backend` treats in one of these ways, each with the first place that uses it."""
    places: dict[str, str] = {}
    for path, feature in asked:
        if feature.by(backend) in holdings:
            places.setdefault(feature.name, path)
    return ", ".join(f"{name} ({path})" for name, path in places.items())


def server_options(backend: str) -> Json:
    """Return the value of vLLM's `structured-outputs-config`.

    Without it, xgrammar and guidance let a weak model write white space without end.
    """
    return {"backend": backend} | ({} if backend == "outlines" else {"disable_any_whitespace": True})
