"""From logprobs to probabilities: what can be read is read, and what cannot is None, never zero."""

import math

import pytest

from synthgen.judge.reading import ambiguous_mass, calibrated, expectation, named, option_probabilities
from synthgen.records import Completion

GRADES = ("1", "2", "3", "4", "5")


def said(text: str = "", *places: dict[str, float]) -> Completion:
    """An answer with these probabilities, place by place."""
    logs = tuple({t: math.log(p) if p > 0 else -math.inf for t, p in place.items()} for place in places)
    return Completion(text=text, finish_reason="stop", logprobs=logs)


def raw(**logprobs: float) -> Completion:
    return Completion(text="", finish_reason="stop", logprobs=(logprobs,))


def test_whole_options_are_read_as_they_are() -> None:
    answer = said("sport", {"sport": 0.75, "world": 0.25})
    assert option_probabilities(answer, ("sport", "world")) == pytest.approx({"sport": 0.75, "world": 0.25})


def test_a_first_piece_counts_for_the_option_it_begins() -> None:
    answer = said("sport", {"sp": 0.6, "wor": 0.4}, {"ort": 1.0})
    assert option_probabilities(answer, ("sport", "world")) == pytest.approx({"sport": 0.6, "world": 0.4})


def test_several_pieces_of_one_option_add_up() -> None:
    answer = said("sport", {"s": 0.3, "sp": 0.3, "world": 0.4})
    assert option_probabilities(answer, ("sport", "world")) == pytest.approx({"sport": 0.6, "world": 0.4})


def test_mass_beside_the_options_is_left_out() -> None:
    answer = said("", {"sport": 0.2, "world": 0.2, "The": 0.6, "": 0.1, "sports": 0.3})
    assert option_probabilities(answer, ("sport", "world")) == pytest.approx({"sport": 0.5, "world": 0.5})


def test_an_option_that_is_not_among_the_logprobs_has_no_probability() -> None:
    assert option_probabilities(said("a", {"a": 0.9}), ("a", "b")) == pytest.approx({"a": 1.0, "b": 0.0})


def test_an_ambiguous_piece_is_shared_unless_the_whole_answer_tells() -> None:
    options = ("set_alarm", "set_timer", "play")
    place = {"set": 0.8, "play": 0.2}
    shared = {"set_alarm": 0.4, "set_timer": 0.4, "play": 0.2}
    assert option_probabilities(said("set", place), options) == pytest.approx(shared)
    told = {"set_alarm": 0.0, "set_timer": 0.8, "play": 0.2}
    assert option_probabilities(said("set_timer", place), options) == pytest.approx(told)


def test_options_that_begin_alike_are_told_apart_where_the_answer_parts() -> None:
    options = ("SearchCreativeWork", "SearchScreeningEvent", "PlayMusic")
    answer = said(
        "SearchScreeningEvent", {"Search": 0.8, "Play": 0.2}, {"Sc": 0.75, "Creative": 0.25}, {"reening": 1.0}
    )
    assert option_probabilities(answer, options) == pytest.approx(
        {"SearchCreativeWork": 0.2, "SearchScreeningEvent": 0.6, "PlayMusic": 0.2}
    )


def test_a_finished_answer_gets_the_mass_that_longer_options_leave() -> None:
    options = ("sport", "sporting life", "world")
    answer = said("sport", {"sport": 0.8, "world": 0.2}, {"<|im_end|>": 0.75, "ing": 0.25})
    assert option_probabilities(answer, options) == pytest.approx({"sport": 0.6, "sporting life": 0.2, "world": 0.2})


def test_an_option_that_begins_another_is_recognised_by_the_whole_answer() -> None:
    place = {"sport": 0.9, "world": 0.1}
    options = ("sport", "sporting life", "world")
    assert option_probabilities(said("sport", place), options) == pytest.approx(
        {"sport": 0.9, "sporting life": 0.0, "world": 0.1}
    )


@pytest.mark.parametrize(
    "answer",
    [
        said("sport"),
        said("sport", {}),
        said("", {"The": 0.9}),
        said("", {"sport": 0.0}),
        raw(sport=math.nan, world=-1.0),
        raw(sport=-0.1, The=math.nan),
        raw(sport=-9999.0),
        raw(sport=-20.0),
        raw(**{"": -0.1}),
    ],
    ids=[
        "no logprobs",
        "no alternatives",
        "no option",
        "no mass",
        "NaN",
        "NaN beside",
        "vLLM's minus infinity",
        "next to no mass",
        "empty token",
    ],
)
def test_an_unreadable_answer_has_no_probabilities(answer: Completion) -> None:
    assert option_probabilities(answer, ("sport", "world")) is None


