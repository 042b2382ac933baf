"""Read a file of replies written by hand, and give them to requests in the order of the file.

One JSON object a line:

    {"reply": {"text": "The soup was cold.", "label": "negative"}, "asked": "negative", "judged": "neutral"}

`reply` is the sample, or a text that is given as it is, such as a broken one. `asked` is a value, or a list of values,
that a request must ask for to get this reply; without it, any request may. Fields that the request does not ask the
model for, such as the label of a classification, are left out of the engine's answer. `judged` is the answer to
questions about this sample. Without it, the judge answers with the value asked for, with yes, and with the best grade.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthgen.errors import InputError
from synthgen.records import Grammar, Json, Message, parse_json, to_json

_KEYS = {"reply", "asked", "judged"}
_EXAMPLE = '{"reply": {"text": "..."}, "asked": "..."}'


@dataclass(frozen=True)
class Reply:
    """Hold one line of the file."""

    reply: Json | str
    asked: tuple[str, ...] = ()
    """Values that a request must ask for."""
    judged: str | None = None

    def text(self, grammar: Grammar | None) -> str:
        """Return the reply to a request with this grammar, without the fields that the request does not ask for."""
        if isinstance(self.reply, str):
            return self.reply
        spec = grammar.spec if grammar is not None and isinstance(grammar.spec, dict) else {}
        wanted = spec.get("properties", self.reply)
        return to_json({name: value for name, value in self.reply.items() if name in wanted})

    def fits(self, question: str) -> bool:
        """Return True when the last message of a prompt asks for the values of this reply.

        Shipped prompts write a value behind a colon at the end of a line, or before its meaning in brackets.
        """
        return all(re.search(rf"[:：]\s*{re.escape(value)}(?=\s*$|\s*[(（])", question, re.M) for value in self.asked)

    @property
    def longest(self) -> str:
        """Return the longest text of the sample, which identifies the questions about it."""
        return max(_texts(self.reply), key=len, default="")


@dataclass
class Replies:
    """Give the replies of a file in turn, and from the first again when all are given."""

    replies: Sequence[Reply]
    _given: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def next(self, messages: Sequence[Message], grammar: Grammar | None) -> str | None:
        """Return the next reply that fits the request, or None where no reply of the file does."""
        question = messages[-1].content
        fitting = [number for number, reply in enumerate(self.replies) if reply.fits(question)]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda number: self._given[number])
        self._given[chosen] += 1
        return self.replies[chosen].text(grammar)

    def answer(self, question: str, options: Sequence[str]) -> dict[str, float] | None:
        """Return the log probabilities of a judge's options, or None where the question is about no reply of the file."""
        about = next((reply for reply in self.replies if reply.longest and reply.longest in question), None)
        if about is None:
            return None
        likely = [about.judged, *about.asked, "yes", options[-1]]
        best = next(option for option in likely if option in options)
        rest = 0.1 / max(1, len(options) - 1)
        return {option: math.log(0.9 if option == best else rest) for option in options}


def read_replies(path: Path) -> Replies:
    """Read a file of replies. Raise InputError with `file:line` for a line that is not a reply."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"engine.recording: {path} cannot be read: {error}") from error
    found = [_reply(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise InputError(f"engine.recording: {path} has no replies; write one a line, such as {_EXAMPLE}")
    return Replies(found)


def _reply(line: str, place: str) -> Reply:
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise InputError(f"{place}: {error}; write one JSON object a line, such as {_EXAMPLE}") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("reply"), dict | str):
        raise InputError(f"{place}: needs the key 'reply' with an object or a text, such as {_EXAMPLE}")
    if unknown := entry.keys() - _KEYS:
        raise InputError(f"{place}: unknown key '{min(unknown)}'; a reply has: {', '.join(sorted(_KEYS))}")
    asked = entry.get("asked", [])
    values = asked if isinstance(asked, list) else [asked]
    judged = entry.get("judged")
    return Reply(entry["reply"], tuple(map(_as_text, values)), None if judged is None else _as_text(judged))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)
