"""Whether a LoRA adapter for the judge, and one for the generator, help: the same questions with it and without.

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
and answers are kept, and a benchmark that was cut short goes on.
"""

import argparse
import asyncio
import copy
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.common import machine, print_table, write_figures
from benchmarks.gain.data import Data, draw_seeds, load
from benchmarks.gain.settings import composed, encoder_of
from benchmarks.judge_worth import gathered, instruction_task, outputs, read_pairs, tell
from synthgen.adapt import adapt
from synthgen.config import Config
from synthgen.diversity.metrics import distinct_n
from synthgen.engines import start_engine
from synthgen.generate.fewshot import FewShot
from synthgen.judge import calibration as maths
from synthgen.judge.asking import Questions
from synthgen.judge.examples import exchanges
from synthgen.judge.grader import GRADES, Panel
from synthgen.judge.judge import grader, grammars
from synthgen.judge.label import LabelCheck, LabelPrompt
from synthgen.judge.labelled import Rated
from synthgen.ledger import Ledger, Reader
from synthgen.llm.adapters import Adapter, read_adapter
from synthgen.llm.grammar import choice
from synthgen.llm.prompts import Prompts
from synthgen.llm.vllm_options import Fitted
from synthgen.prepare import Prepared, prepare
from synthgen.recorder import Recorder
from synthgen.records import Candidate, Completion, Engine, Json, Request, Sample, content_id
from synthgen.student import adapter as trainer
from synthgen.task import TaskConfig

ARMS = ("shipped", "model", "adapter")


@dataclass(frozen=True)
class Draw:
    """One draw's rows, its config under which adapters are trained, and the adapters."""

    number: int
    rated: list[Json]
    asked: list[Json]
    """Real rows that nothing is trained on."""
    prepared: Prepared
    judge: Adapter
    generator: Adapter


@dataclass(frozen=True)
class Arm:
    """An Engine that renames requests, so that one ledger holds those of all arms."""

    engine: Engine
    prefix: str
    name: str = "arm"

    async def complete(self, request: Request) -> Completion:
        return await self.engine.complete(request.model_copy(update={"id": f"-1/{self.prefix}/{request.id}"}))

    async def aclose(self) -> None:
        """The engine is shared; whoever started it ends it."""


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
    parser.add_argument("--overrides", nargs="*", default=[], help="for everything, as on synthgen's command line")
    parser.add_argument("--work", type=Path, help="keep adapters and answers here, and go on from them")
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
    draws = [draw(number, data, setting, options, work) for number in range(options.draws)]
    halves = pair_halves(options.pairs, setting, work) if options.pairs else []
    reference = Reference(data, shipped)
    found = asyncio.run(ask(draws, halves, data, shipped, setting, options, work, reference))
    return {"reference.accuracy": reference.accuracy, "draws": options.draws, "k": options.k, **found}


# -- training --------------------------------------------------------------------------------------


def draw(number: int, data: Data, setting: Config, options: argparse.Namespace, work: Path) -> Draw:
    """A draw's rows and adapters; adapters that are there already are taken as they are."""
    seeds = draw_seeds(data, options.k, 0, number)
    rng = random.Random(f"adapters/{number}")
    others = [
        row for row in rng.sample(data.train, len(data.train)) if row not in seeds and not data.task.problems(row)
    ]
    rated = [spoiled(row, index, data, rng) for index, row in enumerate(others[: options.rated])]
    place = work / f"draw-{number}"
    place.mkdir(exist_ok=True)
    write_rows(place / "seeds.jsonl", seeds)
    write_rows(place / "rated.jsonl", rated)
    config = copy.deepcopy(setting)
    config.task = TaskConfig(**{**data.fields, "seeds": str(place / "seeds.jsonl")})
    config.run.seed, config.adapt.dir = number, str(place)
    for role, rows in (("judge", str(place / "rated.jsonl")), ("generator", None)):
        if not (place / role).exists():
            own = copy.deepcopy(config)
            own.judge.calibration = rows if data.task.rubric else None
            adapt(role, own, [], tell)
    judge, generator = (read_adapter(place / role, role) for role in ("judge", "generator"))
    left = others[options.rated : options.rated + options.asked]
    return Draw(number, rated, left, prepare(config, []), judge, generator)


def spoiled(row: Json, index: int, data: Data, rng: random.Random) -> Json:
    """A rated row: every other one has a label that is not its own."""
    if index % 2:
        wrong = rng.choice([label for label in data.task.labels if label != data.label(row)])
        return {**row, str(data.task.label_field): wrong, "rating": "bad"}
    return {**row, "rating": "good"}


def write_rows(path: Path, rows: Sequence[Json]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True)
class Half:
    """Outputs of one half of the pairs, and the adapter that was trained on the other half."""

    rows: list[Rated]
    adapter: Adapter


