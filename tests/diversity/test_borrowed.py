"""Test what a text takes from its label's name and from the seeds."""

import pytest

from synthgen.diversity.borrowed import LabelWords, SeedNames

LABELS = ["PlayMusic", "lost_or_stolen_card", "visual-studio", "天气", "or"]


@pytest.mark.parametrize(
    ("text", "label", "says"),
    [
        ("Play the newest album", "PlayMusic", True),
        ("MUSIC, please!", "PlayMusic", True),
        ("what are the displays for", "PlayMusic", False),  # a part of a word is no word
        ("My cards are gone", "lost_or_stolen_card", True),  # a plural
        ("this one or the other", "lost_or_stolen_card", False),  # a stop word
        ("Build a Visual Studio project", "visual-studio", True),
        ("play some songs", "visual-studio", False),  # another label's word
        ("今天的天气怎么样", "天气", True),
        ("今天天很蓝，气很爽", "天气", False),
        ("this or that", "or", True),  # a name made of stop words has nothing else
        ("play", None, False),
    ],
)
def test_a_text_contains_its_label_if_it_has_a_word_of_the_name(text: str, label: str | None, says: bool) -> None:
    assert LabelWords(LABELS).says(text, label) is says


def names(*seeds: str) -> SeedNames:
    return SeedNames(seeds, LabelWords(["weather"]))


def test_names_are_capitals_within_a_sentence_numbers_and_quotes() -> None:
    seeds = names(
        "Fly me to the United Arab Emirates on July 14. Today I'm in Salem",
        'play "the long way home"',
        "rate it 5 stars",
    )
    assert seeds.names == {"United Arab Emirates", "July", "14", "Salem", "the long way home"}


def test_a_word_that_a_seed_has_in_small_letters_and_a_labels_word_are_no_names() -> None:
    seeds = names("go to the House of cards", "my house is cold", "show the Weather now", "the Weather")
    assert seeds.names == frozenset()


def test_capitals_of_a_title_say_nothing() -> None:
    assert names("How To Restore Data With Core Storage In 2016").names == {"2016"}


def test_a_name_in_two_seeds_counts_as_common() -> None:
    seeds = names("find Rihanna", "play songs of Rihanna", "we saw Vermont", "they met Solange")
    assert seeds.names == {"Vermont", "Solange"}
    assert seeds.natural == 0.5


def test_a_name_is_found_only_as_it_is_written() -> None:
    seeds = names("flights to El Salvador", "wake me at 19:26")
    assert seeds.taken("what is the news from El Salvador?") == {"El Salvador"}
    assert seeds.taken("ring at 19:26!") == {"19:26"}
    assert seeds.taken("the salvador dali museum, El Dorado, 19 26") == frozenset()


def test_numbers_and_quotes_are_names_in_chinese_too() -> None:
    assert names("我在看《活着》").taken("《活着》好看吗") == {"活 着"}
    seeds = names("播放「小城故事」第12首")
    assert seeds.names == {"小 城 故 事", "12"}
    assert seeds.taken("我想听小城故事") == {"小 城 故 事"}


def test_without_seeds_there_are_no_names() -> None:
    assert names().natural == 0.0
    assert names().taken("Anything goes in Vermont") == frozenset()
