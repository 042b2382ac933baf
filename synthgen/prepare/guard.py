"""Ask a guard model about texts: one question for each category of harm, answered with yes or no in one token.

Any engine of `synthgen.engines.kinds` can answer. The probability comes from the logprobs of the token, or, from an engine
without logprobs, from the answer alone.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from synthgen.engines.base import EngineConfig, EngineContext, LearnedLimits, ModelConfig
from synthgen.engines.grammar.schema import choice
from synthgen.engines.kinds import ENGINES
from synthgen.errors import ConfigError, EngineError
from synthgen.judge.asking import Questions
from synthgen.records import Engine, Message
from synthgen.safety.config_guard import refuse_content
from synthgen.safety.fences import fence
from synthgen.safety.harm import CATEGORIES
from synthgen.safety.secrets import mask
from synthgen.tasks.typed import fits, nearest, type_name

YES, NO = "yes", "no"
_GRAMMAR = choice((YES, NO))
_LONGEST = 8000
"""Most characters of a text that the guard reads."""
_ATTEMPTS = 2


def engine_of(given: Mapping[str, Any]) -> tuple[EngineConfig, ModelConfig]:
    """Return the engine that a mapping describes: `kind`, `name` for a model to load, and keys of the engine.

    Raise ConfigError for a key that the engine does not have, and for a value that looks like a secret.
    """
    refuse_content({"guard": dict(given)})
    kind = given.get("kind", "openai")
    if kind not in ENGINES:
        raise ConfigError(f"guard.kind: there is no engine '{kind}'{nearest(str(kind), ENGINES)}")
    known = {each.name: each for each in fields(ENGINES[kind])}  # type: ignore[arg-type]
    options = {name: value for name, value in given.items() if name not in ("kind", "name")}
    for name, value in options.items():
        if name not in known:
            raise ConfigError(f"guard.{name}: engine {kind} has no such key{nearest(name, known)}")
        if not isinstance(known[name].type, str) and not fits(value, known[name].type):
            raise ConfigError(f"guard.{name}: must be of type {type_name(known[name].type)}, got {value!r}")
    model = ModelConfig(**({"name": given["name"]} if "name" in given else {}))
    return ENGINES[kind](**options), model


class Guard:
    """Ask about texts. `close` ends the engine."""

    def __init__(self, given: Mapping[str, Any], categories: Sequence[str], folder: Path, seed: int) -> None:
        import jinja2

        self._categories, self._seed, self._count = categories, seed, 0
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined, trim_blocks=True
        )
        self._template = environment.get_template("guard.jinja")
        self._runner = asyncio.Runner()
        self._engine: Engine | None = None
        cfg, model = engine_of(given)
        context = EngineContext(
            model, seed, [_GRAMMAR], [], folder, LearnedLimits(), _say, lambda _, words: _say(words)
        )
        try:
            self._engine = self._runner.run(cfg.start(context))
        except EngineError as error:
            raise ConfigError(
                f"guard: the engine does not start: {mask(str(error))}; correct the keys of `guard`"
            ) from error
        self._questions = Questions(self._engine, _ATTEMPTS)

    def __call__(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return the probability of each category for each text. A category whose answer cannot be read is missing."""
        return self._runner.run(self._all(texts))

    def close(self) -> None:
        try:
            if self._engine is not None:
                self._runner.run(self._engine.aclose())
        finally:
            self._runner.close()

    async def _all(self, texts: Sequence[str]) -> list[dict[str, float]]:
        self._count += len(texts)
        first = self._count - len(texts)
        return list(await asyncio.gather(*(self._one(first + place, text) for place, text in enumerate(texts))))

    async def _one(self, number: int, text: str) -> dict[str, float]:
        text = text[:_LONGEST]
        asked = (self._probability(f"{number}.0/{code}", code, text) for code in self._categories)
        answers = zip(self._categories, await asyncio.gather(*asked), strict=True)
        return {code: found for code, found in answers if found is not None}

    async def _probability(self, name: str, code: str, text: str) -> float | None:
        variables = {"text": text, "mark": fence(text, self._seed), "category": CATEGORIES[code]}
        messages = (
            Message(role="system", content=self._block("system", variables)),
            Message(role="user", content=self._block("ask", variables)),
        )
        try:
            found, _ = await self._questions.ask(name, messages, _GRAMMAR, (YES, NO), 1)
        except EngineError as error:
            raise ConfigError(f"guard: the engine failed: {mask(str(error))}; start it again, and repeat") from error
        return None if found is None else found[YES]

    def _block(self, name: str, variables: Mapping[str, Any]) -> str:
        context = self._template.new_context(dict(variables))
        return "".join(self._template.blocks[name](context)).strip()


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
