"""List all strategies: their weights and settings in the config, and how each is made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.generate.prompting import Prompting, PromptingConfig
from synthgen.generate.strategies.fewshot import FewShot, FewShotConfig
from synthgen.generate.strategies.grounded import Grounded, GroundedConfig
from synthgen.generate.strategies.label_text import LabelText, LabelTextConfig
from synthgen.generate.strategies.seeds_only import SeedsOnly, SeedsOnlyConfig
from synthgen.generate.strategy import Strategy
from synthgen.records import Json, Sample
from synthgen.tasks.passages import Passage
from synthgen.tasks.task import Task


@dataclass
class StrategiesConfig:
    """Hold the weight of each strategy by its name. A strategy without a weight is not used."""

    fewshot: float | None = None
    """Weight of few-shot prompting from the pool. If no strategy has a weight, only this one is used."""
    grounded: float | None = None
    """Weight of samples made from passages of `task.documents`."""
    label_text: float | None = None
    """Weight of real texts of `task.texts`, which get labels or annotations."""
    seeds_only: float | None = None
    """Weight of few-shot prompting that shows only seeds."""

    def __post_init__(self) -> None:
        named = {name: weight for name, weight in vars(self).items() if weight is not None}
        for name, weight in named.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ConfigError(f"generate.strategies.{name}: must be a number of 0 or more, got {weight}")
        if named and not any(named.values()):
            raise ConfigError(
                f"generate.strategies: every weight is 0; set one of {', '.join(vars(self))} to a weight above 0"
            )

    def shares(self) -> dict[str, float]:
        """Return the share of groups that each used strategy should plan, by its name. The shares sum to 1."""
        used = {name: weight for name, weight in vars(self).items() if weight} or {FewShot.name: 1.0}
        most = max(used.values())
        scaled = {name: weight / most for name, weight in used.items()}  # a sum of huge weights would be infinite
        total = sum(scaled.values())
        return {name: weight / total for name, weight in scaled.items()}


@dataclass
class GenerateConfig(PromptingConfig):
    strategies: StrategiesConfig = field(default_factory=StrategiesConfig)
    """The strategies that make candidates, and their weights."""
    fewshot: FewShotConfig = field(default_factory=FewShotConfig)
    """Few-shot prompting from the pool."""
    grounded: GroundedConfig = field(default_factory=GroundedConfig)
    """Samples made from passages of documents."""
    label_text: LabelTextConfig = field(default_factory=LabelTextConfig)
    """Real texts that get labels or annotations."""
    seeds_only: SeedsOnlyConfig = field(default_factory=SeedsOnlyConfig)
    """Few-shot prompting that shows only seeds."""


@dataclass(frozen=True)
class Materials:
    """Hold what strategies are made of."""

    cfg: GenerateConfig
    task: Task
    prompts: Prompts
    prompting: Prompting
    seeds: Sequence[Sample]
    seed: int
    """The run's seed of random numbers."""
    texts: Sequence[Json] = ()
    """The rows of `task.texts`."""
    passages: Sequence[Passage] = ()
    """The passages of `task.documents`, where they are used."""


_MAKERS: dict[str, Callable[[Materials], Strategy]] = {
    FewShot.name: lambda of: FewShot(of.cfg.fewshot, of.prompting),
    Grounded.name: lambda of: Grounded(of.cfg.grounded, of.prompting, of.passages, of.seed),
    LabelText.name: lambda of: LabelText(of.cfg.label_text, of.prompting, of.texts, of.seeds, of.seed),
    SeedsOnly.name: lambda of: SeedsOnly(of.cfg.seeds_only, of.prompting),
}
"""How each strategy is made, by its name."""


def make_strategies(materials: Materials) -> list[Strategy]:
    """Return every strategy that has a weight. Raise ConfigError where one does not fit the task."""
    shares = materials.cfg.strategies.shares()
    return [make(materials) for name, make in _MAKERS.items() if name in shares]
