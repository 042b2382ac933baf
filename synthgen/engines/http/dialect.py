"""Describe the part of OpenAI's chat API that one endpoint understands.

A dialect comes from a preset, and from the errors with which the endpoint refuses requests.
`synthgen.engines.http.questions` detects it; `synthgen.engines.http.body` writes requests in it.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from synthgen.engines.http.thinking import EFFORTS, SWITCHES, THINKS
from synthgen.errors import ConfigError
from synthgen.records import Grammar, Json

SCHEMAS = ("structured_outputs", "json_schema", "strict_json_schema", "json_object_schema", "json_object", "none")
"""Ways to send a JSON Schema, the best first: vLLM's field; OpenAI's response_format; its strict form, in which every
property is required; llama-cpp-python's form; any JSON without a schema; none."""
CHOICES = ("structured_outputs", "gbnf", "none")
"""Ways to send a choice, the best first: vLLM's field, llama.cpp's grammar, none."""
TOKEN_KEYS = ("max_tokens", "max_completion_tokens")
_SWITCHES = ("temperature", "top_p", "seed", "min_p", "bad_words", "priority", "thinking_budget")


@dataclass(frozen=True)
class Dialect:
    """Describe the requests that one endpoint accepts; the defaults are vLLM's."""

    token_key: str = "max_tokens"
    schema: str = "structured_outputs"
    choice: str = "structured_outputs"
    logprobs: int = 20
    """Most alternatives per token; 0 if the endpoint returns none."""
    system: bool = True
    temperature: bool = True
    top_p: bool = True
    seed: bool = True
    min_p: bool = True
    bad_words: bool = True
    priority: bool = True
    thinking: str = "chat_template_kwargs"
    least_effort: str = "none"
    thinks: str = "never"
    thinking_budget: bool = False
    continues: bool = True
    """True if the endpoint continues an unfinished last turn (vLLM's continue_final_message)."""
    window: int | None = None
    """Context window in tokens, prompt and answer together, if the endpoint states it."""
    answers_as: tuple[str, ...] = ()
    """Model names that answers carried, besides the requested name."""

    def holds(self, grammar: Grammar) -> bool:
        """Return True if every answer is guaranteed to match `grammar`."""
        if grammar.kind == "json_schema":
            return self.schema not in ("json_object", "none")
        if grammar.kind == "choice":
            return self.choice != "none"
        return self.schema == "structured_outputs"


VLLM = Dialect()
PRESETS: Mapping[str, Json] = {
    "vllm": {key: value for key, value in asdict(VLLM).items() if key not in ("thinks", "thinking_budget")},
    "sglang": {
        "continues": False, "token_key": "max_tokens", "schema": "json_schema", "choice": "none", "min_p": True, "bad_words": False,
        "thinking": "chat_template_kwargs",
    },
    "llamacpp": {
        "continues": False, "token_key": "max_tokens", "choice": "gbnf", "min_p": True, "bad_words": False, "priority": False,
        "thinking": "chat_template_kwargs",
    },
    "ollama": {
        "continues": False, "token_key": "max_tokens", "schema": "json_schema", "choice": "none", "min_p": False, "bad_words": False,
        "priority": False, "thinking": "reasoning_effort",
    },
    "openai": {
        "continues": False, "token_key": "max_completion_tokens", "schema": "strict_json_schema", "choice": "none", "min_p": False,
        "bad_words": False, "priority": False, "thinking": "reasoning_effort",
    },
    "gateway": {"continues": False, "choice": "none", "min_p": False, "bad_words": False, "priority": False},
}  # fmt: skip
"""Map each kind of server to the parts of its dialect that are known. The endpoint is asked for the other parts."""


