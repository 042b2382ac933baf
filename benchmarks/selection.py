"""Compare ways to select a student's training rows from a pool, by the accuracy of the frozen student.

    python benchmarks/selection.py --task TASK.yaml --seeds SEEDS.jsonl --pool POOL.jsonl --test TEST.jsonl \\
        --sizes 50 100 200 --draws 5 --out selection.json

Several seed files with as many pools may be given, each pool for its seeds. A draw is a random part (--share) of each
pool, from which every way chooses the same number of rows, in equal shares of each label; the student is trained on the
seeds and these.

    random, best        any rows; those of the highest quality
    deita, k_center, facility_location
                        as `select.method` has them (docs/selection.md), for quality and variety

A row's quality is the probability that a frozen student of the seeds alone gives to its label. Test rows are only
scored; those that are also in a pool (compared lower-cased) are dropped.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.common import machine, print_table, write_figures
from benchmarks.gain import data as source
from benchmarks.gain.data import Data
from benchmarks.gain.settings import composed, encoder_of
from benchmarks.gain.students import Vectors
from synthgen.config import Config
from synthgen.diversity.embedder import Encoder
from synthgen.diversity.embedder import Vectors as Embeddings
from synthgen.errors import UserError
from synthgen.records import Json, Sample, content_id
from synthgen.selection.choice import Embedded, choose
from synthgen.selection.config import SelectConfig
from synthgen.student import TrainingRow
from synthgen.student.frozen import FrozenStudent
from synthgen.student.rows import label_targets, merged
from synthgen.student.scores import Floats

WAYS = ("random", "best", "deita", "k_center", "facility_location")
SEEDS, EVERYTHING = "seeds alone", "whole pool"


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    try:
        measure(options)
    except UserError as error:
        print(f"selection: {error}", file=sys.stderr)
        return 2
    return 0


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="a classification task, as docs/tasks.md describes it")
    parser.add_argument(
        "--seeds", type=Path, nargs="+", required=True, help="real rows that every student is trained on"
    )
    parser.add_argument("--pool", type=Path, nargs="+", required=True, help="labelled rows to choose from")
    parser.add_argument("--test", type=Path, required=True, help="real rows that are only scored")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 200], help="number of rows to choose")
    parser.add_argument("--draws", type=int, default=5, help="number of random parts of each pool")
    parser.add_argument("--share", type=float, default=0.8, help="share of a pool that makes a draw")
    parser.add_argument("--quality-power", type=float, default=SelectConfig.quality_power)
    parser.add_argument("--deita-similarity", type=float, default=SelectConfig.deita_similarity)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(words)
    if len(options.seeds) != len(options.pool):
        parser.error("--seeds and --pool: give as many of the one as of the other")
    return options


class Bench:
    """Hold one pool and its seeds; select from a part of it, and measure the student on the selection."""

    def __init__(self, options: argparse.Namespace, config: Config, vectors: Vectors, seeds: Data, pool: Data) -> None:
        self._options = options
        self._task = pool.task
        self._cfg = config.student.frozen
        self._vectors = vectors
        self._truth = [pool.label(row) for row in pool.test]
        self._test = pool.test
        self.seeds = seeds.train
        self.rows = pool.train
        quality = self.student([]).predict_proba(self._of(self.rows))
        index = {label: number for number, label in enumerate(self._task.labels)}
        encoder = encoder_of(config)
        self._seeds = Embedded([self._sample(row, 1.0) for row in self.seeds], self._encoded(encoder, self.seeds))
        scores = [float(shares[index[pool.label(row)]]) for shares, row in zip(quality, self.rows, strict=True)]
        samples = [self._sample(row, score) for row, score in zip(self.rows, scores, strict=True)]
        self._pool = Embedded(samples, self._encoded(encoder, self.rows))

    def chosen(self, way: str, size: int, part: Sequence[int], rng: np.random.Generator) -> list[int]:
        """Return selected rows of `part` of the pool.

        The way `best` is deita without its similarity filter, so that only quality counts; `random` gives it random
        qualities.
        """
        samples = [self._pool.samples[row] for row in part]
        if way == "random":
            samples = [sample.model_copy(update={"quality": float(rng.random())}) for sample in samples]
        plain = way in ("random", "best")
        cfg = SelectConfig(
            method="deita" if plain else way,
            size=size,
            quality_power=1.0 if plain else self._options.quality_power,
            deita_similarity=1.0 if plain else self._options.deita_similarity,
        )
        return [part[place] for place in choose(cfg, self._seeds, Embedded(samples, self._pool.vectors[list(part)]))]

    def accuracy(self, rows: Sequence[int]) -> float:
        found = self.student([self.rows[row] for row in rows]).predict(self._of(self._test))
        return float(np.mean([label == truth for label, truth in zip(found, self._truth, strict=True)]))

    def student(self, added: Sequence[Json]) -> FrozenStudent:
        """Train a student as a run does: with other rows beside them, seeds count more."""
        mix = merged([TrainingRow(row) for row in [*self.seeds * self._cfg.seed_repeat, *added]])
        targets, weights = label_targets(self._task, mix), [row.weight for row in mix]
        return FrozenStudent.fit(
            self._of([row.data for row in mix]), targets, weights, 0, self._cfg, list(self._task.labels)
        )

    def _of(self, rows: Sequence[Json]) -> Floats:
        return self._vectors.of([self._task.input_text(row) for row in rows])

    def _encoded(self, encoder: Encoder, rows: Sequence[Json]) -> Embeddings:
        return encoder.encode([self._task.text(row) for row in rows])

    def _sample(self, row: Json, quality: float) -> Sample:
        return Sample(id=content_id(row), data=row, origin="synthetic", label=self._task.label_of(row), quality=quality)


def measure(options: argparse.Namespace) -> None:
    """Make every selection of every draw, train a student on each, print the table and write the figures."""
    config = composed([])
    vectors = Vectors(config.student.frozen.model)
    found: dict[tuple[str, int], list[float]] = {}
    counts: dict[tuple[str, int], list[int]] = {}
    pools = 0
    for number, (seed_file, pool_file) in enumerate(zip(options.seeds, options.pool, strict=True)):
        pool = source.load(options.task, pool_file, options.test)
        bench = Bench(options, config, vectors, source.load(options.task, seed_file, options.test), pool)
        pools += len(bench.rows)
        for draw in range(options.draws):
            print(f"pool {number}, draw {draw}", file=sys.stderr, flush=True)
            rng = np.random.default_rng([number, draw])
            count = round(options.share * len(bench.rows))
            part = sorted(int(row) for row in rng.choice(len(bench.rows), count, replace=False))
            sets: dict[tuple[str, int], list[int]] = {(EVERYTHING, 0): part}
            sets |= {(SEEDS, 0): []} if not draw else {}  # the same for all draws
            sets |= {(way, size): bench.chosen(way, size, part, rng) for way in WAYS for size in options.sizes}
            for key, rows in sets.items():
                found.setdefault(key, []).append(bench.accuracy(rows))
                counts.setdefault(key, []).append(len(rows))
    show(found, counts, options)
    figures = {
        "pool_rows": pools, "test_rows": len(pool.test), "draws": options.draws * len(options.pool),
        "quality_power": options.quality_power, "deita_similarity": options.deita_similarity,
    }  # fmt: skip
    for (way, size), values in found.items():
        name = f"{way.replace(' ', '_')}.{size}" if size else way.replace(" ", "_")
        figures |= {
            f"{name}.accuracy": mean(values),
            f"{name}.sd": spread(values),
            f"{name}.rows": mean(counts[way, size]),
        }
    write_figures(options.out, figures)


def show(
    found: Mapping[tuple[str, int], Sequence[float]],
    counts: Mapping[tuple[str, int], Sequence[int]],
    options: argparse.Namespace,
) -> None:
    """Print a line per way of selection: accuracy ± standard deviation over draws, and the mean paired difference to
    `random`.
    """

    def cell(way: str, size: int) -> str:
        values = found[way, size]
        text = f"{100 * mean(values):.1f} ±{100 * spread(values):.1f}"
        if way == "random" or not size:
            return text
        ahead = [one - other for one, other in zip(values, found["random", size], strict=True)]
        return f"{text} ({100 * mean(ahead):+.1f} ±{100 * spread(ahead):.1f})"

    lines = [(way, *(cell(way, size) for size in options.sizes)) for way in WAYS]
    draws = options.draws * len(options.pool)
    columns = ["accuracy ±sd (to random)", *(f"{size} rows" for size in options.sizes)]
    print_table(f"Frozen student, seeds and chosen rows, {draws} draws", columns, lines)
    for way in (SEEDS, EVERYTHING):
        print(f"{way}: {cell(way, 0)}, {mean(counts[way, 0]):,.0f} rows")
    fewer = [
        f"{way} {size}: {mean(values):.0f}" for (way, size), values in counts.items() if size and mean(values) < size
    ]
    if fewer:
        print(f"fewer rows than asked for, on average: {', '.join(fewer)}")
    print(machine())


def mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def spread(values: Sequence[float]) -> float:
    """Return the sample standard deviation; 0 for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


if __name__ == "__main__":
    sys.exit(main())
