"""Test what the closing lines say of the student, the labels, the weights and a person's next answers."""

from pathlib import Path
from typing import Any

import pytest

from synthgen.report import export_dataset, last_lines, summarise, worth, write_reports

MODEL = {
    "asked_right": 0.8,
    "expected_right": 0.93,
    "relabelled": 3,
    "not_as_asked": 41,
    "disagreement": {"right": 0.7, "neither": 0.1, "confirmed": 0.8},
    "weights": {"factor": 0.45, "chosen_by": "label check", "gains": {"0.0": -0.1, "1.0": 0.0}},
    "people": None,
    "next_answers": {"answers": 20, "corrected": 3.2},
}
DESCRIBED = {
    "described": {"mean": 0.74, "low": 0.69, "high": 0.79},
    "gain_over_described": {"mean": 0.06, "low": 0.01, "high": 0.11},
}


def test_each_arm_and_each_gain_has_its_interval(student: Any) -> None:
    student |= DESCRIBED | {"confidence": 0.95}
    assert worth.student(student) == (
        "accuracy 70.0 % on the seeds alone (60.0 to 80.0), 74.0 % with label names (69.0 to 79.0), "
        "80.0 % with the samples too (72.0 to 88.0)"
    )
    assert worth.gain(student) == (
        "The synthetic data helped: +10.0 points over the seeds (+2.0 to +18.0), "
        "+6.0 over seeds and label names (+1.0 to +11.0); 90 eval rows, 95 % intervals"
    )


def test_a_gain_that_label_names_alone_give_is_not_credited_to_the_samples(student: Any) -> None:
    student |= DESCRIBED | {"gain_over_described": {"mean": 0.01, "low": -0.04, "high": 0.05}}
    found = worth.gain(student)
    assert found is not None and found.startswith("No gain over label names was shown: +10.0 points over the seeds")


def test_without_label_rows_there_is_one_gain(student: Any) -> None:
    found = worth.gain(student)
    assert found == "The synthetic data helped: +10.0 points over the seeds (+2.0 to +18.0); 90 eval rows, intervals"


LEFT_OUT = "42 of 60 accepted samples: 36 have a target that does not occur verbatim in their input, 6 are held out"


def test_what_the_student_left_out_is_in_closing_lines_page_and_card(make_run: Any, student: Any) -> None:
    student |= {"left_out": {"no_span": 36, "validation": 6}, "synthetic_rows": 18}
    folder: Path = make_run(student=student).path
    summary = summarise(folder)
    assert summary["student"]["left_out"] == {"no_span": 36, "validation": 6}
    assert any(line.startswith(f"left out    {LEFT_OUT}") for line in last_lines(summary, folder))
    write_reports(folder, lambda _: "")
    assert f"was not trained on {LEFT_OUT}" in (folder / "report.html").read_text(encoding="utf-8")
    export_dataset(folder, 0.1, 0, summary)
    assert f"was not trained on {LEFT_OUT}" in (folder / "dataset/README.md").read_text(encoding="utf-8")


def test_held_out_samples_are_not_counted_as_left_out(student: Any) -> None:
    student |= {"left_out": {"validation": 6}, "synthetic_rows": 54}
    assert "left out" not in dict(worth.lines({"student": student, "label_model": None}, ""))


def test_labels_say_how_many_are_right_and_how_often_people_agree() -> None:
    assert worth.labels(MODEL) == [
        "an estimated 93 % are right; of the labels that were asked for 80 % were; "
        "41 samples got another label than the one asked for"
    ]
    heard = worth.labels({**MODEL, "people": {"answered": 40, "right": 0.85, "ece": 0.06}})
    assert heard[1:] == [
        "without people's answers the label model gives their label to 85 % of the 40 samples that they answered "
        "(calibration error 0.06)"
    ]


def test_a_share_just_below_100_percent_is_not_rounded_to_it() -> None:
    assert worth.labels({**MODEL, "expected_right": 0.9993})[0].startswith("an estimated 99 % are right")


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (
            {},
            "in training a sample weighs at most 0.45 and a seed 2: the label check agrees with 80 % of the labels that the seeds support",
        ),
        (
            {"chosen_by": "people"},
            "in training a sample weighs at most 0.45 and a seed 2: chosen by seeds and people's 40 answers",
        ),
        ({"chosen_by": "config"}, "in training a sample weighs at most 0.45 and a seed 2: set by labels.weight"),
        (
            {"chosen_by": "default"},
            "in training a sample weighs at most 0.45 and a seed 2: no independent source tells how many labels are right",
        ),
        (
            {"chosen_by": "agreement"},
            "in training a sample weighs at most 0.45 and a seed 2: the label check does not confirm enough of the labels that the seeds support",
        ),
        (
            {"chosen_by": "seeds", "factor": 0.0},
            "samples were left out: they made the student worse on the seeds",
        ),
        (
            {"chosen_by": "people", "factor": 0.0},
            "samples that nobody answered were left out: they made the student worse on seeds and people's 40 answers",
        ),
    ],
)
def test_the_chosen_weight_is_printed_with_its_reason(student: Any, chosen: Any, told: str) -> None:
    people = {"answered": 40, "right": 0.85, "ece": 0.06}
    model = {**MODEL, "people": people, "weights": {**MODEL["weights"], **chosen}}  # type: ignore[dict-item]
    assert worth.weights(model, student | {"seed_repeat": 2}) == told


def test_without_a_student_samples_weigh_nothing() -> None:
    assert worth.weights(MODEL, None) is None


@pytest.mark.parametrize(
    ("corrected", "told"), [(3.2, "about 3 wrong labels"), (0.8, "about 1 wrong label,"), (0.3, "hardly any label")]
)
def test_the_value_of_more_answers_is_estimated_with_the_command_to_give_them(corrected: float, told: str) -> None:
    found = worth.answers(
        {**MODEL, "next_answers": {"answers": 20, "corrected": corrected}}, "synthgen label runs/demo"
    )
    assert found is not None
    assert f"20 answers of a person would correct {told}" in found
    assert found.endswith(", by estimate: synthgen label runs/demo --count 20")


def test_a_run_without_a_label_model_says_nothing_of_labels(run: Any) -> None:
    summary = summarise(run.path)
    assert summary["label_model"] is None
    started = ("labels", "weights", "next")
    assert not [line for line in last_lines(summary, Path("nowhere")) if line.startswith(started)]
