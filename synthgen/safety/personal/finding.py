"""Find the personal data in a text, of all kinds, without overlaps."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from synthgen.safety.personal import addresses, names, numbers

FORMATTED = ("email", "phone", "card", "iban", "ip", "cn_id", "us_ssn")
"""Kinds with a fixed form. Most have a check digit or a numbering plan, by which they are verified."""
FREE = ("name", "address")
"""Kinds without a fixed form. They are found by lists and context, so that some are missed and some are wrong."""
KINDS = (*FORMATTED, *FREE)


class Found(NamedTuple):
    """Hold one piece of personal data: its kind, its place in the text, and itself."""

    kind: str
    start: int
    end: int
    text: str


_FINDERS: Mapping[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": numbers.emails,
    "iban": numbers.ibans,
    "cn_id": numbers.chinese_ids,
    "card": numbers.cards,
    "us_ssn": numbers.social_security_numbers,
    "ip": numbers.ip_addresses,
    "phone": numbers.phones,
    "address": addresses.addresses,
    "name": names.names,
}
"""The finders, the most certain first. A later one finds nothing inside what an earlier one found."""


def find(text: str, kinds: Collection[str] = FORMATTED) -> list[Found]:
    """Return the personal data of the given kinds in a text, in the order of the text."""
    if not numbers.may_hold(text) and not any(kind in kinds for kind in FREE):
        return []
    found: list[Found] = []
    for kind, finder in _FINDERS.items():
        if kind not in kinds:
            continue
        for start, end in finder(text):
            if all(end <= other.start or start >= other.end for other in found):
                found.append(Found(kind, start, end, text[start:end]))
    return sorted(found, key=lambda each: each.start)


def joined(text: str, found: Iterable[Found], others: Iterable[Found]) -> list[Found]:
    """Return `found` extended by `others`: by further pieces, and by further letters of pieces of the same kind."""
    pieces = list(found)
    for other in others:
        crossing = [each for each in pieces if each.start < other.end and other.start < each.end]
        if any(each.kind != other.kind for each in crossing):
            continue
        start = min(each.start for each in (other, *crossing))
        end = max(each.end for each in (other, *crossing))
        pieces = [each for each in pieces if each not in crossing]
        pieces.append(Found(other.kind, start, end, text[start:end]))
    return sorted(pieces, key=lambda each: each.start)


def masked(text: str) -> str:
    """Return a text with its letters and digits hidden but for the first one, so that a report can show it."""
    return text[:1] + "".join("•" if char.isalnum() else char for char in text[1:])
