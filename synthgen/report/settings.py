"""The settings that decided what was accepted, from the config that the ledger keeps.

Only numbers and switches: model names, paths and addresses of a machine stay out of what gets
published.
"""

from typing import Any

from synthgen.ledger import Reader
from synthgen.run.checks import threshold_key

GROUPS = ("generate", "filters", "diversity", "judge", "pool")
_NOT_DECIDING = "diversity.alarms."


def read_settings(ledger: Reader) -> dict[str, float]:
    """Dotted key to number or switch, for the groups that decide; empty if no config was kept."""
    config = ledger.meta("config") or {}
    found = {
        key: value
        for group in GROUPS
        for key, value in _numbers(group, config.get(group))
        if not key.startswith(_NOT_DECIDING)
    }
    if (cut := (ledger.meta("calibration") or {}).get("threshold")) is not None:
        found["judge.rubric.threshold"] = 1 + 4 * cut  # calibration chose one of its own
    return found


def threshold(settings: dict[str, float], check: str, reason: str) -> tuple[str, float] | None:
    """Return the setting that a rejection's score was compared with, as (key, value)."""
    key = threshold_key(check, reason)
    return (key, settings[key]) if key in settings else None


def _numbers(key: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, int | float):
        return [(key, value)]
    if isinstance(value, dict):
        return [pair for name, child in value.items() for pair in _numbers(f"{key}.{name}", child)]
    return []
