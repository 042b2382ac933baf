"""Comparing two datasets."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp

from synthgen.errors import UserError
from synthgen.versions import Diff, compare, words
from synthgen.versions.reading import Dataset, workspace
from synthgen.versions.rows import DatasetRows
from tests.versions.conftest import NEWS, write

Json = dict[str, Any]
Opened = Callable[..., Dataset]


def counts(found: Diff) -> dict[str, dict[str, int]]:
    return {kind: found.counts(kind) for kind in ("added", "removed", "changed", "moved") if found.counts(kind)}


def test_rows_are_added_removed_changed_or_moved(opened: Opened) -> None:
    new = {"text": "A new bridge opened.", "label": "world"}
    relabelled = {**NEWS[1], "label": "world"}
    before = opened(train=NEWS[:3], test=NEWS[3:])
    after = opened(train=[NEWS[0], relabelled, NEWS[3], new])
    found = compare(before, after)
    assert counts(found) == {
        "added": {"train": 1},
        "removed": {"train": 1},
        "changed": {"train": 1},
        "moved": {"test -> train": 1},
    }
    assert (found.unchanged, found.same) == (1, False)
    assert list(found.lines()) == [
        {"change": "added", "split": "train", "after": new},
        {"change": "removed", "split": "train", "before": NEWS[2]},
        {"change": "changed", "split": "train", "before": NEWS[1], "after": relabelled},
        {"change": "moved", "split": "test -> train", "before": NEWS[3], "after": NEWS[3]},
    ]


def test_equal_datasets_have_no_difference_whatever_their_order(opened: Opened) -> None:
    found = compare(opened(train=NEWS), opened(train=NEWS[::-1]))
    assert found.same
    assert counts(found) == {}
    assert "the same rows in the same splits" in words.of_diff(found)


def test_a_changed_row_of_the_same_split_is_paired_first(opened: Opened) -> None:
    row = NEWS[0]
    before = opened(train=[row], test=[{**row, "label": "world"}])
    after = opened(train=[{**row, "label": "science"}], test=[{**row, "label": "sport"}])
    assert counts(compare(before, after)) == {"changed": {"train": 1, "test": 1}}


def test_copies_are_compared_one_by_one(opened: Opened) -> None:
    assert counts(compare(opened(train=[NEWS[0]] * 3), opened(train=[NEWS[0]]))) == {"removed": {"train": 2}}


def test_a_row_that_differs_in_its_licence_alone_is_not_said_to_have_another_label(opened: Opened) -> None:
    licensed = [{**row, "license": "MIT"} for row in NEWS[:3]]
    found = compare(opened(train=licensed), opened(train=[NEWS[0], NEWS[1], {**NEWS[2], "label": "world"}]))
    assert counts(found) == {"changed": {"train": 3}}
    assert found.changed_fields == {"label": 1, "license": 3}
    assert "changed: the same input, another label in 1 row, another license in 3 rows" in words.of_diff(found)


def test_of_rows_with_one_input_those_with_the_same_target_are_paired_first(opened: Opened) -> None:
    twice = [{**NEWS[0], "label": label, "license": "MIT"} for label in ("world", "sport")]
    found = compare(opened(train=twice), opened(train=[{**row, "license": "BSD"} for row in twice]))
    assert found.changed_fields == {"license": 2}


def test_without_a_target_no_row_is_changed(opened: Opened) -> None:
    found = compare(opened(train=[{"text": "one", "year": 1}]), opened(train=[{"text": "one", "year": 2}]))
    assert counts(found) == {"added": {"train": 1}, "removed": {"train": 1}}
    assert found.labels is None


def test_two_labels_are_compared_without_a_correction_for_small_tables(opened: Opened) -> None:
    first, second = ([{"text": str(row), "label": "ab"[row < ups]} for row in range(10)] for ups in (5, 9))
    found = compare(opened(train=first), opened(train=second))
    assert found.figures["labels"]["statistic"] == pytest.approx(20 * (5 * 9 - 5 * 1) ** 2 / (10 * 10 * 14 * 6))


def test_the_target_can_be_named(opened: Opened) -> None:
    before, after = (
        opened(train=[{"q": "1+1", "a": "2", "by": "x"}]),
        opened(train=[{"q": "1+1", "a": "two", "by": "y"}]),
    )
    assert counts(compare(before, after, ["a", "by"])) == {"changed": {"train": 1}}
    assert counts(compare(before, after, ["a"])) == {"added": {"train": 1}, "removed": {"train": 1}}
    with pytest.raises(UserError, match="--target: no row has the field 'by_'; did you mean by"):
        compare(before, after, ["by_"])


def test_the_task_of_a_run_names_input_and_target(opened: Opened) -> None:
    before = opened(train=[{"q": "1+1", "a": "2", "note": "x"}])
    after = opened(train=[{"q": "1+1", "a": "3", "note": "y"}])
    after.facts["task"] = {"input": ["q"], "target": ["a"]}
    assert counts(compare(before, after)) == {"changed": {"train": 1}}


def test_shifts_are_those_of_scipy(opened: Opened) -> None:
    before = [{"text": "x" * length, "label": "ab"[length % 2]} for length in range(1, 40)]
    after = [{"text": "x" * length, "label": "abc"[length % 3]} for length in range(20, 80)]
    found = compare(opened(train=before), opened(train=after))
    lengths = ks_2samp([len(row["text"]) for row in before], [len(row["text"]) for row in after])
    assert found.figures["length"]["statistic"] == pytest.approx(lengths.statistic)
    assert found.figures["length"]["p"] == pytest.approx(lengths.pvalue)
    assert (found.figures["length"]["before"], found.figures["length"]["after"]) == (20, 49.5)
    tables = [Counter(row["label"] for row in rows) for rows in (before, after)]
    labels = chi2_contingency([[table[name] for name in "abc"] for table in tables])
    assert found.figures["labels"]["statistic"] == pytest.approx(labels.statistic)
    assert found.labels == tuple(tables)
    shown = "\n".join(words.of_diff(found))
    assert "input length: median 20 -> 49.5 characters; Kolmogorov-Smirnov D" in shown
    assert "c           0   0.0%     20  33.3%   +33.3" in shown


def test_a_target_that_is_no_label_has_a_shift_of_length(opened: Opened) -> None:
    before, after = [{"q": "1", "label": ["a", "bc"]}], [{"q": "1", "label": ["a"]}, {"q": "2", "label": []}]
    found = compare(opened(train=before), opened(train=after))
    assert found.labels is None
    assert (found.figures["target_length"]["before"], found.figures["target_length"]["after"]) == (3, 0.5)


def test_students_stand_beside_each_other_when_both_have_one(tmp_path: Path, opened: Opened) -> None:
    folders = [write(tmp_path / name, train=NEWS) for name in ("a", "b")]
    for folder, mean in zip(folders, (0.5, 0.75), strict=True):
        (folder / "student").mkdir()
        arm = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        (folder / "student" / "metrics.json").write_text(
            json.dumps({"metric": "accuracy", "eval_rows": 8, "synthetic": arm})
        )
    found = compare(opened(folders[0]), opened(folders[1]))
    line = next(line for line in words.of_diff(found) if line.startswith("with all rows"))
    assert line.split() == ["with", "all", "rows", "0.500", "(0.400", "to", "0.600)", "0.750", "(0.650", "to", "0.850)"]
    (folders[1] / "student" / "metrics.json").unlink()
    assert compare(opened(folders[0]), opened(folders[1])).students is None


def test_facts_that_differ_are_named(opened: Opened) -> None:
    before, after = opened(train=NEWS), opened(train=[{**row, "license": "MIT"} for row in NEWS])
    after.facts["guide"] = {"sha256": "0"}
    assert compare(before, after).facts == ["guide", "licence"]


def test_terminal_controls_in_rows_are_escaped(opened: Opened) -> None:
    found = compare(opened(train=NEWS), opened(train=[*NEWS, {"text": "\x1b[31mred\u202e", "label": "a\x07b"}]))
    shown = "\n".join([*words.of_diff(found), *words.of_rows(found)])
    assert "\\u001b[31mred\\u202e" in shown
    assert not any(mark in shown for mark in "\x1b\x07\u202e")


_ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("xy"), st.sampled_from(["train", "test"])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(_ROWS, _ROWS)
def test_every_row_is_counted_once_on_each_side(
    before: list[tuple[str, str, str]], after: list[tuple[str, str, str]]
) -> None:
    with workspace() as work:
        sides = []
        for name, listed in (("a", before), ("b", after)):
            rows = DatasetRows(work)
            for text, label, split in listed:
                rows.add({"text": text, "label": label}, split)
            sides.append(Dataset(name, rows, {}))
        found = compare(*sides)
        total = {kind: sum(found.counts(kind).values()) for kind in words.KINDS}
        kept = found.unchanged + total["changed"] + total["moved"]
        assert kept + total["removed"] == len(before)
        assert kept + total["added"] == len(after)
        assert found.same == (Counter(before) == Counter(after))
        for side in sides:
            side.rows.close()


def test_datasets_of_unrelated_tasks_are_said_to_share_no_field(opened: Opened) -> None:
    one, other = opened(train=NEWS), opened(train=[{"english": "a", "german": "b"}])
    found = compare(one, other)
    assert "the datasets have no field in common" in "\n".join(words.of_diff(found))
    assert "target_length" not in found.figures, "only one of them has that target"
