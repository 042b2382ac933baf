from typing import Any

import pytest

from synthgen.report import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "‹U+001B›[31mred"),
        ("abc\u202egnp.exe", "abc‹U+202E›gnp.exe"),
        ("\u2066x\u2069", "‹U+2066›x‹U+2069›"),
        ("a\u200bb\ufeff", "a‹U+200B›b‹U+FEFF›"),
        ("\U000e0041", "‹U+E0041›"),
        ("\ud800", "‹U+D800›"),
        ("a\r\x00\x85", "a‹U+000D›‹U+0000›‹U+0085›"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("今天 👩‍👩‍👧 می‌خواهم café e\u0301", "今天 👩‍👩‍👧 می‌خواهم café e\u0301"),
        ("z" + "\u0301" * 50, "z" + "\u0301" * 4),
    ],
)
def test_hidden_characters_become_visible_and_all_others_stay(text: str, shown: str) -> None:
    assert plain.clean(text) == shown


def test_one_line_shows_separators_rather_than_swallowing_them() -> None:
    assert plain.one_line(" a\n b\u2028c\x1cd ") == "a b‹U+2028›c‹U+001C›d"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (4.24, "4.2 s"),
        (59.97, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 00 min"),
        (25500, "7 h 05 min"),
    ],
)
def test_durations_are_printed_in_the_largest_fitting_units(seconds: float | None, shown: str) -> None:
    assert plain.duration(seconds) == shown


def test_figures_that_are_not_known_are_dashes() -> None:
    shown = [plain.count(None), plain.figure(None), plain.rate(None), plain.percent(None)]
    assert shown == ["–"] * 4
    assert [plain.rate(12345.6), plain.rate(0.0123456)] == ["12,346", "0.0123"]


def test_a_gain_is_reported_with_its_interval(student: Any) -> None:
    assert plain.verdict(student) == "gain"
    assert plain.student_sentence(student | {"confidence": 0.95}) == (
        "The synthetic data helped: accuracy 70.0 % on the seeds alone, 80.0 % with the synthetic data"
        " (gain +10.0 points, 95 % interval +2.0 to +18.0, 90 eval rows)."
    )


def test_a_loss_is_not_hidden(student: Any) -> None:
    student |= {"seeds_only": student["synthetic"], "synthetic": student["seeds_only"], "is_gain": False}
    student["gain"] = {"mean": -0.1, "low": -0.18, "high": -0.02}
    assert plain.verdict(student) == "loss"
    assert plain.student_sentence(student).startswith("The synthetic data made the student worse: accuracy 80.0 %")


def test_an_interval_around_zero_is_no_gain(student: Any) -> None:
    student |= {"gain": {"mean": 0.02, "low": -0.03, "high": 0.07}, "is_gain": False}
    assert plain.verdict(student) == "none"
    sentence = plain.student_sentence(student)
    assert sentence.startswith("No gain was shown")
    assert sentence.endswith("; the interval includes zero.")


def test_a_metric_where_lower_is_better_is_not_a_share(student: Any) -> None:
    student |= {"metric": "loss", "higher_is_better": False, "gain": {"mean": 0.1, "low": 0.05, "high": 0.2}}
    assert plain.verdict(student) == "gain"
    assert "loss 0.700 on the seeds alone" in plain.student_sentence(student)
    assert "gain +0.100, interval +0.050 to +0.200" in plain.student_sentence(student)


@pytest.mark.parametrize("arm", [{}, {"mean": None, "low": None, "high": None}])
def test_a_student_without_two_scored_arms_measures_nothing(student: Any, arm: Any) -> None:
    student |= {"seeds_only": arm}
    assert plain.verdict(student) == "absent"
    assert "was not measured" in plain.student_sentence(student)
    assert "no student was trained" in plain.student_sentence(None)


@pytest.mark.parametrize(
    ("stopped_by", "told"),
    [
        ("target", "reached its target"),
        ("minutes", "stopped at its budget of minutes"),
        ("engine", "ended because the engine failed"),
        ("signal", "was interrupted"),
        (None, "did not finish: it is still running, or was killed"),
        ("no\x1b_progress", "was ended early by its stop rule 'no‹U+001B›_progress'"),
    ],
)
def test_the_end_of_a_run_is_described_in_plain_words(stopped_by: str | None, told: str) -> None:
    assert plain.outcome({"stopped_by": stopped_by}) == told
