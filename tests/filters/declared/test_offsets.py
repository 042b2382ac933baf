"""Test the places of strings in their text, which an export fills in."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import DeclaredChecks, declared_checks
from synthgen.filters.declared.offsets import fillers, placed
from synthgen.records import Verdict
from synthgen.tasks.task import Task

OFFSETS = {"kind": "offsets", "field": "entities[].text", "in": "text"}


@pytest.mark.parametrize(
    ("text", "found", "starts"),
    [
        ("Ann met Bob in Rome.", ["Bob", "Rome"], [8, 15]),
        ("Paris, not Paris", ["Paris", "Paris"], [0, 11]),
        ("The New York Times is in New York", ["New York", "New York Times"], [25, 4]),
        ("Annual report by Ann", ["Ann"], [17]),
        ("Paris", ["Paris", "Paris"], [0, None]),
        ("University of Paris", ["University of Paris", "Paris"], [0, None]),
        ("王芳和王芳芳在北京", ["王芳", "王芳芳", "北京"], [0, 3, 7]),
        ("😀 Rome", ["Rome"], [2]),
        ("Rome", ["rome"], [None]),
    ],
)
def test_strings_get_places_in_order_and_longer_ones_first(
    text: str, found: list[str], starts: list[int | None]
) -> None:
    assert placed(found, text, overlap=False) == starts


def test_overlapping_places_are_given_where_the_task_allows_them() -> None:
    assert placed(["University of Paris", "Paris"], "University of Paris", overlap=True) == [0, 14]


def test_a_string_that_is_listed_too_often_is_rejected(verdict: Callable[..., Verdict]) -> None:
    entities = [{"text": "Rome"}, {"text": "Rome"}]
    found = verdict(OFFSETS, text="Rome is old.", entities=entities)
    assert (found.reason, found.details["field"]) == ("no_offset", "entities[1].text")
    assert verdict(OFFSETS, text="Rome is old, and Rome is big.", entities=entities).outcome == "pass"


def test_an_export_has_the_offsets_and_the_sample_is_unchanged(declaring: Callable[..., Task]) -> None:
    task = declaring(OFFSETS | {"end": "stop"})
    sample = {"text": "我在北京", "entities": [{"text": "北京", "type": "place"}]}
    [offsets] = fillers(task.checks, task)
    assert offsets.filled(sample)["entities"] == [{"text": "北京", "type": "place", "start": 2, "stop": 4}]
    assert sample["entities"] == [{"text": "北京", "type": "place"}]
    assert DeclaredChecks(task).without_offsets(offsets.filled(sample)) == sample


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"field": "tags[]"}, "'tags[]' is a list of strings, which has no room for offsets"),
        ({"start": "type"}, "'entities[].type' is a field of task.schema, which the model writes"),
        ({"start": "end"}, "'end' is also the key `start`"),
    ],
)
def test_wrong_keys_are_named(declaring: Callable[..., Task], change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declared_checks(declaring(OFFSETS | change))
    assert message in str(caught.value)
