"""The errors that cross module borders.

What a user can cause is a `UserError`: the command line prints its message without a
traceback. What an engine can do is an `EngineError`, whose class says what to do next.
"""


class UserError(Exception):
    """Bad config or input. The message says where, what is wrong, and how to mend it."""


class ConfigError(UserError):
    """A config key has an unknown name, a wrong type or a value out of range."""


class InputError(UserError):
    """A task, seed, eval or prompt file cannot be used as it is."""


class RunFolderError(UserError):
    """A run folder is missing, taken, foreign, or does not match what is asked of it."""


class LedgerWriteError(RunFolderError):
    """The ledger cannot be written any more: a full disk, say. What was acknowledged before is safe."""


class EngineError(Exception):
    """An engine did not answer a request."""


class RetryableError(EngineError):
    """A time-out, a lost connection or a server error: the same request may work later."""


class EngineDiedError(RetryableError):
    """The engine died while it had the request, and was started again."""


class FatalRequestError(EngineError):
    """The engine refused the request as it is; asking again cannot help."""


class PoisonError(FatalRequestError):
    """The request was in flight at several engine deaths and is not sent any more."""


class EngineDeadError(EngineError):
    """The engine is gone; nothing sent to it now will be answered."""