@dataclass
class DialectConfig:
    preset: str | None = None
    """Kind of the endpoints: vllm, sglang, llamacpp, ollama, openai or gateway. What a preset states is not detected;
    null detects everything."""
    token_key: str | None = None
    """max_tokens or max_completion_tokens. This key and all keys below are detected where they are null."""
    schema: str | None = None
    """Form in which JSON Schemas are sent: structured_outputs (vLLM), json_schema, strict_json_schema (all properties required,
    for OpenAI), json_object_schema (llama-cpp-python), json_object, or none. With the last two, the prompt states the
    schema in words."""
    choice: str | None = None
    """Form in which the judge's choices are sent: structured_outputs (vLLM), gbnf (llama.cpp), or none to state them in the
    prompt."""
    logprobs: int | None = None
    """Most alternatives per token to request; 0 for an endpoint without logprobs, where the judge counts answers
    instead."""
    system: bool | None = None
    """Send system messages; if false, their text goes in front of the first user message."""
    temperature: bool | None = None
    """Send temperatures; if false, the endpoint uses its own default."""
    top_p: bool | None = None
    """Send top_p."""
    seed: bool | None = None
    """Send seeds."""
    min_p: bool | None = None
    """Send min_p."""
    bad_words: bool | None = None
    """Send bad_words."""
    priority: bool | None = None
    """Send priorities, for servers that can answer the judge's requests first."""
    thinking: str | None = None
    """Parameter that switches a reasoning model's thinking: chat_template_kwargs (vLLM, SGLang, llama.cpp), reasoning_effort (OpenAI,
    Ollama), or none if it cannot be."""
    least_effort: str | None = None
    """Value of reasoning_effort with which the judge asks: none, minimal or low, for models that refuse none."""
    thinks: str | None = None
    """Times at which the model thinks: never (only where asked to), by_default (unless asked not to) or always. Set it for a
    server that does not mark thinking at its beginning, because that is not detected."""
    thinking_budget: bool | None = None
    """Send model.thinking_tokens as thinking_token_budget, at which vLLM ends the thinking. It needs vLLM with a
    reasoning parser."""
    continues: bool | None = None
    """Send continue_final_message and add_generation_prompt, with which vLLM continues an unfinished turn. Only the strategy
    magpie needs it. If null, only for endpoints with structured_outputs."""
    any_model: bool = False
    """Accept answers under every model name. If false, an endpoint whose answers carry the name of another model gets
    no more requests. Aliases and dated names are always accepted."""

    def check(self, key: str) -> None:
        """Raise ConfigError, naming keys under `key`, for a value that is not one of those known."""
        for name, known in (
            ("preset", tuple(PRESETS)),
            ("token_key", TOKEN_KEYS),
            ("schema", SCHEMAS),
            ("choice", CHOICES),
            ("thinking", SWITCHES),
            ("least_effort", EFFORTS),
            ("thinks", THINKS),
        ):
            if (value := getattr(self, name)) is not None and value not in known:
                raise ConfigError(f"{key}.{name}: '{value}' is not one of {', '.join(known)}")
        if self.logprobs is not None and self.logprobs < 0:
            raise ConfigError(f"{key}.logprobs: must be 0 or more, got {self.logprobs}")

    def known(self) -> Json:
        """Return the settings that need no detection, by the names of Dialect's fields."""
        own = {name: getattr(self, name) for name in _names() if getattr(self, name, None) is not None}
        return {**(PRESETS[self.preset] if self.preset else {}), **own}


def _names() -> list[str]:
    return [entry.name for entry in fields(Dialect)]


def changed(dialect: Dialect, **changes: Any) -> Dialect:
    """Return the dialect with some of its fields changed."""
    return replace(dialect, **changes)


def from_known(known: Json) -> Dialect:
    """Return the dialect to assume before detection: vLLM's, with the known settings applied."""
    return changed(VLLM, **known)


_NAMED = {
    "max_tokens": ("max_tokens",),
    "max_completion_tokens": ("max_completion_tokens",),
    "system": ("system role", "system message", "'system'", '"system"', "role system", "developer instruction"),
    "logprobs": ("logprobs", "top_logprobs"),
    "structured_outputs": ("structured_outputs",),
    "response_format": ("response_format", "json_schema", "json schema"),
    "grammar": ("grammar",),
    "chat_template_kwargs": ("chat_template_kwargs", "enable_thinking"),
    "reasoning_effort": ("reasoning_effort", "reasoning.effort"),
    "thinking_token_budget": ("thinking_token_budget",),
    **{name: (name,) for name in _SWITCHES if name != "thinking_budget"},
}


_TOO_LONG = re.compile(
    r"context (length|size|window)|maximum (model|prompt) length|too (long|large)|exceed|reduce the length", re.I
)


def blamed(words: str, body: Mapping[str, Any]) -> str | None:
    """Return the request parameter that an error message names; None if it names none that can be omitted."""
    if _TOO_LONG.search(words):  # this error also names max_tokens, but concerns only this request
        return None
    said = words.lower()
    sent = [name for name in _NAMED if name in body or name == "system"]
    found = [
        (place, name)
        for name in sent
        for word in _NAMED[name]
        if (match := re.search(rf"(?<![a-z_]){re.escape(word)}(?![a-z_])", said)) and (place := match.start()) >= 0
    ]
    return min(found)[1] if found else None


