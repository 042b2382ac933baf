"""Rows are divided into splits that share nothing, and balanced."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.errors import ConfigError, InputError
from synthgen.prepare import load, prepare
from synthgen.prepare.settings import by_names, with_quotas
from tests.prepare.conftest import lines_of

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnp" for b in "aeiou" for c in ("mer", "ton", "lis", "quad", "x", "pond")]


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "text": " ".join(rng.sample(WORDS, 12)),
            "label": rng.choices("abc", [6, 3, 1])[0],
            "author": f"person {rng.randrange(count // 4)}",
        }
        for _ in range(count)
    ]


def test_every_label_has_its_share_in_every_split(run: Any) -> None:
    done = run(rows(400), "split")
    total = Counter(row["label"] for row in done.rows)
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        found = Counter(row["label"] for row in done.rows if row["split"] == split)
        assert all(abs(found[label] - share * total[label]) <= 2 for label in total)
    assert done.summary["splits"] == dict(Counter(row["split"] for row in done.rows))
    assert sorted(path.stem for path in done.folder.glob("t*.jsonl")) == ["test", "train"]


def test_no_group_and_no_near_duplicates_are_in_two_splits(run: Any) -> None:
    given = rows(300)
    given += [{**row, "text": f"{row['text']} x", "author": f"copyist {n}"} for n, row in enumerate(given[:60])]
    done = run(given, {"split": {"group": "author", "shares": {"train": 0.5, "test": 0.5}}})
    by_author: dict[str, set[str]] = {}
    for row in done.rows:
        by_author.setdefault(row["author"], set()).add(row["split"])
    assert all(len(found) == 1 for found in by_author.values())
    of = {row["text"]: row["split"] for row in done.rows}
    assert all(of[row["text"]] == of[row["text"].removesuffix(" x")] for row in given[300:])
    figures = done.summary["steps"]["split"]
    assert figures["groups_across_splits"] == figures["near_pairs_across_splits"] == 0
    assert abs(figures["rows"]["train"] - 180) < 20


def test_a_large_group_does_not_fill_a_small_split(run: Any) -> None:
    given = [{"text": f"row {n}", "label": "a", "author": "ann" if n < 30 else f"person {n}"} for n in range(100)]
    options = {"group": "author", "near": None, "shares": {"train": 0.8, "test": 0.1, "last": 0.1}}
    done = run(given, {"split": options})
    assert done.summary["splits"] == {"train": 80, "test": 10, "last": 10}
    assert {row["split"] for row in done.rows if row["author"] == "ann"} == {"train"}


def test_the_paragraphs_of_a_document_stay_in_one_split(tmp_path: Path) -> None:
    for name in "abcdefghij":
        paragraphs = (" ".join(random.Random(f"{name}{n}").sample(WORDS, 12)) for n in range(8))
        (tmp_path / f"{name}.md").write_text("\n\n".join(paragraphs))
    config = tmp_path / "prepare.yaml"
    options = {"group": "document", "shares": {"train": 0.5, "test": 0.5}}
    config.write_text(yaml.safe_dump({"documents": "paragraph", "steps": [{"split": options}]}))
    prepare([str(file) for file in sorted(tmp_path.glob("*.md"))], load(str(config)), tmp_path / "out")
    of: dict[str, set[str]] = {}
    for row in lines_of(tmp_path / "out/prepared.jsonl"):
        of.setdefault(row["source"]["file"], set()).add(row["split"])
    assert len(of) == 10 and all(len(found) == 1 for found in of.values())


def test_splits_depend_on_the_seed_alone(run: Any) -> None:
    given = rows(80)
    one, two, other = (run(given, "split", seed=seed).rows for seed in (1, 1, 2))
    assert one == two != other


@pytest.mark.parametrize(
    "shares", [{"a": 0.5, "b": 0.4}, {"a": 1.0}, {"../x": 0.5, "b": 0.5}, {"removed": 0.5, "b": 0.5}]
)
def test_wrong_shares_are_refused(run: Any, shares: Any) -> None:
    with pytest.raises(ConfigError, match="split: shares: "):
        run(["a"], {"split": {"shares": shares}})


def test_a_field_of_the_rows_is_not_overwritten(run: Any) -> None:
    with pytest.raises(InputError, match=r"rows\.jsonl:1: the row has a field 'split' already"):
        run([{"text": "a", "split": "mine"}], "split")


@pytest.mark.parametrize(("to", "each"), [("smallest", 4), ("largest", 10), ("median", 6), (5, 5)])
def test_every_label_gets_the_same_number_of_rows(run: Any, to: Any, each: int) -> None:
    given = [
        {"text": f"text {label}{n}", "label": label}
        for label, count in (("a", 10), ("b", 6), ("c", 4))
        for n in range(count)
    ]
    done = run(given, {"balance": {"to": to}})
    assert Counter(row["label"] for row in done.rows) == {"a": each, "b": each, "c": each}
    assert len(done.removed) == sum(max(0, count - each) for count in (10, 6, 4))
    assert max(Counter(done.texts).values()) <= 3


def test_a_row_is_not_repeated_more_often_than_allowed(run: Any) -> None:
    given = [{"text": f"{n}", "label": "a" if n else "b"} for n in range(10)]
    assert len(run(given, {"balance": {"to": "largest", "copies": 3}}).rows) == 9 + 3


def test_only_the_train_split_is_balanced(run: Any) -> None:
    given = rows(200)
    done = run(given, {"split": {"near": None}}, "balance")
    train = Counter(row["label"] for row in done.rows if row["split"] == "train")
    assert len(set(train.values())) == 1
    assert done.summary["splits"]["test"] == 20


def test_quotas_say_what_each_value_lacks_and_change_no_row(run: Any) -> None:
    given = [
        {"text": f"row {n}", "label": label} for label, count in (("b: x", 3), ("a", 5), ("c", 4)) for n in range(count)
    ]
    done = run(given, {"balance": {"quotas": True, "to": "largest"}})
    assert len(done.rows) == 12
    assert done.summary["steps"]["balance"]["quotas"] == {"b: x": 2, "c": 1}
    written = yaml.safe_load((done.folder / "budget/quotas.yaml").read_text(encoding="utf-8"))
    assert written == {"target": 3, "quotas": {"b: x": 2, "c": 1}}
    assert not (run(given[:3], {"balance": {"quotas": True, "to": 3}}).folder / "budget").exists()


def test_quotas_of_the_smallest_value_and_a_second_balance_are_refused(run: Any) -> None:
    with pytest.raises(ConfigError, match="quotas: no value has fewer rows than the smallest"):
        run(["a"], {"balance": {"quotas": True}})
    with pytest.raises(ConfigError, match="--write-quotas: the chain has the step balance already"):
        with_quotas(by_names(["exact", "balance"]))


def test_bias_reports_the_balance_of_attributes_and_of_words_about_people(run: Any) -> None:
    given = [{"text": f"{who} wrote line {n}", "label": label, "region": region}
             for who, label, region, count in (("She", "x", "north", 6), ("He", "y", "north", 4), ("It", "y", "south", 2))
             for n in range(count)]  # fmt: skip
    done = run(given, {"bias": {"by": ["region"]}})
    figures = done.summary["steps"]["bias"]
    assert len(done.rows) == 12
    assert figures["region"] == {"north": 10, "south": 2} and figures["region_by_label"]["north / x"] == 6
    assert figures["words_about"] == {"women": 6, "men": 4, "neither": 2} and figures["words_about_association"] == 1.0
    with pytest.raises(ConfigError, match=r"steps\[0\].bias.by: no row has the field 'regio'"):
        run(given, {"bias": {"by": ["regio"]}})
