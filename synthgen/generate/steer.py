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
    flat_fits: int | None = None
    """End the run when so many fits in a row brought no gain, by cross-validation on the seeds; null for never."""
    flat_gain: float = 0.005
    """Least growth of the seeds' mean log probability, in nats, that counts as a gain."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"generate.steer.share: must be from 0 to 1, got {self.share}")
        if self.need < 0:
            raise ConfigError(f"generate.steer.need: must be 0 or more, got {self.need}")
        if self.flat_fits is not None and self.flat_fits < 1:
            raise ConfigError(f"generate.steer.flat_fits: must be 1 or more, or null, got {self.flat_fits}")
        if self.flat_gain < 0:
            raise ConfigError(f"generate.steer.flat_gain: must be 0 or more, got {self.flat_gain}")
