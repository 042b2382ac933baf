"""Build the parts of the stand-in server's answers: the requested grammar, logprobs, errors."""

import json
from typing import Literal

from aiohttp import web

from synthgen.engines.fake import habits
from synthgen.engines.fake.scripted import Written
from synthgen.records import Grammar, Json

_Kind = Literal["json_schema", "choice", "regex", "cfg"]
_GRAMMARS: dict[str, _Kind] = {"json": "json_schema", "choice": "choice", "regex": "regex", "grammar": "cfg"}


def join_parts(messages: list[Json]) -> None:
    """Replace message contents that a client sent as a list of parts by plain text."""
    for message in messages:
        if isinstance(message["content"], list):
            message["content"] = "".join(part["text"] for part in message["content"])


def grammar_of(body: Json) -> Grammar | None:
    """Return the grammar that a request states, in any form; None for free text."""
    if wanted := body.get("structured_outputs"):
        for field, kind in _GRAMMARS.items():
            if field in wanted:
                return Grammar(kind=kind, spec=wanted[field])
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return Grammar(kind="json_schema", spec=form["json_schema"]["schema"])
    if form.get("type") == "json_object" and "schema" in form:
        return Grammar(kind="json_schema", spec=form["schema"])
    if (asked := habits.asked_in_words(body["messages"])) is not None:
        kind, spec = asked
        return Grammar(kind=kind, spec=json.loads(spec) if kind == "json_schema" else spec)
    return Grammar(kind="json_schema", spec={"type": "object"}) if form else None


def logprobs_of(written: Written, top: int) -> Json:
    """Return one entry per token: the options of a choice, or four characters of free text, each almost certain."""
    if written.logprobs is not None:
        ranked = sorted(written.logprobs.items(), key=lambda entry: -entry[1])
        places = [ranked]
    else:
        places = [[(written.text[start : start + 4], -0.01)] for start in range(0, len(written.text), 4)]
    content = []
    for ranked in places:
        listed = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in ranked]
        content.append({**listed[0], "top_logprobs": listed[:top]})
    return {"content": content}


def error_response(
    status: int, message: str, headers: dict[str, str] | None = None, param: str | None = None
) -> web.Response:
    return web.json_response(error_body(status, message, param), status=status, headers=headers)


def error_body(status: int, message: str, param: str | None = None) -> Json:
    return {"error": {"message": message, "type": "StandInError", "param": param, "code": status}}
