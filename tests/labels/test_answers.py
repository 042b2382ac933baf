"""Test what people's answers come to."""

import pytest

from synthgen.judge.labelled import Rated
from synthgen.labels.answers import NOT_A_SAMPLE, agreement, as_answered, figures, open_disagreements, rated, settled
from synthgen.records import PersonAnswer, Sample, content_id


def said(**by: str) -> list[PersonAnswer]:
    """`said(anna="a b -")`: what people said of samples 0, 1, 2; "-" is "not a sample", "." no answer."""
    return [
        PersonAnswer(str(number), name, None if word == "-" else word, 0.0)
        for name, words in by.items()
        for number, word in enumerate(words.split())
        if word != "."
    ]


def sample(text: str, label: str = "a") -> Sample:
    data = {"text": text, "label": label}
    return Sample(id=content_id(data), data=data, origin="synthetic", label=label)


def test_votes_become_shares_and_half_of_them_exclude_a_sample() -> None:
    found = settled(said(anna="a a - -", ben="a b a .", carl="a b . ."))
    assert found == {"0": {"a": 1.0}, "1": {"a": 1 / 3, "b": 2 / 3}, "2": NOT_A_SAMPLE, "3": NOT_A_SAMPLE}


def test_a_disagreement_is_open_until_an_answer_has_a_majority() -> None:
    assert open_disagreements(said(anna="a a -", ben="a b a")) == ["1", "2"]
    assert open_disagreements(said(anna="a a -", ben="a b a", carl=". b -")) == []


def test_agreement_is_over_the_samples_that_several_people_answered() -> None:
    assert agreement(said(anna="a b .", ben=". . a")) is None
    found = agreement(said(anna="a b a b .", ben="a b a a b"))
    assert found is not None and (found.shared, found.differing, found.open) == (4, 1, 1)
    assert found.kappa == pytest.approx(0.5)
    assert found.alpha == pytest.approx(1 - (2 / 8) / (2 * 5 * 3 / (8 * 7)))
    alike = agreement(said(anna="a a", ben="a a"))
    assert alike is not None and alike.alpha is None and alike.kappa is None


def test_three_people_have_an_alpha_and_no_kappa() -> None:
    found = agreement(said(anna="a b", ben="a b", carl="a a"))
    assert found is not None and found.kappa is None and found.alpha is not None
    summary = figures(said(anna="a b", ben="a -"))
    assert summary is not None and summary["people"] == {"anna": 2, "ben": 2} and summary["not_a_sample"] == 1


def test_a_sample_gets_the_label_that_people_gave_and_keeps_its_own_in_a_draw() -> None:
    one, two, three = sample("one"), sample("two"), sample("three")
    kept, dropped = as_answered(
        [one, two, three], {one.id: {"b": 1.0}, two.id: {"a": 0.5, "b": 0.5}, three.id: NOT_A_SAMPLE}, "label"
    )
    assert [(each.id, each.label, each.data["label"]) for each in kept] == [(one.id, "b", "b"), (two.id, "a", "a")]
    assert dropped == [three]


def rows(good: int, bad: int) -> tuple[list[Sample], list[PersonAnswer]]:
    samples = [sample(str(number)) for number in range(good + bad)]
    return samples, [
        PersonAnswer(each.id, "anna", "b" if number < good else None, 0.0) for number, each in enumerate(samples)
    ]


def test_answers_are_rated_rows_once_there_are_five_good_and_five_bad() -> None:
    samples, answers = rows(5, 5)
    found = rated(samples, answers, "label")
    assert [row.good for row in found] == [True] * 5 + [False] * 5
    assert found[0].data == {"text": "0", "label": "b"}, "it is good as the person labelled it"
    assert found[0].id == content_id(found[0].data)
    assert rated(samples[:9], answers[:9], "label") == []


def test_rated_rows_of_the_config_come_first_and_what_an_adapter_has_learnt_is_left_out() -> None:
    samples, answers = rows(6, 6)
    given = [Rated(str(number), {}, number % 2 == 0, {}) for number in range(10)]
    learnt = samples[-1].id
    found = rated(samples, answers, "label", given, {learnt})
    assert found[:10] == given and len(found) == 10 + 11
    split = [*answers, PersonAnswer(samples[0].id, "ben", None, 0.0)]
    assert len(rated(samples, split, "label", given)) == 10 + 11, "one says good, one bad: neither"
