"""Test what the report says of the judge itself: calibration and canaries, on the page, in the summary and at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.report import last_lines, write_reports

FIGURES = {
    "auc": {"value": 0.81234567, "low": 0.7, "high": 0.92},
    "ece": 0.05,
    "curve": [{"said": 0.15, "was": 0.1, "n": 10}, {"said": 0.85, "was": 1.0, "n": 30}],
}
MEMBER = {"trusted": True, "calibrator": {"method": "platt"}, "before": FIGURES, "after": FIGURES}
CALIBRATION: dict[str, Any] = {
    "rows": 40, "good": 30, "undecided": 2, "unscored": 0, "min_auc": 0.6, "trusted": True,
    "members": {"judge": MEMBER}, "criteria": {"<b>natural</b>": FIGURES["auc"], "rare": None},
    "before": {**FIGURES, "ece": 0.25}, "after": FIGURES, "threshold": 0.55,
    "at_threshold": {"good_taken": 0.9, "bad_taken": 0.2, "precision": 0.95},
}  # fmt: skip
MakeRun = Callable[..., Any]


def answers(**passed: bool) -> list[dict[str, Any]]:
    return [{"kind": kind, "score": 4.0 if taken else 1.0, "passed": taken} for kind, taken in passed.items()]


def written(folder: Path) -> tuple[dict[str, Any], str]:
    summary = write_reports(folder, yaml.safe_dump)
    return summary, (folder / "report.html").read_text(encoding="utf-8")


def test_the_curve_is_drawn_before_and_after(make_run: MakeRun) -> None:
    summary, page = written(make_run(calibration=CALIBRATION).path)
    assert summary["judge"]["calibration"]["after"]["auc"]["value"] == 0.812346
    assert 'aria-label="Reliability before: AUC 0.81 (0.70 to 0.92), calibration error 0.250"' in page
    assert 'aria-label="Reliability after: AUC 0.81 (0.70 to 0.92), calibration error 0.050"' in page
    assert page.count('cx="85.0%" cy="0.0%"') == 2
    assert "<title>predicted 85.0 %, actual 100.0 %, 30 rows</title>" in page
    assert "accepted at a probability of 55.0 % or more" in page
    assert "<bdi>&lt;b&gt;natural&lt;/b&gt;</bdi>" in page


def test_a_rejection_is_shown_with_the_threshold_that_calibration_chose(make_run: MakeRun) -> None:
    _, page = written(make_run(calibration=CALIBRATION).path)
    assert '<code>judge.rubric.threshold</code></th><td class="n">3.2</td>' in page
    _, plain = written(make_run().path)
    assert '<code>judge.rubric.threshold</code></th><td class="n">2.5</td>' in plain


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({**CALIBRATION, "trusted": False}, "The rubric judge is not trusted (an AUC of 0.81 on the rated samples)"),
        (
            {"rows": 3, "good": 1, "undecided": 0, "unscored": 30, "min_auc": 0.6, "trusted": False},
            "The rubric judge is not trusted (too few readable answers for the rated samples)",
        ),
    ],
)
def test_a_judge_that_rejects_nothing_is_named_on_the_page_and_in_the_closing_lines(
    record: dict[str, Any], words: str, make_run: MakeRun
) -> None:
    run = make_run(calibration=record)
    summary, page = written(run.path)
    assert words in page
    assert any(line.startswith(f"judge       {words}") for line in last_lines(summary, run.path))


def test_canaries_are_counted_over_the_rounds(make_run: MakeRun) -> None:
    rounds = {
        "canaries/0": {"first_slot": 0, "answers": answers(empty=False, injection=True, good=True)},
        "canaries/10": {"first_slot": 640, "answers": answers(empty=False, injection=False, good=False)},
    }
    summary, page = written(make_run(**rounds).path)
    canaries = summary["judge"]["canaries"]
    assert (canaries["rounds"], canaries["wrong"]) == (2, ["good", "injection"])
    assert canaries["kinds"]["injection"] == {
        "n": 2, "passed": 1, "unscored": 0, "mean_score": 2.5, "wrong_rounds": 1,
    }  # fmt: skip
    assert "passed one that orders it to give the best grade and rejected most of the known-good seeds" in page


def test_rounds_in_which_the_judge_passed_all_bad_canaries_are_counted(make_run: MakeRun) -> None:
    rounds = {
        "canaries/0": {"first_slot": 0, "answers": answers(empty=True, injection=True, good=True)},
        "canaries/1": {"first_slot": 64, "answers": answers(empty=True, injection=False, good=True)},
    }
    run = make_run(**rounds)
    summary, page = written(run.path)
    assert summary["judge"]["canaries"]["fooled_rounds"] == 1
    said = " ".join(" ".join(last_lines(summary, run.path)).split())
    for place in (said, page):
        assert "The rubric judge was off in 1 of 2 rounds and rejected nothing: there it passed every canary" in place
        assert "judge.rubric.enabled=false" in place


def test_a_judge_that_was_off_for_the_whole_run_is_said_to_be_off_with_why_and_a_cure(make_run: MakeRun) -> None:
    fooled = {"answers": answers(empty=True, injection=True, good=True)}
    run = make_run(**{f"canaries/{window}": {"first_slot": 64 * window, **fooled} for window in range(5)})
    said = " ".join(" ".join(last_lines(written(run.path)[0], run.path)).split())
    assert "The rubric judge was off for this run and rejected nothing: in each of its 5 rounds it passed every" in said
    assert "Use a larger model as judge (judge.panel=" in said


def test_a_judge_without_complaints_gets_no_line(make_run: MakeRun) -> None:
    run = make_run(**{"calibration": CALIBRATION, "canaries/0": {"answers": answers(empty=False, good=True)}})
    summary, page = written(run.path)
    assert "not trusted" not in page
    assert not [line for line in last_lines(summary, run.path) if line.startswith("judge")]
