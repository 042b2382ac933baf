"""List all strategies: their weights and settings in the config, and how each is made."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.generate.part import WHOLE, ShardPart
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategies.attributes import Attributes, AttributesConfig
from synthgen.generate.strategies.augment_code import AugmentCode, AugmentCodeConfig
from synthgen.generate.strategies.augment_text import AugmentText, AugmentTextConfig
from synthgen.generate.strategies.back_translation import BackTranslation, BackTranslationConfig
from synthgen.generate.strategies.contrast import Contrast
from synthgen.generate.strategies.converse import Converse, ConverseConfig
from synthgen.generate.strategies.evolve import Evolve, EvolveConfig
from synthgen.generate.strategies.fewshot import FewShot, FewShotConfig
from synthgen.generate.strategies.grounded import Grounded, GroundedConfig
from synthgen.generate.strategies.label_text import LabelText, LabelTextConfig
from synthgen.generate.strategies.magpie import Magpie, MagpieConfig
from synthgen.generate.strategies.paraphrase import Paraphrase
from synthgen.generate.strategies.prefer import PairJudge, Prefer, PreferConfig
from synthgen.generate.strategies.reason import ReasonConfig, ReasonStrategy
from synthgen.generate.strategies.seeds_only import SeedsOnly, SeedsOnlyConfig
from synthgen.generate.strategies.taxonomy import Taxonomy, TaxonomyConfig
from synthgen.generate.strategies.template import Template
from synthgen.generate.strategy import Strategy
from synthgen.generate.topics import Topics
from synthgen.records import Json, Sample
from synthgen.tasks.passages import Passage
from synthgen.tasks.task import Task


@dataclass
class StrategiesConfig:
    """Hold the weight of each strategy by its name. A strategy without a weight is not used."""

    fewshot: float | None = None
    """Weight of few-shot prompting from the pool. If no strategy has a weight, only this one is used."""
    seeds_only: float | None = None
    """Weight of few-shot prompting that shows only seeds."""
    attributes: float | None = None
    """Weight of few-shot prompting for combinations of the task's `attributes`."""
    augment_code: float | None = None
    """Weight of samples whose Python code is rewritten by its syntax tree, without a model."""
    augment_text: float | None = None
    """Weight of samples whose words are changed by rule, without a model."""
    back_translation: float | None = None
    """Weight of samples whose texts are translated into another language and back."""
    contrast: float | None = None
    """Weight of samples that are changed as little as possible to get another label (classification tasks only)."""
    converse: float | None = None
    """Weight of dialogues that two roles play turn by turn."""
    evolve: float | None = None
    """Weight of samples that are rewritten into harder, rarer or differently worded ones."""
    grounded: float | None = None
    """Weight of samples made from passages of `task.documents`."""
    label_text: float | None = None
    """Weight of real texts of `task.texts`, which get labels or annotations."""
    magpie: float | None = None
    """Weight of instructions that the model writes in an empty turn of the user, and then answers."""
    paraphrase: float | None = None
    """Weight of samples that are said in other words."""
    prefer: float | None = None
    """Weight of prompts with two answers, of which a comparison chooses one."""
    reason: float | None = None
    """Weight of questions with several solutions, kept where they agree."""
    taxonomy: float | None = None
    """Weight of few-shot prompting for the leaves of a tree of topics."""
    template: float | None = None
    """Weight of the task's own sentences (`task.templates`), with their slots filled."""

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
    adapt: bool = False
    """Move the weights during the run, once per round (`run.round_slots`), towards strategies whose candidates are
    accepted and novel per output token."""
    adapt_floor: float = 0.25
    """With `adapt`: the least share of each strategy, as a part of the share that its weight gives it; 0 to 1."""
    fewshot: FewShotConfig = field(default_factory=FewShotConfig)
    """Few-shot prompting from the pool."""
    seeds_only: SeedsOnlyConfig = field(default_factory=SeedsOnlyConfig)
    """Few-shot prompting that shows only seeds."""
    attributes: AttributesConfig = field(default_factory=AttributesConfig)
    """Combinations of the values in the task's `attributes`, with all pairs covered evenly."""
    augment_code: AugmentCodeConfig = field(default_factory=AugmentCodeConfig)
    """Samples whose Python code is rewritten by its syntax tree, without a model."""
    augment_text: AugmentTextConfig = field(default_factory=AugmentTextConfig)
    """Samples whose words are changed by rule, without a model."""
    back_translation: BackTranslationConfig = field(default_factory=BackTranslationConfig)
    """Samples whose texts are translated into another language and back."""
    converse: ConverseConfig = field(default_factory=ConverseConfig)
    """Dialogues that two roles play turn by turn."""
    evolve: EvolveConfig = field(default_factory=EvolveConfig)
    """Samples that are rewritten into harder, rarer or differently worded ones."""
    grounded: GroundedConfig = field(default_factory=GroundedConfig)
    """Samples made from passages of documents."""
    label_text: LabelTextConfig = field(default_factory=LabelTextConfig)
    """Real texts that get labels or annotations."""
    magpie: MagpieConfig = field(default_factory=MagpieConfig)
    """Instructions that the model writes in an empty turn of the user."""
    prefer: PreferConfig = field(default_factory=PreferConfig)
    """Prompts with two answers, of which a comparison chooses one."""
    reason: ReasonConfig = field(default_factory=ReasonConfig)
    """Questions with several solutions, kept where they agree."""
    taxonomy: TaxonomyConfig = field(default_factory=TaxonomyConfig)
    """Samples about the leaves of a tree of topics."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.adapt_floor <= 1:
            raise ConfigError(f"generate.adapt_floor: must be from 0 to 1, got {self.adapt_floor}")


@dataclass(frozen=True)
class Materials:
    """Hold the objects and settings from which strategies are built."""

    cfg: GenerateConfig
    task: Task
    prompts: Prompts
    prompting: Prompting
    seeds: Sequence[Sample]
    seed: int
    """The seed of random numbers."""
    pairs: PairJudge
    """Asks which of two samples is better."""
    tree: Topics | None = None
    """The topics of `generate.taxonomy.tree`; None where the model writes them."""
    models: Sequence[str] = ()
    """Names of the models of the engine's mix; empty for an engine with one model."""
    texts: Sequence[Json] = ()
    """The rows of `task.texts`."""
    passages: Sequence[Passage] = ()
    """The passages of `task.documents`, where they are used."""
    evaluates: Callable[[Json], bool] | None = None
    """Returns True for a sample whose own calculation is right; None for a task without the check `evaluates`."""
    part: ShardPart = WHOLE
    """The part of combinations, topics and filled sentences that is used."""
    shared_seed: int | None = None
    """The seed of the sequences that are divided into parts, the same for all parts; None for `seed`."""

    @property
    def sequence_seed(self) -> int:
        """Return the seed of the sequences that are divided into parts."""
        return self.seed if self.shared_seed is None else self.shared_seed


