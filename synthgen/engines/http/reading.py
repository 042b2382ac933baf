"""Read an answer as a Completion, despite the differences between servers.

The filters check the result against the task's schema later. Finish reasons are the server's, and three of synthgen's
own: `unparsable`, `refused` and `thinking_only`.
"""

import json
import math
import re
from itertools import accumulate
from typing import Any

import orjson

from synthgen.engines.grammar.schema import without_absent
from synthgen.engines.http.dialect import Dialect
from synthgen.engines.http.repair import find_json
from synthgen.records import REFUSED, THINKING_ONLY, UNPARSABLE, Completion, Grammar, Json, Request

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>(.*?)</\1>", re.S)
_OPEN_THOUGHT = re.compile(r"^\s*<(think|thinking|reasoning)>", re.S)
_CLOSED = re.compile(
    r"^(.*?)</(?:think|thinking|reasoning)>", re.S
)  # some templates put the opening tag into the prompt
_DECLINED = re.compile(
    r"\s*(i(['’]m| am) (very |truly |really )?(sorry|unable|not able)|sorry[,.]|i (can['’]?t|cannot|won['’]t) (help|assist|"
    r"comply|provide|create|generate|write|fulfill)|as an ai\b|unfortunately,? i (can|am))",
    re.I,
)
_FILTERED = ("content_filter", "refusal", "SAFETY")


def read_payload(payload: bytes) -> Any:
    """Return an answer's JSON. Raise ValueError if it is not JSON, or holds lone surrogates, which are no text."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        found = json.loads(payload)  # accepts NaN and Infinity, which some servers write for logprobs
        json.dumps(found, ensure_ascii=False).encode()
        return found


def completion(reply: Json, request: Request, dialect: Dialect, engine: str, seconds: float) -> Completion:
    """Return the Completion in an answer.

    Raise ValueError, LookupError, TypeError or AttributeError if there is none.
    """
    first = reply["choices"][0]
    usage = reply.get("usage") or {}
    message = first["message"]
    written, finish = message["content"] or "", str(first["finish_reason"] or "unknown")
    stated = int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
    apart = str(message.get("reasoning_content") or message.get("reasoning") or "")
    if not written.strip() and finish == "stop" and _is_answer(apart, request.grammar):
        written, apart = apart, ""  # a reasoning parser of vLLM that does not know that thinking was off
    if message.get("refusal") or finish in _FILTERED:
        thinking, answer, text, finish = apart, written, written or str(message.get("refusal") or ""), REFUSED
    else:
        inside, answer = split_thinking(written)
        thinking, text = "\n".join(filter(None, (apart, inside))), answer
        if not answer.strip() and (thinking or stated or answer != written):
            text, finish = "", THINKING_ONLY
        elif request.grammar is not None and request.grammar.kind == "json_schema":
            text, finish = _as_json(text, finish, request, dialect)
    logprobs = _logprobs(first.get("logprobs") or {}, answer if apart or answer != written else None)
    return Completion(
        text=text,
        finish_reason=finish,
        logprobs=logprobs,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        cached_tokens=int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        engine=engine,
        seconds=seconds,
        thinking=thinking,
        thinking_tokens=stated,
    )


def split_thinking(text: str) -> tuple[str, str]:
    """Return the thinking in a text, without its tags, and the answer after it. Either may be empty."""
    if text.lstrip().startswith(("{", "[")) or ("</" not in text and "<" not in text[:40]):
        return "", text
    thoughts = [thought.group(2) for thought in _THOUGHT.finditer(text)]
    answer = _THOUGHT.sub("", text)
    if opened := _OPEN_THOUGHT.match(answer):  # the reply was cut off during its thinking
        thoughts, answer = [*thoughts, answer[opened.end() :]], ""
    elif not thoughts and (closed := _CLOSED.match(text)):
        thoughts, answer = [closed.group(1)], text[closed.end() :]
    if not thoughts:
        return "", text
    return "\n".join(thought.strip() for thought in thoughts), answer.strip()


def _is_answer(text: str, grammar: Grammar | None) -> bool:
    """Return True where a text is all that a grammar asks for."""
    if grammar is None:
        return False
    if grammar.kind == "choice":
        return text.strip() in map(str, grammar.spec)
    try:
        return grammar.kind == "json_schema" and isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


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


def _logprobs(given: Json, answer: str | None) -> tuple[dict[str, float], ...]:
    """Return the alternatives of each token; only of the tokens of `answer`, where thinking precedes it."""
    if (content := given.get("content")) is not None:
        places = content if answer is None else content[_first_token(content, answer) :]
        return tuple(alternatives(place["top_logprobs"]) for place in places)
    if answer is not None:
        return ()
    listed = given.get("top_logprobs") or ()  # format of the older completions API, which llama-cpp-python uses
    return tuple(
        alternatives([{"token": token, "logprob": value} for token, value in (place or {}).items()]) for place in listed
    )


def _first_token(content: list[Json], answer: str) -> int:
    """Return the number of the token with which the answer begins; the number of all tokens if it is not found.

    Some servers list the tokens of the thinking too, and others only those of the answer.
    """
    tokens = [str(place["token"]) for place in content]
    begins = "".join(tokens).rfind(answer.strip()) if answer.strip() else -1
    ends = accumulate(map(len, tokens))
    return next((number for number, end in enumerate(ends) if end > begins), 0) if begins >= 0 else len(tokens)


def alternatives(listed: list[Json]) -> dict[str, float]:
    """Return logprobs by token text; tokens with the same text, such as parts of characters, add up.

    A logprob that is not a number is NaN, and so is a sum that includes it.
    """
    found: dict[str, float] = {}
    for entry in listed:
        token, value = str(entry["token"]), entry["logprob"]
        logprob = math.nan if value is None else float(value)
        found[token] = _log_sum(found[token], logprob) if token in found else logprob
    return found


def _log_sum(one: float, other: float) -> float:
    """Return the logarithm of the sum of two probabilities, given as logarithms."""
    if math.isnan(one) or math.isnan(other):
        return math.nan
    high, low = max(one, other), min(one, other)
    return high if math.isinf(high) else high + math.log1p(math.exp(low - high))
