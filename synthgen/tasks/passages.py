"""Cut documents into passages at sentence bounds, with overlap, each passage once."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from synthgen.records import Json, content_id
from synthgen.safety.control_tokens import CONTROL_TOKEN
from synthgen.safety.untrusted import control_character
from synthgen.tasks.documents import Document
from synthgen.tasks.normal import comparable

_END = re.compile(r"""(?<=\w)[.!?…]+["'”’»)\]`*]*\s+|[。！？…]+["”’»」』）]*\s*|\n\s*\n\s*""")


class Passage(NamedTuple):
    """Hold a passage: `text` is `document`'s extracted text from `start` to before `end`, in characters."""

    document: str
    start: int
    end: int
    text: str

    @property
    def id(self) -> str:
        return content_id([self.document, self.start, self.end, self.text])

    @property
    def cited(self) -> Json:
        """Return the citation, as a sample's lineage has it."""
        return {"document": self.document, "start": self.start, "end": self.end, "id": self.id}


def passages(documents: Iterable[Document], size: int, overlap: int, least: int = 1) -> list[Passage]:
    """Return all different passages of at least `least` and at most `size` characters.

    Leave out passages with control characters, or with control tokens of chat templates, which would break a prompt.
    """
    known: set[str] = set()
    found = []
    for document in documents:
        for start, end in _cuts(document.text, size, overlap):
            text = document.text[start:end]
            key = comparable(text)
            if len(text) < least or key in known or CONTROL_TOKEN.search(text) or control_character(text):
                continue
            known.add(key)
            found.append(Passage(document.name, start, end, text))
    return found


def _cuts(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield where passages begin and end. Each has whole sentences, and begins with the last ones of the one before."""
    sentences = list(_sentences(text, size))
    first = 0
    while first < len(sentences):
        start, last = sentences[first][0], first
        while last + 1 < len(sentences) and sentences[last + 1][1] - start <= size:
            last += 1
        yield start, sentences[last][1]
        if last + 1 == len(sentences):
            return
        end, following = sentences[last][1], last + 1
        while following - 1 > first and end - sentences[following - 1][0] <= overlap:
            following -= 1
        first = following


def _sentences(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each sentence without surrounding white space; cut one that is longer than `size`."""
    begin = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        part = text[begin:end]
        start = begin + len(part) - len(part.lstrip())
        stop = begin + len(part.rstrip())
        begin = end
        while stop - start > size:
            space = max(text.rfind(char, start + 1, start + size) for char in " \n")
            cut = space if space > start else start + size
            yield start, start + len(text[start:cut].rstrip())
            start = cut + (len(text[cut:stop]) - len(text[cut:stop].lstrip()))
        if start < stop:
            yield start, stop


def total(found: Sequence[Passage]) -> str:
    """Return the number of passages and documents, in words."""
    return f"{len(found):,} passages of {len({passage.document for passage in found}):,} documents"
