"""Plan and ask as a run does, for tests of strategies that rewrite samples."""

import random
from collections.abc import Sequence

from synthgen.engines.prompts import Prompts
from synthgen.generate.kinds import GenerateConfig, Materials, StrategiesConfig, make_strategies
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategy import Strategy
from synthgen.judge.pairwise import PairPrompt
from synthgen.ledger.order import SampleOrder
from synthgen.records import Candidate, Completion, Json, PlannedSlot, Request, Sample, content_id
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task


def seeds_of(task: Task) -> list[Sample]:
    rows = read_samples(task.seeds, task, "seed")
    return [Sample(id=content_id(row), data=row, origin="seed", label=task.asked_of(row)) for row in rows]


def make(task: Task, name: str, cfg: GenerateConfig | None = None) -> Strategy:
    """Return the strategy of this name, as a run makes it."""
    cfg = cfg or GenerateConfig()
    cfg.strategies = StrategiesConfig(**{name: 1.0})
    prompts = Prompts(task.prompts, task.language)
    prompting = Prompting(task, PromptingConfig(), prompts, 0)
    materials = Materials(cfg, task, prompts, prompting, seeds_of(task), 0, PairPrompt(task, prompts, 0))
    (strategy,) = make_strategies(materials)
    return strategy


class Slots:
    """The slots of one group, and the samples that they may show."""

    def __init__(self, task: Task, strategy: Strategy, samples: Sequence[Sample], label: str | None, size: int = 16):
        self.known = {sample.id: sample for sample in samples}
        pool = Pool(PoolConfig(seed_floor=0.0), order := SampleOrder(), self.known.__getitem__)
        for sample in samples:
            pool.add(sample, order.add(sample))
        self.planned = strategy.plan(Group(5, 100, size, label, horizon=40), random.Random(0), pool)
        self._strategy = strategy

    def parent(self, planned: PlannedSlot) -> Sample:
        (parent,) = planned.parents
        return self.known[parent]

    def ask(self, *replies: str, place: int = 0) -> tuple[Candidate, list[Request]]:
        """Return the candidate that comes of a slot when its requests get these replies, and the requests."""
        planned = self.planned[place]
        asking = self._strategy.ask(planned, [self.known[parent] for parent in planned.parents])
        requests = [next(asking)]
        try:
            for text in replies:
                requests.append(asking.send(Completion(text=text, finish_reason="stop")))
        except StopIteration as end:
            (made,) = end.value
            return made, requests
        raise AssertionError(f"it asks for more: {requests[-1].id}")


def accepted(slot: int, label: str, depth: int = 1, **data: str) -> Sample:
    fields: Json = {"text": f"sample {slot}", "label": label} | data
    return Sample(id=f"{slot:032x}", data=fields, origin="synthetic", label=label, slot=slot, item=0, depth=depth)
