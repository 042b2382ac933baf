"""Test lengths beside another field: in words and characters, and fair between English and Chinese."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import declared_checks
from synthgen.filters.declared.measure import length_in_words, sentences
from synthgen.records import Verdict
from synthgen.tasks.task import Task

ENGLISH = "The train to Hamburg is half an hour late again, because a signal failed near the bridge this morning."
CHINESE = "去汉堡的火车又晚点了半个小时，因为今天早上大桥附近的信号灯坏了。"
SUMMARY = {"kind": "length_ratio", "field": "summary", "to": "text", "max": 0.5}
TRANSLATION = {"kind": "length_ratio", "field": "target", "to": "source", "min": 0.5, "max": 2}


@pytest.mark.parametrize(
    ("summary", "passes"),
    [("A signal failure delays trains.", True), ("The train to Hamburg is late, a signal failed.", True),
     (ENGLISH, False), ("The train to Hamburg is half an hour late again today.", False)],
)  # fmt: skip
def test_a_summary_is_short_beside_its_text(verdict: Callable[..., Verdict], summary: str, passes: bool) -> None:
    found = verdict(SUMMARY, summary=summary, text=ENGLISH)
    assert (found.outcome == "pass") is passes
    assert found.score is not None


@pytest.mark.parametrize("unit", ["words", "characters"])
@pytest.mark.parametrize(("source", "target"), [(ENGLISH, CHINESE), (CHINESE, ENGLISH)])
def test_a_translation_between_english_and_chinese_has_about_the_same_length(
    verdict: Callable[..., Verdict], unit: str, source: str, target: str
) -> None:
    found = verdict(TRANSLATION | {"unit": unit}, source=source, target=target)
    assert found.outcome == "pass"
    assert 0.6 < (found.score or 0) < 1.6


def test_half_a_translation_is_too_short(verdict: Callable[..., Verdict]) -> None:
    found = verdict(TRANSLATION | {"min": 0.7}, source=ENGLISH, target="去汉堡的火车又晚点了。")
    assert (found.outcome, found.reason) == ("reject", "length_ratio")


def test_an_empty_text_to_compare_with_decides_nothing(verdict: Callable[..., Verdict]) -> None:
    assert verdict(SUMMARY, summary="Something.", text="").outcome == "pass"


def test_words_of_scripts_with_and_without_spaces() -> None:
    assert length_in_words("It's a dog's life.") == 4
    assert length_in_words("我在北京工作") == pytest.approx(3.6)
    assert length_in_words("打开 WLAN") == pytest.approx(2.2)


def test_sentences_end_at_marks_and_not_at_abbreviations() -> None:
    assert sentences("Dr. Meyer paid 3.50 euros. She left! Why? Nobody knows.") == [
        "Dr. Meyer paid 3.50 euros.", "She left!", "Why?", "Nobody knows."]  # fmt: skip
    assert sentences("他走了。为什么？没人知道") == ["他走了。", "为什么？", "没人知道"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"max": None, "min": 0}, "max: is missing, and min too"), ({"min": 0.6}, "max: must be above min, which is 0.6"),
     ({"unit": "bytes"}, "unit: 'bytes' is not one of words, characters"), ({"to": "summary"}, "to: 'summary' is the same")],
)  # fmt: skip
def test_wrong_keys_are_named(declaring: Callable[..., Task], change: dict[str, Any], message: str) -> None:
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"text": text, "summary": text}}
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        declared_checks(declaring(SUMMARY | change, schema=schema, input=["text"], target=["summary"]))
