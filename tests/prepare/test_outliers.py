"""Rows that stand out, contradict one another or overlap with held-out files are removed."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen.errors import ConfigError

USUAL = [f"A review of product {n} in a handful of plain words." for n in range(30)]


def test_rows_far_from_the_usual_length_are_removed(run: Any) -> None:
    rows = [*USUAL, "Words " * 10 + "and " + " ".join(f"more{n}" for n in range(900))]
    done = run(rows, "outliers")
    assert done.texts == USUAL and done.reasons == ["unusual_length"]


@pytest.mark.parametrize(
    ("row", "options", "reason"),
    [
        ({"text": "?!"}, {}, "short"),
        ({"text": "x" * 50}, {"max_chars": 40, "max_repetition": None}, "long"),
        ({"text": "good good good good good good"}, {}, "repetition"),
        ({"text": "This is sport, surely.", "label": "Sport"}, {"label_leaks": True}, "label_leak"),
    ],
)
def test_a_row_that_breaks_a_rule_is_removed(run: Any, row: Any, options: Any, reason: str) -> None:
    done = run(["A usual text.", row], {"outliers": options})
    assert (done.texts, done.reasons) == (["A usual text."], [reason])


def test_rows_that_contradict_one_another_are_removed_with_the_other_as_neighbour(run: Any) -> None:
    rows = [{"text": "A", "label": "x"}, {"text": "b", "label": "x"}, {"text": "a!", "label": "y"}]
    done = run(rows, "contradictions")
    assert done.texts == ["b"]
    assert [(row["source"]["line"], row["neighbour"]["line"]) for row in done.removed] == [(1, 3), (3, 1)]


@pytest.mark.parametrize(("labels", "kept"), [("xxy", ["x", "x"]), ("xy", []), ("xyz", []), ("xx", ["x", "x"])])
def test_the_majority_of_contradicting_labels_stays(run: Any, labels: str, kept: list[str]) -> None:
    done = run([{"text": "a", "label": label} for label in labels], {"contradictions": {"action": "majority"}})
    assert [row["label"] for row in done.rows] == kept


def test_each_contradicting_row_names_the_first_row_with_another_label_and_all_labels(run: Any) -> None:
    rows = [{"text": "a", "label": label} for label in "yxyxz"]
    done = run([*rows, {"text": "a"}, {"text": "", "label": "x"}], "contradictions")
    assert [row["neighbour"]["line"] for row in done.removed] == [2, 1, 2, 1, 1]
    assert {row["note"] for row in done.removed} == {"labels: y 2, x 2, z 1"}
    assert [row["source"]["line"] for row in done.rows] == [6, 7]


def test_contradictions_can_be_only_counted(run: Any) -> None:
    rows = [{"text": "a", "label": label} for label in "xy"]
    done = run(rows, {"contradictions": {"action": "report"}})
    assert len(done.rows) == 2 and done.summary["steps"]["contradictions"]["changed"] == {"contradiction": 2}


def test_rows_that_overlap_with_a_held_out_file_are_removed(run: Any, tmp_path: Path) -> None:
    long = "the quick lamp on the left side of the desk went out twice during the storm last night"
    held_out = [{"text": long}, {"text": "Short one."}, {"text": "昨天下午我们在城西新开的书店坐了很久"}]
    (tmp_path / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in held_out), encoding="utf-8")
    rows = [
        f"He said: {long.upper()}!",
        "short one",
        "A short one is fine.",
        "他说昨天下午我们在城西新开的书店坐了很久，真好",
        "the quick lamp on the left side of the street",
    ]
    done = run(rows, {"decontaminate": {"files": ["test.jsonl"]}})
    assert done.texts == [rows[2], rows[4]]
    assert [row["neighbour"]["line"] for row in done.removed] == [1, 2, 3]
    assert done.removed[0]["neighbour"]["file"].endswith("test.jsonl")


def test_decontaminate_needs_files(run: Any) -> None:
    with pytest.raises(ConfigError, match=r"steps\[0\].decontaminate: files: name the held-out files"):
        run(["a"], "decontaminate")


def test_rows_of_the_same_meaning_are_removed(run: Any) -> None:
    text = "the blue lamp on my desk is broken"
    done = run([text, f"{text}!", "nothing of the kind at all"], {"meaning": {"embedder": "hash", "threshold": 0.9}})
    assert done.texts == [text, "nothing of the kind at all"]
    assert done.removed[0]["neighbour"]["line"] == 1


def test_the_best_of_the_rows_of_one_meaning_stays(run: Any) -> None:
    text = "the blue lamp on my desk is broken"
    options = {"embedder": "hash", "threshold": 0.9, "keep": "best"}
    done = run([text, "nothing of the kind at all", f"{text}!", ""], {"meaning": options})
    assert done.texts == ["nothing of the kind at all", f"{text}!", ""]
    assert done.removed[0]["neighbour"]["line"] == 3


def test_rows_that_mean_a_held_out_row_are_removed_by_their_embedding(run: Any, tmp_path: Path) -> None:
    held_out = [{"text": "The lamp that I ordered arrived broken"}, {"text": "Where is my parcel now"}]
    (tmp_path / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in held_out), encoding="utf-8")
    rows = ["The lamp which I ordered arrived broken.", "My shoes are too small", "Where is my parcel?"]
    done = run(rows, {"decontaminate": {"files": ["test.jsonl"], "meaning": 0.8, "embedder": "hash"}})
    assert done.texts == ["My shoes are too small"]
    assert done.reasons == ["same_meaning"] * 2
    assert [row["neighbour"]["line"] for row in done.removed] == [1, 2]
    assert done.removed[0]["note"].startswith("cosine 0.")
