"""Write a request as the JSON body for one endpoint, in its dialect."""

import json
from collections.abc import Callable
from typing import Any

import orjson

from synthgen.engines.grammar.schema import to_response_format, to_vllm
from synthgen.engines.http.dialect import Dialect
from synthgen.engines.http.thinking import room, switch
from synthgen.records import Grammar, Json, Message, Request

_KEPT = 256
SCHEMA_WORDS = "Answer with one JSON object and nothing else. It must be valid under this JSON Schema:"
CHOICE_WORDS = "Answer with exactly one of these, and nothing else:"


class BodyWriter:
    """Write requests to one endpoint as JSON. Prompts and grammars that many requests share are serialised once."""

    def __init__(self, model: str, extra: Json) -> None:
        """Prepare for `model`. Every request carries the keys in `extra`, which override all other keys."""
        self._model = model
        self._extra = extra
        self._serialised: dict[tuple[int, int], tuple[object, object, orjson.Fragment]] = {}
        self._dialect: Dialect | None = None

    def body(self, request: Request, dialect: Dialect) -> Json:
        if dialect is not self._dialect:
            self._dialect, self._serialised = dialect, {}
        sampling, grammar = request.sampling, request.grammar
        in_words = grammar if grammar is not None and not dialect.holds(grammar) else None
        body: Json = {
            "model": request.adapter or self._model,
            "messages": self._once(request.messages, in_words, lambda: _messages(request.messages, in_words, dialect)),
            dialect.token_key: sampling.max_tokens,
        }
        if request.thinking or dialect.thinks != "never":
            thinking_tokens = room(dialect, request)
            body[dialect.token_key] += thinking_tokens
            if thinking_tokens and dialect.thinking_budget:
                body["thinking_token_budget"] = thinking_tokens
            body |= switch(dialect, request.thinking)
        if request.continues:  # vLLM's own keys; an endpoint without them gets no such request
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        if dialect.temperature:
            body["temperature"] = sampling.temperature
        if sampling.top_p < 1 and dialect.top_p:
            body["top_p"] = sampling.top_p
        if sampling.min_p > 0 and dialect.min_p:
            body["min_p"] = sampling.min_p
        if sampling.seed is not None and dialect.seed:
            body["seed"] = sampling.seed
        if sampling.logprobs is not None and dialect.logprobs:
            body["logprobs"], body["top_logprobs"] = True, _alternatives(request, dialect)
        if dialect.priority:
            body["priority"] = request.priority
        if sampling.bad_words and dialect.bad_words:
            body["bad_words"] = self._once(sampling.bad_words, None, lambda: list(sampling.bad_words))
        if grammar is not None:
            self._add_grammar(body, grammar, dialect)
        return body | self._extra

    def _add_grammar(self, body: Json, grammar: Grammar, dialect: Dialect) -> None:
        how = dialect.choice if grammar.kind == "choice" else dialect.schema
        if how == "structured_outputs":
            body["structured_outputs"] = self._once(grammar, None, lambda: to_vllm(grammar))
        elif how == "gbnf":
            body["grammar"] = _gbnf(grammar)
        elif grammar.kind == "json_schema" and how != "none":
            body["response_format"] = self._once(grammar, None, lambda: _response_format(grammar, how))

    def _once(self, value: Any, beside: Any, make: Callable[[], Any]) -> orjson.Fragment:
        """Return the JSON of a value that many requests share; it is serialised at first use and cached."""
        key = id(value), id(beside)
        known = self._serialised.get(key)
        if known is None or known[0] is not value or known[1] is not beside:
            if len(self._serialised) >= _KEPT:
                self._serialised.clear()
            known = self._serialised[key] = value, beside, orjson.Fragment(orjson.dumps(make()))
        return known[2]


def _alternatives(request: Request, dialect: Dialect) -> int:
    """Return how many alternatives per token to request.

    Only vLLM applies the grammar before it lists them. Elsewhere tokens outside the grammar are among them, so that the
    options need all the places there are.
    """
    wanted = request.sampling.logprobs or 0
    masked = request.grammar is None or dialect.choice == "structured_outputs"
    return min(wanted, dialect.logprobs) if masked else dialect.logprobs


def _messages(messages: tuple[Message, ...], in_words: Grammar | None, dialect: Dialect) -> list[Json]:
    """Write a conversation. A grammar that the endpoint cannot take as a parameter goes to the end of the first
    message.
    """
    listed = [{"role": message.role, "content": message.content} for message in messages]
    if in_words is not None:
        first = listed[0]
        first["content"] = f"{first['content'].rstrip()}\n\n{_said(in_words)}".lstrip()
    if not dialect.system and listed[0]["role"] == "system":
        system = listed.pop(0)["content"]
        if listed and listed[0]["role"] == "user":
            listed[0]["content"] = f"{system.rstrip()}\n\n{listed[0]['content']}"
        else:
            listed.insert(0, {"role": "user", "content": system})
    return listed


def _said(grammar: Grammar) -> str:
    if grammar.kind == "choice":
        return f"{CHOICE_WORDS} {' | '.join(map(str, grammar.spec))}"
    if grammar.kind == "json_schema":
        return f"{SCHEMA_WORDS}\n{json.dumps(grammar.spec, ensure_ascii=False)}"
    return f"The answer must match this {grammar.kind}: {grammar.spec}"


def _response_format(grammar: Grammar, how: str) -> Json | None:
    match how:
        case "json_object":
            return {"type": "json_object"}
        case "json_object_schema":
            return {"type": "json_object", "schema": grammar.spec}
    return to_response_format(grammar, how == "strict_json_schema")


def _gbnf(grammar: Grammar) -> str:
    """Return a choice in GBNF, the grammar format of llama.cpp."""
    options = (json.dumps(str(option), ensure_ascii=False) for option in grammar.spec)
    return f"root ::= {' | '.join(options)}"
