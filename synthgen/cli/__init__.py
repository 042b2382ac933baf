"""Define the command line: `synthgen VERB ...`.

Only this package knows Click, and only it and `synthgen.config` know Hydra. There is one file for each group of verbs.
Slow imports are inside the functions, so that help and shell completion answer at once.
"""

from synthgen.cli.program import dispatch, main

__all__ = ["dispatch", "main"]
