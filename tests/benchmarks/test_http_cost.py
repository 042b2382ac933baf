"""Test what the benchmark of HTTP's cost makes of its windows, and the tokenizer that its model is given."""

import json
from pathlib import Path

import pytest

from benchmarks.http_cost import Window, cut_vocabulary, summed_up


def windows(*rates: float, cpu: float = 0.0) -> list[Window]:
    return [Window(rate, cpu, cpu, cpu, cpu) for rate in rates]


def test_the_share_of_http_compares_windows_measured_at_the_same_time() -> None:
    """The machine was half as fast in the second round, for both."""
    figures = summed_up({("free, 64", "http"): windows(90, 45, 95), ("free, 64", "inprocess"): windows(100, 50, 100)})
    assert figures["free, 64.http_share"] == pytest.approx(0.1)
    assert figures["free, 64.http.rate"] == 90


def test_one_share_summarises_all_kinds_of_requests() -> None:
    found = {}
    for key, rate in (("free, 64", 90.0), ("JSON, 64", 80.0), ("JSON, 256", 50.0)):
        found[key, "http"], found[key, "inprocess"] = windows(rate), windows(100)
    assert summed_up(found)["http_share"] == pytest.approx(0.2)


def test_cpu_is_reported_in_milliseconds_a_request() -> None:
    found = {("free, 64", "http"): windows(1, cpu=0.002), ("free, 64", "inprocess"): windows(1, cpu=0.001)}
    assert summed_up(found)["free, 64.http.loop_ms"] == 2.0


def test_a_cut_tokenizer_keeps_the_merges_whose_parts_it_keeps(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    vocabulary = {"<end>": 0, "a": 1, "b": 2, "ab": 3, "abb": 4}
    path.write_text(json.dumps({"model": {"vocab": vocabulary, "merges": ["a b", "ab b"]}}))
    cut_vocabulary(path, 4)
    assert json.loads(path.read_text())["model"] == {
        "vocab": {"<end>": 0, "a": 1, "b": 2, "ab": 3},
        "merges": [["a", "b"]],
    }
