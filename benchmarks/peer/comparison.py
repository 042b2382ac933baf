"""Figures of several rounds put side by side: medians of rates, and ratios taken within a round."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PEERS = ("distilabel", "data_designer")


@dataclass(frozen=True)
class Outcome:
    """What one client did in one run."""

    rows: int
    accepted: int
    """Rows that passed what checks the client has; all of them where it has none."""
    seconds: float

    @property
    def rate(self) -> float:
        """Accepted a second."""
        return self.accepted / self.seconds


Round = dict[str, Outcome]  # by the key of a setting


def rate(rounds: Sequence[Round], key: str) -> float:
    return statistics.median(found[key].rate for found in rounds)


def row_rate(rounds: Sequence[Round], key: str) -> float:
    return statistics.median(found[key].rows / found[key].seconds for found in rounds)


def ratio(rounds: Sequence[Round], one: str, other: str) -> float:
    """How many times faster `one` is than `other`: each round's own ratio, for rounds differ in how busy it was."""
    return statistics.median(found[one].rate / found[other].rate for found in rounds)


def over_best_peer(rounds: Sequence[Round], one: str, setting: str) -> float:
    """How many times faster `one` is than the fastest peer of its round at `setting`."""
    return statistics.median(
        found[one].rate / max(found[f"{peer}.{setting}"].rate for peer in PEERS) for found in rounds
    )


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """The flat figures: a rate a setting, and the headline ratios of the settings that were run."""
    found = {key: round(rate(rounds, key), 2) for key in rounds[0]}
    found["synthgen.candidates"] = round(row_rate(rounds, "synthgen"), 2)
    if f"{PEERS[0]}.tuned" in rounds[0]:
        found["synthgen_over_best_tuned_peer"] = round(over_best_peer(rounds, "synthgen", "tuned"), 2)
    if "synthgen.judge" in rounds[0]:
        found["synthgen_over_best_tuned_peer.judge"] = round(over_best_peer(rounds, "synthgen.judge", "judge"), 2)
    return found


def table(rounds: Sequence[Round], labels: dict[str, str]) -> list[tuple[str, ...]]:
    """A line a setting: its name, rows and accepted a second, the least and most of these, and synthgen's multiple."""
    lines: list[tuple[str, ...]] = []
    for key, label in labels.items():
        rates = [found[key].rate for found in rounds]
        own = "synthgen.judge" if key.endswith(".judge") else "synthgen"
        multiple = "" if key == own else f"{ratio(rounds, own, key):.2f}"
        spread = f"{_short(min(rates))} to {_short(max(rates))}"
        lines.append((label, _short(row_rate(rounds, key)), _short(rate(rounds, key)), spread, multiple))
    return lines


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"
