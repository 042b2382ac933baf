"""Test what is kept of a text that was cut off where its field ends."""

import pytest

from synthgen.generate.sentences import Cut
from synthgen.records import Json


def cut(**text: object) -> Cut:
    fields = {"title": {"type": "string", "maxLength": 40}, "text": {"type": "string", "maxLength": 40, **text}}
    return Cut({"type": "object", "properties": fields})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("The dam broke. Two villages are flooded n", "The dam broke."),
        ("He said: “It broke.” Nobody had foreseen t", "He said: “It broke.”"),
        ("The dam broke. Who knew? Nobody, as it se", "The dam broke. Who knew?"),
        ("大坝昨夜决堤。两个村庄被淹，三千名居民连夜撤离到附近的学校和体育馆里过夜，当地政府表示将", "大坝昨夜决堤。"),
    ],
)
def test_a_text_that_fills_its_field_ends_with_its_last_whole_sentence(text: str, kept: str) -> None:
    assert len(text) >= 40
    assert cut().back({"title": "t", "text": text}) == {"title": "t", "text": kept}


@pytest.mark.parametrize(
    "text",
    [
        "The dam broke. Two villages are flooded",  # not full
        "The dam broke and two villages are flood",  # no whole sentence
        "The U.S. Senate voted on the new law, an",  # an abbreviation
        "Shares of the maker Acme Inc. fell by a t",  # another
        "Growth was 3.5 percent in the second qua",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert cut().back({"title": "t", "text": text}) == {"title": "t", "text": text}


def test_what_is_left_is_as_long_as_the_schema_asks() -> None:
    data = {"title": "t", "text": "The dam broke. Two villages are flooded n"}
    assert cut(minLength=14).back(data) != data
    assert cut(minLength=15).back(data) == data


@pytest.mark.parametrize("text", [{"minLength": 40}, {"pattern": ".*"}, {"type": "integer"}])
def test_only_free_text_of_no_fixed_length_is_cut(text: Json) -> None:
    data = {"title": "t", "text": "The dam broke. Two villages are flooded n"}
    assert cut(**text).back(data) == data


def test_a_field_before_another_is_not_cut_back() -> None:
    data = {"title": "The dam broke. Two villages are flooded n", "text": "short"}
    assert cut().back(data) == data
    assert cut().back({"text": 7}) == {"text": 7}
