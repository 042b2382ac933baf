"""Define the errors that modules raise to one another, and the exit codes of the program.

A `UserError` is an error that the user can fix: the command line prints its message without a traceback.
An `EngineError` comes from an engine: its class tells the caller what to do next.
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
    ExitCode.ENGINE_FAILED: "the engine, or a worker of the student, failed for good",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM, and can be continued",
}


class UserError(Exception):
    """Report bad config or input. The message names the place, the problem and the cure."""


class ConfigError(UserError):
    """Report a config key with an unknown name, a wrong type or a value out of range."""


class InputError(UserError):
    """Report a task, seed, eval or prompt file that cannot be used as it is."""


class RunFolderError(UserError):
    """Report a run folder that is missing, in use, foreign, or does not match the request."""


class WriteError(RunFolderError):
    """Report a file that cannot be written, for example because the disk is full. Data reported as written is safe."""


class WorkersError(UserError):
    """Report that a worker of a training ended before its end. The training keeps its last checkpoint."""


class EngineError(Exception):
    """Report that an engine did not answer a request."""


class RetryableError(EngineError):
    """Report a timeout, a lost connection or a server error. The same request may succeed later.

    `charge` is the share of one attempt that this failure costs the request: 0 where the engine is at fault.
    """

    def __init__(self, words: str, charge: float = 1.0) -> None:
        super().__init__(words)
        self.charge = charge


class EngineDiedError(RetryableError):
    """Report that the engine died while the request was in flight, and was restarted."""

    def __init__(self, words: str) -> None:
        super().__init__(words, charge=0.0)


class FatalRequestError(EngineError):
    """Report that the engine refused the request. Sending it again cannot help."""


class TooLongError(FatalRequestError):
    """Report that the prompt and its answer do not fit into the model's window."""


class PoisonError(FatalRequestError):
    """Report a request that probably killed the engine. It is quarantined and never sent again."""


class EngineDeadError(EngineError):
    """Report that the engine died for good while the request was in flight. It answers no further request."""


class EngineRefusesError(EngineDeadError):
    """Report that the engine runs, but refuses every request."""


class EngineGoneError(EngineDeadError):
    """Report that the engine had already died when the request was sent."""


class MachineLostError(EngineGoneError):
    """Report that the engine ended because its machine did, so that no request is to blame."""
