"""Measure the judge's quality against people who chose the better of two answers to an instruction.

    python benchmarks/judge_worth.py --data DIR --out judge_worth.json [engine=... model=...]

DIR has JSON Lines files of `input`, `output_1`, `output_2` and `label` (1 or 2: the better output), as in LLMBar. The
judge is that of the shipped config; further arguments are Hydra overrides. The judge answers two questions with the
prompts of a run: which output is better, in both orders (pairwise), and a grade for each output by itself (pointwise
rubric), with each of `--templates` and with all of them together. An output is good if it is the better one of its
pair. Figures after calibration are out of fold. With `--work` the answers are kept, and an interrupted benchmark
continues.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures
from synthgen.config import Config, build, register
from synthgen.engines.base import LearnedLimits
from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.judge.agreement import krippendorffs_alpha
from synthgen.judge.asking import Questions
from synthgen.judge.grader import GRADES, Grader, Panel
from synthgen.judge.labelled import Rated
from synthgen.judge.pairwise import PLACES, Pairwise, Preference
from synthgen.judge.panel import Gate
from synthgen.judge.study import Means, study
from synthgen.ledger import Ledger, Reader
from synthgen.ledger.recorder import Recorder
from synthgen.records import Json, content_id
from synthgen.run.engine import engine_info, start_engine
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task

RUBRIC = {"correct": "The output does exactly what the instruction asks and contains no mistakes."}

PAIRWISE = (
    "accuracy_given_order",
    "accuracy_other_order",
    "prefers_first_place",
    "consistent",
    "accuracy_where_consistent",
    "accuracy_ties_half",
    "accuracy_mean_of_orders",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of JSON Lines files, or one of them")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=int, help="use only this many pairs, from the beginning")
    parser.add_argument("--templates", default="judge,judge_strict", help="the pointwise prompts, separated by commas")
    parser.add_argument("--work", type=Path, help="keep the answers in this folder, and continue from them")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    pairs = read_pairs(options.data)[: options.rows]
    register()
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        config = build(compose("config", ["task=instruction", *options.overrides]))
    with tempfile.TemporaryDirectory(prefix="synthgen-judge-") as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        figures = asyncio.run(measure(config, pairs, options.templates.split(","), work))
    show(figures, options.templates.split(","))
    write_figures(options.out, figures)


def read_pairs(data: Path) -> list[Json]:
    files = sorted(data.glob("*.jsonl")) if data.is_dir() else [data]
    return [
        json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()
    ]


def instruction_task(config: Config) -> Task:
    """Return the shipped instruction task, judged by the one criterion of the pairs."""
    return replace(load_task(config.task), rubric=RUBRIC)


async def measure(config: Config, pairs: Sequence[Json], templates: Sequence[str], work: Path) -> dict[str, Any]:
    """Send all questions, and compute all figures."""
    task = instruction_task(config)
    prompts = Prompts(task.prompts)
    path = work / "ledger.sqlite"
    answers = {}
    if path.exists():
        with Reader(path) as reader:
            answers = reader.answers_before_slots()
    ledger = Ledger.open(path) if path.exists() else Ledger.create(path, {})
    grammars = [choice(GRADES), choice(PLACES)]
    engine = await start_engine(config, grammars, work, LearnedLimits(), lambda _: None, lambda _, words: tell(words))
    began = time.monotonic()
    try:
        recorder = Recorder(engine, ledger, config.engine.attempts, answers)
        questions = Questions(recorder, config.judge.attempts)
        graders = [Grader(name, f"rubric:{name}", name, task, prompts, 0) for name in templates]
        panel, pairwise = Panel(graders, list(RUBRIC), questions), Pairwise(task, questions, prompts, 0)
        preferences = await gathered([compare(pairwise, pair) for pair in pairs])
        rated = [row for pair in pairs for row in outputs(pair)]
        opinions = await gathered([panel.ask(f"-1/{row.id}", row.data) for row in rated])
    finally:
        await engine.aclose()
        ledger.close()
    seconds = time.monotonic() - began
    means = [panel.means(opinion) for opinion in opinions]
    gate, record = study(rated, opinions, means, Gate("mean", config.judge.rubric.threshold), config.judge.min_auc, 0)
    return {
        "pairs": len(pairs),
        **{f"pairwise.{key}": value for key, value in pairwise_figures(pairs, preferences).items()},
        **pointwise_figures(record, means, [row.good for row in rated]),
        "trusted": gate.binding,
        "prompt_tokens": recorder.tokens["prompt"],
        "seconds": round(seconds, 1),
        "model": engine_info(config)["model"] or engine.name,
    }


def tell(words: str) -> None:
    print(words, file=sys.stderr)


async def gathered(asked: Sequence[Any]) -> list[Any]:
    """Return all answers in order, with 64 requests in flight."""
    room = asyncio.Semaphore(64)

    async def one(question: Any) -> Any:
        async with room:
            return await question

    return await asyncio.gather(*map(one, asked))


def outputs(pair: Json) -> list[Rated]:
    """Return both outputs as samples of the task; the better one is good."""
    samples = [{"instruction": pair["input"], "output": pair[f"output_{number}"]} for number in (1, 2)]
    return [Rated(content_id([n, data]), data, pair["label"] == n, {}) for n, data in enumerate(samples, 1)]


async def compare(pairwise: Pairwise, pair: Json) -> Preference | None:
    first, second = outputs(pair)
    return await pairwise.compare(f"-1/{content_id([first.id, second.id])}", first.data, second.data)


def pairwise_figures(pairs: Sequence[Json], preferences: Sequence[Preference | None]) -> Json:
    """Return shares of the readable pairs; `ties_half` counts a pair whose order changes its verdict as half right."""
    read = [(pair["label"] == 1, found) for pair, found in zip(pairs, preferences, strict=True) if found is not None]
    first_places = [share > 0.5 for _, found in read for share in (found.forward, 1 - found.backward)]
    decided = [won(found.forward, first) for first, found in read if found.consistent]
    return {
        "unreadable": len(pairs) - len(read),
        "accuracy_given_order": mean([won(found.forward, first) for first, found in read]),
        "accuracy_other_order": mean([won(found.backward, first) for first, found in read]),
        "prefers_first_place": mean(first_places),
        "consistent": mean([found.consistent for _, found in read]),
        "accuracy_where_consistent": mean(decided),
        "accuracy_ties_half": mean([*decided, *[0.5] * (len(read) - len(decided))]),
        "accuracy_mean_of_orders": mean([won(found.probability, first) for first, found in read]),
    }


def pointwise_figures(record: Json, means: Sequence[Means], good: Sequence[bool | None]) -> Json:
    """Return AUC and ECE before and after calibration, and pairs ordered correctly, by judge and for the panel."""
    figures: Json = {"rows": record["rows"], "unscored": record["unscored"]}
    for name, judge in {**record["members"], "panel": record}.items():
        for when in ("before", "after"):
            auc = judge[when]["auc"]
            figures |= {f"{name}.auc_{when}": auc["value"], f"{name}.ece_{when}": judge[when]["ece"]}
            figures |= {f"{name}.auc_{when}_low": auc["low"], f"{name}.auc_{when}_high": auc["high"]}
        figures[f"{name}.pair_accuracy"] = mean(ordered(means, good, name))
    grades = [list(found.values()) for found in means if None not in found.values()]
    figures["alpha"] = krippendorffs_alpha(grades, "interval")
    return figures


def ordered(means: Sequence[Means], good: Sequence[bool | None], name: str) -> list[float]:
    """Return 1 for each pair whose better output got the higher grade, 0.5 for a draw. `name` is a judge or panel."""
    grades = [Gate("mean", 1).score(found) if name == "panel" else found[name] for found in means]
    pairs = zip(grades[::2], grades[1::2], good[::2], strict=True)
    return [0.5 if a == b else float((a > b) == first) for a, b, first in pairs if a is not None and b is not None]


def won(share: float, first: bool) -> float:
    """Return 1 if the better output was chosen, by the probability that it is the first; 0.5 for an even probability."""
    return 0.5 if share == 0.5 else float((share > 0.5) == first)


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def show(figures: dict[str, Any], templates: Sequence[str]) -> None:
    """Print one table: the questions, and the quality of the answers."""
    rows = [("pairwise", name.replace("_", " "), decimals(figures[f"pairwise.{name}"])) for name in PAIRWISE]
    for judge in [*templates, "panel"]:
        rows.append((judge, "pairs in the right order, by grade", decimals(figures[f"{judge}.pair_accuracy"])))
        for when in ("before", "after"):
            low, high = (decimals(figures[f"{judge}.auc_{when}_{end}"]) for end in ("low", "high"))
            auc = f"{decimals(figures[f'{judge}.auc_{when}'])} ({low} to {high})"
            rows += [(judge, f"AUC {when} calibration", auc)]
            rows += [(judge, f"calibration error {when}", decimals(figures[f"{judge}.ece_{when}"]))]
    rows.append(("panel", "Krippendorff's alpha of the grades", decimals(figures["alpha"])))
    verdict = "trusted" if figures["trusted"] else "not trusted: its gate would not bind"
    print_table(f"{figures['model']}, {figures['pairs']} pairs: {verdict}", ["judge", "figure", "value"], rows)
    print(f"asked this time: {figures['prompt_tokens']:,} prompt tokens in {figures['seconds']:.0f} s; {machine()}")


def decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
