"""The forms of a classification task's target: one label, a grade, or several labels."""

from collections import Counter
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.tasks.assign import label_sets
from synthgen.tasks.labels import read_labels


def schema(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"text": {"type": "string"}, "label": part}, "required": ["label"]}


def test_an_integer_enum_is_a_scale_of_grades_in_ascending_order() -> None:
    found = read_labels(["label"], schema({"type": "integer", "enum": [3, 1, 2]}), {"1": "not urgent"})
    assert found.grades == (1, 2, 3)
    assert dict(found.single) == {"1": "not urgent", "2": "", "3": ""}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "integer", "enum": [1, "2"]}, "the grade '2' is not a whole number"),
        ({"type": "integer", "enum": [True, 2]}, "the grade True is not a whole number"),
        ({"enum": [1, 2]}, r"the label 1 is not text; put it in quotes \(\"1\"\), or set type: integer for grades"),
        ({"enum": ["a", "a"]}, "the same label is listed twice"),
        ({"enum": ["a"]}, "needs a list of at least two labels"),
    ],
)
def test_a_target_that_is_no_list_of_labels_is_refused_with_a_cure(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_labels(["label"], schema(part), {})


def test_a_list_of_an_enum_has_several_labels_of_a_sample() -> None:
    found = read_labels(["label"], schema({"type": "array", "items": {"enum": ["a", "b"]}}), {"b": "bees"})
    assert dict(found.several) == {"a": "", "b": "bees"}
    assert not found.single


def test_slots_ask_for_each_label_and_for_the_sets_of_the_seeds_in_the_order_of_the_schema() -> None:
    rows = [{"tags": ["b", "a"]}, {"tags": ["a", "b"]}, {"tags": ["c"]}, {"tags": ["b", "c"]}]
    found = label_sets("tags", {"a": "ants", "b": "", "c": "cats"}, rows)
    assert found.keys == ("a", "b", "c", "a, b", "b, c")
    [wish] = found.wishes["a, b"]
    assert (wish.given, wish.meaning) == (["a", "b"], "a: ants")
    assert found.keys_of({"tags": ["b", "a"]}) == ["a, b"]
    assert found.keys_of({"tags": ["a", "c"]}) == []


def test_sets_that_make_a_label_more_than_twice_as_frequent_as_the_rarest_are_left_out() -> None:
    rows = [{"tags": ["a", other]} for other in "bcde"]
    found = label_sets("tags", dict.fromkeys("abcde", ""), [*rows, {"tags": ["b", "c"]}])
    counts = Counter(label for key in found.keys for label in key.split(", "))
    assert max(counts.values()) <= 2 * min(counts.values())
    assert "b, c" in found.keys
