"""Compare the figures of several rounds: medians of rates, and ratios within a round."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

OWN = ("synthgen", "synthgen.tuned", "synthgen.shards")
PEERS = ("distilabel", "data_designer")


@dataclass(frozen=True)
class Outcome:
    """Hold the result of one client in one run."""

    rows: int
    accepted: int
    """Rows that passed what checks the client has; all of them where it has none."""
    seconds: float

    @property
    def rate(self) -> float:
        """Return the accepted rows per second."""
        return self.accepted / self.seconds


Round = dict[str, Outcome]  # by the key of a setting


def rate(rounds: Sequence[Round], key: str) -> float:
    return statistics.median(found[key].rate for found in rounds)


def row_rate(rounds: Sequence[Round], key: str) -> float:
    return statistics.median(found[key].rows / found[key].seconds for found in rounds)


def ratio(rounds: Sequence[Round], one: str, other: str) -> float:
    """Return how many times faster `one` is than `other`, by round, because rounds differ in the machine's load."""
    return statistics.median(found[one].rate / found[other].rate for found in rounds)


def over_best_peer(rounds: Sequence[Round], one: str, setting: str) -> float:
    """Return how many times faster `one` is than the fastest peer of its round at `setting`."""
    return statistics.median(
        found[one].rate / max(found[f"{peer}.{setting}"].rate for peer in PEERS) for found in rounds
    )


def figures(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the flat figures: one rate per setting, and the headline ratios of the settings that were run."""
    found = {key: round(rate(rounds, key), 2) for key in rounds[0]}
    found["synthgen.candidates"] = round(row_rate(rounds, "synthgen"), 2)
    if f"{PEERS[0]}.tuned" in rounds[0]:
        for key in OWN:
            if key in rounds[0]:
                found[f"{key.replace('.', '_')}_over_best_tuned_peer"] = round(over_best_peer(rounds, key, "tuned"), 2)
    if "synthgen.judge" in rounds[0]:
        found["synthgen_over_best_tuned_peer.judge"] = round(over_best_peer(rounds, "synthgen.judge", "judge"), 2)
    return found


def table(rounds: Sequence[Round], labels: dict[str, str]) -> list[tuple[str, ...]]:
    """Return one line per setting: name, rows, accepted per second with its range, and synthgen's multiple."""
    lines: list[tuple[str, ...]] = []
    for key, label in labels.items():
        rates = [found[key].rate for found in rounds]
        own = "synthgen.judge" if key.endswith(".judge") else "synthgen"
        multiple = "" if key in (*OWN, own) else f"{ratio(rounds, own, key):.2f}"
        spread = f"{_short(min(rates))} to {_short(max(rates))}"
        lines.append((label, _short(row_rate(rounds, key)), _short(rate(rounds, key)), spread, multiple))
    return lines


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"
