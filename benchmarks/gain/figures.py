"""Compute figures from predictions: means over draws, paired differences with intervals, the share of the gap closed.

An interval is a percentile bootstrap (Efron and Tibshirani, 1993) over draws and test rows at once: each resample takes
as many draws, and as many test rows, with replacement, the same for all arms and the same rows for all of its draws.
With few draws it is too narrow, because it cannot include draws that were not made: below five draws it is only a hint.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from synthgen.records import Json
from synthgen.student.scores import Floats, Ints, confusion, per_class

RESAMPLES = 2_000
BASE = "described"
STRATEGY = "strategy."
"""Beginning of the names of arms that compare strategies, such as `strategy.evolve`."""
RIVALS = {"loop": ("augmented", "oneshot", "filtered"), "loop_labelled": ("filtered", "loop", "real_labels")}


def figures(predicted: Mapping[str, Ints], truth: Ints, classes: int, seed: int) -> dict[str, Json]:
    """Return {arm: {figure: value}}. `predicted` has shape (draws, rows) for each arm: a label's index, or `classes` for none.

    `delta` is the difference to `seeds`, `over_described` the difference to `described`; the gap needs `real_full` too.
    Without these arms the figures are None. The loops have `over_ARM` for each of their rivals as well, and arms of
    strategies have `over_fewshot`.
    """
    correct = {arm: (found == truth).astype(np.float64) for arm, found in predicted.items()}
    resampled = _resampled(correct, seed)
    table: dict[str, Json] = {}
    for arm, found in predicted.items():
        accuracy, f1 = correct[arm].mean(1), macro_f1(truth, found, classes)
        table[arm] = {
            "accuracy": float(accuracy.mean()), "accuracy_sd": _sd(accuracy),
            "macro_f1": float(f1.mean()), "macro_f1_sd": _sd(f1),
            **_difference("delta", resampled, arm, "seeds"), **_gap(resampled, arm),
            **_difference(f"over_{BASE}", resampled, arm, BASE),
        }  # fmt: skip
        if arm.startswith(STRATEGY):
            table[arm] |= _difference("over_fewshot", resampled, arm, f"{STRATEGY}fewshot")
        for rival in RIVALS.get(arm, ()):
            if rival in predicted:
                table[arm] |= _difference(f"over_{rival}", resampled, arm, rival)
    return table


def macro_f1(truth: Ints, predicted: Ints, classes: int) -> Floats:
    """Return the mean F1 of the classes in the test rows or the predictions; shape (draws,)."""
    table = per_class(confusion(truth, predicted, classes + 1))
    seen = (table["support"] + table["predicted"] > 0)[:, :classes]
    return np.asarray((table["f1"][:, :classes] * seen).sum(1) / seen.sum(1))


def _resampled(correct: Mapping[str, Floats], seed: int) -> dict[str, Floats]:
    """Return the accuracy of each arm, on all draws and rows first, then on each resample."""
    draws, rows = next(iter(correct.values())).shape
    rng = np.random.default_rng(seed)
    of_draws = rng.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES) / draws
    of_rows = rng.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES) / rows
    found = {}
    for arm, hits in correct.items():
        samples = np.einsum("bd,dr,br->b", of_draws, hits, of_rows, optimize=True)
        found[arm] = np.asarray([hits.mean(), *samples])
    return found


def _difference(name: str, resampled: Mapping[str, Floats], arm: str, other: str) -> Json:
    if other not in resampled:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    values = resampled[arm] - resampled[other]
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return {name: float(values[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _gap(resampled: Mapping[str, Floats], arm: str) -> Json:
    """Return (arm - seeds) / (full - seeds) of the means over draws; None if there is no gap to close."""
    nothing = {"gap_closed": None, "gap_low": None, "gap_high": None}
    if not {"seeds", "real_full"} <= resampled.keys():
        return nothing
    gap = resampled["real_full"] - resampled["seeds"]
    if gap[0] <= 0:
        return nothing
    shares = (resampled[arm] - resampled["seeds"])[gap > 0] / gap[gap > 0]
    low, high = np.percentile(shares[1:], [2.5, 97.5])
    return {"gap_closed": float(shares[0]), "gap_low": float(low), "gap_high": float(high)}


def _sd(values: Any) -> float | None:
    """Return the sample standard deviation; None for a single draw."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