def without(dialect: Dialect, parameter: str, words: str = "") -> Dialect | None:
    """Return the dialect without a refused parameter; None if the parameter has no substitute."""
    match parameter:
        case "max_tokens" | "max_completion_tokens":
            other = next(key for key in TOKEN_KEYS if key != parameter)
            return replace(dialect, token_key=other) if dialect.token_key == parameter else None
        case "structured_outputs" if "structured_outputs" in (dialect.schema, dialect.choice):
            return replace(
                dialect,
                schema="json_schema" if dialect.schema == "structured_outputs" else dialect.schema,
                choice="none" if dialect.choice == "structured_outputs" else dialect.choice,
            )
        case "response_format" if dialect.schema not in ("structured_outputs", "none"):
            unknown = re.search(r"unrecogni[sz]ed|unknown|extra", words, re.I)
            return replace(dialect, schema="none" if unknown else SCHEMAS[SCHEMAS.index(dialect.schema) + 1])
        case "grammar" if dialect.choice == "gbnf":
            return replace(dialect, choice="none")
        case "logprobs" if dialect.logprobs:
            most = re.search(r"at most (\d+)|max(?:imum)?[^\d]{0,20}(\d+)|<= ?(\d+)|less than or equal to (\d+)", words)
            allowed = int(next(filter(None, most.groups()))) if most else 0
            return replace(dialect, logprobs=allowed if allowed < dialect.logprobs else 0)
        case "system" if dialect.system:
            return replace(dialect, system=False)
        case "thinking_token_budget" if dialect.thinking_budget:
            return replace(dialect, thinking_budget=False)
        case "reasoning_effort" if dialect.thinking == parameter and dialect.least_effort != EFFORTS[-1]:
            higher = EFFORTS[EFFORTS.index(dialect.least_effort) + 1]  # it does not switch thinking off
            return replace(dialect, least_effort=higher, thinks=_unstoppable(dialect))
        case "chat_template_kwargs" if dialect.thinking == parameter:
            return replace(dialect, thinking="reasoning_effort")
        case "reasoning_effort" if dialect.thinking == parameter:
            return replace(dialect, thinking="none", thinks=_unstoppable(dialect))
        case _ if parameter in _SWITCHES and getattr(dialect, parameter):
            return changed(dialect, **{parameter: False})
    return None


def _unstoppable(dialect: Dialect) -> str:
    return "never" if dialect.thinks == "never" else "always"


_INSTEAD = {
    "system": "system messages go ahead of the first question",
    "temperature": "temperatures are left out, so the judge answers with the server's own",
    "seed": "no seeds",
    "min_p": "min_p is left out",
    "top_p": "top_p is left out",
    "bad_words": "bad_words is left out, so the check alone keeps copies down",
    "priority": "priority is left out",
}
_SCHEMA_WORDS = {
    "structured_outputs": "JSON Schemas as structured_outputs",
    "json_schema": "JSON Schemas as response_format json_schema",
    "strict_json_schema": "JSON Schemas as strict response_format, optional fields as null",
    "json_object_schema": "JSON Schemas as response_format json_object with a schema",
    "json_object": "no JSON Schemas: response_format json_object, the schema in the prompt, answers read tolerantly",
    "none": "no JSON Schemas: the schema in the prompt, answers read tolerantly, asked once more where unreadable",
}


def in_words(dialect: Dialect, thinking: str = "") -> str:
    """Describe a dialect in one line, for the user: the parameters that are sent, and those that are omitted.

    `thinking` replaces the words about thinking where its effect was not seen.
    """
    parts = [dialect.token_key, _SCHEMA_WORDS[dialect.schema]]
    parts.append(
        {"none": "choices in words", "gbnf": "choices as a grammar"}.get(
            dialect.choice, "choices as structured_outputs"
        )
    )
    parts.append(
        f"{dialect.logprobs} logprobs a token"
        if dialect.logprobs
        else "no logprobs: the judge counts answers, which is coarser (judge.votes)"
    )
    parts += [words for name, words in _INSTEAD.items() if not getattr(dialect, name)]
    if thinking or dialect.thinks != "never":
        parts.append(thinking or _thinking_words(dialect))
    if dialect.window:
        parts.append(f"window {dialect.window:,} tokens")
    if dialect.answers_as:
        parts.append(f"answers as {', '.join(dialect.answers_as)}")
    return "; ".join(parts)


def _thinking_words(dialect: Dialect) -> str:
    how = f"{dialect.thinking} {dialect.least_effort}" if dialect.thinking == "reasoning_effort" else dialect.thinking
    if dialect.thinks == "by_default":
        return f"thinks unless told not to ({how}), as the judge's questions do"
    if dialect.thinking == "none":
        return "always thinks, in the judge's questions too, which costs tokens"
    return f"always thinks, in the judge's questions too (asked for little with {how}), which costs tokens"
