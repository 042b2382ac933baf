"""Signals that stop the program: SIGINT, SIGTERM and SIGUSR1 (which batch systems send before they kill).

The first one interrupts the work. A SIGINT after it ends the process at once, without a traceback: the ledger needs no
goodbye. This module imports nothing that takes time, because a signal may come while the program is being imported.
"""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from synthgen.errors import ExitCode

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class _Process:
    """Hold what the signal handlers of this process share."""

    came = False
    """A stopping signal has come."""
    last_words: Callable[[], object] | None = None
    depth = 0


_process = _Process()


def interrupted() -> bool:
    """Tell whether a stopping signal came in a context of this module that is still open."""
    return _process.came


@contextmanager
def on_signals(first: Callable[[], object], last_words: Callable[[], object] | None = None) -> Iterator[None]:
    """Call `first` at the first stopping signal; at a SIGINT after it call `last_words` and end the process with exit code 5.

    Both are called in the main thread between two arbitrary instructions. Contexts may be nested, and the first signal is
    counted over all of them. Later SIGTERM and SIGUSR1 change nothing, because their senders kill when they want to.
    """

    outer = _process.last_words
    _process.depth += 1
    before = _install(_handler(first))
    _process.last_words = last_words or outer
    try:
        yield
    finally:
        _process.depth -= 1
        _process.last_words = outer
        if not _process.depth:
            _process.came = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_interrupt(last_words: Callable[[], object] | None = None) -> Iterator[None]:
    """Raise KeyboardInterrupt at the first stopping signal; at a SIGINT after it call `last_words` and end the process."""
    with on_signals(_raise, last_words):
        yield


def exit_with(work: Callable[[], int]) -> NoReturn:
    """Run `work` and end the process with the exit code that it returns, or 5, without a traceback, when a signal came.

    A signal that comes after `work` has returned only ends the process sooner.
    """
    try:
        atexit.register(_ignore)  # registered first, so called last
        sys.unraisablehook = _unraisable
        _process.depth += 1
        _install(_handler(_raise))
        _end(work())
    except KeyboardInterrupt:
        _end(ExitCode.INTERRUPTED)


def _end(code: int) -> NoReturn:
    _install(lambda *_: _flushed_exit(code))
    # Where KeyboardInterrupt left an exec of a string, as dataclasses and namedtuples make it, Python ends as killed by
    # SIGINT whatever the exit code, although the exception was caught. Another exec takes the mark away.
    exec("")
    sys.exit(code)


def _install(handler: Callable[[int, FrameType | None], object]) -> dict[signal.Signals, Any]:
    """Handle all stopping signals with `handler`, and return what handled them before."""
    return {number: signal.signal(number, handler) for number in STOPPING}


def _handler(first: Callable[[], object]) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, _: FrameType | None) -> None:
        again, _process.came = _process.came, True
        if not again:
            first()
        elif number == signal.SIGINT:
            _leave()

    return handle


def _raise() -> NoReturn:
    raise KeyboardInterrupt


def _leave() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third one must not say the last words again
    if _process.last_words is not None:
        with contextlib.suppress(Exception):
            _process.last_words()
    _flushed_exit(ExitCode.INTERRUPTED)


def _flushed_exit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the signal may have come in the middle of a write
            stream.flush()
    os._exit(code)


def _ignore() -> None:
    """Ignore the signals from here on: Python runs no handlers while it takes itself down, and would die of them."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _unraisable(found: "UnraisableHookArgs") -> None:
    """Leave where a signal came in a finalizer or callback, which swallows the exception and prints a traceback."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(found)