def pair_halves(pairs: Path, setting: Config, work: Path) -> list[Half]:
    """Two halves: each is asked about with the adapter that learnt the other."""
    config = copy.deepcopy(setting)
    config.task = composed(["task=instruction"]).task
    task = instruction_task(config)
    prompts = Prompts(task.prompts)
    read = random.Random(0).sample(found := read_pairs(pairs), len(found))
    halves = [[row for pair in read[side::2] for row in outputs(pair)] for side in (0, 1)]
    adapters = []
    for side in (0, 1):
        folder = work / f"pairs-{side}"
        if not folder.exists():
            learnt = exchanges(task, config.judge, prompts, [], halves[1 - side], 0)
            trainer.train(config.adapt, "judge", config.model.name, learnt, [], folder, 0, tell)
        adapters.append(read_adapter(folder, "pairs"))
    return [Half(rows, adapter) for rows, adapter in zip(halves, adapters, strict=True)]


# -- asking ----------------------------------------------------------------------------------------


async def ask(
    draws: Sequence[Draw], halves: Sequence[Half], data: Data, shipped: Config, setting: Config,
    options: argparse.Namespace, work: Path, reference: "Reference",
) -> dict[str, Any]:  # fmt: skip
    """All figures, from one engine that serves everything."""
    path = work / "ledger.sqlite"
    answers = {}
    if path.exists():
        with Reader(path) as reader:
            answers = reader.answers_before_slots()
    ledger = Ledger.open(path) if path.exists() else Ledger.create(path, {})
    needed = [*draws[0].prepared.grammars(), *grammars(setting.judge, data.task), choice(GRADES)]
    served = [adapter for one in draws for adapter in (one.judge, one.generator)] + [half.adapter for half in halves]
    engine = await start_engine(setting, needed, work, Fitted(), lambda _: None, lambda _, words: tell(words), served)
    recorder = Recorder(engine, ledger, setting.engine.attempts, answers)
    found: dict[str, list[float]] = {}
    try:
        for one in draws:
            for arm in ARMS:
                for name, value in (await ask_draw(one, arm, shipped, setting, recorder, options, reference)).items():
                    found.setdefault(f"{arm}.{name}", []).append(value)
        pairs = await ask_pairs(halves, setting, recorder) if halves else {}
    finally:
        await engine.aclose()
        ledger.close()
    spread = {f"{name}.sd": float(np.std(values, ddof=1)) for name, values in found.items() if len(values) > 1}
    return {**{name: float(np.mean(values)) for name, values in found.items()}, **spread, **pairs}


async def ask_draw(
    one: Draw, arm: str, shipped: Config, setting: Config, engine: Engine, options: argparse.Namespace,
    reference: "Reference",
) -> dict[str, float]:  # fmt: skip
    """An arm's figures in one draw; the generator has one setting alone, so that `shipped` is of the judge."""
    prepared, cfg = one.prepared, (shipped if arm == "shipped" else setting).judge
    task, prompts, salt = prepared.task, prepared.prompts, prepared.config.run.seed
    name = one.judge.name if arm == "adapter" else None
    questions = Questions(Arm(engine, f"{one.number}/{arm}"), cfg.attempts, name)
    began = time.monotonic()
    check = LabelCheck(task, cfg.label, questions, prompts, prepared.seeds, salt)
    verdicts = await gathered([check(candidate(number, row, task)) for number, row in enumerate(one.asked)])
    right = [v.details.get("answer") == task.label_of(row) for v, row in zip(verdicts, one.asked, strict=True)]
    found = {"label": float(np.mean(right)), "label_seconds": time.monotonic() - began}
    if task.rubric:
        rng = random.Random(f"adapters/asked/{one.number}")
        data = [spoiled(row, index, reference.data, rng) for index, row in enumerate(one.asked)]
        good = [row.pop("rating") == "good" for row in data]
        head = LabelPrompt(task, cfg.label, prompts, prepared.seeds, salt).head if cfg.rubric.after_label else ()
        panel = Panel([grader(m, cfg, task, prompts, salt, head) for m in cfg.members], list(task.rubric), questions)
        found["fitting"] = await auc(panel, [str(number) for number in range(len(data))], data, good)
    if arm != "shipped":
        found |= await ask_generator(
            one, one.generator.name if arm == "adapter" else None, engine, arm, options, reference
        )
    return found


async def auc(panel: Panel, places: Sequence[str], rows: Sequence[Json], good: Sequence[bool]) -> float:
    """AUC of the mean grade; rows whose answer cannot be read are left out."""
    opinions = await gathered([panel.ask(place, row) for place, row in zip(places, rows, strict=True)])
    means = [panel.means(opinion)[panel.names[0]] for opinion in opinions]
    read = [(mean, is_good) for mean, is_good in zip(means, good, strict=True) if mean is not None]
    return maths.auc([mean for mean, _ in read], [is_good for _, is_good in read]).value


