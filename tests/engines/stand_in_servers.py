"""Run a stand-in server in a process that a test has forked."""

import contextlib
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection


class _Lines:
    """Stand for a standard output whose texts are sent to the test."""

    def __init__(self, reader: Connection) -> None:
        self.write = reader.send

    def flush(self) -> None:
        """Do nothing: each text is sent at once."""


def serve(words: Sequence[str], environment: dict[str, str], output: Connection) -> None:
    """Run a server with these words of its command line, and send what it prints."""
    from synthgen.engines.fake.stand_in import main

    os.environ.update(environment)
    with contextlib.redirect_stdout(_Lines(output)):  # type: ignore[type-var]
        main(list(words))
