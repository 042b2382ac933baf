"""Provide what most tests need: the shipped news task, its seeds, and a way to make a candidate."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from omegaconf import OmegaConf

from synthgen.ledger import Ledger, Reader, durable, schema
from synthgen.records import Candidate, PersonAnswer, Sample, content_id
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig

if "PYTEST_XDIST_WORKER" in os.environ:  # workers with several threads each wait for one another at every operation
    os.environ.setdefault("OMP_NUM_THREADS", "1")

NEWS_LABELS = {"business": "companies and money", "science": "research", "sport": "matches", "world": ""}

# A property must not fail because the machine is busy: neither a limit on an example nor one on its making.
settings.register_profile("busy", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

gc.set_threshold(10_000, 20, 20)  # the tests of a worker share one large heap, and most leave nothing to collect


_LONGEST = (
    "tests/test_sweeps.py", "tests/cluster/test_shards.py", "tests/benchmarks/test_student_gain.py",
    "tests/integration/test_crash_safety.py", "tests/integration/test_wheel.py", "tests/student/test_killed_training.py",
)  # fmt: skip
"""Files that come first, so that no worker is left with one of them when the other has nothing to do."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))
    for item in items:
        if item.get_closest_marker("vllm") and not item.nodeid.startswith("tests/integration/"):
            raise pytest.UsageError(
                f"{item.nodeid}: tests with a real vLLM stand in tests/integration (see the Makefile)"
            )


@pytest.fixture(autouse=True)
def _interruptible() -> None:
    """A shell starts its background jobs with SIGINT ignored, and Python leaves it so: the tests that raise one need it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def news_task() -> Task:
    """The shipped task, with a second criterion in its rubric."""
    fields: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
    fields["rubric"]["fitting"] = "The label names the one desk that would most plausibly print the item."
    return load_task(TaskConfig(**fields))


@pytest.fixture(scope="session")
def news_seeds(news_task: Task) -> list[Sample]:
    rows = read_samples(news_task.seeds, news_task, "seed")
    return [Sample(id=content_id(row), data=row, origin="seed", label=row["label"]) for row in rows]


_ADDED = {
    7: "ALTER TABLE answers DROP COLUMN guide; ALTER TABLE answers DROP COLUMN role;",
    6: "ALTER TABLE slots DROP COLUMN given; ALTER TABLE samples DROP COLUMN given;",
    5: "ALTER TABLE slots DROP COLUMN model; ALTER TABLE samples DROP COLUMN model; ALTER TABLE requests DROP COLUMN usd;",
    4: "ALTER TABLE requests DROP COLUMN thinking;",
    3: "DROP TABLE answers;",
    2: "DROP TABLE sessions;",
}
"""Statements that take out of a ledger what each version added."""


@pytest.fixture(scope="session")
def as_version() -> Callable[[Path, int], None]:
    """`as_version(path, 2)`: turns a ledger into one as that version of the format made it."""

    def turn(path: Path, version: int) -> None:
        connection = schema.connect(path)
        for added in range(schema.VERSION, version, -1):
            connection.executescript(_ADDED[added])
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()

    return turn


@pytest.fixture(scope="session")
def candidate() -> Callable[..., Candidate]:
    """`candidate("text", "label", **changes)`: a news item that slot 0 produced."""

    def make(text: str = "The striker scored twice.", label: str = "sport", **changes: Any) -> Candidate:
        data = {"text": text, "label": label}
        fields: dict[str, Any] = {
            "id": content_id(data), "slot": 0, "item": 0, "text": text, "data": data, "finish_reason": "stop",
            "parents": (), "depth": 1, "strategy": "fewshot", "template": "t", "label": label,
        }  # fmt: skip
        return Candidate(**(fields | changes))

    return make


_STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}


@pytest.fixture(scope="session")
def survives() -> Callable[[Callable[[], object], int, Path], bool]:
    """`survives(action, step, folder)`: see `_survives`."""
    return _survives


def _survives(action: Callable[[], object], step: int, within: Path) -> bool:
    """Return True when `action`, in a process of its own, ends before its `step`-th step on files in `within` kills it."""
    child = os.fork()
    if child == 0:
        try:
            _kill_at(step, str(within))
            action()
        except BaseException:  # nothing of pytest's may run in here
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def _kill_at(step: int, within: str) -> None:
    taken = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal taken
        if event in _STEPS and any(within in str(argument) for argument in arguments):
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    synced, exchanged = os.fsync, durable._exchange
    os.fsync = lambda descriptor: (count("open", (within,)), synced(descriptor))[1]
    durable._exchange = lambda *names: (count("open", (within,)), exchanged(*names))[1]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run(texts, labels=...)`: the folder of a run that accepted these texts, its labels in turn."""

    def make(
        texts: Sequence[str] | int = 12,
        labels: Mapping[str, str] = NEWS_LABELS,
        name: str = "run",
        language: str = "en",
        extra: Mapping[str, Any] | None = None,
    ) -> Path:
        texts = [f"The text of item {number}." for number in range(texts)] if isinstance(texts, int) else texts
        kind = "classification" if labels else "generation"
        properties = {"text": {"type": "string"}, "label": {"enum": [*labels]} if labels else {"type": "string"}}
        samples, vectors = [], {}
        rng = np.random.default_rng(0)
        for number, text in enumerate(["A seed.", *texts]):
            label = [*labels][number % len(labels)] if labels else None
            data = {"text": text, "label": label or "none", **(extra or {})}
            origin: Any = "synthetic" if number else "seed"
            sample = Sample(id=content_id(data), data=data, origin=origin, label=label, slot=number or None, item=0)
            samples.append(sample)
            vectors[sample.id] = rng.normal(size=16).astype(np.float32)
        meta = {
            "task": {
                "name": "news", "kind": kind, "description": "", "language": language, "labels": dict(labels),
                "schema": {"type": "object", "properties": properties}, "input": ["text"], "target": ["label"],
                "rubric": {},
            },
            "run": {"name": name, "seed": 0},
            "config": {"budget": {}, "student": {"kind": "none"}},
            "stopped_by": "target",
        }  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        Ledger.create(folder / "ledger.sqlite", meta, samples, vectors).close()
        return folder

    return make


@pytest.fixture
def answers_of() -> Callable[[Path], list[PersonAnswer]]:
    """Return what the ledger of a run folder says that people answered."""

    def read(folder: Path) -> list[PersonAnswer]:
        with Reader(folder / "ledger.sqlite") as reader:
            return reader.people_answers()

    return read


@pytest.fixture
def accepted_of() -> Callable[[Path], list[Sample]]:
    """The accepted samples of a run folder."""

    def read(folder: Path) -> list[Sample]:
        with Reader(folder / "ledger.sqlite") as reader:
            return [sample for sample in reader.samples() if sample.origin == "synthetic"]

    return read
