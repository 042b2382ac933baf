"""Read the settings that decided which samples were accepted, from the config in the ledger.

Only numbers and switches are read, because model names, local paths and addresses must not be
published.
"""

from typing import Any

from synthgen.ledger import Reader
from synthgen.run.checks import threshold_key

GROUPS = ("generate", "filters", "diversity", "judge", "pool")
_NOT_DECIDING = "diversity.alarms."


def read_settings(ledger: Reader) -> dict[str, float]:
    """Return the deciding settings, dotted key to number or switch; empty if the ledger holds no config."""
    config = ledger.meta("config") or {}
    found = {
        key: value
        for group in GROUPS
        for key, value in _numbers(group, config.get(group))
        if not key.startswith(_NOT_DECIDING)
    }
    if (cut := (ledger.meta("calibration") or {}).get("threshold")) is not None:
        found["judge.rubric.threshold"] = 1 + 4 * cut  # calibration replaced the configured threshold
    return found


def threshold(settings: dict[str, float], check: str, reason: str) -> tuple[str, float] | None:
    """Return the setting, as (key, value), that the score of a rejected candidate was compared with."""
    key = threshold_key(check, reason)
    return (key, settings[key]) if key in settings else None


def _numbers(key: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, int | float):
        return [(key, value)]
    if isinstance(value, dict):
        return [pair for name, child in value.items() for pair in _numbers(f"{key}.{name}", child)]
    return []
