"""Signals that stop a run: SIGINT, SIGTERM and SIGUSR1 (which batch systems send before they kill)."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def on_signals(first: Callable[[], object], second: Callable[[], int]) -> None:
    """`first` at the first signal, in the running event loop.

    At a SIGINT after it, `second` says its last words and the process leaves at once with the exit
    code that it returns: the ledger needs no goodbye.
    """
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        first()
        loop.add_signal_handler(signal.SIGINT, lambda: os._exit(second()))

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Every stopping signal is a KeyboardInterrupt, for work outside the event loop."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
