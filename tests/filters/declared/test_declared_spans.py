"""Strings that must stand in another field: whole words, letter by letter, wherever the script has words."""

from collections.abc import Callable

import pytest

from synthgen.filters.declared.kinds import declared_checks
from synthgen.records import Candidate
from synthgen.tasks.task import Task

SPANS = {"kind": "spans", "field": "entities[].text", "in": "text"}
TEXT = "Ann met Mr. O'Hara (of Rome) in New York."


def entities(*texts: str) -> list[dict[str, str]]:
    return [{"text": text, "type": "place"} for text in texts]


@pytest.mark.parametrize(
    ("text", "found", "passes"),
    [
        (TEXT, ["Ann", "New York", "Rome", "Mr. O'Hara", "(of Rome)"], True),
        (TEXT, [], True),
        (TEXT, ["ann"], False),
        (TEXT, ["New  York"], False),
        (TEXT, ["Paris"], False),
        ("Annual report", ["Ann"], False),
        ("Annual report by Ann", ["Ann"], True),
        ("Das liegt in München.", ["Münch"], False),
        ("我昨天在北京大学见到了王芳。", ["北京", "王芳"], True),
        ("我昨天在北京大学见到了王芳。", ["上海"], False),
        ("서울에서 만나자", ["서울"], True),
    ],
)
async def test_each_string_stands_in_the_text_as_whole_words(
    declaring: Callable[..., Task], of: Callable[..., Candidate], text: str, found: list[str], passes: bool
) -> None:
    [check] = declared_checks(declaring(SPANS))
    verdict = await check(of(text=text, entities=entities(*found)))
    assert (verdict.check, verdict.outcome) == ("spans", "pass" if passes else "reject")


async def test_a_rejection_says_which_string_of_which_item(
    declaring: Callable[..., Task], of: Callable[..., Candidate]
) -> None:
    [check] = declared_checks(declaring(SPANS))
    verdict = await check(of(text=TEXT, entities=entities("Rome", "Oslo")))
    assert verdict.reason == "no_span"
    assert verdict.details == {"field": "entities[1].text", "value": "Oslo", "in": "text"}


async def test_a_list_of_strings_and_a_field_that_a_sample_lacks(
    declaring: Callable[..., Task], of: Callable[..., Candidate]
) -> None:
    [check] = declared_checks(declaring({"kind": "spans", "field": "tags[]", "in": "text"}))
    assert (await check(of(text=TEXT, tags=["Rome", "Bonn"]))).details["field"] == "tags[1]"
    assert (await check(of(text=TEXT))).outcome == "pass"


async def test_several_fields_in_several_texts(declaring: Callable[..., Task], of: Callable[..., Candidate]) -> None:
    check = {"kind": "spans", "field": ["tags[]", "entities[].text"], "in": ["text", "title"]}
    schema = {**declaring().schema, "properties": {**declaring().schema["properties"], "title": {"type": "string"}}}
    [check_] = declared_checks(declaring(check, schema=schema))
    assert (await check_(of(text=TEXT, title="北京", tags=["Rome"], entities=entities("北京")))).outcome == "pass"
    found = await check_(of(text=TEXT, title="北京", tags=["Rome"], entities=entities("上海")))
    assert found.details == {"field": "entities[0].text", "value": "上海", "in": "text or title"}


async def test_strings_of_a_turn_stand_in_the_text_of_that_turn(
    declaring: Callable[..., Task], of: Callable[..., Candidate]
) -> None:
    text = {"type": "string"}
    slots = {"type": "array", "items": {"type": "object", "properties": {"value": text}}}
    turns = {"type": "array", "items": {"type": "object", "properties": {"text": text, "slots": slots}}}
    task = declaring(
        {"kind": "spans", "field": "turns[].slots[].value", "in": "turns[].text"},
        schema={"type": "object", "properties": {"turns": turns, "topic": text}}, input=["turns"], target=["topic"],
    )  # fmt: skip
    [check] = declared_checks(task)
    said = [{"text": "To Rome.", "slots": [{"value": "Rome"}]}, {"text": "When?", "slots": []}]
    assert (await check(of(turns=said))).outcome == "pass"
    said[1]["slots"] = said[0]["slots"]
    assert (await check(of(turns=said))).details["field"] == "turns[1].slots[0].value"
