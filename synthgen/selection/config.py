"""Define the settings of the selection.

Values are checked here, so that a bad value is refused before the run starts and not after hours of work.
"""

from dataclasses import dataclass

from synthgen.errors import ConfigError

METHODS = ("none", "deita", "k_center", "facility_location")


@dataclass
class SelectConfig:
    method: str = "none"
    """Method that selects samples for the dataset and the student. `none` uses all accepted samples. `deita`,
    `k_center` and `facility_location` choose `size` of them; see docs/selection.md. The ledger keeps all samples."""
    size: int | None = None
    """Number of accepted samples to choose, including those for the validation file. Seeds are not counted."""
    quality_power: float = 1.0
    """Exponent of the quality score: a higher value favours quality over diversity, and 0 ignores quality."""
    deita_similarity: float = 0.8
    """`deita` skips a sample whose cosine similarity to a seed, or to a sample chosen before, is above this."""
    per_class: bool = True
    """Choose within each label, in equal shares if there are enough samples. False chooses among all samples."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"select.method: '{self.method}' is not one of {', '.join(METHODS)}")
        if self.size is not None and self.size < 1:
            raise ConfigError(f"select.size: must be 1 or more, got {self.size}")
        if self.method == "none" and self.size is not None:
            raise ConfigError(f"select.size: {self.size} needs a method; set select.method too, for example to deita")
        if self.method != "none" and self.size is None:
            raise ConfigError(f"select.method: {self.method} needs a number of samples; set select.size too")
        if self.quality_power < 0:
            raise ConfigError(f"select.quality_power: must be 0 or more, got {self.quality_power}")
        if not 0 < self.deita_similarity <= 1:
            raise ConfigError(f"select.deita_similarity: must be above 0 and at most 1, got {self.deita_similarity}")
