"""Show how far a preparation is: a line that is rewritten on a terminal, a line every 15 seconds elsewhere."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from shutil import get_terminal_size
from threading import Event, Thread
from time import monotonic

from synthgen.numerics.durations import duration
from synthgen.prepare.log import StepLog
from synthgen.safety.untrusted import printable

_TERMINAL_SECONDS, _PLAIN_SECONDS = 0.5, 15.0
_RATE_SECONDS = 10.0
"""Latest seconds over which rows a second are measured."""


class ChainProgress:
    """Describe the progress of a chain by the counts of its logs, which other threads change meanwhile."""

    def __init__(self, read: StepLog, logs: Sequence[StepLog]) -> None:
        self._read, self._logs = read, [read, *logs]
        self._start = monotonic()
        self._past = deque([(self._start, self._counts())])

    def line(self) -> str:
        """Return the rows read, the last step that rows have reached, its rows, its rows a second, and the time."""
        now, counts = monotonic(), self._counts()
        while len(self._past) > 1 and now - self._past[0][0] > _RATE_SECONDS:
            self._past.popleft()
        before, earlier = self._past[0]
        self._past.append((now, counts))
        last = max(place for place, (rows_in, _) in enumerate(counts) if rows_in or not place)
        rows = max(new - old for new, old in zip(counts[last], earlier[last], strict=True))
        parts = [f"{self._read.rows_out:,} rows read"]
        if last:
            parts.append(f"{self._logs[last].name}: {counts[last][0]:,} in, {counts[last][1]:,} out")
        parts += [f"{rows / (now - before):,.0f} rows/s"] if rows and now > before else []
        return "; ".join([*parts, duration(now - self._start)])

    def _counts(self) -> list[tuple[int, int]]:
        return [(log.rows_in, log.rows_out) for log in self._logs]


@contextmanager
def shown(read: StepLog, logs: Sequence[StepLog]) -> Iterator[None]:
    """Print the progress to standard error until the context ends."""
    pace, over, live = ChainProgress(read, logs), Event(), sys.stderr.isatty()

    def show() -> None:
        while not over.wait(_TERMINAL_SECONDS if live else _PLAIN_SECONDS):
            line = printable(pace.line())
            if live:
                print(f"\r\x1b[K{line[: get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
            else:
                print(line, file=sys.stderr, flush=True)

    thread = Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
