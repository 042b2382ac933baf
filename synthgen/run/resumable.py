"""List the config keys that may change on resume. This module imports nothing, so that the program's help stays
fast."""

MAY_CHANGE = (
    "budget.*",
    "select.*",
    "student.*",
    "tracking.*",
    "metrics.*",
    "labels.weight",
    "model.thinking_tokens",
    "model.keep_thinking",
    "diversity.alarms.*",
    "diversity.device",
    "diversity.threads",
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
    "engine.replicas",
    "engine.ray.*",
    "engine.judge_batches",
    "engine.batch_requests",
    "engine.least_requests",
    "engine.batch_megabytes",
    "engine.quiet",
    "engine.poll",
    "engine.completion_window",
    "engine.prices.*",
    "engine.budget_usd",
    "judge.engine.urls",
    "judge.engine.headers",
    "judge.engine.proxy",
    "judge.engine.requests_per_minute",
    "judge.engine.tokens_per_minute",
    "judge.engine.api_key_env",
    "judge.engine.patience",
    "judge.engine.timeout",
    "judge.engine.prices.*",
)
"""Keys that the accepted samples do not depend on."""

MAY_CHANGE_IN_A_MODEL = (
    "urls",
    "headers",
    "proxy",
    "requests_per_minute",
    "tokens_per_minute",
    "api_key_env",
    "patience",
    "timeout",
    "prices",
)
"""The same, for the entries of `engine.models`."""

CHECKED_APART = (
    "task.*",
    "run.prepare",
    "generate.adapter",
    "generate.taxonomy.tree",
    "judge.adapter",
    "judge.calibration",
)
"""Keys that name files. The fingerprint contains the content of these files, which must not change, and not their
names."""

NOT_OF_THE_RUN = ("adapt.*", "run.name", "run.dir")
"""Keys that only say where a run is stored, or that only `synthgen adapt` reads."""


def in_words() -> str:
    """Return the keys that may change, as a list within a sentence."""
    return f"{', '.join(MAY_CHANGE)} and, in each of engine.models, {', '.join(MAY_CHANGE_IN_A_MODEL)}"
