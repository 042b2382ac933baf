"""Use a panel of judges instead of one: configure its members, and combine their grades."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median_low

from synthgen.engines.http.address import check_url
from synthgen.engines.prices import PricesConfig
from synthgen.errors import ConfigError
from synthgen.judge.calibration import Calibrator

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "majority": median_low,  # reaches a threshold exactly when more than half of the members do
    "worst": min,
}
_KIND = "rubric"
MEMBER = re.compile(rf"/{_KIND}:([\w-]+)/")
"""Finds the name of a panel member in the ids of its requests."""


@dataclass
class PanelMemberConfig:
    template: str = "judge"
    """Prompt template, from the task's prompt folder or from prompts/common."""
    name: str = ""
    """Name of the judge in the report; the template's name if empty."""
    url: str | None = None
    """URL of an endpoint for this judge, up to and including /v1; null uses judge.engine, or else the run's engine."""
    model: str | None = None
    """Name under which that endpoint serves the model."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the endpoint's API key. No key is sent when it is not set."""
    prices: PricesConfig = field(default_factory=PricesConfig)
    """Prices of tokens at that endpoint, in US dollars per million."""

    def __post_init__(self) -> None:
        self.name = self.name or self.template
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ConfigError(f"judge.panel: '{self.name}' is not a valid name; use letters, digits, '-' and '_'")
        if (self.url is None) != (self.model is None):
            raise ConfigError(f"judge.panel: {self.name} needs both url and model, or neither")
        if self.url is not None:
            check_url(f"judge.panel: {self.name}: url", self.url)
        self.prices.check(f"judge.panel: {self.name}: prices")


def check_panel(panel: Sequence[PanelMemberConfig]) -> None:
    """Raise ConfigError when two members have the same name."""
    names = [member.name for member in panel]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"judge.panel: two members are called '{name}'; give each a different name")


def request_kind(member: PanelMemberConfig, panel: Sequence[PanelMemberConfig]) -> str:
    """Return the part of a member's request ids that identifies it. The id of a single judge has no name."""
    return f"{_KIND}:{member.name}" if panel else _KIND


@dataclass(frozen=True)
class Gate:
    """Combine the judges' mean grades into a score and accept from a threshold on. Both range from 1 to 5.

    With calibrators, the score is 1 + 4 times the probability that the sample is good. A judge without a calibrator is
    then ignored.
    """

    aggregate: str
    threshold: float
    calibrators: Mapping[str, Calibrator] = field(default_factory=dict)
    binding: bool = True
    """True when the gate rejects and weighs samples. When False, grades are only recorded."""

    def score(self, means: Mapping[str, float | None]) -> float | None:
        """Return the combined grade; None when a judge that counts gave no readable answer."""
        counting = {name: means[name] for name in self.calibrators or means}
        known = {name: mean for name, mean in counting.items() if mean is not None}
        if len(known) < len(counting):
            return None
        together = AGGREGATES[self.aggregate]
        if not self.calibrators:
            return together(list(known.values()))
        return 1 + 4 * together([self.calibrators[name](mean) for name, mean in known.items()])
