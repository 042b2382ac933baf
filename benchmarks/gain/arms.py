"""Build the arms of a draw: the rows besides its seeds in the training set, and what these rows cost.

All arms of a draw have the same seeds, and every arm but `seeds` has the label rows as well. N is the number of samples
that the loop accepted within the token budget. `augmented`, `oneshot` and `real_n` have as many rows; `filtered` has
all one-shot candidates of the same budget that its filter keeps.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gain.augment import augmented
from benchmarks.gain.data import Data, balanced, draw_seeds
from benchmarks.gain.outcome import Outcome
from benchmarks.gain.runs import Runs
from synthgen.diversity.embedder import Encoder, Vectors
from synthgen.diversity.metrics import distinct_n, sampled_rows
from synthgen.labels.pool import Weighed
from synthgen.records import Json

ARMS = (
    "seeds", "described", "augmented", "oneshot", "filtered", "loop", "loop_labelled", "label_text", "label_text_labelled",
    "real_labels", "real_n", "real_full",
)  # fmt: skip
NEAR = 0.92  # cosine from which the simplest filter takes two rows for near-duplicates


@dataclass(frozen=True)
class Arm:
    """Hold the training set of one arm in one draw."""

    seeds: list[Json]
    added: list[Json]
    """Rows beside the seeds. People wrote them unless the arm is `synthetic`."""
    synthetic: bool = False
    outcome: Outcome | None = None
    described: bool = True
    """True when the labels' names and meanings are rows too (`student.label_rows`), as they are in a run."""
    worth: Sequence[Weighed] = ()
    """Weight and label probabilities of each added row; empty where all rows count alike."""
    full: bool = False
    """True when `added` is the whole train file, the draw's seeds included."""


Labeller = Callable[[Arm, Sequence[Json]], Sequence[str | None]]
"""Returns the labels that a frozen student of the arm gives to the rows."""


def build(
    draw: int,
    wanted: Sequence[str],
    k: int,
    budget: int,
    labels: int,
    data: Data,
    runs: Runs,
    encoder: Encoder,
    labelled_by: Labeller,
    texts: int = 0,
) -> dict[str, Arm]:
    """Return the `wanted` arms of a draw at a token budget; make the runs that they need.

    `labels` is the number of answers in `loop_labelled`, and of additional real rows in `real_labels`. `texts` is the
    number of real texts in the `label_text` arms.
    """
    seeds = draw_seeds(data, k, runs.seed, draw)
    rng = random.Random(f"{runs.seed}/arms/{draw}")
    others = rng.sample(data.train, len(data.train))
    others = [row for row in others if row not in seeds]
    sized_by_loop = {"augmented", "oneshot", "loop", "real_n"} & set(wanted)
    loop = runs.loop(draw, seeds, budget) if sized_by_loop else None
    count = len(loop.rows) if loop else 0
    pool = runs.pool(draw, seeds, budget) if {"oneshot", "filtered"} & set(wanted) else None
    arms: dict[str, Arm] = {}
    for name in wanted:
        match name:
            case "seeds":
                arms[name] = Arm(seeds, [], described=False)
            case "described":
                arms[name] = Arm(seeds, [])
            case "augmented":
                arms[name] = Arm(seeds, augmented(seeds, count, data, rng), synthetic=True)
            case "oneshot" if pool:
                arms[name] = Arm(seeds, balanced(pool.rows, count, data), True, pool)
            case "filtered" if pool:
                kept = simply_filtered(seeds, pool.rows, data, encoder, labelled_by)
                arms[name] = Arm(seeds, kept, True, pool)
            case "loop" if loop:
                arms[name] = Arm(seeds, loop.rows, True, loop, worth=loop.worth)
            case "loop_labelled":
                found = runs.labelled(draw, seeds, budget, labels, lambda rows: labelled_by(everything(data), rows))
                arms[name] = Arm(seeds, found.rows, True, found, worth=found.worth)
            case "label_text":
                found = runs.texts(draw, seeds, budget, unlabelled(others, texts))
                arms[name] = Arm(seeds, found.rows, True, found, worth=found.worth)
            case "label_text_labelled":
                real = unlabelled(others, texts)
                found = runs.texts(draw, seeds, budget, real, labels, lambda rows: labelled_by(everything(data), rows))
                arms[name] = Arm(seeds, found.rows, True, found, worth=found.worth)
            case "real_labels":
                order = random.Random(f"{runs.seed}/real_labels/{draw}").sample(
                    list(data.task.labels), len(data.task.labels)
                )
                arms[name] = Arm(seeds, balanced(others, labels, data, order))
            case "real_n":
                arms[name] = Arm(seeds, balanced(others, count, data))
            case "real_full":
                arms[name] = everything(data)
    return arms


def everything(data: Data) -> Arm:
    """Return the arm of the whole train file, whose frozen student also plays the person and checks labels."""
    return Arm([], data.train, full=True)


def unlabelled(rows: Sequence[Json], count: int) -> Sequence[Json]:
    """Return the rows of the train file that a draw of the `label_text` arms reads, without their labels."""
    return rows[:count]


def simply_filtered(
    seeds: Sequence[Json], rows: Sequence[Json], data: Data, encoder: Encoder, labelled_by: Labeller
) -> list[Json]:
    """Return the rows whose label the seeds-only student gives too, and that are near no seed and no row before them."""
    found = labelled_by(Arm(list(seeds), [], described=False), rows) if rows else []
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
    """Return distinct-2 of the training set, and the mean cosine of its rows to their nearest neighbour in it.

    A larger set is represented by 2,000 of its rows, drawn with a fixed seed.
    """
    rows = [*arm.seeds, *arm.added]
    texts = [data.task.text(rows[number]) for number in sampled_rows(len(rows), 0)]
    return distinct_n(texts, 2), mean_nearest(encoder.encode(texts)) if len(texts) > 1 else None


def mean_nearest(vectors: Vectors) -> float:
    """Return the mean cosine of unit vectors, two at least, to their nearest among the others."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(axis=1).mean(dtype=np.float64))
