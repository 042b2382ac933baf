"""Rows whose label does not fit their text are reported or removed."""

import random
from typing import Any

import pytest

from synthgen.errors import ConfigError
from tests.prepare.conftest import lines_of

NOISE = {"embedder": "hash"}
WORDS = {
    "lamp": ["lamp", "wick", "glass", "flame", "oil", "light", "chimney"],
    "watch": ["watch", "strap", "dial", "battery", "crown", "hour", "clasp"],
    "shoe": ["shoe", "sole", "lace", "heel", "leather", "tongue", "insole"],
}


def rows(wrong: int, each: int = 40) -> list[dict[str, Any]]:
    """Return rows of three labels; the first `wrong` rows of the label `lamp` are called `watch`."""
    rng = random.Random(1)
    found = [
        {"text": " ".join(rng.choices(words, k=9)), "label": label}
        for label, words in WORDS.items()
        for _ in range(each)
    ]
    for row in found[:wrong]:
        row["label"] = "watch"
    return found


@pytest.mark.slow
def test_wrong_labels_are_listed_with_the_label_that_fits_better(run: Any) -> None:
    done = run(rows(6), {"label_noise": NOISE})
    flagged = lines_of(done.folder / "flagged.jsonl")
    wrong = {line["source"]["line"] for line in flagged}
    assert len(done.rows) == 120 and {1, 2, 3, 4, 5, 6} <= wrong and len(wrong) <= 8
    assert flagged[0]["note"].startswith("watch has probability 0.") and ", lamp 0." in flagged[0]["note"]
    figures = done.summary["steps"]["label_noise"]
    assert figures["label_and_better_label"]["watch -> lamp"] >= 6 and figures["accuracy_out_of_fold"] > 0.9


@pytest.mark.slow
def test_doubtful_rows_can_be_removed_and_rows_without_a_label_stay(run: Any) -> None:
    done = run(
        [*rows(6), {"text": "no label"}, {"text": "rare", "label": "rare"}],
        {"label_noise": {**NOISE, "mode": "remove"}},
    )
    assert done.reasons == ["doubtful_label"] * len(done.removed) and len(done.removed) >= 6
    assert {row["row"]["label"] for row in done.removed} == {"watch"}
    assert done.texts[-2:] == ["no label", "rare"]


def test_rows_of_one_label_are_passed_on_and_the_reason_is_reported(run: Any) -> None:
    done = run([{"text": "a", "label": "x"}] * 9, {"label_noise": NOISE})
    assert len(done.rows) == 9
    assert done.summary["steps"]["label_noise"]["not_judged_because"] == "fewer than two labels have 5 rows"


def test_an_unknown_mode_is_refused(run: Any) -> None:
    with pytest.raises(ConfigError, match="mode: 'drop' is none of report, remove"):
        run(["a"], {"label_noise": {"mode": "drop"}})
