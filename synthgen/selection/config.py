"""The knobs of selection. Checked here, so that a bad one stops a run before it starts and not after a night."""

from dataclasses import dataclass

from synthgen.errors import ConfigError

METHODS = ("none", "deita", "k_center", "facility_location")


@dataclass
class SelectConfig:
    method: str = "none"
    """What the dataset and the student are made of: `none` is all that was accepted; `deita`, `k_center` and
    `facility_location` choose `size` of it, see docs/selection.md. The ledger keeps everything."""
    size: int | None = None
    """Accepted samples to choose, seeds not counted, those for validation.jsonl among them."""
    quality_power: float = 1.0
    """How strongly quality weighs beside diversity; 0 ignores it."""
    deita_similarity: float = 0.8
    """deita passes over a sample whose cosine to a seed, or to one that it chose before, is above this."""
    per_class: bool = True
    """Choose within each label, equal shares as far as there are samples; false chooses among all at once."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"select.method: '{self.method}' is not one of {', '.join(METHODS)}")
        if self.size is not None and self.size < 1:
            raise ConfigError(f"select.size: must be 1 or more, got {self.size}")
        if self.method == "none" and self.size is not None:
            raise ConfigError(f"select.size: {self.size} samples chosen how? set select.method too, to deita, say")
        if self.method != "none" and self.size is None:
            raise ConfigError(f"select.method: {self.method} chooses how many? set select.size too")
        if self.quality_power < 0:
            raise ConfigError(f"select.quality_power: must be 0 or more, got {self.quality_power}")
        if not 0 < self.deita_similarity <= 1:
            raise ConfigError(f"select.deita_similarity: must be above 0 and at most 1, got {self.deita_similarity}")
