"""Prompting by example: groups that share a prompt to the letter, and replies turned into candidates."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig, group_size
from synthgen.records import REWRITES, Completion, PlannedSlot, Sample, content_id
from synthgen.tasks.task import Task

Make = Callable[..., Prompting]


@pytest.fixture
def make(news_task: Task) -> Make:
    def prompting(seed: int = 0, **knobs: Any) -> Prompting:
        return Prompting(news_task, PromptingConfig(**knobs), Prompts(news_task.prompts), seed)

    return prompting


@pytest.fixture
def shown(news_seeds: list[Sample]) -> list[Sample]:
    return [seed for seed in news_seeds if seed.label == "sport"][:2]


def reply(text: str, finish_reason: str = "stop") -> Completion:
    return Completion(text=text, finish_reason=finish_reason)


def slots(
    prompting: Prompting, number: int, label: str | None, shown: Sequence[Sample], size: int = 16
) -> list[PlannedSlot]:
    return prompting.slots(Group(number, 16 * number, size, label, horizon=0), "fewshot", shown)


# -- planning --------------------------------------------------------------------------------------


def test_a_group_is_the_next_run_of_slots(make: Make, shown: list[Sample]) -> None:
    slots = make().slots(Group(3, 12, 4, "sport", 0), "fewshot", shown)
    assert [planned.slot for planned in slots] == [12, 13, 14, 15]
    assert {planned.group for planned in slots} == {3}
    assert {planned.label for planned in slots} == {"sport"}
    assert {planned.parents for planned in slots} == {tuple(sample.id for sample in shown)}


# -- asking ----------------------------------------------------------------------------------------


def test_a_demonstration_is_a_question_and_its_answer_without_the_label(make: Make, shown: list[Sample]) -> None:
    prompting = make()
    messages = prompting.request(slots(prompting, 0, "sport", shown)[0], shown).messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert {message.content for message in messages if message.role == "user"} == {
        "Write a new example of sport: matches, athletes, teams and the running of competitions. Label: sport"
    }
    assert json.loads(messages[2].content) == {"text": shown[0].data["text"]}


def test_a_foil_is_asked_for_by_its_own_label(make: Make, shown: list[Sample], news_seeds: list[Sample]) -> None:
    prompting, foil = make(), next(seed for seed in news_seeds if seed.label == "world")
    asked = prompting.request(slots(prompting, 0, "sport", [foil, *shown])[0], [foil, *shown]).messages[1::2]
    assert [message.content.rsplit(" ", 1)[1] for message in asked] == ["world", "sport", "sport", "sport"]


def test_seeds_of_other_labels_are_shown_for_single_items_of_tasks_with_labels(make: Make, news_task: Task) -> None:
    assert (make().foils(2), make().foils(0), make(items=3).foils(2)) == (2, 0, 0)
    plain = replace(news_task, kind="generation", target=("text",), input=(), labels={})
    assert Prompting(plain, PromptingConfig(), Prompts(news_task.prompts), 0).foils(2) == 0


def test_many_labels_have_smaller_groups() -> None:
    sizes = [group_size(PromptingConfig(), labels) for labels in (0, 4, 8, 16, 77)]
    assert sizes == [16, 16, 16, 8, 4]
    assert group_size(PromptingConfig(group=9), 77) == 9


def test_requests_of_a_group_differ_by_their_seed_alone(make: Make, shown: list[Sample]) -> None:
    prompting = make(temperature=0.8, min_p=0.1, max_tokens=99)
    requests = [prompting.request(planned, shown) for planned in slots(prompting, 0, "sport", shown, 3)]
    assert [request.id for request in requests] == ["0/generate", "1/generate", "2/generate"]
    assert len({request.messages for request in requests}) == 1
    assert len({request.sampling.seed for request in requests}) == 3
    assert {request.sampling.model_copy(update={"seed": None}) for request in requests} == {
        requests[0].sampling.model_copy(update={"seed": None})
    }
    sampling = requests[0].sampling
    assert (sampling.temperature, sampling.min_p, sampling.max_tokens) == (0.8, 0.1, 99)


def test_a_reply_may_not_repeat_a_demonstration(make: Make, shown: list[Sample]) -> None:
    prompting = make(copied_words=5)
    requests = [prompting.request(planned, shown) for planned in slots(prompting, 0, "sport", shown)]
    barred = requests[0].sampling.bad_words
    assert all(any(run in sample.data["text"] for run in barred) for sample in shown)
    assert {len(run.split()) for run in barred} == {5}
    assert all(request.sampling.bad_words is barred for request in requests)  # an endpoint spells it once
    free = make(copied_words=None)
    assert free.request(slots(free, 0, "sport", shown)[0], shown).sampling.bad_words == ()


def test_a_reply_may_repeat_the_sample_that_it_rewrites(make: Make, shown: list[Sample]) -> None:
    prompting = make()
    planned = slots(prompting, 0, "sport", shown)[0]
    rewriting = planned.model_copy(update={"given": {REWRITES: shown[0].id}})
    barred = [prompting.request(each, shown).sampling.bad_words for each in (rewriting, planned)]
    assert barred[0] and not any(run in shown[0].data["text"] for run in barred[0])
    assert any(run in shown[0].data["text"] for run in barred[1])


def test_a_resumed_run_asks_the_same(make: Make, shown: list[Sample]) -> None:
    first, again = make(seed=3), make(seed=3)
    planned = slots(first, 7, "sport", shown)[5]
    assert again.request(planned, shown) == first.request(planned, shown)


def test_a_turn_is_rendered_once_for_each_label(
    make: Make, shown: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[tuple[str, object]] = []
    render = Prompts.render

    def count(prompts: Prompts, template: str, block: str, **variables: object) -> str:
        rendered.append((block, variables["label"]))
        return render(prompts, template, block, **variables)

    monkeypatch.setattr(Prompts, "render", count)
    prompting = make()
    for label in ("business", "sport", "business"):
        prompting.messages(label, shown)
    assert len(rendered) == len(set(rendered)) > 0


def test_another_group_has_its_own_prompt(make: Make, shown: list[Sample]) -> None:
    prompting = make()
    one = prompting.request(slots(prompting, 0, "sport", shown[:1])[0], shown[:1])
    two = prompting.request(slots(prompting, 1, "sport", shown[1:])[0], shown[1:])
    assert one.messages != two.messages
    for group in range(2, 100):  # long after its prompt was forgotten, it is rendered the same
        prompting.request(slots(prompting, group, "world", ())[0], ())
    assert prompting.request(slots(prompting, 0, "sport", shown[:1])[0], shown[:1]) == one


def test_the_generator_is_free_in_all_but_the_label(make: Make) -> None:
    grammar = make().grammar
    assert grammar.kind == "json_schema"
    assert list(grammar.spec["properties"]) == ["text"]  # type: ignore[index, call-overload]


def test_several_items_are_asked_for_and_shown_as_a_list(make: Make, shown: list[Sample]) -> None:
    prompting = make(items=2)
    messages = prompting.request(slots(prompting, 0, "sport", shown)[0], shown).messages
    assert messages[-1].content.startswith("Write 2 new examples of sport: ")
    assert json.loads(messages[2].content) == {"items": [{"text": sample.data["text"]} for sample in shown]}
    assert len(messages) == 4


def test_a_seed_that_looks_like_a_template_is_shown_as_it_is(make: Make, shown: list[Sample]) -> None:
    hostile = shown[0].model_copy(update={"data": {"text": "{{ 7 * 7 }} {% raw %}", "label": "sport"}})
    prompting = make()
    messages = prompting.request(slots(prompting, 0, "sport", [hostile])[0], [hostile]).messages
    assert json.loads(messages[2].content) == {"text": "{{ 7 * 7 }} {% raw %}"}


# -- reading the reply -----------------------------------------------------------------------------


def test_a_reply_becomes_a_candidate_with_its_slots_label_and_lineage(
    make: Make, shown: list[Sample], news_task: Task
) -> None:
    prompting = make()
    old = [shown[0], shown[1].model_copy(update={"depth": 2})]
    planned = slots(prompting, 1, "sport", old)[3]
    (made,) = prompting.candidates(planned, reply('{"text": "The striker scored twice."}'), old)
    assert made.data == {"text": "The striker scored twice.", "label": "sport"}
    assert list(made.data or {}) == ["text", "label"]
    assert (made.slot, made.item, made.label, made.depth) == (planned.slot, 0, "sport", 3)
    assert made.parents == planned.parents
    assert made.id == content_id(made.data)
    assert made.template == Prompts(news_task.prompts).hash("generate")


def test_a_label_that_the_generator_adds_itself_does_not_count(make: Make, shown: list[Sample]) -> None:
    prompting = make()
    (made,) = prompting.candidates(
        slots(prompting, 0, "sport", ())[0], reply('{"label": "world", "text": "A war."}'), ()
    )
    assert made.data == {"text": "A war.", "label": "sport"}


def test_a_field_that_nobody_asked_for_is_kept_for_the_schema_check_to_see(make: Make) -> None:
    prompting = make()
    (made,) = prompting.candidates(slots(prompting, 0, "sport", ())[0], reply('{"mood": 1, "text": "Goal!"}'), ())
    assert made.data == {"text": "Goal!", "label": "sport", "mood": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sure! Here is one:",
        '{"text": "cut off',
        '["a list"]',
        '"a string"',
        '{"text": NaN}',
        '{"text": 1e999}',
        '{"text": "\\ud800"}',
        '{"text": ' + "9" * 5_000 + "}",
        "[" * 100_000,
    ],
    ids=lambda text: text[:16],
)
def test_a_reply_that_is_not_the_json_asked_for_is_a_candidate_without_data(text: str, make: Make) -> None:
    prompting = make()
    (made,) = prompting.candidates(slots(prompting, 0, "sport", ())[0], reply(text, "length"), ())
    assert made.data is None
    assert made.text == text
    assert made.finish_reason == "length"
    assert made.id == content_id(text)


def test_several_items_become_several_candidates(make: Make) -> None:
    prompting = make(items=2)
    planned = slots(prompting, 0, "sport", ())[0]
    text = '{"items": [{"text": "One."}, {"text": "Two."}]}'
    assert [(made.item, made.data) for made in prompting.candidates(planned, reply(text), ())] == [
        (0, {"text": "One.", "label": "sport"}),
        (1, {"text": "Two.", "label": "sport"}),
    ]


@pytest.mark.parametrize("text", ['{"text": "One."}', '{"items": []}', '{"items": ["x"]}', '{"items": 3}', "[]", "3"])
def test_a_reply_that_is_not_the_list_asked_for_is_one_candidate_without_data(text: str, make: Make) -> None:
    prompting = make(items=2)
    (made,) = prompting.candidates(slots(prompting, 0, "sport", ())[0], reply(text), ())
    assert made.data is None


def test_a_task_without_labels_gets_none(news_task: Task) -> None:
    plain = replace(news_task, kind="generation", target=("text",), input=(), labels={})
    prompts = Prompts(news_task.prompts.parent / "generation")
    prompting = Prompting(plain, PromptingConfig(), prompts, 0)
    (made,) = prompting.candidates(slots(prompting, 0, None, ())[0], reply('{"text": "x", "label": "sport"}'), ())
    assert made.label is None
    assert made.data == {"text": "x", "label": "sport"}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"group": 0}, "generate.group: must be 1 or more, got 0"),
        ({"temperature": -1}, "generate.temperature: must be from 0 to 5, got -1"),
        ({"top_p": 0}, "generate.top_p: must be above 0 and at most 1, got 0"),
        ({"copied_words": 1}, "generate.copied_words: must be 2 or more, or null, got 1"),
        ({"min_p": 1}, "generate.min_p: must be from 0 to below 1, got 1"),
    ],
)
def test_a_setting_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PromptingConfig(**knobs)
    assert str(caught.value) == message


def test_a_text_cut_off_by_its_field_is_cut_back_to_whole_sentences(make: Make, shown: list[Sample]) -> None:
    limit = make().schema["properties"]["text"]["maxLength"]
    text = ("The keeper saved twice. " + "And then " * limit)[:limit]
    for knobs, kept in (({}, "The keeper saved twice."), ({"whole_sentences": False}, text)):
        prompting = make(**knobs)
        (found,) = prompting.candidates(
            slots(prompting, 0, "sport", shown)[0], reply(json.dumps({"text": text})), shown
        )
        assert found.data == {"text": kept, "label": "sport"}
        assert found.id == content_id(found.data)
        assert text in found.text
