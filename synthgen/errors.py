"""The errors that cross module borders, and the exit codes of the program.

What a user can cause is a `UserError`: the command line prints its message without a
traceback. What an engine can do is an `EngineError`, whose class says what to do next.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Name the exit codes of the program. The ledger keeps the code of each session, so their numbers never change."""

    OK = 0
    BUG = 1
    BAD_INPUT = 2
    STOPPED = 3
    ENGINE_FAILED = 4
    INTERRUPTED = 5

    @property
    def meaning(self) -> str:
        """Return the meaning for users, in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done (a run: its target is reached)",
    ExitCode.BUG: "a bug in synthgen",
    ExitCode.BAD_INPUT: "bad arguments, config or input files",
    ExitCode.STOPPED: "a budget, a full disk or an alarm stopped the run before its target",
    ExitCode.ENGINE_FAILED: "the engine failed for good",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM, and can be continued",
}


class UserError(Exception):
    """Bad config or input. The message says where, what is wrong, and how to mend it."""


class ConfigError(UserError):
    """A config key has an unknown name, a wrong type or a value out of range."""


class InputError(UserError):
    """A task, seed, eval or prompt file cannot be used as it is."""


class RunFolderError(UserError):
    """A run folder is missing, taken, foreign, or does not match what is asked of it."""


class WriteError(RunFolderError):
    """A file of the run cannot be written: a full disk, say. What was acknowledged before is safe."""


class EngineError(Exception):
    """An engine did not answer a request."""


class RetryableError(EngineError):
    """A time-out, a lost connection or a server error: the same request may work later.

    `charge` is how much of one attempt it costs the request: 0 where the engine is to blame.
    """

    def __init__(self, words: str, charge: float = 1.0) -> None:
        super().__init__(words)
        self.charge = charge


class EngineDiedError(RetryableError):
    """The engine died while it had the request, and was started again."""

    def __init__(self, words: str) -> None:
        super().__init__(words, charge=0.0)


class FatalRequestError(EngineError):
    """The engine refused the request as it is; asking again cannot help."""


class PoisonError(FatalRequestError):
    """The engine died of the request, as far as can be told; it is not sent any more."""


class EngineDeadError(EngineError):
    """The engine is gone, and had the request when it went; nothing sent to it now will be answered."""


class EngineGoneError(EngineDeadError):
    """The engine is gone, and was before it had the request."""
