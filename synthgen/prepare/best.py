"""Rate rows, to keep the best one of several duplicates."""

from synthgen.errors import InputError
from synthgen.prepare.item import Item, RowFields

KEEP = ("first", "best")


class Quality:
    """Return the number in a row's field `score`, or the length of its text without a field."""

    def __init__(self, score: str, fields: RowFields) -> None:
        self._score, self._fields = score, fields

    def __call__(self, item: Item) -> float:
        if not self._score:
            return float(len(self._fields.whole(item.data)))
        value = item.data.get(self._score)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return self._wrong(item)
        try:
            return float(value)
        except ValueError:
            return self._wrong(item)

    def _wrong(self, item: Item) -> float:
        place = f"{item.origin.file}:{item.origin.line}"
        raise InputError(
            f"{place}: {self._score} is not a number, and `score` needs one; give it one, or name another field"
        )
