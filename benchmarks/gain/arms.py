"""The arms of a draw: which rows stand beside its seeds in the training set, and what they cost.

All arms of a draw have the same seeds. N is what the loop accepted within the token budget; `augmented`, `oneshot` and
`real_n` have as many rows, `filtered` has all that its filter leaves of what one-shot prompts bring for the same tokens.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gain.augment import augmented
from benchmarks.gain.data import Data, balanced, draw_seeds
from benchmarks.gain.runs import Outcome, Runs
from synthgen.diversity.embedder import Encoder, Vectors
from synthgen.diversity.metrics import distinct_n, sampled_rows
from synthgen.evidence import Weighed
from synthgen.records import Json

ARMS = ("seeds", "described", "augmented", "oneshot", "filtered", "loop", "real_n", "real_full")
NEAR = 0.92  # the simplest filter's threshold of near-duplicates

Labeller = Callable[[Sequence[Json], Sequence[Json]], Sequence[str | None]]
"""Labels that a student trained on the first rows gives to the second ones."""


@dataclass(frozen=True)
class Arm:
    """One arm of one draw: its seeds, and the rows beside them, which people wrote unless `synthetic`."""

    seeds: list[Json]
    added: list[Json]
    synthetic: bool = False
    outcome: Outcome | None = None
    described: bool = False
    """Whether the labels' names and meanings are rows too, as they are in a run."""
    worth: Sequence[Weighed] = ()
    """How much each added row counts, and with which labels; empty where all count alike."""
    full: bool = False
    """Whether these are all rows of the train file, the draw's seeds among them."""


def build(
    draw: int, wanted: Sequence[str], k: int, data: Data, runs: Runs, encoder: Encoder, labels: Labeller
) -> dict[str, Arm]:
    """The `wanted` arms of a draw; makes the runs that they need."""
    seeds = draw_seeds(data, k, runs.seed, draw)
    rng = random.Random(f"{runs.seed}/arms/{draw}")
    others = rng.sample(data.train, len(data.train))
    others = [row for row in others if row not in seeds]
    generated = {"augmented", "oneshot", "loop", "real_n"} & set(wanted)
    loop = runs.loop(draw, seeds) if generated else None
    count = len(loop.rows) if loop else 0
    pool = runs.pool(draw, seeds) if {"oneshot", "filtered"} & set(wanted) else None
    arms: dict[str, Arm] = {}
    for name in wanted:
        match name:
            case "seeds":
                arms[name] = Arm(seeds, [])
            case "described":
                arms[name] = Arm(seeds, [], described=True)
            case "augmented":
                arms[name] = Arm(seeds, augmented(seeds, count, data, rng), synthetic=True)
            case "oneshot" if pool:
                arms[name] = Arm(seeds, balanced(pool.rows, count, data), True, pool)
            case "filtered" if pool:
                kept = simply_filtered(seeds, pool.rows, data, encoder, labels)
                arms[name] = Arm(seeds, kept, True, pool)
            case "loop" if loop:
                arms[name] = Arm(seeds, loop.rows, True, loop, described=True, worth=loop.worth)
            case "real_n":
                arms[name] = Arm(seeds, balanced(others, count, data))
            case "real_full":
                arms[name] = Arm([], data.train, full=True)
    return arms


def simply_filtered(
    seeds: Sequence[Json], rows: Sequence[Json], data: Data, encoder: Encoder, labels: Labeller
) -> list[Json]:
    """Rows whose label the seeds-only student gives too, and that are near no seed and no row before them."""
    found = labels(seeds, rows) if rows else []
    rows = [row for row, label in zip(rows, found, strict=True) if label == data.label(row)]
    vectors = encoder.encode([data.task.text(row) for row in [*seeds, *rows]])
    held = list(vectors[: len(seeds)])
    kept = []
    for row, vector in zip(rows, vectors[len(seeds) :], strict=True):
        if float(np.max(np.stack(held) @ vector)) < NEAR:
            held.append(vector)
            kept.append(row)
    return kept


def variety(arm: Arm, data: Data, encoder: Encoder) -> tuple[float | None, float | None]:
    """Distinct-2 of the training set, and the mean cosine of its rows to their nearest neighbour in it.

    Of a larger set, 2,000 rows drawn with a fixed seed stand for it.
    """
    rows = [*arm.seeds, *arm.added]
    texts = [data.task.text(rows[number]) for number in sampled_rows(len(rows), 0)]
    return distinct_n(texts, 2), mean_nearest(encoder.encode(texts)) if len(texts) > 1 else None


def mean_nearest(vectors: Vectors) -> float:
    """The mean cosine of unit vectors, two at least, to their nearest among the others."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(axis=1).mean(dtype=np.float64))
