"""Check the values of the student's settings. Each function raises ConfigError with key and value."""

from collections.abc import Callable
from typing import Any

from synthgen.errors import ConfigError


def check_training(cfg: Any, key: str) -> None:
    """Check the settings that all students trained in steps share."""
    for name in ("repeats", "min_steps", "batch_size", "seed_repeat"):
        at_least(cfg, key, name, 1)
    for name in ("epochs", "learning_rate"):
        positive(cfg, key, name)
    within(cfg, key, "warmup", lambda value: 0 <= value < 1, "at least 0 and below 1")
    within(cfg, key, "weight_decay", lambda value: value >= 0, "0 or more")


def check_writer(cfg: Any, key: str) -> None:
    """Check the settings of a student that writes its answers: an instruct model with an adapter."""
    at_least(cfg, key, "max_length", 32)
    check_adapter(cfg, key)
    if cfg.max_new_tokens is not None:
        at_least(cfg, key, "max_new_tokens", 1)


def check_adapter(cfg: Any, key: str) -> None:
    """Check the settings of a LoRA adapter."""
    for name in ("rank", "alpha"):
        at_least(cfg, key, name, 1)
    within(cfg, key, "dropout", lambda value: 0 <= value < 1, "at least 0 and below 1")
    if not cfg.target_modules:
        raise ConfigError(f"{key}.target_modules: name at least one layer, or all-linear")


def at_least(cfg: Any, key: str, name: str, least: int) -> None:
    within(cfg, key, name, lambda value: value >= least, f"{least} or more")


def positive(cfg: Any, key: str, name: str) -> None:
    within(cfg, key, name, lambda value: 0 < value < float("inf"), "above 0")


def choice(cfg: Any, key: str, name: str, choices: tuple[str, ...]) -> None:
    within(cfg, key, name, lambda value: value in choices, f"one of {', '.join(choices)}")


def within(cfg: Any, key: str, name: str, fits: Callable[[Any], bool], what: str) -> None:
    value = getattr(cfg, name)
    if not fits(value):
        raise ConfigError(f"{key}.{name}: must be {what}, got {value}")
