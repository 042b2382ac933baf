"""Test checks on values that depend on other values: allowed, member, pairs and empty_when."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import declared_checks
from synthgen.records import Json, Verdict
from synthgen.tasks.task import Task

SLOTS = {
    "kind": "allowed", "field": "slots[].slot", "by": "intent",
    "values": {"play_music": ["artist", "song"], "set_alarm": ["time"], "stop": []},
}  # fmt: skip
ROLES = {
    "kind": "allowed", "field": "events[].arguments[].role", "by": "events[].type",
    "values": {"hire": ["employer"], "attack": ["target"]},
}  # fmt: skip
MEMBER = {"kind": "member", "field": ["relations[].head", "relations[].tail"], "of": "entities[].text"}
PAIRS = {
    "kind": "pairs", "relation": "relations[].type", "head": "relations[].head", "tail": "relations[].tail",
    "entity": "entities[].text", "type": "entities[].type",
    "values": {"founded": [["person", "company"]], "located_in": [["company", "place"], ["place", "place"]]},
}  # fmt: skip
ENTITIES = [
    {"text": "Ana Weiss", "type": "person"}, {"text": "Lumo", "type": "company"}, {"text": "Bergen", "type": "place"},
    {"text": "Norway", "type": "place"}, {"text": "Jordan", "type": "person"}, {"text": "Jordan", "type": "place"},
]  # fmt: skip


def slots(*names: str) -> list[Json]:
    return [{"slot": name, "text": "x"} for name in names]


def relation(head: str, name: str, tail: str) -> Json:
    return {"head": head, "type": name, "tail": tail}


@pytest.mark.parametrize(
    ("intent", "names", "rejected"),
    [
        ("play_music", ["artist", "song", "song"], None),
        ("play_music", ["artist", "time"], "slots[1].slot"),
        ("set_alarm", ["song"], "slots[0].slot"),
        ("stop", ["time"], "slots[0].slot"),
        ("play_music", ["Song"], "slots[0].slot"),
        ("weather", ["place"], None),
    ],
)
def test_the_slots_of_an_intent_are_those_that_the_task_allows(
    verdict: Callable[..., Verdict], intent: str, names: list[str], rejected: str | None
) -> None:
    found = verdict(SLOTS, intent=intent, slots=slots(*names))
    assert (found.reason, found.details.get("field")) == ("not_allowed" if rejected else None, rejected)


def test_each_event_allows_its_own_roles(verdict: Callable[..., Verdict]) -> None:
    def event(kind: str, role: str) -> Json:
        return {"type": kind, "arguments": [{"role": role}]}

    assert verdict(ROLES, events=[event("hire", "employer"), event("attack", "target")]).outcome == "pass"
    found = verdict(ROLES, events=[event("hire", "employer"), event("attack", "employer")])
    assert found.reason == "not_allowed"
    assert found.details == {"field": "events[1].arguments[0].role", "value": "employer", "by": "attack"}


def test_a_value_that_is_no_text_is_compared_as_its_json(verdict: Callable[..., Verdict]) -> None:
    check = {"kind": "allowed", "field": "grade", "by": "passed", "values": {True: [1, 2], "false": [3]}}
    assert verdict(check, passed=True, grade=2).outcome == "pass"
    assert verdict(check, passed=False, grade=2).reason == "not_allowed"


@pytest.mark.parametrize(
    ("head", "tail", "rejected"),
    [
        ("Ana Weiss", "Lumo", None),
        ("ana weiss", "Lumo", "relations[0].head"),
        ("Weiss", "Lumo", "relations[0].head"),
        ("Ana Weiss", "Oslo", "relations[0].tail"),
    ],
)
def test_the_arguments_of_a_relation_are_entities_of_the_sample(
    verdict: Callable[..., Verdict], head: str, tail: str, rejected: str | None
) -> None:
    found = verdict(MEMBER, entities=ENTITIES, relations=[relation(head, "founded", tail)])
    assert (found.reason, found.details.get("field")) == ("no_member" if rejected else None, rejected)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (relation("Ana Weiss", "founded", "Lumo"), None),
        (relation("Lumo", "founded", "Ana Weiss"), "no_pair"),
        (relation("Ana Weiss", "founded", "Bergen"), "no_pair"),
        (relation("Lumo", "located_in", "Bergen"), None),
        (relation("Bergen", "located_in", "Norway"), None),
        (relation("Ana Weiss", "located_in", "Bergen"), "no_pair"),
        (relation("Jordan", "founded", "Lumo"), None),
        (relation("Lumo", "located_in", "Jordan"), None),
        (relation("Ana Weiss", "founded", "Orla"), "no_pair"),
        (relation("Ana Weiss", "married_to", "Jordan"), None),
    ],
)
def test_a_relation_connects_entities_of_fitting_types(
    verdict: Callable[..., Verdict], found: Json, reason: str | None
) -> None:
    relations = [relation("Ana Weiss", "founded", "Lumo"), found]
    told = verdict(PAIRS, entities=ENTITIES, relations=relations)
    assert told.reason == reason
    if reason:
        assert told.details["field"] == "relations[1].type"


@pytest.mark.parametrize(
    ("answerable", "answer", "reason"),
    [
        ("no", "", None),
        ("no", " ", None),
        ("no", "in May", "not_empty"),
        ("yes", "in May", None),
        ("yes", "0", None),
        ("yes", "", "left_empty"),
        ("yes", "\n", "left_empty"),
    ],
)
def test_a_question_without_an_answer_has_none(
    verdict: Callable[..., Verdict], answerable: str, answer: str, reason: str | None
) -> None:
    check = {"kind": "empty_when", "field": "answer", "by": "answerable", "empty": ["no"]}
    assert verdict(check, answerable=answerable, answer=answer).reason == reason


def test_lists_are_empty_too_and_false_is_the_default(verdict: Callable[..., Verdict]) -> None:
    check = {"kind": "empty_when", "field": "questions[].spans", "by": "questions[].answerable"}
    right = [{"answerable": True, "spans": ["x"]}, {"answerable": False, "spans": []}]
    assert verdict(check, questions=right).outcome == "pass"
    wrong = verdict(check, questions=[{"answerable": True, "spans": ["x"]}, {"answerable": True, "spans": []}])
    assert (wrong.reason, wrong.details["field"]) == ("left_empty", "questions[1].spans")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"kind": "allowed", "by": "text", "values": {}}, "values: is empty; write {value of `by`"),
        ({"kind": "allowed", "by": "text", "values": {"a": "person"}}, "values: 'a' has 'person' and needs a list"),
        (
            {"kind": "allowed", "by": "text", "values": {"a": ["persn"]}},
            "values: 'persn' is not a value of entities[].type in task.schema; did you mean 'person'?",
        ),
        ({"kind": "allowed", "by": "entities[].type", "values": {"a": []}}, "by: 'entities[].type' is the same as `field`"),
        ({"kind": "empty_when", "by": "text", "empty": []}, "empty: names no value; write those of 'text'"),
        (
            {"kind": "empty_when", "field": "tags", "by": "entities[].type", "empty": ["planet"]},
            "empty: 'planet' is not a value of entities[].type in task.schema; ",
        ),
        ({"kind": "member", "of": "entities[].type"}, "of: 'entities[].type' is the same as `field`"),
        (
            PAIRS | {"relation": "text", "head": "text", "tail": "text", "values": {"a": ["person"]}},
            "values: 'a' has 'person', which is not a pair of types; write {relation type: [[type of head",
        ),
        (
            PAIRS | {"relation": "text", "head": "text", "tail": "text", "values": {"a": [["person", "plce"]]}},
            "values: 'plce' is not a value of entities[].type in task.schema; did you mean 'place'?",
        ),
    ],
)  # fmt: skip
def test_wrong_keys_are_named(declaring: Callable[..., Task], check: dict[str, Any], message: str) -> None:
    field = {} if check["kind"] == "pairs" else {"field": "entities[].type"}
    with pytest.raises(ConfigError) as caught:
        declared_checks(declaring({**field, **check}))
    assert f"task.checks[0].{message}" in str(caught.value)
