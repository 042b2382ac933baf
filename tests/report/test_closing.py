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


def test_a_killed_run_has_closing_lines_too(killed: Path) -> None:
    text = "\n".join(last_lines(summarise(killed), killed))
    assert "did not finish" in text
    assert "0 samples" in text
    assert "was not measured" in text


def test_nothing_in_them_can_drive_a_terminal(run: Any) -> None:
    summary = summarise(run.path)
    summary["run"]["name"] = "evil\x1b]0;title\x07\nsecond line"
    summary["counts"]["rejected"] = {"\x1b[2J": 3}
    for line in last_lines(summary, run.path):
        assert line.isprintable()
