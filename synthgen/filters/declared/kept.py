"""Check that numbers, names, placeholders and URLs are the same in two fields.

In a translation, those of the source must occur in the translation. In a summary, those of the summary must occur in
the text.
"""

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Scored, Stage, quoted
from synthgen.filters.declared.fields import PathPairs, Paths, as_list, refuse_same, string_steps
from synthgen.filters.declared.numbers import all_readings, numbers
from synthgen.records import Json
from synthgen.tasks.scripts import UNSPACED
from synthgen.tasks.task import Task

_URL = re.compile(r"(?:https?://|www\.)[\x21-\x7e]+", re.I)
_URL_END = ".,;:!?'\")]}>"
_PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]{0,60}\}\}|\$?\{[^{}\n]{0,60}\}"  # {{name}}, ${name}, {name}, {0}
    r"|%\(\w{1,40}\)[-+0-9.]*[a-zA-Z]|%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?[sdifgxXeu@](?![a-zA-Z])"  # %(name)s, %1$s, %.2f
    r"|</?[A-Za-z][\w-]*(?:\s[^<>\n]{0,200})?/?>"  # <b>, </b>, <br/>, <a href="...">
)
_LETTERS = f"(?:(?![{UNSPACED}])[^\\W\\d_])+"
_NAME = re.compile(f"{_LETTERS}(?:['’.-]{_LETTERS})*\\d*")
_BEGINS = re.compile(r"(?:^|[.!?…:;\n]|[。！？：；])[\s\"'“‘«(\[¿¡-]*$")
_LETTERS_OF_ENDING = 2
"""Most letters that a name may have more in the other text, such as the ending of a case."""
_LEAST_WITH_ENDING = 4


@dataclasses.dataclass
class KeptConfig:
    field: Paths
    """Path or paths to the text whose numbers and so on must occur in `in`."""
    inside: Paths = dataclasses.field(metadata={"key": "in"})
    """Path or paths to the text in which they must occur."""
    what: list[str] = dataclasses.field(default_factory=lambda: ["numbers", "placeholders", "urls"])
    """Any of `numbers` (1,000 = 1000 = １０００ = 1 thousand = 一千), `names` (capitalised words that do not begin a sentence;
    not for German), `placeholders` ({name}, %s, <b>; as often as in `field`) and `urls`."""


class Kept:
    """Find numbers, names, placeholders and URLs of one field that another field lacks."""

    kind: ClassVar[str] = "kept"
    meaning: ClassVar[str] = "The numbers, placeholders, URLs or names of `field` occur in `in` too."
    reasons: ClassVar[dict[str, str]] = {"not_kept": "has a number, name, placeholder or URL that its other text lacks"}
    config: ClassVar[type[KeptConfig]] = KeptConfig
    scores: ClassVar[str] = "share of them that occurs, 0 to 1"
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: KeptConfig, task: Task) -> None:
        self._pairs = PathPairs(string_steps("field", cfg.field, task), string_steps("in", cfg.inside, task))
        self._in = " or ".join(as_list("in", cfg.inside))
        refuse_same("in", cfg.inside, cfg.field, "the field in which they must occur")
        for what in as_list("what", cfg.what):
            if what not in _LOST:
                raise KeyProblem("what", f"'{what}' is not one of {', '.join(_LOST)}")
        self._what = tuple(cfg.what)

    def faults(self, data: Json) -> Iterator[Found]:
        for path, text, others in self._pairs(data):
            other, all_of_them, lost = "\n".join(others), 0, list[tuple[str, str]]()
            for what in self._what:
                count, missing = _LOST[what](text, other)
                all_of_them += count
                lost += [(what, one) for one in missing]
            share = round(1 - len(lost) / all_of_them, 4) if all_of_them else 1.0
            if lost:
                what, value = lost[0]
                problem = f"{quoted(value)} ({what}) does not occur in {self._in}"
                yield Fault("not_kept", path, problem, {"what": what, "value": value, "in": self._in}, share)
            elif all_of_them:
                yield Scored(share)


Lost = Callable[[str, str], tuple[int, list[str]]]
"""Return the number of things in the first text, and those that the second text lacks."""


def found_in(text: str, other: str, what: Sequence[str]) -> tuple[int, int]:
    """Return the number of things of these kinds in a text that occur in the other text too, and their number in all."""
    counts = [(count, len(missing)) for count, missing in (_LOST[kind](text, other) for kind in what)]
    total = sum(count for count, _ in counts)
    return total - sum(lost for _, lost in counts), total


def _lost_numbers(text: str, other: str) -> tuple[int, list[str]]:
    known = all_readings(_prose(other))
    found = list(numbers(_prose(text)))
    return len(found), [written for written, readings in found if not readings & known]


def _lost_names(text: str, other: str) -> tuple[int, list[str]]:
    found = list(dict.fromkeys(_names(_prose(text))))
    known = {_bare(word) for word in _NAME.findall(unicodedata.normalize("NFKC", other))}
    known |= {part for word in known for part in re.split(r"[-'’.]", word)}
    return len(found), [name for name in found if not _is_known(_bare(name), known)]


def _lost_placeholders(text: str, other: str) -> tuple[int, list[str]]:
    found = Counter(_PLACEHOLDER.findall(text))
    return found.total(), list((found - Counter(_PLACEHOLDER.findall(other))).elements())


def _lost_urls(text: str, other: str) -> tuple[int, list[str]]:
    found, known = list(dict.fromkeys(_urls(text))), set(_urls(other))
    return len(found), [url for url in found if url not in known]


_LOST: dict[str, Lost] = {
    "numbers": _lost_numbers,
    "names": _lost_names,
    "placeholders": _lost_placeholders,
    "urls": _lost_urls,
}


def _prose(text: str) -> str:
    """Return a text without its URLs and placeholders, whose numbers and capitals are not the text's own."""
    return _PLACEHOLDER.sub(" ", _URL.sub(" ", text))


def _urls(text: str) -> Iterator[str]:
    return (match.group().rstrip(_URL_END).rstrip("/") for match in _URL.finditer(text))


def _names(text: str) -> Iterator[str]:
    """Yield words with a capital letter. The first word of a sentence counts only with a capital inside: NASA, iPhone."""
    text = unicodedata.normalize("NFKC", text)
    for match in _NAME.finditer(text):
        word = match.group()
        if word.startswith(("I'", "I’")):
            continue
        inner = any(map(str.isupper, word[1:]))
        first = _BEGINS.search(text[: match.start()][-40:])
        if inner or (word[0].isupper() and len(_bare(word)) > 1 and not first):
            yield word


def _bare(word: str) -> str:
    """Return a word case folded, without a possessive ending."""
    return re.sub(r"['’]s?$", "", word.casefold())


def _is_known(name: str, known: set[str]) -> bool:
    """Return True when a name occurs as a word, with or without an ending of up to two letters."""
    if name in known:
        return True
    if "-" in name or "." in name:
        return all(part in known for part in re.split(r"[-.]", name) if part)
    for short, long in ((name, word) for word in known):
        first, second = sorted((short, long), key=len)
        if (
            len(first) >= _LEAST_WITH_ENDING
            and second.startswith(first)
            and len(second) - len(first) <= _LETTERS_OF_ENDING
        ):
            return True
    return False
