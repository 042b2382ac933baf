"""Measure what synthetic data is worth to a student: the loop beside its rivals, on the same seeds.

    python benchmarks/student_gain.py --task TASK.yaml --train TRAIN.jsonl --test TEST.jsonl \\
        --k 2 --draws 5 --token-budget 5000 15000 --labels 40 --student frozen --work gain --out student_gain.json

For each draw, k seeds of each label are taken from the train file. Every arm starts from these seeds, and every arm but
`seeds` also has the label rows: each label's name and meaning from the task file, with the weight that a run gives them
(`student.label_rows`). In `real_full` they make almost no difference; it has them too, to keep the rule simple. The arms add:

    seeds          nothing
    described      nothing but the label rows
    augmented      N seeds with words swapped, deleted, inserted or replaced (EDA)
    oneshot        N candidates of prompts that show the seeds alone, unfiltered
    filtered       all such candidates of the token budget that are no near-duplicates (cosine 0.92) and whose label a
                   frozen student of the seeds alone gives as well
    loop           the N samples that `synthgen run`, as shipped, accepts within the token budget, with the weights and label
                   probabilities that its own student gets
    loop_labelled  the same after `synthgen label` asked a person for --labels answers, on a copy of the run
    label_text     --texts rows of the train file without their labels, which `synthgen run generate=label_text` labels
    label_text_labelled  the same after --labels answers of a person, on a copy of the run
    real_labels    --labels more rows of the train file, and nothing generated
    real_n         N more rows of the train file
    real_full      the whole train file

The frozen student of the whole train file plays the person. Its answers reach nothing but `loop_labelled`
and `label_text_labelled`. It labels every
row, so it never answers "not a sample".

`loop_labelled` and `real_labels` compare two uses of a person's time: to answer for generated samples, or to find and
write as many more real rows instead. So `real_labels` has no samples. Its rows are balanced over the labels as far as they
go; fewer rows than labels have labels at random.

With --strategies, each named strategy is an arm too, made like `loop` with that strategy alone: `strategy.NAME`. A mix is
written as NAME=WEIGHT,NAME=WEIGHT. If `fewshot` is among them, the others have their difference to it (`over_fewshot`).

The token budget counts generated tokens, the judge's included. With several budgets, each draw has one run with the largest
budget, and a smaller budget is a cut of its ledger in slot order. Test rows are scored and nothing else; those that are in
the train file too (compared lower-cased) are dropped. With --work, an interrupted benchmark goes on with the same command.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.common import machine, on_real_rows, write_figures
from benchmarks.gain import data as source
from benchmarks.gain.arms import ARMS, Arm, build, everything, variety
from benchmarks.gain.data import Data
from benchmarks.gain.figures import figures
from benchmarks.gain.runs import RunFailedError, Runs
from benchmarks.gain.settings import Remembering, bind, composed, encoder_of
from benchmarks.gain.strategies import mixed_arms, show_strategies, weights_of
from benchmarks.gain.students import KINDS, Students
from benchmarks.gain.tables import flat, show_accuracy, show_curve, show_rows
from synthgen.diversity.embedder import Encoder
from synthgen.engines.prompts import Prompts
from synthgen.errors import UserError
from synthgen.records import Json
from synthgen.run.runtime.signals import signals_interrupt


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
    parser = on_real_rows(__doc__, "a classification task, as docs/tasks.md describes it")
    parser.add_argument("--k", type=at_least_one, default=2, help="seeds of each label")
    parser.add_argument("--draws", type=at_least_one, default=5, help="number of draws of seeds")
    parser.add_argument("--token-budget", nargs="+", type=at_least_one, default=[15_000], metavar="TOKENS",
                        help="output tokens of each run; with several budgets, the figures without a prefix are those of the last one")  # fmt: skip
    parser.add_argument("--labels", type=at_least_one, default=40,
                        help="number of the person's answers in loop_labelled, and of real rows in real_labels")  # fmt: skip
    parser.add_argument("--texts", type=at_least_one, default=1000, help="real texts of the label_text arms")
    parser.add_argument("--student", nargs="+", choices=KINDS, default=["frozen", "finetuned"],
                        help="students to train; the figures of the first are under ARM.*, those of all under STUDENT.ARM.*")  # fmt: skip
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--strategies", nargs="+", default=[], metavar="NAME[=WEIGHT,...]",
                        help="strategies, or mixes of them, that are compared at equal tokens")  # fmt: skip
    parser.add_argument("--overrides", nargs="+", default=[], metavar="KEY=VALUE",
                        help="overrides for every run, its students and the embedder, as on synthgen's command line")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of draws, augmentation, students and resamples")
    parser.add_argument("--work", type=Path, help="keep runs and predictions in this folder, and continue from them")
    return parser.parse_args(words)


def at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def measure(options: argparse.Namespace, work: Path) -> None:
    """Make the arms of every draw and budget, fit the students, print the tables and write the figures."""
    data = source.load(options.task, options.train, options.test)
    config = composed(options.overrides)
    budgets = list(dict.fromkeys(options.token_budget))
    what = {"k": options.k, "seed": options.seed}
    asked = {"task": data.task.definition(), "prompts": Prompts(data.task.prompts).fingerprint()}
    question = {**what, "token_budget": max(budgets), "overrides": options.overrides, **asked}
    bind(work, {**question, "train": data.train, "test": data.test})
    runs = Runs(data, work, max(budgets), options.seed, options.overrides)
    students = Students(data, config.student, work / "students", options.seed)
    encoder = Remembering(encoder_of(config))
    arms = [arm for arm in ARMS if arm in options.arms]
    mixes = {word: weights_of(word) for word in options.strategies}

    def labelled_by(arm: Arm, rows: Sequence[Json]) -> list[str | None]:
        return students.labels("frozen", arm, rows, 0)

    def arms_of(draw: int, budget: int) -> dict[str, Arm]:
        found = build(draw, arms, options.k, budget, options.labels, data, runs, encoder, labelled_by, options.texts)
        return found | mixed_arms(draw, mixes, options.k, budget, data, runs)

    found = {
        "test_rows": len(data.test),
        "train_rows": len(data.train),
        "draws": options.draws,
        "labels": options.labels,
        "texts": options.texts,
        "token_budget": budgets[-1],
        **what,
        **data.left_out,
    }
    title = f"{data.task.name}, {options.k} seeds a label, {options.draws} draws"
    tables: dict[str, dict[int, dict[str, Json]]] = {student: {} for student in options.student}
    for budget in budgets:
        draws = [arms_of(draw, budget) for draw in range(options.draws)]
        costs = costs_of(draws, data, encoder, students)
        here = f"{title}, {budget:,} tokens"
        show_rows(costs, here)
        for student in options.student:
            table = score(student, draws, data, students, options.seed)
            table = {arm: {**table[arm], **costs[arm]} for arm in draws[0]}
            show_accuracy(student, table, here)
            show_strategies(table)
            tables[student][budget] = table
    if len(budgets) > 1:
        for student in options.student:
            show_curve(student, tables[student], title)
    print(
        f"{len(data.test)} test rows, {data.left_out['test_also_in_train']} dropped that are also in train; {machine()}"
    )
    write_figures(options.out, {**found, **keys(tables)})


def keys(tables: Mapping[str, Mapping[int, Mapping[str, Json]]]) -> Json:
    """Return flat keys: `ARM.*` of the first student and `STUDENT.ARM.*`, both of the last budget.

    With several budgets, the same keys stand after `budget_TOKENS.` for each of them.
    """
    found: Json = {}
    for student, curve in tables.items():
        for budget, table in curve.items():
            latest = {f"{student}.{key}": value for key, value in flat(table).items()}
            if student == next(iter(tables)):
                latest |= flat(table)
            if len(curve) > 1:
                found |= {f"budget_{budget}.{key}": value for key, value in latest.items()}
        found |= latest
    return found


def score(student: str, draws: Sequence[dict[str, Arm]], data: Data, students: Students, seed: int) -> dict[str, Json]:
    """Return the student's figures by arm."""
    index = {label: number for number, label in enumerate(data.task.labels)}

    def predict(arm: Arm, draw: int) -> list[int]:
        print(f"{student} student, draw {draw}: {len(arm.seeds) + len(arm.added)} rows", file=sys.stderr, flush=True)
        return [index.get(label or "", len(index)) for label in students.labels(student, arm, data.test, draw)]

    truth = np.asarray([index[data.label(row)] for row in data.test], dtype=np.intp)
    predicted = {
        arm: np.asarray([predict(draw[arm], number) for number, draw in enumerate(draws)], dtype=np.intp)
        for arm in sorted(draws[0], key=lambda name: name != "real_full")  # the longest fit; one serves all draws
    }
    return figures(predicted, truth, len(index), seed)


