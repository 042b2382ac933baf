"""What the student in the loop may do to prompts; see `synthgen.steering`."""

from dataclasses import dataclass

from synthgen.errors import ConfigError


@dataclass
class SteerConfig:
    enabled: bool = True
    """Fit a student as the run goes, and ask for what it confuses and lacks (where judge.trust decides labels)."""
    share: float = 0.25
    """Share of the prompts that are steered; the others stay as they are."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"generate.steer.share: must be from 0 to 1, got {self.share}")
