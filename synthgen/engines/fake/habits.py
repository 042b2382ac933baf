"""Imitate real servers that speak OpenAI's chat API: the requests that each refuses, and the form of its answers.

    python -m synthgen.engines.fake.stand_in --habit busy=4 --habit retry_after=1

A fault (`synthgen.engines.fake.faults`) is temporary; a habit lasts as long as the server runs. Refusals have the exact
messages of OpenAI, vLLM or SGLang.
"""

import json
import math
import random
import re
from collections.abc import Sequence
from typing import Any, Literal

from synthgen.records import Json

HABITS = {
    "busy": "answers 429 to requests above `value` at once",
    "retry_after": "says Retry-After: `value` seconds with each 429",
    "quota": "allows `value` requests a second, and says what is left in x-ratelimit headers",
    "known_keys": "refuses keys of a request that OpenAI's API does not know",
    "unread": "ignores the key `value` of a request",
    "max_completion_tokens": "refuses max_tokens",
    "one_temperature": "refuses every temperature but 1",
    "no_response_format": "refuses response_format",
    "strict_schemas": "takes only strict schemas, in which every property is required",
    "json_object": "knows response_format json_object alone",
    "no_system": "refuses system messages",
    "window": "refuses prompts of more than `value` tokens",
    "null_usage": "writes null for token counts",
    "alias": "answers under the model name `value`",
    "thinks": "writes a <think> block before its answer",
    "only_thinks": "writes a <think> block and nothing else",
    "thinks_in": "thinks, in the message's field `value` instead of a <think> block",
    "obeys_enable_thinking": "thinks unless chat_template_kwargs has enable_thinking false",
    "obeys_effort": "thinks unless reasoning_effort is none, and ignores chat_template_kwargs",
    "thinks_long": "thinks for `value` tokens, which count against the token limit",
    "thinks_hidden": "shows nothing of its thinking but the number of its tokens",
    "one_effort": "refuses every reasoning_effort but `value` and those above it",
    "fence": "writes a code fence around JSON",
    "chatty": "writes sentences before and after JSON",
    "trailing_comma": "writes a comma after the last field of JSON",
    "python": "writes JSON as a Python dictionary",
    "refuses": "declines the share `value` of the requests for text, in words",
    "spaced": "begins judge tokens with a space",
    "capitals": "writes judge tokens with a capital letter",
    "no_logprobs": "gives no logprobs",
    "few_logprobs": "refuses top_logprobs above `value`",
}
_KNOWN = {
    "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "logprobs", "top_logprobs",
    "response_format", "n", "stop", "stream", "user", "frequency_penalty", "presence_penalty", "logit_bias", "tools",
    "tool_choice", "metadata", "store", "reasoning_effort",
}  # fmt: skip
_THOUGHT = "The user wants one new example. Something about the topic {will do}."
_EFFORTS = ("none", "minimal", "low", "medium", "high")
_DECLINED = "I'm sorry, but I can't help with that."
_SCHEMA = re.compile(r"JSON Schema:\s*(\{.*\})", re.S)
_CHOICE = re.compile(r"exactly one of these[^:]*: (.*)")


