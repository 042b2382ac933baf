"""List the steps of a preparation by name, each with its settings. To add a step, add one line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synthgen.prepare.exact import Exact, ExactConfig
from synthgen.prepare.language import Language, LanguageConfig
from synthgen.prepare.near import Near, NearConfig
from synthgen.prepare.personal import Personal, PersonalConfig
from synthgen.prepare.repair import Repair, RepairConfig
from synthgen.prepare.step import Context, Step

StepConfig = Any
"""The settings of a step: a dataclass of its own module."""


@dataclass(frozen=True)
class Kind:
    """Name the settings of a step, and make the step of them."""

    config: type[Any]
    make: Callable[[Any, Context], Step]


KINDS: dict[str, Kind] = {
    "repair": Kind(RepairConfig, Repair),
    "language": Kind(LanguageConfig, Language),
    "personal": Kind(PersonalConfig, Personal),
    "exact": Kind(ExactConfig, Exact),
    "near": Kind(NearConfig, Near),
}
