"""Strategies: what each shows, how one is chosen for each group, and how a slot's requests are sent."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError, RetryableError
from synthgen.generate.kinds import GenerateConfig, Materials, StrategiesConfig, make_strategies
from synthgen.generate.mix import Mix, group_rng
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategies.fewshot import FewShot, FewShotConfig
from synthgen.generate.strategies.seeds_only import SeedsOnly, SeedsOnlyConfig
from synthgen.generate.strategy import Asking, Resources, Strategy, answered
from synthgen.judge.pairwise import PairPrompt
from synthgen.ledger.order import SampleOrder
from synthgen.records import Candidate, Completion, Grammar, Json, Message, PlannedSlot, Request, Sample
from synthgen.tasks.task import Task


@pytest.fixture
def prompting(news_task: Task) -> Prompting:
    return Prompting(news_task, PromptingConfig(), Prompts(news_task.prompts), 0)


@pytest.fixture
def known(news_seeds: list[Sample], synthetic: Callable[..., Sample]) -> dict[str, Sample]:
    """Every seed, and forty accepted samples about sport."""
    accepted = [synthetic(slot, "sport") for slot in range(40)]
    return {sample.id: sample for sample in [*news_seeds, *accepted]}


@pytest.fixture
def pool(known: dict[str, Sample]) -> Pool:
    pool = Pool(PoolConfig(seed_floor=0.0), order := SampleOrder(), known.__getitem__)
    for sample in known.values():
        pool.add(sample, order.add(sample))
    return pool


@pytest.fixture
def synthetic() -> Callable[..., Sample]:
    def make(slot: int, label: str) -> Sample:
        return Sample(
            id=f"{slot:032x}", data={"text": f"sample {slot}", "label": label}, origin="synthetic", label=label, slot=slot,
            item=0, depth=1 + slot % 3,
        )  # fmt: skip

    return make


def origins(slots: Sequence[PlannedSlot], known: dict[str, Sample]) -> list[tuple[str, bool]]:
    """(origin, whether it has the slot's label) of each sample that the first slot shows."""
    first = slots[0]
    return [(known[parent].origin, known[parent].label == first.label) for parent in first.parents]


def strategies_of(prompting: Prompting, cfg: GenerateConfig) -> list[Strategy]:
    task, prompts = prompting.task, prompting.prompts
    return make_strategies(Materials(cfg, task, prompts, prompting, [], 0, PairPrompt(task, prompts, 0)))


GROUP = Group(5, 100, 3, "sport", horizon=40)


# -- the two that there are ------------------------------------------------------------------------


def test_few_shot_shows_what_was_accepted_after_seeds_of_other_labels(
    prompting: Prompting, pool: Pool, known: dict[str, Sample]
) -> None:
    slots = FewShot(FewShotConfig(demonstrations=4, foils=2), prompting).plan(GROUP, random.Random(0), pool)
    assert [planned.slot for planned in slots] == [100, 101, 102]
    assert {(planned.group, planned.label, planned.strategy) for planned in slots} == {(5, "sport", "fewshot")}
    assert len({planned.parents for planned in slots}) == 1
    assert origins(slots, known) == [("seed", False)] * 2 + [("synthetic", True)] * 4


def test_few_shot_shows_nothing_that_was_accepted_after_the_horizon(
    prompting: Prompting, pool: Pool, known: dict[str, Sample]
) -> None:
    strategy = FewShot(FewShotConfig(), prompting)
    for number in range(20):
        slots = strategy.plan(Group(number, 0, 1, "sport", horizon=3), group_rng(0, number), pool)
        assert all((known[parent].slot or 0) < 3 for parent in slots[0].parents)


def test_seeds_only_shows_no_accepted_sample(prompting: Prompting, pool: Pool, known: dict[str, Sample]) -> None:
    strategy = SeedsOnly(SeedsOnlyConfig(demonstrations=3, foils=2), prompting)
    slots = strategy.plan(GROUP, random.Random(0), pool)
    assert {planned.strategy for planned in slots} == {"seeds_only"}
    assert origins(slots, known) == [("seed", False)] * 2 + [("seed", True)] * 3


def test_seeds_only_shows_all_seeds_of_a_label_that_has_few(
    prompting: Prompting, pool: Pool, known: dict[str, Sample]
) -> None:
    slots = SeedsOnly(SeedsOnlyConfig(demonstrations=50, foils=0), prompting).plan(GROUP, random.Random(0), pool)
    assert set(slots[0].parents) == {seed.id for seed in pool.seeds("sport")}


@pytest.mark.parametrize("name", ["fewshot", "seeds_only"])
def test_a_reply_becomes_a_candidate_with_strategy_and_lineage(
    name: str, prompting: Prompting, pool: Pool, known: dict[str, Sample]
) -> None:
    (strategy,) = strategies_of(prompting, GenerateConfig(strategies=StrategiesConfig(**{name: 1.0})))
    planned = strategy.plan(GROUP, random.Random(0), pool)[0]
    shown = [known[parent] for parent in planned.parents]
    asking = strategy.ask(planned, shown)
    request = next(asking)
    assert request.grammar in strategy.grammars
    with pytest.raises(StopIteration) as end:
        asking.send(Completion(text='{"text": "The striker scored twice."}', finish_reason="stop"))
    (made,) = end.value.value
    assert (made.strategy, made.parents) == (name, planned.parents)
    assert made.depth == 1 + max(sample.depth for sample in shown)


# -- weights ---------------------------------------------------------------------------------------


def test_without_weights_few_shot_is_used_alone() -> None:
    assert StrategiesConfig().shares() == {"fewshot": 1.0}


def test_a_strategy_that_is_not_named_is_not_used() -> None:
    assert StrategiesConfig(seeds_only=0.2).shares() == {"seeds_only": 1.0}
    assert StrategiesConfig(fewshot=0.0, seeds_only=3).shares() == {"seeds_only": 1.0}


def test_weights_need_not_sum_to_one() -> None:
    assert StrategiesConfig(fewshot=3, seeds_only=1).shares() == {"fewshot": 0.75, "seeds_only": 0.25}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"fewshot": -0.5}, "generate.strategies.fewshot: must be a number of 0 or more, got -0.5"),
        ({"seeds_only": float("nan")}, "generate.strategies.seeds_only: must be a number of 0 or more, got nan"),
        ({"fewshot": float("inf")}, "generate.strategies.fewshot: must be a number of 0 or more, got inf"),
        ({"fewshot": 0.0, "seeds_only": 0.0}, "every weight is 0; set one of fewshot, "),
    ],
)
def test_a_weight_that_cannot_be_used_is_named(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StrategiesConfig(**weights)
    assert message in str(caught.value)


@pytest.mark.parametrize("config", [FewShotConfig, SeedsOnlyConfig])
def test_a_number_of_samples_out_of_range_is_named(config: type[Any]) -> None:
    with pytest.raises(ConfigError, match=r"\.demonstrations: must be 1 or more, got 0"):
        config(demonstrations=0)
    with pytest.raises(ConfigError, match=r"\.foils: must be 0 or more, got -1"):
        config(foils=-1)


# -- a strategy for each group ---------------------------------------------------------------------


def mixed(prompting: Prompting, seed: int = 0, **weights: float) -> Mix:
    cfg = GenerateConfig(strategies=StrategiesConfig(**weights))
    return Mix(strategies_of(prompting, cfg), cfg.strategies.shares(), seed)


def chosen(mix: Mix, pool: Pool, groups: Sequence[int]) -> list[str]:
    return [mix.plan(Group(number, number, 1, "sport", 0), pool)[0].strategy for number in groups]


def test_groups_are_divided_by_weight(prompting: Prompting, pool: Pool) -> None:
    counts = Counter(chosen(mixed(prompting, fewshot=0.7, seeds_only=0.3), pool, range(2000)))
    assert counts["fewshot"] / 2000 == pytest.approx(0.7, abs=0.04)


def test_the_first_groups_try_every_strategy(prompting: Prompting, pool: Pool) -> None:
    assert chosen(mixed(prompting, fewshot=0.01, seeds_only=0.99), pool, [0, 1]) == ["seeds_only", "fewshot"]


def test_a_groups_strategy_and_samples_do_not_depend_on_the_groups_before(prompting: Prompting, pool: Pool) -> None:
    def plans(order: Sequence[int], seed: int = 0) -> dict[int, list[PlannedSlot]]:
        mix = mixed(prompting, seed, fewshot=1, seeds_only=1)
        return {number: mix.plan(Group(number, number, 1, "sport", 40), pool) for number in order}

    assert plans(range(40)) == plans(range(39, -1, -1))
    assert plans(range(40)) != plans(range(40), seed=1)


def test_mixing_leaves_what_a_strategys_groups_show_as_it_is(prompting: Prompting, pool: Pool) -> None:
    alone, mix = mixed(prompting, fewshot=1), mixed(prompting, fewshot=1, seeds_only=1)
    for number in range(20):
        group = Group(number, number, 1, "sport", 40)
        (planned,) = mix.plan(group, pool)
        assert planned.strategy != "fewshot" or [planned] == alone.plan(group, pool)


def test_a_slot_that_an_earlier_version_steered_is_asked_for_as_few_shot(
    prompting: Prompting, pool: Pool, known: dict[str, Sample]
) -> None:
    mix = mixed(prompting, fewshot=1)
    (planned,) = mix.plan(Group(0, 0, 1, "sport", 40), pool)
    steered = planned.model_copy(update={"strategy": "steered"})
    shown = [known[parent] for parent in planned.parents]
    assert next(mix.ask(steered, shown)) == next(mix.ask(planned, shown))


def test_a_grammar_that_several_strategies_send_is_compiled_once(prompting: Prompting) -> None:
    assert len(mixed(prompting, fewshot=1, seeds_only=1).grammars) == 1


# -- any number of requests ------------------------------------------------------------------------


class Dialogue:
    """Asks for an answer to the first reply; without a first question it makes a candidate by itself."""

    name = "dialogue"
    grammars: tuple[Grammar, ...] = ()

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        raise NotImplementedError

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        text = ""
        if planned.label:
            question = yield Request(id=f"{planned.slot}/generate", messages=_said(planned.label))
            answer = yield Request(id=f"{planned.slot}/generate-answer", messages=_said(question.text))
            text = f"{question.text} {answer.text}"
        return [
            Candidate(
                id="c", slot=planned.slot, item=0, text=text, data={"text": text}, finish_reason="stop", parents=(), depth=1,
                strategy=self.name, template="",
            )
        ]  # fmt: skip


def _said(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def slot(label: str | None) -> PlannedSlot:
    return PlannedSlot(slot=3, group=0, label=label, strategy="dialogue", parents=())


def test_a_slots_requests_are_sent_one_after_another() -> None:
    sent: list[str] = []

    async def complete(request: Request) -> Completion:
        sent.append(request.id)
        return Completion(text=request.messages[0].content + "!", finish_reason="stop")

    strategy: Strategy = Dialogue()
    (made,) = asyncio.run(answered(strategy.ask(slot("Why?"), ()), complete))
    assert made.text == "Why?! Why?!!"
    assert sent == ["3/generate", "3/generate-answer"]


def test_a_strategy_without_requests_makes_its_candidates_without_a_model() -> None:
    async def complete(request: Request) -> Completion:
        raise AssertionError(request)

    (made,) = asyncio.run(answered(Dialogue().ask(slot(None), ()), complete))
    assert made.data == {"text": ""}


def test_a_request_that_fails_ends_its_slot() -> None:
    async def complete(request: Request) -> Completion:
        raise RetryableError("busy")

    asking = Dialogue().ask(slot("Why?"), ())
    with pytest.raises(RetryableError):
        asyncio.run(answered(asking, complete))
    assert list(asking) == []  # it is closed


def test_weights_whose_sum_no_number_holds_still_have_shares() -> None:
    assert StrategiesConfig(fewshot=1e308, seeds_only=1e308).shares() == {"fewshot": 0.5, "seeds_only": 0.5}


# -- before the first slot -------------------------------------------------------------------------


class Prepared:
    """A strategy that looks something up once for a run."""

    name = "prepared"
    grammars: Sequence[Grammar] = ()

    def __init__(self) -> None:
        self.begun = 0
        self.found: Json = {}

    async def begin(self, resources: Resources) -> Json:
        self.begun += 1
        resources.say("looking")
        return {"leaves": ["a", "b"]}

    async def restore(self, found: Json, resources: Resources) -> None:
        self.found = found

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        raise NotImplementedError

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        raise NotImplementedError


def test_a_strategy_prepares_once_and_a_later_session_takes_over_what_it_found() -> None:
    async def complete(request: Request) -> Completion:
        raise AssertionError(request)

    async def embed(texts: Sequence[str]) -> None:
        raise AssertionError(texts)

    said: list[str] = []
    first, second = Prepared(), Prepared()
    resources = Resources(complete, embed, said.append)
    found = asyncio.run(Mix([first], {"prepared": 1.0}, 0).begin(resources, {}))
    again = asyncio.run(Mix([second], {"prepared": 1.0}, 0).begin(resources, found))
    assert found == again == {"prepared": {"leaves": ["a", "b"]}}
    assert (first.begun, second.begun, said) == (1, 0, ["looking"])
    assert first.found == second.found == {"leaves": ["a", "b"]}
