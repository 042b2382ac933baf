"""The replay engine: recorded or scripted completions, with chosen delays and faults.

It drives the tests and the orchestration benchmark and is configured like any engine. The
scripted writer answers within the request's grammar, never runs dry, and gives the same answer
to the same request for the same seed, in whatever order requests come.
"""

import asyncio
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, RetryableError
from synthgen.llm.endpoint import check_common
from synthgen.records import Completion, Grammar, Json, Request

_ONSETS = "b br ch d dr f g gl h k l m n p pl r s sh st t tr v w z".split()  # noqa: SIM905
_VOWELS = "a e i o u ai ea io ou".split()  # noqa: SIM905
_CODAS = ["", "", "n", "r", "l", "s", "t", "m", "nd", "st"]


@dataclass
class ReplayConfig:
    kind: str = "replay"
    """Which engine this is; set by the config group."""
    recording: str | None = None
    """A run folder whose answers are given again; null for the scripted writer."""
    delay: float = 0.0
    """Seconds that every answer takes."""
    jitter: float = 0.0
    """Up to this many seconds more, drawn for each request."""
    approve: float = 0.9
    """Share of the judge's questions that the scripted writer answers well."""
    repeat: float = 0.0
    """Share of generations that say what another one said: exact duplicates."""
    broken: float = 0.0
    """Share of generations that are cut off before their end (finish_reason length)."""
    failing: float = 0.0
    """Share of first attempts that fail with a retryable error."""
    dies_after: int | None = None
    """The engine is dead after this many answers; null for never."""
    poison: str | None = None
    """A text that kills the engine when it stands in a request."""
    restarts_per_hour: int = 0
    """How often a dead engine is started again."""
    in_flight: int = 64
    """Generation requests under way at once."""
    timeout: float = 300.0
    """Seconds that one request may take."""
    attempts: int = 4
    """How often a request is tried before its slot is given up."""
    grammar_seconds: float = 120.0
    """Time cap on compiling the task's grammar beforehand."""
    grammar_gigabytes: float = 8.0
    """Memory cap on compiling the task's grammar beforehand."""

    def __post_init__(self) -> None:
        check_common(self)
        for key in ("approve", "repeat", "broken", "failing"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"engine.{key}: must be from 0 to 1, got {getattr(self, key)}")
        if self.delay < 0 or self.jitter < 0:
            raise ConfigError("engine.delay and engine.jitter: must be 0 seconds or more")


