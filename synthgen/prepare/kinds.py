"""List the steps of a preparation by name, each with its settings. To add a step, add one line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synthgen.prepare.balance import Balance, BalanceConfig
from synthgen.prepare.bias import Bias, BiasConfig
from synthgen.prepare.contradictions import Contradictions, ContradictionsConfig
from synthgen.prepare.decontaminate import Decontaminate, DecontaminateConfig
from synthgen.prepare.exact import Exact, ExactConfig
from synthgen.prepare.label_noise import LabelNoise, LabelNoiseConfig
from synthgen.prepare.language import LanguageFilter, LanguageFilterConfig
from synthgen.prepare.meaning import Meaning, MeaningConfig
from synthgen.prepare.near import Near, NearConfig
from synthgen.prepare.outliers import Outliers, OutliersConfig
from synthgen.prepare.perplexity import Unlikely, UnlikelyConfig
from synthgen.prepare.personal import Personal, PersonalConfig
from synthgen.prepare.repair import Repair, RepairConfig
from synthgen.prepare.safety import Safety, SafetyConfig
from synthgen.prepare.split import Split, SplitConfig
from synthgen.prepare.step import Context, Step, StepSpec

StepConfig = Any
"""The settings of a step: a dataclass of its own module."""


@dataclass(frozen=True)
class Kind:
    """Hold the settings class of a step, and the function that makes the step."""

    config: type[Any]
    make: Callable[[Any, Context], Step]

    @property
    def spec(self) -> StepSpec:
        """Return the declaration of the step, whose class is `make`."""
        spec: StepSpec = self.make.spec  # type: ignore[attr-defined]
        return spec


KINDS: dict[str, Kind] = {
    "repair": Kind(RepairConfig, Repair),
    "language": Kind(LanguageFilterConfig, LanguageFilter),
    "personal": Kind(PersonalConfig, Personal),
    "safety": Kind(SafetyConfig, Safety),
    "contradictions": Kind(ContradictionsConfig, Contradictions),
    "exact": Kind(ExactConfig, Exact),
    "near": Kind(NearConfig, Near),
    "meaning": Kind(MeaningConfig, Meaning),
    "label_noise": Kind(LabelNoiseConfig, LabelNoise),
    "outliers": Kind(OutliersConfig, Outliers),
    "perplexity": Kind(UnlikelyConfig, Unlikely),
    "decontaminate": Kind(DecontaminateConfig, Decontaminate),
    "split": Kind(SplitConfig, Split),
    "bias": Kind(BiasConfig, Bias),
    "balance": Kind(BalanceConfig, Balance),
}
"""All steps, in a sensible order for a chain."""
