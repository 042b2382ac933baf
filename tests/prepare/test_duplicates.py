"""Of rows with equal or nearly equal texts one stays."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.prepare.item import Item, Origin, RowFields
from synthgen.prepare.minhash import SHINGLE, Signatures
from synthgen.prepare.spool import Spool
from synthgen.tasks.normal import normalise, shingles

WORDS = [f"{a}{b}{c}" for a in "bdfgkl" for b in "aeiou" for c in ("mer", "ton", "lis", "quad", "x", "pond")]


def texts(count: int, rng: random.Random) -> list[str]:
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(6, 25))) for _ in range(count)]


def test_equal_texts_are_compared_without_case_width_and_script_form(run: Any) -> None:
    done = run(["这台电脑很快", "這台電腦很快。", "Hi there", "ＨＩ, THERE!", "5%", "5"], "exact")
    assert done.texts == ["这台电脑很快", "Hi there", "5%", "5"]


def test_the_best_of_equal_rows_stays_at_its_own_place(run: Any) -> None:
    rows = [
        {"text": "A", "score": 1},
        {"text": "b", "score": 0},
        {"text": "a!", "score": "3"},
        {"text": "a", "score": 2},
    ]
    done = run(rows, {"exact": {"keep": "best", "score": "score"}})
    assert done.texts == ["b", "a!"]
    assert [gone["neighbour"]["line"] for gone in done.removed] == [3, 3]


def test_a_score_that_is_no_number_is_reported(run: Any) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl:1: score is not a number"):
        run(["a"], {"exact": {"keep": "best", "score": "score"}})


def test_equal_texts_with_other_labels_stay_on_request(run: Any) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "a", "label": "y"}, {"text": "A", "label": "x"}]
    assert len(run(rows, {"exact": {"labels": True}}).rows) == 2


def test_near_duplicates_are_removed_with_their_neighbour_and_others_stay(run: Any) -> None:
    rng = random.Random(3)
    originals = texts(120, rng)
    copies = [f"{text} {rng.choice(WORDS)}" for text in originals[:40] if len(text) > 90]
    done = run([*originals, *copies], "near")
    assert set(originals) <= set(done.texts)
    assert len(done.removed) == len(copies)
    for gone in done.removed:
        assert gone["row"]["text"].startswith(originals[gone["neighbour"]["line"] - 1])


def test_chinese_near_duplicates_are_removed(run: Any) -> None:
    long = "昨天下午我们在城西新开的那家书店里坐了很久，窗外一直下着小雨，店员送来两杯热茶"
    assert len(run([long, f"{long}了", "今天的天气很好，我们去公园散步，孩子们在草地上放风筝"], "near").rows) == 2


def test_the_best_of_near_duplicates_stays(run: Any) -> None:
    text = " ".join(WORDS[:20])
    done = run([text, f"{text} more", "something else altogether in other words"], {"near": {"keep": "best"}})
    assert done.texts == [f"{text} more", "something else altogether in other words"]


def test_rows_without_words_are_no_near_duplicates(run: Any) -> None:
    assert len(run(["!!!", "???", "..."], "near").rows) == 3


def test_bands_find_the_pairs_that_a_full_comparison_finds(tmp_path: Path) -> None:
    rng = random.Random(5)
    rows = texts(150, rng)
    for text in rows[:100]:
        words = text.split()
        for _ in range(rng.randint(1, 3)):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        rows.append(" ".join(words))
    signatures, spool = Signatures(tmp_path, RowFields(), 0.7), Spool(tmp_path)
    for number, text in enumerate(rows):
        item = Item({"text": text}, Origin("f", number))
        spool.append(item)
        signatures.add(item)
    found = {(row, near) for row, near, _ in signatures.pairs(spool)}
    parts = [shingles(normalise(text), SHINGLE) for text in rows]
    true = {
        (row, near)
        for row in range(len(rows))
        for near in range(row)
        if len(parts[row] & parts[near]) / len(parts[row] | parts[near]) >= 0.7
    }
    assert len(true) > 20
    assert found <= true
    assert len(found) >= 0.95 * len(true)
    assert np.all([row > near for row, near in found])
    signatures.close()
    spool.close()
