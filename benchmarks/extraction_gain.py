"""Measure what synthetic data is worth to a student that finds spans: span F1 on real test rows, with intervals.

    python benchmarks/extraction_gain.py --task benchmarks/tasks/wnut17.yaml --train TRAIN.jsonl --test TEST.jsonl \
        --k 20 --target 100 --out extraction_gain.json

Rows are JSON Lines of `text` and `entities`, each entity with `text` and `type`; other keys are ignored. k rows of the
train file, half of them with entities, are the seeds of `synthgen run` and of every arm. The arms add:

    seeds      nothing
    loop       the samples that `synthgen run`, as shipped, accepts until --target or --candidates
    real_n     as many rows of the train file
    real_full  all rows of the train file (left out with --quick)

All arms train the same tagger in the same way: added rows are trained on as a run trains on its samples, with weight 1.
Test rows are scored and nothing else. With --work, an ended run is not made again.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import on_real_rows, print_table, run_child, write_figures
from benchmarks.gain.outcome import LEDGER
from benchmarks.gain.settings import composed
from synthgen import student
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig

ROOT = Path(__file__).resolve().parents[1]


def read(path: Path, task: Task) -> list[Json]:
    """Return the rows of a file that the student can be trained and scored on, with the task's fields alone."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [{"text": row["text"], "entities": [_entity(entity) for entity in row["entities"]]} for row in rows]
    return [row for row in found if not task.held_out_faults(row)]


def _entity(entity: Json) -> Json:
    return {"text": entity["text"], "type": entity["type"]}


def draw(rows: Sequence[Json], k: int, seed: int) -> tuple[list[Json], list[Json]]:
    """Return k seeds, half of them with entities, and the other rows in a random order."""
    shuffled = random.Random(seed).sample(list(rows), len(rows))
    named = [row for row in shuffled if row["entities"]][: (k + 1) // 2]
    bare = [row for row in shuffled if not row["entities"]][: k // 2]
    seeds = [*named, *bare]
    return seeds, [row for row in shuffled if row not in seeds]


def run_loop(options: argparse.Namespace, place: Path, seeds: Sequence[Json]) -> list[Json]:
    """Return the samples that `synthgen run` accepts from these seeds."""
    folder = place / "loop"
    if not (folder / "summary.json").is_file():
        (place / "task").mkdir(parents=True, exist_ok=True)
        written = yaml.safe_load(options.task.read_text(encoding="utf-8")) | {"seeds": "seeds.jsonl"}
        (place / "task" / f"{written['name']}.yaml").write_text(yaml.safe_dump(written, sort_keys=False), "utf-8")
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in seeds)
        (place / "seeds.jsonl").write_text(lines, encoding="utf-8")
        command = [
            sys.executable, "-m", "synthgen", "run", "--config-dir", str(place), f"task={written['name']}",
            f"run.dir={folder}", f"run.seed={options.seed}", f"budget.target={options.target}",
            f"budget.candidates={options.candidates}", "student=none", *options.overrides,
        ]  # fmt: skip
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        if (code := run_child(command, env, place / "run.log")) not in (0, 3):
            sys.exit(f"extraction_gain: synthgen run ended with exit code {code}; its output is {place / 'run.log'}")
    with Reader(folder / LEDGER) as reader:
        return [sample.data for sample in reader.samples() if sample.origin != "seed"]


def main() -> None:
    parser = on_real_rows(__doc__, "an extraction task with the fields text and entities")
    parser.add_argument("--k", type=int, default=20, help="seeds")
    parser.add_argument("--target", type=int, default=100, help="accepted samples of the run")
    parser.add_argument("--candidates", type=int, default=2000, help="end the run after so many candidates")
    parser.add_argument("--minutes", type=float, default=None, help="limit of the training of each arm")
    parser.add_argument("--quick", action="store_true", help="leave out real_full")
    parser.add_argument("--overrides", nargs="*", default=[], metavar="KEY=VALUE", help="for synthgen run")
    parser.add_argument("--student", nargs="*", default=[], metavar="KEY=VALUE", help="overrides for the student")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("extraction_gain"), help="folder of the run and the students")
    options = parser.parse_args()
    fields: dict[str, Any] = yaml.safe_load(options.task.read_text(encoding="utf-8"))
    task = load_task(TaskConfig(**fields | {"seeds": str(options.train), "checks": None}))
    seeds, rest = draw(read(options.train, task), options.k, options.seed)
    test = read(options.test, task)
    place = options.work / f"seed-{options.seed}"
    samples = run_loop(options, place, seeds)
    arms: dict[str, list[Json]] = {"loop": samples, "real_n": rest[: len(samples)]}
    if not options.quick:
        arms["real_full"] = rest
    cfg = composed(options.student).student
    cfg.max_minutes = options.minutes
    figures: dict[str, Any] = {"seeds.rows": len(seeds), "test_rows": len(test)}
    rows = []
    for name, added in arms.items():
        found = student.train(
            task, cfg, seeds, added, test, place / f"student-{name}", options.seed, lambda line: print(line, flush=True)
        )
        for arm, key, count in (("seeds", "seeds_only", 0), (name, "synthetic", len(added))):
            if f"{arm}.mean" in figures or found.get(key, {}).get("mean") is None:  # the limit left no time for the arm
                continue
            figure = found[key]
            figures |= {f"{arm}.{part}": figure[part] for part in ("mean", "low", "high")} | {f"{arm}.added": count}
            rows.append([arm, count, *(f"{100 * figure[part]:.1f}" for part in ("mean", "low", "high"))])
    print_table(f"{task.name}: span F1 of {len(test)} test rows", ["arm", "rows added", "span F1", "low", "high"], rows)
    write_figures(options.out, figures)


if __name__ == "__main__":
    main()
