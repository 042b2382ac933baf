"""Postpone a signal that arrives during an optimisation step until the step is done and a checkpoint can be written.

Only signals with a handler in Python are postponed. Afterwards the signal is passed to that handler.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from synthgen.run.runtime.signals import STOPPING


class Postponed:
    """Hold the first signal that arrived. A second one is not postponed, because its sender does not want to wait."""

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
        """Call the handler of the signal that arrived, if any. The handler usually raises KeyboardInterrupt."""
        number, self.signal = self.signal, None
        if number is not None:
            self._handlers[number](number, None)

    def _postpone(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self.end()


@contextlib.contextmanager
def signals_postponed() -> Iterator[Postponed]:
    """Postpone signals inside this context. Do nothing outside the main thread, which alone handles signals."""
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
