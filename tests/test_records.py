"""The records: ids are content hashes, records do not change, JSON is read strictly."""

import json
from collections.abc import Callable

import pytest

from synthgen.records import Candidate, Sampling, Verdict, canonical, content_id, parse_json


def test_an_id_is_the_content_whatever_the_order_of_keys() -> None:
    assert content_id({"a": 1, "b": "é"}) == content_id({"b": "é", "a": 1})
    assert len(content_id("x")) == 32
    assert content_id({"a": 1}) != content_id({"a": "1"})


def test_an_id_is_the_same_in_every_process_and_version() -> None:
    assert content_id({"text": "你好", "label": "x"}) == "9175bf47981a908dad1d725eb2e79388"


def test_canonical_json_is_compact_sorted_and_readable() -> None:
    assert canonical({"b": [1, 2], "a": "你好"}) == '{"a":"你好","b":[1,2]}'


def test_text_that_is_no_unicode_still_has_an_id() -> None:
    assert content_id("\ud800") != content_id("\ud801")


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Verdict(check="form").outcome = "reject"  # type: ignore[misc]


def test_a_record_knows_no_other_fields() -> None:
    with pytest.raises(TypeError, match="temprature"):
        Sampling(temprature=1.0)  # type: ignore[call-arg]


def test_a_copy_of_a_record_has_the_changed_fields_and_all_others() -> None:
    one = Sampling(temperature=0.5, seed=3)
    assert one.model_copy(update={"seed": 4}) == Sampling(temperature=0.5, seed=4)
    with pytest.raises(TypeError, match="temprature"):
        one.model_copy(update={"temprature": 1.0})


def test_a_candidate_is_printed_without_its_embedding(candidate: Callable[..., Candidate]) -> None:
    made = candidate(embedding=[1.0, 0.0])
    assert made.embedding == [1.0, 0.0]
    assert "embedding" not in repr(made)


def test_parse_json_reads_what_json_allows() -> None:
    text = '{"text": "\\ud83d\\ude00 你好", "n": [1, -2.5, 1e3, null, true], "deep": {"a": {}}}'
    assert parse_json(text) == json.loads(text)
    assert type(parse_json("[7]")[0]) is int


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "Expecting property name"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": ' + "9" * 5000 + "}", "the number 99999999999999999999... is too large"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' appears twice in one object"),
        ('{"\\ud800": 1, "\\ud800": 2}', r"the key '\ud800' appears twice in one object"),
        ('{"a": "\\udfff"}', r"a lone surrogate (\ud800 to \udfff) is not text; remove it"),
        ('{"\\ud800": 1}', r"a lone surrogate (\ud800 to \udfff) is not text; remove it"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": "\udfff"}', r"a lone surrogate (\ud800 to \udfff) is not text; remove it"),
    ],
)
def test_parse_json_refuses_what_another_program_would_read_otherwise(text: str, cause: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_json(text)
    assert cause in str(caught.value)
