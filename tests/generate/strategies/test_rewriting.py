"""Test what strategies that rewrite samples share: parents, lineage, prompts, replies that cannot be read."""

from collections.abc import Callable

import pytest
from rewriters import Slots, accepted, make, seeds_of

from synthgen.engines.prompts import Prompts
from synthgen.generate import kinds
from synthgen.records import REWRITES, Sample
from synthgen.tasks.task import Task

Shipped = Callable[[str], Task]
REWRITING = sorted(kinds.REWRITING)
WHOLE = tuple(name for name in REWRITING if name != "back_translation")
"""The strategies that ask for the whole sample at once."""


@pytest.fixture
def samples(news_seeds: list[Sample]) -> list[Sample]:
    return [*news_seeds, *(accepted(slot, "sport", 1 + slot % 6) for slot in range(80))]


@pytest.mark.parametrize("name", REWRITING)
def test_each_slot_rewrites_one_sample_from_before_the_horizon_and_above_the_depth_cap(
    name: str, news_task: Task, samples: list[Sample]
) -> None:
    slots = Slots(news_task, make(news_task, name), samples, "sport")
    assert [planned.slot for planned in slots.planned] == list(range(100, 116))
    parents = [slots.parent(planned) for planned in slots.planned]
    assert len({parent.id for parent in parents}) > 8
    assert all((parent.slot or 0) < 40 and parent.depth < 4 for parent in parents)
    assert [planned.given[REWRITES] for planned in slots.planned] == [parent.id for parent in parents]
    assert {planned.strategy for planned in slots.planned} == {name}


@pytest.mark.parametrize("name", REWRITING)
def test_a_group_of_few_samples_rewrites_each_as_often_as_the_others(name: str, news_task: Task) -> None:
    seeds = [next(seed for seed in seeds_of(news_task) if seed.label == label) for label in ("sport", "business")]
    slots = Slots(news_task, make(news_task, name), seeds, "sport", size=8)
    assert len({planned.parents for planned in slots.planned}) == 1
    assert len(slots.planned) == 8


@pytest.mark.parametrize("name", WHOLE)
def test_the_prompt_shows_the_sample_as_an_answer_and_slots_of_a_label_begin_alike(
    name: str, news_task: Task, samples: list[Sample]
) -> None:
    slots = Slots(news_task, make(news_task, name), samples, "sport")
    prompts = {}
    for place, planned in enumerate(slots.planned):
        _, (request,) = slots.ask("{}", place=place)
        assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
        parent = slots.parent(planned)
        assert request.messages[2].content == f'{{"text":"{parent.data["text"]}"}}'
        assert request.messages[1].content.endswith(f"Label: {parent.label}")
        assert request.messages[3].content.endswith("Label: sport")
        assert request.sampling.bad_words == ()
        prompts.setdefault(parent.label, set()).add(request.messages[:2])
    assert all(len(beginnings) == 1 for beginnings in prompts.values())


@pytest.mark.parametrize("name", WHOLE)
def test_the_reply_is_the_new_sample_with_its_lineage(name: str, news_task: Task, samples: list[Sample]) -> None:
    slots = Slots(news_task, make(news_task, name), samples, "sport")
    made, (request,) = slots.ask('{"text": "Keeper saves two penalties."}', place=3)
    planned = slots.planned[3]
    assert request.id == f"103/generate-{name}"
    assert made.data == {"text": "Keeper saves two penalties.", "label": "sport"}
    assert (made.parents, made.given, made.label) == (planned.parents, planned.given, "sport")
    assert made.depth == slots.parent(planned).depth + 1
    assert made.template == Prompts(news_task.prompts).hash(name)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("text", ["I am sorry.", "[1]", '{"text": "cut'])
def test_a_reply_that_is_no_json_object_is_a_candidate_without_data(
    name: str, text: str, news_task: Task, samples: list[Sample]
) -> None:
    made, _ = Slots(news_task, make(news_task, name), samples, "sport").ask(text)
    assert (made.data, made.text) == (None, text)


@pytest.mark.parametrize("name", REWRITING)
def test_every_grammar_that_is_sent_is_known_beforehand(name: str, news_task: Task, samples: list[Sample]) -> None:
    strategy = make(news_task, name)
    for known in (samples, []):
        slots = Slots(news_task, strategy, known, "sport")
        replies = ['{"text": "Torwart hält."}', '{"text": "Keeper saves."}'] if name == "back_translation" else ["{}"]
        _, requests = slots.ask(*replies[: None if known else 1])
        assert all(request.grammar in strategy.grammars for request in requests)


@pytest.mark.parametrize("name", REWRITING)
def test_without_any_sample_a_new_one_is_asked_for(name: str, news_task: Task) -> None:
    slots = Slots(news_task, make(news_task, name), [], "sport", size=2)
    assert [(planned.parents, planned.given) for planned in slots.planned] == [((), {})] * 2
    made, (request,) = slots.ask('{"text": "Keeper saves two penalties."}')
    assert request.id == "100/generate"
    assert made.data == {"text": "Keeper saves two penalties.", "label": "sport"}


@pytest.mark.parametrize("name", ["evolve", "paraphrase"])
def test_in_an_extraction_task_text_and_spans_are_written_anew(name: str, shipped: Shipped) -> None:
    task = shipped("zh_entities")
    slots = Slots(task, make(task, name), seeds_of(task), next(iter(task.asked), None), size=2)
    reply = '{"text": "小王去了上海。", "entities": []}'
    made, (request,) = slots.ask(reply)
    assert made.data == {"text": "小王去了上海。", "entities": []}
    assert "逐字抄写" in request.messages[0].content
    assert request.messages[2].content.startswith('{"text":"')


@pytest.mark.parametrize("name", ["evolve", "paraphrase"])
def test_assigned_values_are_asked_for_again(name: str, shipped: Shipped) -> None:
    task = shipped("passage_qa")
    label = task.asked[-1]
    slots = Slots(task, make(task, name), seeds_of(task), label, size=2)
    _, (request,) = slots.ask("[]")
    assert all(f": {wish.text}" in request.messages[-1].content for wish in task.assigned.wishes[label])
