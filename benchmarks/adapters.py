"""Measure whether LoRA adapters for the judge and the generator help: the same questions with and without them.

    python benchmarks/adapters.py --task TASK.yaml --train TRAIN.jsonl --test TEST.jsonl --work adapters --out adapters.json
    python benchmarks/adapters.py ... --pairs DIR          # the rubric judge too, on pairs as judge_worth.py reads them

For each draw, k seeds of each label and some rated rows are taken from the train file: rated rows are real texts, half of
them with a label that is not theirs. `synthgen adapt judge` is trained on both, `synthgen adapt generator` on the seeds.
Then one engine serves the model and all adapters, and is asked
    label      for the label of other real rows, as the label check asks: the share that is right
    fitting    for grades of other real rows with right and wrong labels, as the rubric judge asks: AUC
    candidates for samples, with prompts that show seeds alone: the share whose label a reference classifier gives (MiniLM
               and a regression on the train file, whose own share right on the test file is printed), and their variety
The judge's adapter is trained and asked under `--setting`, by default without examples in the label's prompt, which makes
training short; the model is asked under that and as shipped. Nothing is tuned on what is measured. With `--work` adapters
and answers are kept, and an interrupted benchmark continues.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.adapting.asking import ARMS, Reference, ask
from benchmarks.adapting.training import Sizes, draw, pair_halves
from benchmarks.common import machine, print_table, write_figures
from benchmarks.gain.data import load
from benchmarks.gain.settings import composed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--task", type=Path, required=True, help="a classification task; a rubric is asked if it has one"
    )
    parser.add_argument("--train", type=Path, required=True, help="real rows: seeds, rated rows and questions")
    parser.add_argument("--test", type=Path, required=True, help="real rows: they score the reference classifier alone")
    parser.add_argument("--pairs", type=Path, help="pairs of outputs of which people said which is better")
    parser.add_argument("--k", type=int, default=8, help="seeds of each label")
    parser.add_argument("--rated", type=int, default=60, help="rated rows")
    parser.add_argument("--asked", type=int, default=140, help="other real rows that the judge is asked about")
    parser.add_argument("--candidates", type=int, default=20, help="candidates of each label")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument(
        "--setting", nargs="*", default=["judge.label.shots=0"], help="overrides for the judge's adapter"
    )
    parser.add_argument(
        "--overrides", nargs="*", default=[], help="overrides for all configs, as on synthgen's command line"
    )
    parser.add_argument("--work", type=Path, help="keep adapters and answers in this folder, and continue from them")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="synthgen-adapters-") as scratch:
        work = (options.work or Path(scratch)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        figures = measure(options, work)
    show(figures, options)
    write_figures(options.out, figures)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    data = load(options.task, options.train, options.test)
    shipped = composed(options.overrides)
    setting = composed([*options.overrides, *options.setting])
    sizes = Sizes(options.k, options.rated, options.asked, options.candidates)
    draws = [draw(number, data, setting, sizes, work) for number in range(options.draws)]
    halves = pair_halves(options.pairs, setting, work) if options.pairs else []
    reference = Reference(data, shipped)
    found = asyncio.run(ask(draws, halves, data, shipped, setting, sizes, work, reference))
    return {"reference.accuracy": reference.accuracy, "draws": options.draws, "k": options.k, **found}


def show(figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Print one table: one row per question, one column per arm."""
    questions = {
        "label": "label check: share right",
        "fitting": "rubric judge: AUC, right and wrong labels",
        "label_seconds": "seconds for the label questions",
        "pairs": "rubric judge: AUC, pairs",
        "candidates": "candidates with their label",
        "unique": "candidates that differ",
        "copies": "candidates that copy a seed",
        "distinct_2": "distinct-2 of the candidates",
    }
    rows = []
    for name, words in questions.items():
        cells = [cell(figures, f"{arm}.{name}") for arm in ARMS]
        if any(shown != "-" for shown in cells):
            rows.append((words, *cells))
    title = f"{options.k} seeds a label, {options.rated} rated rows, {options.draws} draws: mean ± sd"
    setting = " ".join(options.setting) or "as shipped"
    print_table(title, ["", "model, as shipped", f"model, {setting}", f"adapter, {setting}"], rows, 130)
    print(f"reference classifier: {figures['reference.accuracy']:.3f} of the test rows; {machine()}")


def cell(figures: dict[str, Any], key: str) -> str:
    if (value := figures.get(key)) is None:
        return "-"
    if f"{key}_low" in figures:
        return f"{value:.3f} ({figures[f'{key}_low']:.3f} to {figures[f'{key}_high']:.3f})"
    return f"{value:.3f}" + (f" ± {figures[f'{key}.sd']:.3f}" if f"{key}.sd" in figures else "")


if __name__ == "__main__":
    main()
