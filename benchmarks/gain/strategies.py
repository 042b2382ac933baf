"""Compare strategies: one arm each, made like the arm `loop` with that strategy alone or with a mix, at equal tokens."""

import re
from collections.abc import Mapping, Sequence

from benchmarks.gain.arms import Arm
from benchmarks.gain.data import Data, draw_seeds
from benchmarks.gain.figures import STRATEGY
from benchmarks.gain.outcome import accepted
from benchmarks.gain.runs import Runs
from benchmarks.gain.tables import points
from synthgen.errors import ConfigError
from synthgen.generate.kinds import StrategiesConfig
from synthgen.records import Json

Mixes = Mapping[str, Mapping[str, float]]
"""The weights of the strategies of each arm, by the word that named the arm."""


def weights_of(word: str) -> dict[str, float]:
    """Return the weights in `NAME` or `NAME=WEIGHT,NAME=WEIGHT`. Raise ConfigError for a word that names no strategies."""
    known = list(vars(StrategiesConfig()))
    found = {}
    for part in word.split(","):
        name, _, weight = part.partition("=")
        if name not in known:
            raise ConfigError(
                f"--strategies {word}: there is no strategy '{name}'; the strategies are {', '.join(known)}"
            )
        try:
            found[name] = float(weight or 1)
        except ValueError as error:
            raise ConfigError(f"--strategies {word}: the weight of {name} must be a number, got '{weight}'") from error
    StrategiesConfig(**found)
    return found


def mixed_arms(draw: int, mixes: Mixes, k: int, budget: int, data: Data, runs: Runs) -> dict[str, Arm]:
    """Return the arms of a draw at a token budget, by `strategy.WORD`; make the runs that they need."""
    seeds = draw_seeds(data, k, runs.seed, draw)
    arms = {}
    for word, weights in mixes.items():
        settings = settings_of(weights)
        if settings == ["generate=fewshot"] and not any(each.startswith("generate") for each in runs.overrides):
            folder = runs.made(draw, "loop", seeds, ())  # the default, so it is the same run
        else:
            folder = runs.made(draw, f"strategy-{re.sub('[^a-z0-9_.]', '-', word)}", seeds, settings)
        outcome = accepted(folder, list(data.task.labels), budget)
        arms[f"{STRATEGY}{word}"] = Arm(seeds, outcome.rows, True, outcome, worth=outcome.worth)
    return arms


def settings_of(weights: Mapping[str, float]) -> Sequence[str]:
    """Return the overrides of a run with these weights. A strategy alone is chosen by its own file in conf/generate."""
    if len(weights) == 1:
        return [f"generate={next(iter(weights))}"]
    return [f"generate.strategies={{{', '.join(f'{name}: {weight:g}' for name, weight in weights.items())}}}"]


def show_strategies(table: Mapping[str, Json]) -> None:
    """Print the difference of each strategy to few-shot prompting, where that is an arm."""
    for arm, found in table.items():
        if arm.startswith(STRATEGY) and arm != f"{STRATEGY}fewshot" and found["over_fewshot"] is not None:
            print(f"{arm} over {STRATEGY}fewshot: {points(found, 'over_fewshot')} points of accuracy")
