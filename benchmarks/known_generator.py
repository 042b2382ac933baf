"""Measure what the loop makes of a generator whose faults are known: real rows with planted faults, and a judge of known accuracy.

    python benchmarks/known_generator.py --task TASK.yaml --train TRAIN.jsonl --test TEST.jsonl --off-task OTHER.jsonl \\
        --k 2 --n 300 --fidelity 0.75 0.9 1.0 --draws 5 --out known_generator.json

A server on this machine answers a request for a sample with a row of the train file that has the label asked for, or with
one of these faults; `synthgen run` with the shipped settings uses it until it has accepted --n samples:

    wrong_label     a row of another label: the confusable one (nearest centroid of train rows) or any other
    near_duplicate  a row served before with one or two changes of words
    copy            an earlier reply word for word
    off_task        a row of another file
    cut_off         a row that ends in the middle of a word or clause, half of them as cut JSON

A reply is caught if a check rejects it, one with a wrong label also if it gets another label than the one asked for. A good
row, new and with the right label, is lost if a check rejects it or if it gets another label. Candidates that are rejected
because the target is reached are not counted. The students' arms, of the same seeds:

    seeds      nothing else
    described  the labels' names and meanings, which the arms below have too
    loop       what the run accepted, as its own student gets it: weights and label probabilities
    clean_n    as many rows of the train file with their own labels
    real_full  the whole train file

`gap_kept` is (loop - seeds) / (clean_n - seeds), `loop.over_described_worst` is loop - described in the worst draw. With one
--fidelity the JSON's keys stand as they are, with several behind `fidelity_VALUE.`. With --work, a run that has ended is not made again; its figures and students are.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures
from benchmarks.gain import data as source
from benchmarks.gain.data import Data
from benchmarks.gain.settings import bind, composed, encoder_of
from benchmarks.gain.students import KINDS as STUDENTS
from benchmarks.gain.students import Students
from benchmarks.known.bench import ARMS, Bench
from benchmarks.known.faults import COPY, CUT_OFF, KINDS, NEAR, OFF_TASK, WRONG, Faults, check_share
from benchmarks.known.runs import RunFailedError, confusable, off_task_texts
from synthgen.engines.prompts import Prompts
from synthgen.errors import UserError
from synthgen.records import Json
from synthgen.run.runtime.signals import signals_interrupt


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    try:
        with signals_interrupt(), tempfile.TemporaryDirectory(prefix="synthgen-known-") as scratch:
            measure(options, (options.work or Path(scratch)).absolute())
    except (UserError, RunFailedError) as error:
        print(f"known_generator: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    except KeyboardInterrupt:
        print("known_generator: interrupted; with --work, the same command goes on", file=sys.stderr)
        return 5
    return 0


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="a classification task, as docs/tasks.md describes it")
    parser.add_argument(
        "--train",
        type=Path,
        required=True,
        help="real rows: seeds are drawn from them, and the server answers with the others",
    )
    parser.add_argument("--test", type=Path, required=True, help="real rows that are only scored")
    parser.add_argument("--k", type=at_least_one, default=2, help="seeds of each label")
    parser.add_argument("--n", type=at_least_one, default=300, help="target of a run, in accepted samples")
    parser.add_argument("--draws", type=at_least_one, default=1, help="number of draws of seeds")
    parser.add_argument("--fidelity", type=float, nargs="+", default=[Faults.fidelity],
                        help="share of new rows that have the label asked for")  # fmt: skip
    parser.add_argument("--confusable", type=float, default=Faults.confusable,
                        help="share of wrong labels that are the confusable one")  # fmt: skip
    parser.add_argument("--duplicates", type=float, default=Faults.duplicates, help="share of paraphrases")
    parser.add_argument("--copies", type=float, default=Faults.copies, help="share of copies")
    parser.add_argument("--off-task", type=Path, metavar="FILE", help="JSON lines of another task")
    parser.add_argument("--off-task-share", type=float, default=0.05, help="share of rows of that file, if it is given")
    parser.add_argument("--cut-off", type=float, default=Faults.cut_off, help="share of rows cut off")
    parser.add_argument(
        "--judge-accuracy", type=float, default=0.7, help="share of texts that the judge is right about"
    )
    parser.add_argument("--student", choices=STUDENTS, default="frozen")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS),
                        help="students to train; `seeds`, `loop` and `clean_n` are needed for gap_kept")  # fmt: skip
    parser.add_argument("--overrides", nargs="+", default=[], metavar="KEY=VALUE",
                        help="overrides for every run, its students and the embedder, as on synthgen's command line")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of draws, faults, judge, students and resamples")
    parser.add_argument("--work", type=Path, help="keep runs in this folder, and continue from them")
    parser.add_argument("--students", type=Path, help="keep students' answers here, also for other --work folders; "
                        "else below --work")  # fmt: skip
    parser.add_argument("--out", type=Path)
    return parser.parse_args(words)


def at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def measure(options: argparse.Namespace, work: Path) -> None:
    """Make the runs of every fidelity and draw, score the students, print the tables and write the figures."""
    bench = prepared(options, work)
    several = len(options.fidelity) > 1
    lines: dict[float, Json] = {}
    reasons = []
    for fidelity in options.fidelity:
        counts, lines[fidelity] = bench.measured(fidelity, options.draws)
        for kind in KINDS:
            why = ", ".join(f"{name} {count}" for name, count in counts.reasons[kind].most_common())
            reasons.append((f"{fidelity:g}  {kind}", counts.planted[kind], counts.caught[kind], why))
    show(bench.data, options, lines, reasons)
    found: Json = {"k": options.k, "n": options.n, "draws": options.draws, "seed": options.seed}
    for fidelity, figures in lines.items():
        found |= {f"fidelity_{fidelity:g}.{key}": value for key, value in figures.items()} if several else figures
    print(f"{len(bench.data.test)} test rows; {machine()}")
    write_figures(options.out, found)


def prepared(options: argparse.Namespace, work: Path) -> Bench:
    """Read the data and find each label's confusable one. Raises UserError."""
    for name, value in (("judge-accuracy", options.judge_accuracy), *(("fidelity", each) for each in options.fidelity)):
        check_share(name, value)
    shares = Faults(
        1.0, options.confusable, options.duplicates, options.copies,
        options.off_task_share if options.off_task else 0.0, options.cut_off,
    )  # fmt: skip
    data = source.load(options.task, options.train, options.test)
    config = composed(options.overrides)
    off_task = off_task_texts(options.off_task, data.task) if options.off_task else []
    plain = {"k": options.k, "n": options.n, "seed": options.seed}
    asked = {
        "task": data.task.definition(), "prompts": Prompts(data.task.prompts).fingerprint(), "train": data.train,
        "test": data.test, "overrides": options.overrides, "off_task": off_task,
        "shares": [shares.confusable, shares.duplicates, shares.copies, shares.off_task, shares.cut_off],
        "judge_accuracy": options.judge_accuracy,
    }  # fmt: skip
    bind(work, plain | asked)
    students = Students(data, config.student, options.students or work / "students", options.seed)
    return Bench(
        data=data, work=work, shares=shares, mates=confusable(data, encoder_of(config)), off_task=off_task,
        accuracy=options.judge_accuracy, students=students, student=options.student, arms=tuple(options.arms),
        k=options.k, n=options.n, seed=options.seed, overrides=tuple(options.overrides),
    )  # fmt: skip


