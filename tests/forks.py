"""Processes that start in milliseconds, because they are forked from one that has imported what they need."""

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_imported: tuple[str, ...] | None = None


def forks(*modules: str) -> ForkServerContext:
    """Return a context whose processes are forked from one that has imported these modules.

    The processes of a test run share one such process. It is started anew where the modules differ from those before.
    """
    global _imported
    context = multiprocessing.get_context("forkserver")
    if _imported != modules:
        forkserver._forkserver._stop()
        context.set_forkserver_preload(list(modules))
        _imported = modules
    return context
