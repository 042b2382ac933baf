"""Handle the signals that stop the program: SIGINT, SIGTERM, SIGUSR1 (which batch systems send before they kill) and
SIGHUP (the terminal is gone). A SIGHUP that is ignored at the start, as nohup does, stays ignored.

The first signal interrupts the work. A later SIGINT ends the process at once, without a traceback; this is safe,
because the ledger needs no shutdown. This module has no slow imports, because a signal may come while the program is
being imported.
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

_NOHUP = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, *(() if _NOHUP else (signal.SIGHUP,)))


class _Process:
    """Hold the shared state of this process's signal handlers."""

    came = False
    """True once a stopping signal has come."""
    before_exit: Callable[[], object] | None = None
    depth = 0


_process = _Process()


def interrupted() -> bool:
    """Return True when a stopping signal came in a context of this module that is still open."""
    return _process.came


@contextmanager
def on_signals(first: Callable[[], object], before_exit: Callable[[], object] | None = None) -> Iterator[None]:
    """Call `first` at the first stopping signal; at a later SIGINT call `before_exit` and end the process.

    The exit code is then 5. Both functions run in the main thread between two arbitrary instructions. Contexts may be
    nested; nested contexts count signals together. Any other later signal is ignored, because its sender can still
    kill the process.
    """

    outer = _process.before_exit
    _process.depth += 1
    before = _install(_handler(first))
    _process.before_exit = before_exit or outer
    try:
        yield
    finally:
        _process.depth -= 1
        _process.before_exit = outer
        if not _process.depth:
            _process.came = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_interrupt(before_exit: Callable[[], object] | None = None) -> Iterator[None]:
    """Raise KeyboardInterrupt at the first stopping signal. At a later SIGINT call `before_exit` and end the process."""
    with on_signals(_raise, before_exit):
        yield


def exit_with(work: Callable[[], int]) -> NoReturn:
    """Run `work` and end the process with the exit code that it returns, or with 5 where a signal came.

    Print no traceback after a signal. A signal that comes after `work` has returned only makes the process end sooner.
    """
    try:
        atexit.register(_ignore)  # exit functions run in reverse order, so this one runs last
        sys.unraisablehook = _unraisable
        _process.depth += 1
        _install(_handler(_raise))
        _end(work())
    except KeyboardInterrupt:
        _end(ExitCode.INTERRUPTED)


def _end(code: int) -> NoReturn:
    _install(lambda *_: _flushed_exit(code))
    # Dataclasses and namedtuples call exec on a string. If a KeyboardInterrupt leaves such a call, Python ends as if
    # killed by SIGINT whatever the exit code is, even when the exception was caught. Another exec resets that state.
    exec("")
    sys.exit(code)


def _install(handler: Callable[[int, FrameType | None], object]) -> dict[signal.Signals, Any]:
    """Install `handler` for all stopping signals, and return the previous handlers."""
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a third signal must not call `before_exit` again
    if _process.before_exit is not None:
        with contextlib.suppress(Exception):
            _process.before_exit()
    _flushed_exit(ExitCode.INTERRUPTED)


def _flushed_exit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the signal may have interrupted a write
            stream.flush()
    os._exit(code)


def _ignore() -> None:
    """Ignore the signals from now on: during its shutdown Python runs no handlers, and a signal would kill it."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _unraisable(found: "UnraisableHookArgs") -> None:
    """End the process where a signal came in a finalizer or callback, which would only print the exception."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        _leave()
    sys.__unraisablehook__(found)
