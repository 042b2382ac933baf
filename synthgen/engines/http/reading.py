"""Read an answer as a Completion, despite the differences between servers.

The filters check the result against the task's schema later. Finish reasons are the server's, and three of synthgen's
own: `unparsable`, `refused` and `thinking_only`.
"""

import json
import math
import re
from typing import Any

import orjson

from synthgen.engines.grammar.schema import without_absent
from synthgen.engines.http.dialect import Dialect
from synthgen.engines.http.repair import find_json
from synthgen.records import REFUSED, THINKING_ONLY, UNPARSABLE, Completion, Json, Request

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.S)
_OPEN_THOUGHT = re.compile(r"^\s*<(think|thinking|reasoning)>", re.S)
_CLOSED = re.compile(r"^.*?</(?:think|thinking|reasoning)>", re.S)  # some templates put the opening tag into the prompt
_DECLINED = re.compile(
    r"\s*(i(['’]m| am) (very |truly |really )?(sorry|unable|not able)|sorry[,.]|i (can['’]?t|cannot|won['’]t) (help|assist|"
    r"comply|provide|create|generate|write|fulfill)|as an ai\b|unfortunately,? i (can|am))",
    re.I,
)
_FILTERED = ("content_filter", "refusal", "SAFETY")


def read_payload(payload: bytes) -> Any:
    """Return an answer's JSON. Raise ValueError if it is not JSON."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return json.loads(payload)  # accepts NaN and Infinity, which some servers write for logprobs


def completion(reply: Json, request: Request, dialect: Dialect, engine: str, seconds: float) -> Completion:
    """Return the Completion in an answer.

    Raise ValueError, LookupError, TypeError or AttributeError if there is none.
    """
    first = reply["choices"][0]
    usage = reply.get("usage") or {}
    message = first["message"]
    text, finish = message["content"] or "", first["finish_reason"] or "unknown"
    thought = message.get("reasoning_content") or message.get("reasoning")
    logprobs = _logprobs(first.get("logprobs") or {})
    if message.get("refusal") or finish in _FILTERED:
        text, finish = text or str(message.get("refusal") or ""), REFUSED
    elif thought and not text.strip():
        finish = THINKING_ONLY
    elif request.grammar is not None:
        answer = without_thoughts(text)
        if answer is None:
            text, finish, logprobs = "", THINKING_ONLY, ()
        elif answer != text:
            text, logprobs = answer, ()  # the logprobs belong to the reasoning, not to the answer
        if request.grammar.kind == "json_schema" and answer is not None:
            text, finish = _as_json(text, finish, request, dialect)
    return Completion(
        text=text,
        finish_reason=finish,
        logprobs=logprobs,
        prompt_tokens=usage.get("prompt_tokens") or 0,
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
        engine=engine,
        seconds=seconds,
    )


def without_thoughts(text: str) -> str | None:
    """Return a text without the reasoning in front of the answer; None if there is no answer."""
    if text.lstrip().startswith(("{", "[")) or ("</" not in text and "<" not in text[:40]):
        return text
    left = _THOUGHT.sub("", text)
    if left == text and not _OPEN_THOUGHT.match(text):
        closed = _CLOSED.match(text)
        return text if closed is None else text[closed.end() :].strip() or None
    if _OPEN_THOUGHT.match(left):  # the reply was cut off during its reasoning
        return None
    return left.strip() or None


def _as_json(text: str, finish: str, request: Request, dialect: Dialect) -> tuple[str, str]:
    """Return only the JSON of an answer, and the finish reason."""
    assert request.grammar is not None and isinstance(request.grammar.spec, dict)
    try:
        value = orjson.loads(text)
        clean = text
    except orjson.JSONDecodeError:
        if finish == "length":
            return text, finish
        try:
            value = find_json(text)
        except ValueError:
            return text, REFUSED if _DECLINED.match(text) else UNPARSABLE
        clean = orjson.dumps(value).decode()
    if dialect.schema == "strict_json_schema":
        clean = orjson.dumps(without_absent(value, request.grammar.spec)).decode()
    return clean, finish


def _logprobs(given: Json) -> tuple[dict[str, float], ...]:
    if (content := given.get("content")) is not None:
        return tuple(alternatives(place["top_logprobs"]) for place in content)
    listed = given.get("top_logprobs") or ()  # format of the older completions API, which llama-cpp-python uses
    return tuple(
        alternatives([{"token": token, "logprob": value} for token, value in (place or {}).items()]) for place in listed
    )


def alternatives(listed: list[Json]) -> dict[str, float]:
    """Return logprobs by token text; tokens with the same text, such as parts of characters, add up.

    A logprob that is not a number is NaN, and so is a sum that includes it.
    """
    found: dict[str, float] = {}
    for entry in listed:
        token, value = entry["token"], entry["logprob"]
        logprob = math.nan if value is None else float(value)
        found[token] = _log_sum(found[token], logprob) if token in found else logprob
    return found


def _log_sum(one: float, other: float) -> float:
    """Return the logarithm of the sum of two probabilities, given as logarithms."""
    if math.isnan(one) or math.isnan(other):
        return math.nan
    high, low = max(one, other), min(one, other)
    return high if math.isinf(high) else high + math.log1p(math.exp(low - high))