def costs_of(draws: Sequence[dict[str, Arm]], data: Data, encoder: Encoder, students: Students) -> dict[str, Json]:
    """Return by arm what its rows are like and what they cost, as means over draws."""
    return {
        arm: {**cost([draw[arm] for draw in draws], data, encoder), **rightness(arm, draws, data, students)}
        for arm in draws[0]
    }


def rightness(arm: str, draws: Sequence[dict[str, Arm]], data: Data, students: Students) -> Json:
    """Return the shares of added rows whose label the frozen student of all real rows gives, and the rows' mean weight.

    `fidelity` is of the label in the row, as it is exported; `fidelity_likeliest` of the likeliest label by the weights'
    label probabilities, for arms that have these. Both count all rows alike. They need an arm for which that student is
    fitted anyway.
    """
    measured = {"real_full", "loop_labelled", "label_text_labelled"} & draws[0].keys()
    given: list[float] = []
    likeliest: list[float] = []
    weights: list[float] = []
    for draw in draws:
        one = draw[arm]
        if one.full or not one.added:
            continue
        weights.append(float(np.mean([worth.weight for worth in one.worth])) if one.worth else 1.0)
        if not measured:
            continue
        labels = [data.label(row) for row in one.added]
        real = students.labels("frozen", everything(data), one.added, 0)
        given.append(agreement(labels, real))
        if one.worth:
            soft = [worth.labels or {label: 1.0} for worth, label in zip(one.worth, labels, strict=True)]
            likeliest.append(agreement([max(shares, key=lambda name: shares[name]) for shares in soft], real))
    return {"fidelity": mean(given), "fidelity_likeliest": mean(likeliest), "mean_weight": mean(weights)}


def agreement(labels: Sequence[str], others: Sequence[str | None]) -> float:
    return float(np.mean([label == other for label, other in zip(labels, others, strict=True)]))


def cost(arms: Sequence[Arm], data: Data, encoder: Encoder) -> Json:
    """Return how many and how varied an arm's rows are, and what they cost, as means over draws."""
    varieties = [variety(arm, data, encoder) for arm in (arms[:1] if arms[0].full else arms)]
    outcomes = [arm.outcome for arm in arms if arm.outcome is not None]
    sums: Json = {
        "rows": mean([len(arm.added) for arm in arms]),
        "distinct_2": mean([one for one, _ in varieties]),
        "nearest_cosine": mean([other for _, other in varieties]),
        "generated_tokens": mean([outcome.generated for outcome in outcomes]),
        "judge_tokens": mean([outcome.judged for outcome in outcomes]),
        "candidates": mean([outcome.candidates for outcome in outcomes]),
        "answers": mean([outcome.answers for outcome in outcomes]),
    }
    for reason in sorted({reason for outcome in outcomes for reason in outcome.rejected}):
        sums[f"rejected.{reason}"] = mean([outcome.rejected[reason] for outcome in outcomes])
    return sums


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


if __name__ == "__main__":
    sys.exit(main())
