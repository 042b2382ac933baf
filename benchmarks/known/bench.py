"""Run against the known generator; measure what the checks caught and how students trained on the result perform."""

import dataclasses
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.gain.arms import Arm
from benchmarks.gain.data import Data, balanced, draw_seeds
from benchmarks.gain.figures import figures
from benchmarks.gain.students import Students
from benchmarks.known.faults import Faults
from benchmarks.known.judge import KnownJudge
from benchmarks.known.outcome import Counts, fates
from benchmarks.known.runs import made, write_task
from benchmarks.known.writer import KnownGenerator
from synthgen.config import from_saved
from synthgen.labels.pool import Weighed, weighed
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.student.scores import Ints

ARMS = ("seeds", "described", "loop", "clean_n", "real_full")


@dataclass(frozen=True)
class Bench:
    """Hold all settings except fidelity and the number of draws; runs are in folders below `work`."""

    data: Data
    work: Path
    shares: Faults
    mates: Mapping[str, str]
    off_task: Sequence[str]
    accuracy: float
    students: Students
    student: str
    arms: tuple[str, ...]
    k: int
    n: int
    seed: int
    overrides: tuple[str, ...] = ()

    def measured(self, fidelity: float, draws: int) -> tuple[Counts, Json]:
        """Return the counts of all draws, and the figures: shares, accuracies, and the gap that is kept."""
        counts, seconds = Counts(), []
        built = []
        for draw in range(draws):
            arms, took = self._draw(fidelity, draw, counts)
            built.append(arms)
            seconds += [took] if took is not None else []
        found = counts.figures() | self._scores(built)
        return counts, found | {"seconds": float(np.mean(seconds)) if seconds else None}

    def _draw(self, fidelity: float, draw: int, counts: Counts) -> tuple[dict[str, Arm], float | None]:
        """Make one run, count what became of its candidates, and return the arms and the run's seconds."""
        seeds = draw_seeds(self.data, self.k, self.seed, draw)
        place = self.work / f"fidelity-{fidelity:g}" / f"draw-{draw}"
        write_task(place, self.data, seeds)
        faults = dataclasses.replace(self.shares, fidelity=fidelity)
        name = f"{self.seed}/{draw}"
        generator = KnownGenerator(self.data, seeds, faults, self.mates, self.off_task, name)
        judge = KnownJudge(
            list(self.data.task.labels), generator.truth, self.mates, self.accuracy, self.shares.confusable, name
        )
        print(f"fidelity {fidelity:g}, draw {draw}: synthgen says how it goes in {place}/run.log", file=sys.stderr)
        plants, took = made(place, self.data, generator, judge, self.n, self.seed + draw, self.overrides)
        with Reader(place / "run" / "ledger.sqlite") as reader:
            trust = from_saved(reader.meta("config"), []).labels
            worth = weighed(reader, list(self.data.task.labels), trust)
            accepted = [sample for sample in reader.samples() if sample.origin != "seed"]
            counts.add(fates(reader, plants), worth)
        rows = [sample.data for sample in accepted]
        weights = [worth.get(sample.id, Weighed()) for sample in accepted]
        others = [row for row in self.data.train if row not in seeds]
        random.Random(f"{self.seed}/clean/{draw}").shuffle(others)
        return {
            "seeds": Arm(seeds, [], described=False),
            "described": Arm(seeds, [], described=True),
            "loop": Arm(seeds, rows, True, described=True, worth=weights),
            "clean_n": Arm(seeds, balanced(others, len(rows), self.data), described=True),
            "real_full": Arm([], self.data.train, full=True),
        }, took

    def _scores(self, draws: Sequence[Mapping[str, Arm]]) -> Json:
        """Return each arm's accuracy and rows, and what the loop is worth beside the others, of means over draws."""
        index = {label: number for number, label in enumerate(self.data.task.labels)}
        truth = np.asarray([index[self.data.label(row)] for row in self.data.test], dtype=np.intp)
        predicted: dict[str, Ints] = {}
        for arm in self.arms:
            answers = [
                self.students.labels(self.student, arms[arm], self.data.test, draw) for draw, arms in enumerate(draws)
            ]
            codes = [[index.get(label or "", len(index)) for label in labels] for labels in answers]
            predicted[arm] = np.asarray(codes, dtype=np.intp)
        table = figures(predicted, truth, len(index), self.seed)
        found: Json = {f"{arm}.accuracy": table[arm]["accuracy"] for arm in self.arms}
        found |= {f"{arm}.rows": float(np.mean([len(arms[arm].added) for arms in draws])) for arm in self.arms}
        found["gap_kept"] = _kept(found, "seeds")
        found["gap_kept_over_described"] = _kept(found, "described")
        found["gap_closed"] = table.get("loop", {}).get("gap_closed")
        if {"described", "loop"} <= predicted.keys():  # the difference to the first arm, in a table of its own
            two = figures({"seeds": predicted["described"], "loop": predicted["loop"]}, truth, len(index), self.seed)
            found |= {f"loop.over_described{end}": two["loop"][f"delta{end}"] for end in ("", "_low", "_high")}
            right = {arm: (predicted[arm] == truth).mean(axis=1) for arm in ("described", "loop")}
            found["loop.over_described_worst"] = float((right["loop"] - right["described"]).min())
        return found


def _kept(found: Json, base: str) -> float | None:
    """Return (loop - base) / (clean_n - base); None where an arm is missing or clean rows are worth nothing."""
    least, loop, clean = (found.get(f"{arm}.accuracy") for arm in (base, "loop", "clean_n"))
    if least is None or loop is None or clean is None or clean <= least:
        return None
    return float((loop - least) / (clean - least))
