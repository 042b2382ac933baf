"""Signals that come in the middle of an optimisation step wait until its end, where a checkpoint can be written.

Which signals stop the program, and how, is the program's to say: only those that it handles in
Python are held back, and they are handed on to its handlers.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Held:
    """The first signal that came; a second one is not held back, because its sender does not want to wait."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        self._handlers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def begin(self) -> None:
        for number in self._handlers:
            signal.signal(number, self._hold)

    def end(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def hand_on(self) -> None:
        """Does what the signal's own handler does, if one came: usually it raises KeyboardInterrupt."""
        number, self.signal = self.signal, None
        if number is not None:
            self._handlers[number](number, None)

    def _hold(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self.end()


@contextlib.contextmanager
def held_back() -> Iterator[Held]:
    """Signals are handled in the main thread alone; in any other one nothing is held back."""
    held = Held()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    held.begin()
    try:
        yield held
    finally:
        held.end()
    held.hand_on()