class ReplayEngine:
    """An Engine without a model. `seed` fixes every answer, delay and fault; `recorded` has answers by request id."""

    name = "replay"

    def __init__(self, cfg: ReplayConfig, seed: int, recorded: Mapping[str, Completion] | None = None) -> None:
        self._cfg = cfg
        self._seed = seed
        self._answers = 0
        self._dead = False
        self._failed: set[str] = set()
        self._recorded = recorded

    async def complete(self, request: Request) -> Completion:
        rng = random.Random(f"{self._seed}/{request.id}")
        cfg = self._cfg
        delay = cfg.delay + cfg.jitter * rng.random()
        if delay > cfg.timeout:
            await asyncio.sleep(cfg.timeout)
            raise RetryableError(f"no answer within {cfg.timeout} s")
        await asyncio.sleep(delay)
        if cfg.poison is not None and any(cfg.poison in message.content for message in request.messages):
            self._dead = True
        if self._dead:
            raise EngineDeadError("the replay engine was poisoned, as configured")
        if cfg.dies_after is not None and self._answers >= cfg.dies_after:
            raise EngineDeadError(f"the replay engine died after {cfg.dies_after} answers, as configured")
        if rng.random() < cfg.failing and request.id not in self._failed:
            self._failed.add(request.id)
            raise RetryableError("a fault, as configured")
        self._answers += 1
        if self._recorded is not None:
            if request.id not in self._recorded:
                raise FatalRequestError(f"the recording has no answer to {request.id}")
            return self._recorded[request.id]
        return self._scripted(request, rng, delay)

    async def aclose(self) -> None:
        """Nothing to end."""

    def _scripted(self, request: Request, rng: random.Random, delay: float) -> Completion:
        grammar = request.grammar
        asked = request.messages[-1].content
        logprobs: tuple[dict[str, float], ...] = ()
        finish = "stop"
        if grammar is not None and grammar.kind == "choice":
            weights = _weights(grammar.spec, asked, rng.random() < self._cfg.approve)
            text = max(weights, key=lambda option: weights[option])
            logprobs = ({option: math.log(weight) for option, weight in weights.items()},)
        else:
            if rng.random() < self._cfg.repeat:
                rng = random.Random(f"{self._seed}/repeated/{asked}")
            text = _write(grammar, rng, asked)
            if rng.random() < self._cfg.broken:
                text, finish = text[: len(text) // 2], "length"
        prompt = sum(len(message.content) for message in request.messages) // 4
        tokens = 1 if logprobs else max(1, len(text) // 4)
        return Completion(
            text=text, finish_reason=finish, logprobs=logprobs if request.sampling.logprobs else (),
            prompt_tokens=prompt, completion_tokens=tokens, engine="replay", seconds=delay,
        )  # fmt: skip


def _weights(options: Sequence[Any] | Json | str, asked: str, approve: bool) -> dict[str, float]:
    """A distribution over the options: numbers are read as grades, words are looked for in the question."""
    names = [str(option) for option in options]
    if all(name.isdigit() for name in names):
        best = names[-1] if approve else names[0]
    else:
        best = max(names, key=lambda name: asked.rfind(name))
        if best not in asked:  # a question without content has no answer
            return dict.fromkeys(names, 1 / len(names))
        best = best if approve else names[(names.index(best) + 1) % len(names)]
    rest = 0.2 / max(1, len(names) - 1)
    return {name: 0.8 if name == best else rest for name in names}


def _write(grammar: Grammar | None, rng: random.Random, asked: str) -> str:
    """Text within a JSON Schema grammar; its strings end with the last word that was asked about."""
    words = asked.split()
    topic = words[-1].strip(".:!?\"'") if words else ""
    if grammar is None or grammar.kind != "json_schema" or not isinstance(grammar.spec, dict):
        return _sentence(rng, topic, 5, 120)
    return json.dumps(_value(grammar.spec, rng, topic), ensure_ascii=False)


def _value(schema: Json, rng: random.Random, topic: str) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            return {name: _value(part, rng, topic) for name, part in schema.get("properties", {}).items()}
        case "array":
            least = schema.get("minItems", 0)
            count = rng.randint(least, schema.get("maxItems", max(3, least)))
            return [_value(schema.get("items", {"type": "string"}), rng, topic) for _ in range(count)]
        case "integer":
            return rng.randint(*_bounds(schema, 100))
        case "number":
            return round(rng.uniform(*_bounds(schema, 1)), 3)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
        case _:
            return _sentence(rng, topic, schema.get("minLength", 0), schema.get("maxLength", 120))


def _bounds(schema: Json, width: int) -> tuple[Any, Any]:
    """Least and largest number that a schema allows; 0 to `width`, moved, where it does not say."""
    low = schema.get("minimum", min(0, schema.get("maximum", 0)))
    return low, schema.get("maximum", low + width)


def _sentence(rng: random.Random, topic: str, shortest: int, longest: int) -> str:
    """Made-up words, so that no two sentences are near each other; `shortest` to `longest` characters."""
    words: list[str] = []
    aim = rng.randint(max(shortest, min(24, longest)), max(shortest, min(90, longest)))
    while len(" ".join([*words, topic])) < aim:
        parts = (rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.randint(1, 3)))
        words.append("".join(parts))
    text = " ".join([*words, topic])
    while len(text) > longest and words:
        words.pop()
        text = " ".join([*words, topic])
    text = text[:longest]
    return text + "a" * (shortest - len(text))
