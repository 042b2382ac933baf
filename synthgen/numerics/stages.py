"""Report the progress of a long stage of work."""

from collections.abc import Callable
from time import monotonic


class Stages:
    """Pass lines such as `embedding: 6,400 of 20,000` to `say`, at most one in `seconds`, and none for short stages."""

    def __init__(self, say: Callable[[str], object], seconds: float = 5.0) -> None:
        self._say, self._seconds = say, seconds
        self._last = monotonic()

    def at(self, stage: str, done: int, total: int | None = None) -> None:
        """Report that `done` parts of `total` are finished, unless the last line was printed only a short time ago."""
        now = monotonic()
        if now - self._last < self._seconds:
            return
        self._last = now
        self._say(f"{stage}: {done:,}{f' of {total:,}' if total is not None else ''}")


def silent(_: str) -> None:
    """Say nothing."""
