"""List the config keys that may change on resume. This module imports nothing, so that the program's help stays
fast."""

MAY_CHANGE = (
    "budget.*",
    "select.*",
    "student.*",
    "tracking.*",
    "labels.weight",
    "model.thinking_tokens",
    "model.keep_thinking",
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
"""Keys that the accepted samples do not depend on."""

CHECKED_APART = ("task.*", "generate.adapter", "judge.adapter", "judge.calibration")
"""Keys that name files. The fingerprint contains the content of these files, which must not change, and not their
names."""

NOT_OF_THE_RUN = ("adapt.*", "run.name", "run.dir")
"""Keys that only say where a run is stored, or that only `synthgen adapt` reads."""


def in_words() -> str:
    """Return the keys that may change, as a list within a sentence."""
    return f"{', '.join(MAY_CHANGE[:-1])} and {MAY_CHANGE[-1]}"
