"""Find content that a text copies from its prompt: words of its label's name, and names that occur in only one seed.

The functions depend on texts alone. `restated` and the report use the matches.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from synthgen.diversity.metrics import words
from synthgen.tasks.scripts import UNSPACED
from synthgen.tasks.task import in_words

_STOP_WORDS = frozenset(
    "a an and any are as at be by do for from have how i in into is it me my no not of off on one or other our "  # noqa: SIM905
    "out than that the their this to up was what when which who why with you your".split()
)
"""Ignore these words of label names, because they carry no meaning."""
_SHORTEST_PLURAL = 4
_TITLE = 2 / 3
"""Treat a text as a title when more than this share of its words is capitalised."""

_TOKEN = re.compile(f"[{UNSPACED}]|\\d+(?:[.:,]\\d+)*|[^\\W\\d_{UNSPACED}]+(?:['’][^\\W\\d_{UNSPACED}]+)*")
_QUOTED = re.compile(r'["“„«「『《〈]([^"“”„«»「」『』《》〈〉]{2,80})["”“»」』》〉]')
_BEGINS = re.compile(r"""(?:^|[.!?:。！？：\n])["'“„«(]*\s*$""")
"""Match text that ends where a sentence begins. The first word of a sentence is always capitalised, so its capital does
not mark a name."""


class LabelWords:
    """Tell whether a text contains a word of its label's name.

    A name is split at spaces, `_`, `-`, `.`, `/` and capitals: `PlayMusic` becomes "play" and "music". Stop words are
    left out, unless the name has no other words. Case, punctuation and the -s of a plural are ignored. In scripts
    without spaces, such as Chinese, Japanese or Thai, a part may occur anywhere in the text.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._parts = {label: _parts(label) for label in labels}

    def says(self, text: str, label: str | None) -> bool:
        """Tell whether a text contains a word of this label's name."""
        line = _stemmed(text)
        return any(part in line for part in self._parts.get(label or "", ()))

    def has(self, text: str) -> bool:
        """Tell whether a text consists only of words from label names."""
        own = set(_stemmed(text).split())
        return bool(own) and own <= {word for parts in self._parts.values() for part in parts for word in part.split()}


class SeedNames:
    """Find names that occur in exactly one seed. A new text should not contain such a name.

    A name is a run of capitalised words, a number of two or more characters, or a text in quotes or in the marks
    of Chinese titles, 《》. These are not names:
    the first word of a sentence, "I", a word that some seed writes in lower case, and a word of a label's name. In a
    seed where more than two thirds of the words are capitalised, as in titles, capitals are ignored. Names are compared
    exactly as written, including case.

    `natural` is the rate at which such names recur by chance: the share of seeds that contain a name which occurs in
    exactly one other seed.
    """

    def __init__(self, texts: Sequence[str], labels: LabelWords) -> None:
        lines = [_line(text) for text in texts]
        everything = "".join(lines)
        found = sorted(set().union(*(_names(text) for text in texts)))
        self._by_first: dict[str, list[str]] = defaultdict(list)
        for name in found:
            small = name.lower()
            if (small == name or f" {small} " not in everything) and not labels.has(name):
                self._by_first[name.split(" ", 1)[0]].append(name)
        said = [self._said(line) for line in lines]
        seeds = Counter(name for own in said for name in own)
        self.natural = sum(any(seeds[name] == 2 for name in own) for own in said) / len(said) if said else 0.0
        self.names = frozenset(name for name, count in seeds.items() if count == 1)

    def taken(self, text: str) -> frozenset[str]:
        """Return the names in `text` that occur in exactly one seed."""
        return self._said(_line(text)) & self.names

    def _said(self, line: str) -> frozenset[str]:
        firsts = set(line.split()) & self._by_first.keys()
        return frozenset(name for first in firsts for name in self._by_first[first] if f" {name} " in line)


def _parts(label: str) -> list[str]:
    parts = in_words(label).split()
    stemmed = [_stemmed(part) for part in parts if part not in _STOP_WORDS] or [_stemmed(part) for part in parts]
    return [part for part in stemmed if part.strip()]


def _stemmed(text: str) -> str:
    """Return the words of a text without the -s of plurals, with a space before and after each word."""
    return f" {' '.join(map(_stem, words(text)))} "


def _stem(word: str) -> str:
    plural = len(word) >= _SHORTEST_PLURAL and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def _line(text: str) -> str:
    """Return the words and numbers of a text exactly as written, with a space before and after each."""
    return f" {' '.join(_TOKEN.findall(text))} "


def _names(text: str) -> set[str]:
    tokens = list(_TOKEN.finditer(text))
    found = {token.group() for token in tokens if token.group()[0].isdigit() and len(token.group()) > 1}
    found |= {_line(quoted).strip() for quoted in _QUOTED.findall(text)} - {""}
    capitals = [_is_capital(token.group()) for token in tokens]
    if sum(capitals[1:]) > _TITLE * (len(capitals) - 1):
        return found
    run: list[str] = []
    end = 0
    for token, capital in zip(tokens, capitals, strict=True):
        if run and (not capital or text[end : token.start()].strip()):
            found.add(" ".join(run))
            run = []
        if capital and (run or not _BEGINS.search(text[: token.start()])):
            run.append(token.group())
        end = token.end()
    return found | ({" ".join(run)} if run else set())


def _is_capital(word: str) -> bool:
    return word[0].isupper() and len(word) > 1 and word[:2] not in ("I'", "I’")
