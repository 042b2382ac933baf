"""What the student in the loop may do to prompts; see `synthgen.steering`."""

from dataclasses import dataclass

from synthgen.errors import ConfigError


@dataclass
class SteerConfig:
    enabled: bool = True
    """Fit a student as the run goes, and ask for what it confuses and lacks (where judge.trust decides labels)."""
    share: float = 0.25
    """Share of the prompts that are steered; the others stay as they are."""
    need: float = 0.5
    """How strongly labels that the student knows badly are asked for more often, up to twice as often; 0 for not at all."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"generate.steer.share: must be from 0 to 1, got {self.share}")
        if self.need < 0:
            raise ConfigError(f"generate.steer.need: must be 0 or more, got {self.need}")
