"""Replaces a folder as a whole: a killed training leaves the earlier student, or the new one."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` that takes its place when the block ends without an error.

    What a killed process left beside `out` is cleared away, or put back where it is the only copy.
    Two processes must not do this at once; the run's lock sees to that.
    """
    new, old = (out.with_name(f".{out.name}.{what}") for what in ("new", "old"))
    if old.exists() and not out.exists():
        old.replace(out)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if out.exists():
            out.replace(old)
        new.replace(out)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)
