from pathlib import Path
from typing import Any

import yaml

from synthgen.report import export_dataset, last_lines, summarise, write_reports


def test_the_closing_lines_tell_the_result_and_where_it_lies(run: Any) -> None:
    summary = write_reports(run.path, yaml.safe_dump)
    export_dataset(run.path, 0.2, seed=0)
    lines = last_lines(summary, run.path)
    text = "\n".join(lines)
    assert lines[0] == "demo was ended early by its stop rule 'max_slots'."
    assert "19 of 30 samples, 51.4 % of 37 candidates" in text
    assert "5 near_duplicate, 4 duplicate, 4 label, 5 for other reasons" in text
    tokens = "99 computed per accepted sample (generator 39 prefill and 39 decode, judge 19 prefill and 2 decode)"
    assert f"{tokens}; 80.0 % of the prompt tokens were cached" in text
    assert "The synthetic data helped" in text
    assert str(run.path / "dataset") in text
    assert str(run.path / "report.html") in text
    assert "model " not in text  # no student folder was written


def test_no_cached_tokens_may_be_a_server_that_does_not_report_them(run: Any) -> None:
    summary = summarise(run.path)
    summary["tokens"]["cached_share"] = 0.0
    text = "\n".join(last_lines(summary, run.path))
    assert "; the engine reported no cached prompt tokens" in text
    assert "0.0 % of the prompt" not in text


def test_a_killed_run_has_closing_lines_too(killed: Path) -> None:
    text = "\n".join(last_lines(summarise(killed), killed))
    assert "did not finish" in text
    assert "0 samples" in text
    assert "was not measured" in text


def test_closing_lines_hold_no_terminal_control_characters(run: Any) -> None:
    summary = summarise(run.path)
    summary["run"]["name"] = "evil\x1b]0;title\x07\nsecond line"
    summary["counts"]["rejected"] = {"\x1b[2J": 3}
    for line in last_lines(summary, run.path):
        assert line.isprintable()


def test_the_closing_lines_name_each_unfilled_label_with_its_main_loss(make_run: Any) -> None:
    summary = summarise(make_run(target=24, stopped_by="unfilled_labels").path)
    lines = [line for line in last_lines(summary, Path("nowhere")) if line.startswith("unfilled")]
    short = {label: row for label, row in summary["labels"].items() if row["accepted"] < 8}
    assert short
    assert lines[0].startswith("unfilled    ")
    for label, row in short.items():
        assert f"unfilled    {label}: {row['accepted']} of 8, mostly {row['main_loss']}" in lines


def test_a_run_that_was_cut_short_says_nothing_of_its_labels(make_run: Any) -> None:
    for end in ("signal", "engine", "target"):
        summary = summarise(make_run(target=24, stopped_by=end).path)
        assert not any(line.startswith("unfilled") for line in last_lines(summary, Path("nowhere")))


def test_of_many_unfilled_labels_the_worst_ones_are_named(run: Any) -> None:
    summary = summarise(run.path)
    summary["labels"] = {
        f"label {number}": {"accepted": 20 - number, "share": 20.0, "main_loss": "label"} for number in range(15)
    }
    lines = [line for line in last_lines(summary, run.path) if line.startswith("unfilled")]
    assert len(lines) == 11
    assert lines[0] == "unfilled    label 14: 6 of 20, mostly label"
    assert lines[-1] == "unfilled    and 4 more labels"


def test_the_closing_lines_count_samples_from_feedback_and_unused_requests(run: Any) -> None:
    summary = summarise(run.path)
    summary["counts"]["fed_back"] = 12
    summary["tokens"] |= {"unused": 40, "unused_share": 0.05}
    text = "\n".join(last_lines(summary, run.path))
    assert "feedback    12 of 19 samples came from prompts that showed accepted samples" in text
    assert "5.0 % of the output was not used" in text


def test_a_scripted_run_without_samples_says_what_to_use_instead(run: Any) -> None:
    summary = summarise(run.path)
    summary["engine"]["name"] = "replay"
    assert "engine.recording=FILE" not in "\n".join(last_lines(summary, run.path))
    summary["counts"]["accepted"] = 0
    assert "write replies for engine.recording=FILE (docs/tasks.md)" in "\n".join(last_lines(summary, run.path))
