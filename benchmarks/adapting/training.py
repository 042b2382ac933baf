"""Draw the rows and train the adapters on them; also train the adapters for the pairs."""

import copy
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gain.data import Data, draw_seeds
from benchmarks.gain.settings import composed
from benchmarks.judge_worth import instruction_task, outputs, read_pairs, tell
from synthgen.config import Config
from synthgen.engines.adapters import Adapter, read_adapter
from synthgen.engines.prompts import Prompts
from synthgen.judge.examples import exchanges
from synthgen.judge.labelled import Rated
from synthgen.records import Json
from synthgen.run.adapt import adapt
from synthgen.run.prepare import Prepared, prepare
from synthgen.student import adapter as trainer
from synthgen.tasks.task import TaskConfig


@dataclass(frozen=True)
class Sizes:
    """Hold the numbers per draw: seeds and candidates of each label, rated rows, and rows to judge."""

    k: int
    rated: int
    asked: int
    candidates: int


@dataclass(frozen=True)
class Draw:
    """Hold one draw's rows, the config for its adapters' training, and the adapters."""

    number: int
    rated: list[Json]
    asked: list[Json]
    """Real rows that no adapter is trained on."""
    prepared: Prepared
    judge: Adapter
    generator: Adapter


def draw(number: int, data: Data, setting: Config, sizes: Sizes, work: Path) -> Draw:
    """Return a draw's rows and adapters; reuse adapters that exist already."""
    seeds = draw_seeds(data, sizes.k, 0, number)
    rng = random.Random(f"adapters/{number}")
    others = [
        row for row in rng.sample(data.train, len(data.train)) if row not in seeds and not data.task.problems(row)
    ]
    rated = [spoiled(row, index, data, rng) for index, row in enumerate(others[: sizes.rated])]
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
    left = others[sizes.rated : sizes.rated + sizes.asked]
    return Draw(number, rated, left, prepare(config, []), judge, generator)


def spoiled(row: Json, index: int, data: Data, rng: random.Random) -> Json:
    """Return a rated row; every other one gets a wrong label."""
    if index % 2:
        wrong = rng.choice([label for label in data.task.labels if label != data.label(row)])
        return {**row, str(data.task.label_field): wrong, "rating": "bad"}
    return {**row, "rating": "good"}


def write_rows(path: Path, rows: Sequence[Json]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True)
class Half:
    """Hold the outputs of one half of the pairs, and the adapter trained on the other half."""

    rows: list[Rated]
    adapter: Adapter


def pair_halves(pairs: Path, setting: Config, work: Path) -> list[Half]:
    """Return both halves; each is judged with the adapter trained on the other."""
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
