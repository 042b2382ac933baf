"""Provide what tests of strategies need: a task with its seeds, and a generator that is fed replies."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.engines.prompts import Prompts
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.generate.kinds import GenerateConfig, Materials, StrategiesConfig, make_strategies
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.generate.prompting import Prompting
from synthgen.generate.strategy import Asking
from synthgen.judge.pairwise import PairPrompt
from synthgen.ledger.order import SampleOrder
from synthgen.records import Candidate, Completion, Json, PlannedSlot, Request, Sample, content_id, to_json
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig


def pool_of(seeds: Sequence[Sample]) -> Pool:
    """Return a pool of these seeds alone."""
    known = {seed.id: seed for seed in seeds}
    pool = Pool(PoolConfig(), order := SampleOrder(), known.__getitem__)
    for seed in seeds:
        pool.add(seed, order.add(seed))
    return pool


class Bench:
    """Hold one strategy alone on a shipped task, with a pool of the task's seeds."""

    def __init__(
        self, strategy: str, task: str, models: Sequence[str] = (), changes: Json | None = None, **settings: Any
    ) -> None:
        fields: Any = OmegaConf.to_container(OmegaConf.load(root() / f"conf/task/{task}.yaml"))
        self.task = load_task(TaskConfig(**(fields | (changes or {}))))
        rows = read_samples(self.task.seeds, self.task, "seed")
        self.seeds = [
            Sample(id=content_id(row), data=row, origin="seed", label=self.task.asked_of(row)) for row in rows
        ]
        self.pool = pool_of(self.seeds)
        cfg = GenerateConfig(strategies=StrategiesConfig(**{strategy: 1.0}), **settings)
        prompts = Prompts(self.task.prompts, self.task.language)
        prompting = Prompting(self.task, cfg, prompts, 0)
        declared = DeclaredChecks(self.task)
        materials = Materials(
            cfg, self.task, prompts, prompting, self.seeds, 0, models=models, pairs=PairPrompt(self.task, prompts, 0),
            evaluates=declared.evaluates,
        )  # fmt: skip
        (self.strategy,) = make_strategies(materials)
        self._known = {seed.id: seed for seed in self.seeds}

    def plan(self, size: int = 1, label: str | None = None) -> list[PlannedSlot]:
        return self.strategy.plan(Group(0, 0, size, label, 0), random.Random(0), self.pool)

    def asking(self, planned: PlannedSlot | None = None) -> Asking:
        planned = planned or self.plan(label=next(iter(self.task.asked), None))[0]
        return self.strategy.ask(planned, [self._known[parent] for parent in planned.parents])


def text(value: Json | str, finish_reason: str = "stop", **fields: Any) -> Completion:
    return Completion(text=value if isinstance(value, str) else to_json(value), finish_reason=finish_reason, **fields)


class Chain:
    """Hold what a slot asked, and what came of it."""

    def __init__(self, asking: Asking, *replies: Any) -> None:
        """Feed the replies in turn: an object or text for one request, a list of them for several at once."""
        self.asked: list[list[Request]] = []
        self.candidates: list[Candidate] = []
        try:
            request = next(asking)
            for reply in replies:
                self.asked.append([request] if isinstance(request, Request) else list(request))
                found = (
                    [one if isinstance(one, Completion) else text(one) for one in reply]
                    if isinstance(reply, list)
                    else [reply if isinstance(reply, Completion) else text(reply)]
                )
                request = asking.send(tuple(found) if isinstance(reply, list) else found[0])
            self.asked.append([request] if isinstance(request, Request) else list(request))
        except StopIteration as end:
            self.candidates = end.value

    @property
    def ids(self) -> list[list[str]]:
        return [[request.id for request in step] for step in self.asked]

    @property
    def one(self) -> Candidate:
        (candidate,) = self.candidates
        return candidate


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    return Bench


@pytest.fixture(scope="session")
def chain() -> Callable[..., Chain]:
    return Chain


@pytest.fixture
def pool(news_seeds: list[Sample]) -> Pool:
    return pool_of(news_seeds)


@pytest.fixture
def shipped() -> Callable[[str], Task]:
    """Return a shipped task by its name."""

    def load(name: str) -> Task:
        fields: Any = OmegaConf.to_container(OmegaConf.load(root() / f"conf/task/{name}.yaml"))
        return load_task(TaskConfig(**fields))

    return load