class RefusalError(Exception):
    """Report an answer with an error status: its status, message, refused parameter and headers."""

    def __init__(
        self, status: int, message: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.headers = headers


class Habits:
    """Apply the habits of one server, by name."""

    def __init__(self, habits: Sequence[tuple[str, str]], seed: int) -> None:
        self._unread = {value for name, value in habits if name == "unread"}
        self._habits = dict(habits)
        self._rng = random.Random(f"{seed}/habits")
        self._second, self._in_second = 0, 0

    def has(self, name: str) -> bool:
        return name in self._habits

    def number(self, name: str) -> float:
        return float(self._habits[name])

    def model(self, asked: str) -> str:
        """Return the model name that an answer carries when the request names `asked`."""
        return self._habits.get("alias", asked)

    def read(self, body: Json, running: int, now: float) -> dict[str, str]:
        """Drop the keys of `body` that the server ignores; return the answer's headers. Raise RefusalError."""
        for key in self._unread:
            body.pop(key, None)
        if self.has("busy") and running >= self.number("busy"):
            wait = {"Retry-After": self._habits["retry_after"]} if self.has("retry_after") else None
            raise RefusalError(429, "Too many requests. Please slow down.", headers=wait)
        self._refuse_keys(body)
        self._refuse_effort(body.get("reasoning_effort"))
        self._refuse_format(body.get("response_format"))
        if self.has("no_system") and any(message["role"] == "system" for message in body["messages"]):
            raise RefusalError(400, "System role not supported")
        tokens = sum(len(message["content"]) for message in body["messages"]) // 4
        if self.has("window") and tokens > self.number("window"):
            raise RefusalError(
                400,
                f"This model's maximum context length is {self._habits['window']} tokens. However, your messages resulted "
                f"in {tokens} tokens. Please reduce the length of the messages.",
                "messages",
            )
        return self._quota(now) if self.has("quota") else {}

    def _refuse_keys(self, body: Json) -> None:
        if self.has("known_keys") and (unknown := sorted(body.keys() - _KNOWN)):
            raise RefusalError(400, f"Unrecognized request argument supplied: {unknown[0]}")
        if self.has("max_completion_tokens") and "max_tokens" in body:
            raise RefusalError(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                "max_tokens",
            )
        if self.has("one_temperature") and body.get("temperature", 1) != 1:
            raise RefusalError(
                400,
                f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. Only the "
                "default (1) value is supported.",
                "temperature",
            )
        if self.has("few_logprobs") and body.get("top_logprobs", 0) > self.number("few_logprobs"):
            raise RefusalError(
                400, f"Invalid value for 'top_logprobs': must be at most {self._habits['few_logprobs']}", "top_logprobs"
            )

    def _refuse_effort(self, effort: str | None) -> None:
        if effort is None or not self.has("one_effort"):
            return
        taken = _EFFORTS[_EFFORTS.index(self._habits["one_effort"]) :]
        if effort not in taken:
            raise RefusalError(
                400,
                f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. Supported values are: "
                f"{', '.join(map(repr, taken))}.",
                "reasoning_effort",
            )

    def _refuse_format(self, form: Json | None) -> None:
        if form is None:
            return
        if self.has("no_response_format"):
            raise RefusalError(400, "Unrecognized request argument supplied: response_format")
        if form["type"] == "json_schema" and self.has("json_object"):
            raise RefusalError(
                400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
                "response_format",
            )  # fmt: skip
        if form["type"] == "json_schema" and self.has("strict_schemas"):
            problem = (
                _loose(form["json_schema"]["schema"]) if form["json_schema"].get("strict") else "strict is not set"
            )
            if problem:
                raise RefusalError(400, f"Invalid schema for response_format 'sample': {problem}", "response_format")

    def _quota(self, now: float) -> dict[str, str]:
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        left = int(self.number("quota")) - self._in_second
        reset = f"{(1 - now % 1) * 1000:.0f}ms"
        if left <= 0:
            raise RefusalError(429, "Rate limit reached", headers={"x-ratelimit-reset-requests": reset,
                                                                   "x-ratelimit-remaining-requests": "0"})  # fmt: skip
        self._in_second += 1
        return {"x-ratelimit-remaining-requests": str(left - 1), "x-ratelimit-reset-requests": reset}

    def change(self, reply: Json, body: Json) -> None:
        """Change an answer so that it looks like this server's answers."""
        first = reply["choices"][0]
        text, is_json = first["message"]["content"], first["message"]["content"].startswith(("{", "["))
        if self.has("trailing_comma") and is_json:
            text = f"{text[:-1]},{text[-1]}"
        if self.has("python") and is_json:
            text = repr(json.loads(text))
        if self.has("fence") and is_json:
            text = f"```json\n{text}\n```"
        if self.has("chatty") and is_json:
            text = f"Here is a new example:\n\n{text}\n\nLet me know if you need {{more}}."
        if self.has("refuses") and is_json and self._rng.random() < self.number("refuses"):
            text = _DECLINED
        if self._thinks(body):
            text = self._think(text, reply, body)
        if self.has("no_logprobs"):
            first["logprobs"] = None
        if body.get("logprobs") and first["logprobs"]:
            text = self._respell(text)
            for place in first["logprobs"]["content"]:
                for entry in (place, *place["top_logprobs"]):
                    entry["token"] = self._respell(entry["token"])
        first["message"]["content"] = text or None
        if self.has("null_usage"):
            reply["usage"] = {"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None}

    def _thinks(self, body: Json) -> bool:
        if self.has("obeys_enable_thinking"):
            return (body.get("chat_template_kwargs") or {}).get("enable_thinking") is not False
        if self.has("obeys_effort"):
            return bool(body.get("reasoning_effort") != _EFFORTS[0])
        return any(map(self.has, ("thinks", "only_thinks", "thinks_in", "thinks_long", "thinks_hidden")))

    def _think(self, text: str, reply: Json, body: Json) -> str:
        """Put thinking before an answer, and return the part of its text that still fits into the request's token
        limit."""
        first, usage = reply["choices"][0], reply["usage"]
        tokens = int(self.number("thinks_long")) if self.has("thinks_long") else len(_THOUGHT) // 4
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or math.inf
        is_cut = self.has("thinks_long") and tokens + usage["completion_tokens"] > limit
        text = "" if is_cut or self.has("only_thinks") else text
        if is_cut:
            first["finish_reason"], usage["completion_tokens"] = "length", limit
        else:
            usage["completion_tokens"] += tokens
        if self.has("thinks_hidden"):
            usage["completion_tokens_details"] = {"reasoning_tokens": min(tokens, limit)}
            return text
        if first["logprobs"]:  # vLLM lists the thinking's tokens too
            spoken = ["<think>", *re.findall(r"\s*\S+", _THOUGHT), "</think>", "\n\n"]
            certain = [{"token": token, "logprob": 0.0, "bytes": None} for token in spoken]
            thought = [{**entry, "top_logprobs": [entry]} for entry in certain]
            first["logprobs"]["content"] = [*thought, *([] if is_cut else first["logprobs"]["content"])]
        if not self.has("thinks_in"):
            return f"<think>\n{_THOUGHT}" if is_cut else f"<think>\n{_THOUGHT}\n</think>\n\n{text}"
        first["message"][self._habits["thinks_in"]] = _THOUGHT
        return text

    def _respell(self, token: str) -> str:
        token = token.capitalize() if self.has("capitals") else token
        return f" {token}" if self.has("spaced") else token


def asked_in_words(messages: Sequence[Json]) -> tuple[Literal["choice", "json_schema"], Any] | None:
    """Return the form that a prompt states in words, as the kind and spec of a grammar.

    The stand-in obeys it because a model would.
    """
    text = messages[0]["content"]
    if found := _SCHEMA.search(text):
        return "json_schema", found.group(1)
    if found := _CHOICE.search(text):
        return "choice", tuple(found.group(1).split(" | "))
    return None


def _loose(schema: Json) -> str:
    """Return why a schema is not strict; an empty string if it is."""
    for name, part in schema.get("properties", {}).items():
        if isinstance(part, dict) and (problem := _loose(part)):
            return problem
        if name not in schema.get("required", ()):
            return (
                "In context=(), 'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{name}'."
            )
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return "In context=(), 'additionalProperties' is required to be supplied and to be false."
    return "'maxLength' is not permitted." if "maxLength" in schema else ""


def parse(text: str) -> tuple[str, str]:
    """Return the name and value of a habit, written NAME or NAME=VALUE. Raise ValueError with the reason."""
    name, _, value = text.partition("=")
    if name not in HABITS:
        raise ValueError(f"unknown habit {name!r}; use one of {', '.join(HABITS)}")
    if "`value`" in HABITS[name] and not value:
        raise ValueError(f"{name} needs a value: {name}=VALUE ({HABITS[name]})")
    return name, value
