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
    """Report a config key with an unknown name, a wrong type or a value out of range."""


class InputError(UserError):
    """Report a task, seed, eval or prompt file that cannot be used as it is."""


class RunFolderError(UserError):
    """Report a run folder that is missing, in use, foreign, or does not match the request."""


class WriteError(RunFolderError):
    """Report a file of the run that cannot be written, such as on a full disk. Acknowledged data is safe."""


class EngineError(Exception):
    """Report that an engine did not answer a request."""


class RetryableError(EngineError):
    """Report a time-out, a lost connection or a server error: the same request may work later.

    `charge` is how much of one attempt it costs the request: 0 where the engine is to blame.
    """

    def __init__(self, words: str, charge: float = 1.0) -> None:
        super().__init__(words)
        self.charge = charge


class EngineDiedError(RetryableError):
    """Report that the engine died while it had the request, and was started again."""

    def __init__(self, words: str) -> None:
        super().__init__(words, charge=0.0)


class FatalRequestError(EngineError):
    """Report that the engine refused the request as it is; asking again cannot help."""


class TooLongError(FatalRequestError):
    """The prompt and its answer do not fit the model's window."""


class PoisonError(FatalRequestError):
    """Report a request that probably killed the engine; it is not sent any more."""


class EngineDeadError(EngineError):
    """Report that the engine is gone and had the request; nothing sent to it now will be answered."""


class EngineRefusesError(EngineDeadError):
    """The engine is there, and refuses all that it is asked."""


class EngineGoneError(EngineDeadError):
    """Report that the engine was gone before it had the request."""