def test_a_logprob_above_zero_is_a_probability_of_one_at_most() -> None:
    assert option_probabilities(raw(a=800.0, b=0.0), ("a", "b")) == pytest.approx({"a": 0.5, "b": 0.5})


def test_ambiguous_mass_is_what_begins_more_than_one_option() -> None:
    options = ("set_alarm", "set_timer", "play")
    assert ambiguous_mass(said("", {"set": 0.5, "set_a": 0.2, "p": 0.2, "": 0.1}), options) == pytest.approx(0.5)
    assert ambiguous_mass(said(""), options) == 0


def test_calibration_divides_by_the_probabilities_for_an_empty_text() -> None:
    biased = {"sport": 0.8, "world": 0.2}
    assert calibrated(biased, biased) == pytest.approx({"sport": 0.5, "world": 0.5})
    turned = calibrated({"sport": 0.6, "world": 0.4}, {"sport": 0.9, "world": 0.1})
    assert turned["world"] > turned["sport"]
    assert sum(turned.values()) == pytest.approx(1)


def test_calibration_survives_an_option_that_the_prior_never_gives() -> None:
    assert calibrated({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0})["b"] == pytest.approx(8 / 9)
    assert calibrated({"a": 0.9, "b": 0.1}, {"a": 0.5, "b": 0.0})["a"] > 0.6


def test_expectation_is_the_mean_grade() -> None:
    assert expectation(dict.fromkeys(GRADES, 0.2)) == pytest.approx(3)
    assert expectation({"1": 0.25, "5": 0.75}) == pytest.approx(4)


def test_an_answer_whose_tokens_are_parts_of_characters_is_read_by_its_path() -> None:
    places = ({"\ufffd": math.log(0.8), "\ufffd2": math.log(0.2)}, {"\ufffd": math.log(0.75), "x": math.log(0.25)})
    completion = Completion(text="好评", finish_reason="stop", logprobs=places)
    assert option_probabilities(completion, ["好评", "差评", "中评"]) == pytest.approx(
        {"好评": 0.6, "差评": 0.2, "中评": 0.2}
    )
    cut_off = completion.model_copy(update={"text": "\ufffd"})
    assert option_probabilities(cut_off, ["好评", "差评"]) is None


def test_a_path_with_a_logprob_that_is_no_number_is_not_read() -> None:
    places = ({"\ufffd": -0.1, "a": -3.0}, {"\ufffd": math.nan})
    answer = Completion(text="日本", finish_reason="stop", logprobs=places)
    assert option_probabilities(answer, ("日本", "北京")) is None


# -- answers of engines that hold them to no grammar -----------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (" business", {" business": 0.5, "business": 0.25, " Sport": 0.25}),
        ("Business", {"Business": 0.75, "SPORT": 0.25}),
        ("\u2581Business", {"\u2581Business": 0.75, "\u2581sport": 0.25}),
    ],
)
def test_white_space_and_case_do_not_matter_where_the_answer_is_not_written_as_an_option(
    text: str, tokens: dict[str, float]
) -> None:
    found = option_probabilities(said(text, tokens), ("business", "sport"))
    assert found == pytest.approx({"business": 0.75, "sport": 0.25})


def test_a_token_of_white_space_alone_is_passed_over() -> None:
    answer = said(" Sport", {" ": 0.9, "The": 0.1}, {"Sport": 0.8, "World": 0.2})
    assert option_probabilities(answer, ("sport", "world")) == pytest.approx({"sport": 0.8, "world": 0.2})


def test_options_that_differ_by_case_alone_are_kept_apart() -> None:
    assert option_probabilities(said("A", {"A": 0.75, "a": 0.25}), ("A", "a")) == pytest.approx({"A": 0.75, "a": 0.25})


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Business.", "business"),
        ('"sport"', "sport"),
        ("The label is **world news**.", "world news"),
        ("business or sport", None),
        ("sportsman", None),
        ("", None),
    ],
)
def test_an_answer_in_words_names_an_option_or_none(text: str, option: str | None) -> None:
    assert named(text, ("business", "sport", "world", "world news")) == option
