"""Back-translation: there, back, and the fields that quote the text once more; what it keeps, what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from rewriters import Slots, make, seeds_of

from synthgen.errors import ConfigError
from synthgen.generate.kinds import GenerateConfig
from synthgen.generate.strategies.back_translation import BackTranslationConfig
from synthgen.records import LANGUAGE, Sample
from synthgen.tasks.task import Task

Shipped = Callable[[str], Task]
THERE, BACK = '{"text": "Der Torwart hielt zwei Elfmeter."}', '{"text": "The goalkeeper held two penalties."}'


@pytest.fixture
def news(news_task: Task, news_seeds: list[Sample]) -> Slots:
    return Slots(news_task, make(news_task, "back_translation"), news_seeds, "sport")


def test_a_text_goes_through_one_of_the_languages_and_keeps_its_label(news: Slots) -> None:
    made, requests = news.ask(THERE, BACK)
    planned = news.planned[0]
    assert [request.id for request in requests] == ["100/generate-away", "100/generate-back"]
    away, back = requests
    assert f"into {planned.given[LANGUAGE]}" in away.messages[0].content
    assert json.loads(away.messages[1].content) == {"text": news.parent(planned).data["text"]}
    assert f"from {planned.given[LANGUAGE]} into English" in back.messages[0].content
    assert json.loads(back.messages[1].content) == json.loads(THERE)
    assert made.data == {"text": "The goalkeeper held two penalties.", "label": "sport"}
    assert made.given == planned.given
    assert {each.given[LANGUAGE] for each in news.planned} == {"French", "German", "Spanish"}


@pytest.mark.parametrize("replies", [["no"], ['{"text": " "}'], [THERE, "{"], [THERE, '{"text": 3}']])
def test_a_bad_reply_at_either_step_ends_the_chain_with_a_candidate_without_data(
    news: Slots, replies: list[str]
) -> None:
    made, requests = news.ask(*replies)
    assert (made.data, made.text, len(requests)) == (None, replies[-1], len(replies))


def test_the_other_language_may_take_more_characters_than_the_task_allows(news: Slots, news_task: Task) -> None:
    _, requests = news.ask(THERE, BACK)
    there, back = (request.grammar.spec["properties"]["text"] for request in requests)  # type: ignore[union-attr,index]
    assert there["maxLength"] > back["maxLength"] == news_task.schema["properties"]["text"]["maxLength"]


def test_targets_that_do_not_quote_the_text_are_kept(shipped: Shipped) -> None:
    task = shipped("instruction")
    seeds = [seed for seed in seeds_of(task) if not seed.data["input"]]
    slots = Slots(task, make(task, "back_translation"), seeds, None)
    made, (away, _) = slots.ask(
        '{"instruction": "Nenne drei.", "input": ""}', '{"instruction": "Name three.", "input": "x"}'
    )
    parent = slots.parent(slots.planned[0])
    assert json.loads(away.messages[1].content) == {"instruction": parent.data["instruction"]}
    assert made.data == parent.data | {"instruction": "Name three."}


def test_spans_are_asked_for_anew_with_the_old_text_as_an_example(shipped: Shipped) -> None:
    task = shipped("entities")
    seeds = [seed for seed in seeds_of(task) if seed.data["entities"]]
    slots = Slots(task, make(task, "back_translation"), seeds, seeds[0].label)
    spans = [{"text": "Rome", "type": "place"}]
    texts = ('{"text": "Sie zog nach Rom."}', '{"text": "She moved to Rome."}')
    made, requests = slots.ask(*texts, json.dumps({"entities": spans}))
    assert [request.id for request in requests][2:] == ["100/generate-targets"]
    _, old, kept, new = (message.content for message in requests[2].messages)
    parent = slots.parent(slots.planned[0])
    assert json.loads(old) | json.loads(kept) == parent.data
    assert json.loads(new) == {"text": "She moved to Rome."}
    assert made.data == {"text": "She moved to Rome.", "entities": spans}
    bad, _ = slots.ask(*texts, "none")
    assert (bad.data, bad.text) == (None, "none")


@pytest.mark.parametrize(
    ("name", "said"),
    [("code_completion", "the input field 'prefix' is code"), ("tool_calls", "no input field is a text of its own")],
)
def test_an_input_that_cannot_be_translated_is_refused(name: str, said: str, shipped: Shipped) -> None:
    with pytest.raises(ConfigError, match=rf"generate\.strategies\.back_translation: {said}"):
        make(shipped(name), "back_translation")


def test_an_input_in_another_language_than_the_tasks_is_refused(shipped: Shipped) -> None:
    task = replace(shipped("translation"), language="de")
    with pytest.raises(ConfigError, match="is not in the task's language, de"):
        make(task, "back_translation")


@pytest.mark.parametrize("languages", [[], ["German", " "]])
def test_languages_must_have_names(languages: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"generate\.back_translation\.languages: name at least one language"):
        BackTranslationConfig(languages=languages)


def test_the_config_lists_the_languages(news_task: Task, news_seeds: list[Sample]) -> None:
    cfg = GenerateConfig(back_translation=BackTranslationConfig(languages=["Dutch"]))
    slots = Slots(news_task, make(news_task, "back_translation", cfg), news_seeds, "sport")
    assert {planned.given[LANGUAGE] for planned in slots.planned} == {"Dutch"}
