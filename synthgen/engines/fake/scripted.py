"""Write answers within a grammar, made of invented words, without a model.

The writer never runs out of answers, and its answer depends only on the random generator that it gets. Both the replay
engine and the stand-in server use it.
"""

import json
import math
import random
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from synthgen.records import Grammar, Json

_ONSETS = "b br ch d dr f g gl h k l m n p pl r s sh st t tr v w z".split()  # noqa: SIM905
_VOWELS = "a e i o u ai ea io ou".split()  # noqa: SIM905
_CODAS = ["", "", "n", "r", "l", "s", "t", "m", "nd", "st"]


_HOLLOW = re.compile(r"^\w+:[ \t]*$|^\[(\w+)\]\s+\[\1\]", re.MULTILINE)
"""Matches a sample without text in the judge's prompts; such a sample gets the worst grade."""


_PAIR = re.compile(r"\[(\w+)\]\n(.*?)\n\[\1\].*?\[\1\]\n(.*?)\n\[\1\]", re.DOTALL)
"""Matches the two texts of a comparison in the judge's prompts; the longer one is called better, in both orders."""


_LABEL = re.compile(r"\b(?:Label:|标签：)\s*(\S.*)")
"""Matches the label that a prompt asks for. A strategy may ask for more after it."""


_DEEPEST = 6
"""Levels after which a recursive schema is written as briefly as possible."""


