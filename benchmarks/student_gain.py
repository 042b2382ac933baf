"""What synthetic data is worth to a student: the loop beside what it competes with, on the same seeds.

    python benchmarks/student_gain.py --task TASK.yaml --train TRAIN.jsonl --test TEST.jsonl \\
        --k 2 --draws 5 --token-budget 15000 --student frozen --work gain --out student_gain.json

For each draw, k seeds of each label are taken from the train file, and every arm starts from these:

    seeds      nothing else
    described  the labels' names and meanings, which the task file has
    augmented  words swapped, deleted, inserted, replaced (EDA): N rows
    oneshot    candidates of prompts that show seeds alone, unfiltered: N rows
    filtered   all such candidates that the token budget pays for, without near-duplicates (cosine 0.92) and without
               those whose label the seeds-only frozen student does not give
    loop       `synthgen run` as it is shipped: the N samples that it accepts within the token budget, and what its own
               student gets besides: weights and label probabilities, the labels' names and meanings
    real_n     N more rows of the train file
    real_full  the whole train file

The token budget counts generated tokens, the judge's among them. Test rows are scored and nothing else; those that also
stand in the train file (compared lower-cased) are dropped. Interrupted, the same command goes on where --work is given.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.common import machine, write_figures
from benchmarks.gain import data as source
from benchmarks.gain.arms import ARMS, Arm, build, variety
from benchmarks.gain.data import Data
from benchmarks.gain.figures import figures
from benchmarks.gain.runs import RunFailedError, Runs
from benchmarks.gain.settings import bind, composed, encoder_of
from benchmarks.gain.students import KINDS, Students
from benchmarks.gain.tables import flat, show
from synthgen.errors import UserError
from synthgen.llm.prompts import Prompts
from synthgen.records import Json
from synthgen.signals import signals_interrupt


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    try:
        with signals_interrupt(), tempfile.TemporaryDirectory(prefix="synthgen-gain-") as scratch:
            measure(options, (options.work or Path(scratch)).absolute())
    except (UserError, RunFailedError) as error:
        print(f"student_gain: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("student_gain: interrupted; with --work, the same command goes on", file=sys.stderr)
        return 5
    return 0


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="a classification task, as docs/tasks.md describes it")
    parser.add_argument("--train", type=Path, required=True, help="real rows: seeds are drawn from them")
    parser.add_argument("--test", type=Path, required=True, help="real rows that are scored and nothing else")
    parser.add_argument("--k", type=at_least_one, default=2, help="seeds of each label")
    parser.add_argument("--draws", type=at_least_one, default=5, help="how often seeds are drawn")
    parser.add_argument("--token-budget", type=at_least_one, default=15_000, help="output tokens of each run")
    parser.add_argument("--student", nargs="+", choices=KINDS, default=["frozen", "finetuned"],
                        help="the first one's figures stand under ARM.*, all under STUDENT.ARM.*")  # fmt: skip
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--overrides", nargs="+", default=[], metavar="KEY=VALUE",
                        help="for every run, its students and the embedder, as on synthgen's command line")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="fixes draws, augmentation, students and resamples")
    parser.add_argument("--work", type=Path, help="keep runs and predictions in this folder, and go on from there")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(words)


def at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def measure(options: argparse.Namespace, work: Path) -> None:
    """Makes the arms of every draw, fits the students, prints the tables and writes the figures."""
    data = source.load(options.task, options.train, options.test)
    config = composed(options.overrides)
    what = {"k": options.k, "seed": options.seed, "token_budget": options.token_budget}
    asked = {"task": data.task.definition(), "prompts": Prompts(data.task.prompts).fingerprint()}
    bind(work, {**what, "overrides": options.overrides, **asked, "train": data.train, "test": data.test})
    runs = Runs(data, work, options.token_budget, options.seed, options.overrides)
    students = Students(data, config.student, work / "students", options.seed)
    encoder = encoder_of(config)
    arms = [arm for arm in ARMS if arm in options.arms]

    def labels(seeds: Sequence[Json], rows: Sequence[Json]) -> list[str | None]:
        return students.labels("frozen", Arm(list(seeds), []), rows, 0)

    draws = [build(draw, arms, options.k, data, runs, encoder, labels) for draw in range(options.draws)]
    costs: dict[str, Json] = {arm: cost([draw[arm] for draw in draws], data, encoder) for arm in arms}
    for arm in arms:
        costs[arm]["fidelity"] = fidelity([(draw[arm], draw.get("real_full")) for draw in draws], data, students)
    found = {
        "test_rows": len(data.test),
        "train_rows": len(data.train),
        "draws": options.draws,
        **what,
        **data.left_out,
    }
    for student in options.student:
        table = score(student, draws, data, students, options.seed)
        table = {arm: {**table[arm], **costs[arm]} for arm in arms}
        show(student, table, f"{data.task.name}, {options.k} seeds a label, {options.draws} draws")
        found |= {**flat(table), **found} | {f"{student}.{key}": value for key, value in flat(table).items()}
    print(
        f"{len(data.test)} test rows, {data.left_out['test_also_in_train']} dropped that also stand in train; {machine()}"
    )
    write_figures(options.out, found)


def score(student: str, draws: Sequence[dict[str, Arm]], data: Data, students: Students, seed: int) -> dict[str, Json]:
    """The student's figures by arm."""
    index = {label: number for number, label in enumerate(data.task.labels)}

    def predict(arm: Arm, draw: int) -> list[int]:
        print(f"{student} student, draw {draw}: {len(arm.seeds) + len(arm.added)} rows", file=sys.stderr, flush=True)
        return [index.get(label or "", len(index)) for label in students.labels(student, arm, data.test, draw)]

    truth = np.asarray([index[data.label(row)] for row in data.test], dtype=np.intp)
    predicted = {
        arm: np.asarray([predict(draw[arm], number) for number, draw in enumerate(draws)], dtype=np.intp)
        for arm in sorted(draws[0], key=lambda name: name != "real_full")  # the longest fit, once for all draws
    }
    return figures(predicted, truth, len(index), seed)


def fidelity(pairs: Sequence[tuple[Arm, Arm | None]], data: Data, students: Students) -> float | None:
    """The share of the rows beside the seeds whose label the frozen student of the full real data gives, mean over draws."""
    shares = []
    for draw, (arm, full) in enumerate(pairs):
        if full is None or arm.full or not arm.added:
            return None
        given = students.labels("frozen", full, arm.added, draw)
        shares.append(np.mean([label == data.label(row) for label, row in zip(given, arm.added, strict=True)]))
    return float(np.mean(shares))


def cost(arms: Sequence[Arm], data: Data, encoder: Any) -> Json:
    """What an arm's rows are like and what they cost, as means over draws."""
    varieties = [variety(arm, data, encoder) for arm in (arms[:1] if arms[0].full else arms)]
    outcomes = [arm.outcome for arm in arms if arm.outcome is not None]
    sums: Json = {
        "rows": mean([len(arm.added) for arm in arms]),
        "distinct_2": mean([one for one, _ in varieties]),
        "nearest_cosine": mean([other for _, other in varieties]),
        "generated_tokens": mean([outcome.generated for outcome in outcomes]),
        "judge_tokens": mean([outcome.judged for outcome in outcomes]),
        "candidates": mean([outcome.candidates for outcome in outcomes]),
    }
    for reason in sorted({reason for outcome in outcomes for reason in outcome.rejected}):
        sums[f"rejected.{reason}"] = mean([outcome.rejected[reason] for outcome in outcomes])
    return sums


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


if __name__ == "__main__":
    sys.exit(main())
