"""The command line: `synthgen VERB ...`. The only place that knows Click, and beside `synthgen.config` Hydra's command line.

One file a group of verbs. They import what takes time when they run, so that help and shell completion answer at once.
"""

from synthgen.cli.program import dispatch, main

__all__ = ["dispatch", "main"]
