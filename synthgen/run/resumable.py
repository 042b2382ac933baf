"""The config keys that may change between a run and its resume. Imports nothing, because the help of the program reads it."""

MAY_CHANGE = (
    "budget.*",
    "select.*",
    "student.*",
    "tracking.*",
    "labels.weight",
    "diversity.alarms.*",
    "judge.canaries.stop",
    "run.validation_share",
    "engine.urls",
    "engine.headers",
    "engine.proxy",
    "engine.requests_per_minute",
    "engine.tokens_per_minute",
    "engine.api_key_env",
    "engine.patience",
    "engine.timeout",
    "engine.attempts",
    "engine.restarts_per_hour",
)
"""Keys that no accepted sample depends on."""

CHECKED_APART = ("task.*", "generate.adapter", "judge.adapter", "judge.calibration")
"""Keys that name files. The content of the files must not change, and has parts of the fingerprint of its own."""

NOT_OF_THE_RUN = ("adapt.*", "run.name", "run.dir")
"""Keys that say where a run is, or that only `synthgen adapt` reads."""


def in_words() -> str:
    """Return the keys that may change as part of a sentence."""
    return f"{', '.join(MAY_CHANGE[:-1])} and {MAY_CHANGE[-1]}"
