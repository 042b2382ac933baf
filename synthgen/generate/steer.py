"""The knobs of steering the prompts of tasks without labels; see `synthgen.generate.steering`."""

from dataclasses import dataclass

from synthgen.errors import ConfigError


@dataclass
class SteerConfig:
    enabled: bool = True
    """Show the seeds around which least was accepted in some of the prompts (tasks without labels)."""
    share: float = 0.25
    """Share of the prompts that do so; the others draw seeds at random."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"generate.steer.share: must be from 0 to 1, got {self.share}")
