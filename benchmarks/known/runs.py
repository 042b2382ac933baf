"""Run `synthgen run` against the known generator, and keep the run folder and the replies with their faults."""

import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from benchmarks.common import run_child
from benchmarks.gain.data import Data
from benchmarks.known.judge import KnownJudge
from benchmarks.known.server import MODEL, Server
from benchmarks.known.writer import KnownGenerator, Plant
from synthgen.diversity.embedder import Encoder
from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.task import Task

ROOT = Path(__file__).resolve().parents[2]
_CENTROID_ROWS = 25
_MOST_CANDIDATES = 20  # most candidates of a run, as a multiple of its target


class RunFailedError(RuntimeError):
    """Report a run that ended unexpectedly, or that sent a request the server does not understand."""


def confusable(data: Data, encoder: Encoder) -> dict[str, str]:
    """Return for each label the one whose centroid is nearest: the mean vector of its first 25 train rows."""
    labels = list(data.task.labels)
    centroids = []
    for label in labels:
        texts = [data.task.input_text(row) for row in data.train if data.label(row) == label][:_CENTROID_ROWS]
        if not texts:
            raise InputError(f"--train: no row of label '{label}'; add rows")
        mean = encoder.encode(texts).mean(axis=0)
        centroids.append(mean / np.linalg.norm(mean))
    cosines = np.stack(centroids) @ np.stack(centroids).T
    np.fill_diagonal(cosines, -2.0)
    return {label: labels[int(place)] for label, place in zip(labels, cosines.argmax(axis=1), strict=True)}


def off_task_texts(source: Path, task: Task) -> list[str]:
    """Return a text of each JSON line: the task's first input field, or else the line's first string."""
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--off-task {source}: cannot be read: {error}; give a file of JSON lines") from error
    texts = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"--off-task {source}:{number}: not JSON: {error}; give a file of JSON lines") from error
        if not isinstance(row, dict):
            raise InputError(f"--off-task {source}:{number}: no JSON object; give one a line")
        text = row.get(task.input[0]) or next((value for value in row.values() if isinstance(value, str)), None)
        if isinstance(text, str):
            texts.append(text)
    return texts


def write_task(place: Path, data: Data, seeds: Sequence[Json]) -> None:
    """Write the task with these seeds and without an eval file, as a folder for --config-dir."""
    (place / "task").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in seeds]
    (place / "seeds.jsonl").write_text("".join(lines), encoding="utf-8")
    fields = {**data.fields, "seeds": str(place / "seeds.jsonl")}
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    (place / "task" / f"{data.task.name}.yaml").write_text(text, encoding="utf-8")


def made(
    place: Path, data: Data, generator: KnownGenerator, judge: KnownJudge, target: int, seed: int, words: Sequence[str]
) -> tuple[list[Plant], float | None]:
    """Return the replies of the run in `place / "run"`, and the seconds that it took; None where it was there already.

    The task has been written to `place`. A run that was cut short is made anew, because what the server had served is lost.
    Raises RunFailedError.
    """
    folder, book, log = place / "run", place / "plants.jsonl", place / "run.log"
    if book.exists():
        lines = book.read_text(encoding="utf-8").splitlines()
        return [Plant(**json.loads(line)) for line in lines], None
    shutil.rmtree(folder, ignore_errors=True)
    log.unlink(missing_ok=True)
    began = time.monotonic()
    with Server(data.task, generator, judge) as server:
        settings = [
            "run", "--config-dir", str(place), f"task={data.task.name}", f"run.dir={folder}", "run.name=known",
            f"run.seed={seed}", "student.kind=none", "engine=openai", f"engine.urls=[{server.url}]",
            f"engine.model={MODEL}", "engine.request_seeds=true",  # a request's seed decides what it gets
            f"budget.target={target}", f"budget.candidates={_MOST_CANDIDATES * target}", *words,
        ]  # fmt: skip
        code = _synthgen(settings, log, server)
    if server.failure is not None:
        raise RunFailedError(f"the known generator does not understand a request: {server.failure}")
    if code not in (0, 3):
        said = log.read_text(encoding="utf-8", errors="replace")
        raise RunFailedError(f"synthgen {' '.join(settings)}\nended with exit code {code}:\n{said[-2000:]}")
    _write_lines(book, [dataclasses.asdict(plant) for plant in generator.plants])
    return generator.plants, time.monotonic() - began


def _synthgen(words: Sequence[str], log: Path, server: Server) -> int:
    """Run a verb in its own process, until it ends or sends a request that the server does not understand. Return its exit code."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    return run_child([sys.executable, "-m", "synthgen", *words], env, log, lambda: server.failure is not None)


def _write_lines(path: Path, rows: Sequence[Json]) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    unfinished.replace(path)