def candidate(number: int, row: Json, task: Any) -> Candidate:
    return Candidate(
        id=content_id(row), slot=number, item=0, text="", data=row, finish_reason="stop", parents=(), depth=1,
        strategy="real", template="", label=task.label_of(row),
    )  # fmt: skip


async def ask_generator(
    one: Draw, adapter: str | None, engine: Engine, arm: str, options: argparse.Namespace, reference: "Reference"
) -> dict[str, float]:
    """Candidates of prompts that show the draw's seeds: whether they have their label, and whether they differ."""
    prepared = one.prepared
    strategy = FewShot(prepared.task, prepared.config.generate, prepared.prompts, one.number, adapter)
    rng = random.Random(f"adapters/prompts/{one.number}")
    asked: list[tuple[str, Sequence[Sample], Any]] = []
    for group in range(len(prepared.task.labels) * -(-options.candidates // strategy.group_size)):
        label = list(prepared.task.labels)[group % len(prepared.task.labels)]
        kin = [seed for seed in prepared.seeds if seed.label == label]
        shown = rng.sample(kin, min(strategy.demonstrations, len(kin)))
        asked += [(label, shown, planned) for planned in strategy.plan(group, label, shown)]
    renamed = Arm(engine, f"{one.number}/{arm}")
    replies = await gathered([renamed.complete(strategy.request(planned, shown)) for _, shown, planned in asked])
    rows: list[Json] = []
    for (_, shown, planned), reply in zip(asked, replies, strict=True):
        rows += [made.data for made in strategy.candidates(planned, reply, shown) if made.data is not None]
    texts = [prepared.task.input_text(row).casefold() for row in rows]
    known = {prepared.task.input_text(seed.data).casefold() for seed in prepared.seeds}
    right = [given == prepared.task.label_of(row) for given, row in zip(reference.labels(rows), rows, strict=True)]
    return {
        "candidates": float(np.mean(right)),
        "unique": len(set(texts)) / len(texts),
        "copies": float(np.mean([text in known for text in texts])),
        "distinct_2": float(distinct_n(texts, 2) or 0.0),
    }


async def ask_pairs(halves: Sequence[Half], setting: Config, engine: Engine) -> dict[str, Any]:
    """AUC over all pairs' outputs, each asked about with the adapter of the half that it is not in."""
    config = copy.deepcopy(setting)
    config.task = composed(["task=instruction"]).task
    task, cfg = instruction_task(config), config.judge
    prompts = Prompts(task.prompts)
    found: dict[str, Any] = {"pairs.rows": sum(len(half.rows) for half in halves)}
    for arm in ARMS[1:]:
        means: list[tuple[float, bool]] = []
        for half in halves:
            questions = Questions(
                Arm(engine, f"pairs/{arm}"), cfg.attempts, half.adapter.name if arm == "adapter" else None
            )
            panel = Panel([grader(m, cfg, task, prompts, 0, ()) for m in cfg.members], list(task.rubric), questions)
            opinions = await gathered([panel.ask(row.id, row.data) for row in half.rows])
            for row, opinion in zip(half.rows, opinions, strict=True):
                mean = panel.means(opinion)[panel.names[0]]
                means += [(mean, bool(row.good))] if mean is not None else []
        worth = maths.auc([mean for mean, _ in means], [is_good for _, is_good in means])
        found |= {f"{arm}.pairs": worth.value, f"{arm}.pairs_low": worth.low, f"{arm}.pairs_high": worth.high}
    return found


class Reference:
    """A classifier that was trained on the train file: what it says a text's label is."""

    def __init__(self, data: Data, config: Config, most: int = 3000) -> None:
        from sklearn.linear_model import LogisticRegression

        self.data = data
        self._encoder = encoder_of(config)
        rows = random.Random(0).sample(data.train, min(most, len(data.train)))
        self._model = LogisticRegression(max_iter=1000, C=10).fit(
            self._vectors(rows), [data.label(row) for row in rows]
        )
        right = [given == data.label(row) for given, row in zip(self.labels(data.test), data.test, strict=True)]
        self.accuracy = float(np.mean(right))

    def labels(self, rows: Sequence[Json]) -> list[str]:
        return [str(label) for label in self._model.predict(self._vectors(rows))]

    def _vectors(self, rows: Sequence[Json]) -> Any:
        return self._encoder.encode([self.data.task.input_text(row) for row in rows])


def show(figures: dict[str, Any], options: argparse.Namespace) -> None:
    """One table: a row a question, a column an arm."""
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
