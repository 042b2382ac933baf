"""Test what a reply may not repeat of its demonstrations."""

import pytest

from synthgen.generate.copies import not_again, runs, written_freely
from synthgen.records import Sample


def test_runs_of_words_begin_at_every_second_word_and_are_spelt_as_in_the_text() -> None:
    text = "Book a table,  for two people at eight."
    assert runs(text, 4) == ["Book a table,  for", "table,  for two people", "two people at eight."]
    assert runs(text, 8) == [text]


@pytest.mark.parametrize("text", ["", "Yes", "rate this book"])
def test_a_short_text_bars_no_words(text: str) -> None:
    """Its words are those of many others."""
    assert runs(text, 4) == []


def test_two_characters_count_as_a_word_where_words_have_no_spaces() -> None:
    assert runs("明天上海会下雨吗 please", 3) == ["明天上海会下", "会下雨吗 please"]


def test_every_run_of_one_word_more_holds_a_run_that_is_barred() -> None:
    words = [f"w{number}" for number in range(9)]
    barred = runs(" ".join(words), 4)
    for start in range(len(words) - 4):
        assert any(run in " ".join(words[start : start + 5]) for run in barred)


def test_only_text_that_is_written_freely_counts() -> None:
    text = {"type": "string", "maxLength": 9}
    schema = {
        "text": text,
        "tone": text | {"enum": ["a"]},
        "kind": text | {"const": "a"},
        "code": text | {"pattern": "[a-z]+"},
        "date": text | {"format": "date"},
        "size": {"type": "integer"},
        "list": {"type": "array", "items": text},
    }
    assert written_freely({"type": "object", "properties": schema}) == ("text",)


def test_runs_of_several_samples_come_once(news_seeds: list[Sample]) -> None:
    one = news_seeds[0]
    assert not_again([one, one], ["text"], 5) == tuple(runs(one.data["text"], 5))
    assert not_again([one], ["label", "nothing"], 2) == ()


def test_no_more_are_sent_than_vllm_takes_and_every_texts_beginning_is_among_them(news_seeds: list[Sample]) -> None:
    long = [
        news_seeds[n].model_copy(update={"data": {"text": " ".join(f"w{n}x{i}" for i in range(200))}}) for n in range(7)
    ]
    barred = not_again(long, ["text"], 5)
    assert len(barred) == 64
    assert all(runs(sample.data["text"], 5)[place] in barred for sample in long for place in range(9))
