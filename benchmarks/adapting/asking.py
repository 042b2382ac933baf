"""Ask the same questions of the model and of the adapters that one engine serves."""

import copy
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapting.training import Draw, Half, Sizes, spoiled
from benchmarks.gain.data import Data
from benchmarks.gain.settings import composed, encoder_of
from benchmarks.judge_worth import gathered, instruction_task, tell
from synthgen.config import Config
from synthgen.diversity.metrics import distinct_n
from synthgen.engines.base import LearnedLimits
from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.generate.foils import foils
from synthgen.generate.planner import Group
from synthgen.generate.prompting import Prompting
from synthgen.generate.strategies.fewshot import FewShot
from synthgen.judge import calibration as maths
from synthgen.judge.asking import Questions
from synthgen.judge.grader import GRADES, Panel
from synthgen.judge.judge import grader, grammars
from synthgen.judge.label import LabelCheck, LabelPrompt
from synthgen.ledger import Ledger, Reader
from synthgen.ledger.recorder import Recorder
from synthgen.records import Candidate, Completion, Engine, Json, Request, Sample, content_id
from synthgen.run.engine import start_engine

ARMS = ("shipped", "model", "adapter")


@dataclass(frozen=True)
class Arm:
    """Wrap an Engine and rename its requests, so that one ledger can hold the requests of all arms."""

    engine: Engine
    prefix: str
    name: str = "arm"

    async def complete(self, request: Request) -> Completion:
        return await self.engine.complete(request.model_copy(update={"id": f"-1/{self.prefix}/{request.id}"}))

    async def aclose(self) -> None:
        """Do nothing; the owner of the shared engine closes it."""


async def ask(
    draws: Sequence[Draw], halves: Sequence[Half], data: Data, shipped: Config, setting: Config,
    sizes: Sizes, work: Path, reference: "Reference",
) -> dict[str, Any]:  # fmt: skip
    """Return all figures, from one engine that serves the model and all adapters."""
    path = work / "ledger.sqlite"
    answers = {}
    if path.exists():
        with Reader(path) as reader:
            answers = reader.answers_before_slots()
    ledger = Ledger.open(path) if path.exists() else Ledger.create(path, {})
    needed = [*draws[0].prepared.grammars(), *grammars(setting.judge, data.task), choice(GRADES)]
    served = [adapter for one in draws for adapter in (one.judge, one.generator)] + [half.adapter for half in halves]
    engine = await start_engine(
        setting, needed, work, LearnedLimits(), lambda _: None, lambda _, words: tell(words), served
    )
    recorder = Recorder(engine, ledger, setting.engine.attempts, answers)
    found: dict[str, list[float]] = {}
    try:
        for one in draws:
            for arm in ARMS:
                for name, value in (await ask_draw(one, arm, shipped, setting, recorder, sizes, reference)).items():
                    found.setdefault(f"{arm}.{name}", []).append(value)
        pairs = await ask_pairs(halves, setting, recorder) if halves else {}
    finally:
        await engine.aclose()
        ledger.close()
    spread = {f"{name}.sd": float(np.std(values, ddof=1)) for name, values in found.items() if len(values) > 1}
    return {**{name: float(np.mean(values)) for name, values in found.items()}, **spread, **pairs}


async def ask_draw(
    one: Draw, arm: str, shipped: Config, setting: Config, engine: Engine, sizes: Sizes,
    reference: "Reference",
) -> dict[str, float]:  # fmt: skip
    """Return an arm's figures in one draw. The generator has only one setting, so `shipped` concerns only the judge."""
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
            one, one.generator.name if arm == "adapter" else None, engine, arm, sizes, reference
        )
    return found


async def auc(panel: Panel, places: Sequence[str], rows: Sequence[Json], good: Sequence[bool]) -> float:
    """Return the AUC of the mean grade, without rows whose answer cannot be read."""
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
    one: Draw, adapter: str | None, engine: Engine, arm: str, sizes: Sizes, reference: "Reference"
) -> dict[str, float]:
    """Generate candidates from prompts that show the draw's seeds; return label accuracy and variety."""
    prepared = one.prepared
    cfg = prepared.config.generate
    prompting = Prompting(prepared.task, cfg, prepared.prompts, one.number, adapter)
    strategy = FewShot(cfg.fewshot, prompting)
    rng = random.Random(f"adapters/prompts/{one.number}")
    by_label: dict[str | None, list[Sample]] = {
        label: [seed for seed in prepared.seeds if seed.label == label] for label in prepared.task.labels
    }
    asked: list[tuple[str, Sequence[Sample], Any]] = []
    size = prepared.group_size
    for number in range(len(prepared.task.labels) * -(-sizes.candidates // size)):
        label = list(prepared.task.labels)[number % len(prepared.task.labels)]
        kin = by_label[label]
        shown = foils(rng, strategy.foils, by_label, label) + rng.sample(kin, min(strategy.demonstrations, len(kin)))
        asked += [
            (label, shown, planned)
            for planned in prompting.slots(Group(number, number * size, size, label, 0), strategy.name, shown)
        ]
    renamed = Arm(engine, f"{one.number}/{arm}")
    replies = await gathered([renamed.complete(prompting.request(planned, shown)) for _, shown, planned in asked])
    rows: list[Json] = []
    for (_, shown, planned), reply in zip(asked, replies, strict=True):
        rows += [made.data for made in prompting.candidates(planned, reply, shown) if made.data is not None]
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
    """Return the AUC over all pairs' outputs. Each pair is judged with the adapter trained on the other half."""
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
    """Classify texts with a classifier that was trained on the train file."""

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