class Written(NamedTuple):
    """Hold an answer; `logprobs` has the options of a choice, and is None for free text."""

    text: str
    finish_reason: str
    logprobs: dict[str, float] | None

    @property
    def tokens(self) -> int:
        return 1 if self.logprobs is not None else max(1, len(self.text) // 4)


class Writer:
    """Write answers with a configurable share of faults.

    `approve` is the share of the judge's questions that get a good grade, except questions about samples without text.
    `repeat` is the share of answers that repeat another one, `broken` the share of those cut off before their end.
    """

    def __init__(self, seed: int, approve: float = 0.9, repeat: float = 0.0, broken: float = 0.0) -> None:
        self._seed = seed
        self._approve = approve
        self._repeat = repeat
        self._broken = broken

    def write(self, asked: str, grammar: Grammar | None, rng: random.Random) -> Written:
        """Return the answer to `asked`, the last message of a prompt."""
        if grammar is not None and grammar.kind == "choice":
            weights = _weights(grammar.spec, asked, rng.random() < self._approve)
            best = max(weights, key=lambda option: weights[option])
            return Written(best, "stop", {option: math.log(weight) for option, weight in weights.items()})
        if rng.random() < self._repeat:
            rng = random.Random(f"{self._seed}/repeated/{asked}")
        text = _write(grammar, rng, asked)
        if rng.random() < self._broken:
            return Written(text[: len(text) // 2], "length", None)
        return Written(text, "stop", None)

    def think(self, rng: random.Random) -> str:
        """Return the thinking that a reasoning model might write before its answer."""
        return f"The user wants {_sentence(rng, 'example', 20, 120)}"


def _weights(options: Sequence[Any] | Json | str, asked: str, approve: bool) -> dict[str, float]:
    """Return a distribution over the options: grades, yes and no, A and B, or words searched in the question."""
    names = [str(option) for option in options]
    if all(name.isdigit() for name in names):
        best = names[-1] if approve and not _HOLLOW.search(asked) else names[0]
    elif set(names) == {"yes", "no"}:
        best = "yes" if approve and not _HOLLOW.search(asked) else "no"
    elif names == ["A", "B"] and (pair := _PAIR.search(asked)):
        first, second = pair.group(2), pair.group(3)
        best = "A" if ((len(first), first) > (len(second), second)) == approve else "B"
    else:
        best = max(names, key=lambda name: asked.rfind(name))
        if best not in asked:  # the prompt has no text to judge
            return dict.fromkeys(names, 1 / len(names))
        best = best if approve else names[(names.index(best) + 1) % len(names)]
    rest = 0.2 / max(1, len(names) - 1)
    return {name: 0.8 if name == best else rest for name in names}


def _write(grammar: Grammar | None, rng: random.Random, asked: str) -> str:
    """Write text that fits a JSON Schema grammar; its strings end with the label, or with the last word of the question."""
    labels = _LABEL.findall(asked)
    words = (labels[-1] if labels else asked).split()
    topic = words[-1].strip(".:!?\"'") if words else ""
    if grammar is None or grammar.kind != "json_schema" or not isinstance(grammar.spec, dict):
        return _sentence(rng, topic, 5, 120)
    return json.dumps(_value(grammar.spec, rng, topic), ensure_ascii=False)


def _value(schema: Any, rng: random.Random, topic: str, root: Json | None = None, depth: int = 0) -> Any:
    """Return a value that fits a JSON Schema; `root` is the schema that its references point into.

    The keywords `pattern`, `format`, `uniqueItems` and `not` are ignored; they need a real model.
    """
    if not isinstance(schema, dict):
        schema = {}
    root = schema if root is None else root
    inner = partial(_value, rng=rng, topic=topic, root=root, depth=depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if options := schema.get(several):
            shallow = [option for option in options if "$ref" not in option] if depth > _DEEPEST else []
            return inner(_merged([_without(schema, several), rng.choice(shallow or options)], root))
    if isinstance(reference := schema.get("$ref"), str):
        return inner(_referred(reference, root))
    if parts := schema.get("allOf"):
        return inner(_merged([_without(schema, "allOf"), *parts], root))
    kinds = schema.get("type")
    match rng.choice(kinds) if isinstance(kinds, list) else kinds or _implied(schema):
        case "object":
            wanted, properties = schema.get("required", ()), schema.get("properties", {})
            return {name: inner(part) for name, part in properties.items() if depth <= _DEEPEST or name in wanted}
        case "array":
            least = schema.get("minItems", 0)
            count = least if depth > _DEEPEST else rng.randint(least, schema.get("maxItems", max(3, least)))
            before = schema.get("prefixItems", [])
            return [inner(before[place] if place < len(before) else schema.get("items")) for place in range(count)]
        case "integer":
            (low, high), step = _bounds(schema, 100, 1), schema.get("multipleOf", 1)
            return rng.randint(math.ceil(low / step), max(math.ceil(low / step), math.floor(high / step))) * step
        case "number":
            return round(rng.uniform(*_bounds(schema, 1, 0.001)), 3)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
        case _:
            return _sentence(rng, topic, schema.get("minLength", 0), schema.get("maxLength", 120))


def _without(schema: Json, keyword: str) -> Json:
    return {key: part for key, part in schema.items() if key != keyword}


def _implied(schema: Json) -> str:
    """Return the type that a schema without a `type` keyword implies."""
    return "object" if "properties" in schema else "array" if schema.keys() & {"items", "prefixItems"} else "string"


def _referred(reference: str, root: Json) -> Any:
    found: Any = root
    for name in reference.lstrip("#").strip("/").split("/"):
        if name:
            found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _merged(parts: Sequence[Any], root: Json) -> Json:
    """Return one schema that combines `parts`, if they concern different keywords or properties."""
    whole: Json = {}
    for part in parts:
        if isinstance(part, dict) and isinstance(reference := part.get("$ref"), str):
            part = _referred(reference, root)
        for key, value in (part or {}).items():
            earlier = whole.get(key)
            if isinstance(earlier, dict) and isinstance(value, dict):
                value = {**earlier, **value}
            whole[key] = [*earlier, *value] if isinstance(earlier, list) and key == "required" else value
    return whole


def _bounds(schema: Json, width: int, step: float) -> tuple[Any, Any]:
    """Return the smallest and largest number that a schema allows; 0 to `width`, shifted, if it gives no bounds."""
    least, most = schema.get("minimum"), schema.get("maximum")
    if (above := schema.get("exclusiveMinimum")) is not None:
        least = above + step if least is None else max(least, above + step)
    if (below := schema.get("exclusiveMaximum")) is not None:
        most = below - step if most is None else min(most, below - step)
    low = least if least is not None else min(0, most if most is not None else 0)
    return low, most if most is not None else low + width


def _below(getrandbits: Callable[[int], int], count: int) -> int:
    """Return a number below `count`, the one that `Random.choice` would use, in half of its time."""
    bits = count.bit_length()
    while (number := getrandbits(bits)) >= count:
        continue
    return number


def _sentence(rng: random.Random, topic: str, shortest: int, longest: int) -> str:
    """Return `shortest` to `longest` characters of invented words, so that no two sentences are near-duplicates."""
    words: list[str] = []
    aim = rng.randint(max(shortest, min(24, longest)), max(shortest, min(90, longest)))
    below, size = partial(_below, rng.getrandbits), len(topic)
    while size < aim:
        parts = (
            _ONSETS[below(len(_ONSETS))] + _VOWELS[below(len(_VOWELS))] + _CODAS[below(len(_CODAS))]
            for _ in range(1 + below(3))
        )
        words.append("".join(parts))
        size += len(words[-1]) + 1
    text = " ".join([*words, topic])
    while len(text) > longest and words:
        words.pop()
        text = " ".join([*words, topic])
    text = text[:longest]
    return text + "a" * (shortest - len(text))