def show(
    data: Data, options: argparse.Namespace, lines: dict[float, Json], reasons: Sequence[Sequence[object]]
) -> None:
    what = f"{data.task.name}, {options.k} seeds a label, {options.n} accepted, {options.draws} draws"
    print_table(f"{what}: replies by kind", ["fidelity, kind", "planted", "caught", "why"], reasons)
    kinds = (WRONG, NEAR, COPY, OFF_TASK, CUT_OFF)
    shares = [f"caught.{kind}" for kind in kinds] + ["lost_good", "kept_right", "model_right", "model_ece"]
    columns = ["fidelity", "gap\nkept", *(key.removeprefix("caught.").replace("_", "\n") for key in shares)]
    table = [
        (f"{fidelity:g}", *(_plain(found.get(key)) for key in ("gap_kept", *shares)))
        for fidelity, found in lines.items()
    ]
    print_table(f"{what}: shares caught and lost, right labels, calibration error", columns, table)
    columns = [
        "fidelity", *options.arms, "loop over described (95%)", "worst\ndraw", "gap\nclosed", "kept over\ndescribed"
    ]  # fmt: skip
    table = [
        (f"{fidelity:g}", *(f"{100 * found[f'{arm}.accuracy']:.1f}" for arm in options.arms), _interval(found),
         _points(found.get("loop.over_described_worst")), _plain(found.get("gap_closed")),
         _plain(found.get("gap_kept_over_described")))
        for fidelity, found in lines.items()
    ]  # fmt: skip
    print_table(f"{what}: {options.student} student's accuracy", columns, table)
    for fidelity, found in lines.items():
        if found["planted.run_out"]:
            print(
                f"fidelity {fidelity:g}: the train file ran out of rows of a label, and {found['planted.run_out']} replies"
                " were rows served before; they count as no kind. Lower --n, or give more rows."
            )


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _interval(found: Json) -> str:
    if found.get("loop.over_described") is None:
        return ""
    low, high = found["loop.over_described_low"], found["loop.over_described_high"]
    return f"{100 * found['loop.over_described']:+.1f} ({100 * low:+.1f} {100 * high:+.1f})"


if __name__ == "__main__":
    sys.exit(main())