_MAKERS: dict[type[Strategy], Callable[[Materials], Strategy]] = {
    FewShot: lambda of: FewShot(of.cfg.fewshot, of.prompting),
    SeedsOnly: lambda of: SeedsOnly(of.cfg.seeds_only, of.prompting),
    Attributes: lambda of: Attributes(of.cfg.attributes, of.prompting, of.sequence_seed, of.part),
    AugmentCode: lambda of: AugmentCode(of.cfg.augment_code, of.prompting, of.seed),
    AugmentText: lambda of: AugmentText(of.cfg.augment_text, of.prompting, of.seeds, of.seed),
    BackTranslation: lambda of: BackTranslation(of.cfg.back_translation, of.prompting),
    Contrast: lambda of: Contrast(of.prompting),
    Converse: lambda of: Converse(of.cfg.converse, of.prompting, of.models),
    Evolve: lambda of: Evolve(of.cfg.evolve, of.prompting),
    Grounded: lambda of: Grounded(of.cfg.grounded, of.prompting, of.passages, of.seed),
    LabelText: lambda of: LabelText(of.cfg.label_text, of.prompting, of.texts, of.seeds, of.seed),
    Magpie: lambda of: Magpie(of.cfg.magpie, of.prompting),
    Paraphrase: lambda of: Paraphrase(of.prompting),
    Prefer: lambda of: Prefer(of.cfg.prefer, of.prompting, of.pairs, of.models),
    ReasonStrategy: lambda of: ReasonStrategy(of.cfg.reason, of.prompting, of.evaluates),
    Taxonomy: lambda of: Taxonomy(of.cfg.taxonomy, of.prompting, of.sequence_seed, of.tree, of.part),
    Template: lambda of: Template(of.prompting, of.sequence_seed, of.part),
}
"""Make each strategy, by its class, from the materials of a run."""
SEEDLESS = tuple(made.name for made in _MAKERS if getattr(made, "starts_without_seeds", False))
"""The strategies that make samples without any seed."""
REWRITING = frozenset(made.name for made in _MAKERS if getattr(made, "rewrites", False))
"""The strategies in which the model rewrites a sample."""


def make_strategies(materials: Materials) -> list[Strategy]:
    """Return every strategy that has a weight. Raise ConfigError where one does not fit the task.

    Without seeds, at least one of them must be able to start without any.
    """
    shares = materials.cfg.strategies.shares()
    if materials.task.seeds is None and not shares.keys() & set(SEEDLESS):
        raise ConfigError(
            f"task.seeds: {' and '.join(shares)} cannot start without seeds; name a file with samples that people wrote, or "
            f"choose a strategy that starts without seeds: {', '.join(f'generate={name}' for name in SEEDLESS)}"
        )
    return [make(materials) for made, make in _MAKERS.items() if made.name in shares]
