"""Postpone a signal that comes during an optimisation step until its end, where a checkpoint can be written.

How a signal stops the program is left to the program: only signals that it handles in Python are postponed, and then
passed to its handlers.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from synthgen.run.runtime.signals import STOPPING


class Postponed:
    """Hold the first signal that came; a second one is not postponed, because its sender does not want to wait."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        handlers = {number: signal.getsignal(number) for number in STOPPING}
        self._handlers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def begin(self) -> None:
        for number in self._handlers:
            signal.signal(number, self._postpone)

    def end(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def deliver(self) -> None:
        """Call the handler of the signal that came, if one did: usually it raises KeyboardInterrupt."""
        number, self.signal = self.signal, None
        if number is not None:
            self._handlers[number](number, None)

    def _postpone(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self.end()


@contextlib.contextmanager
def signals_postponed() -> Iterator[Postponed]:
    """Postpone signals in here; in another thread than the main one, which alone handles signals, do nothing."""
    postponed = Postponed()
    if threading.current_thread() is not threading.main_thread():
        yield postponed
        return
    postponed.begin()
    try:
        yield postponed
    finally:
        postponed.end()
    postponed.deliver()
