"""Merging datasets: each row once, with the lineage of every row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.errors import InputError, UserError
from synthgen.versions import Library, MergeConfig, Merged, freeze_dataset, merge, words
from synthgen.versions.reading import Dataset
from tests.versions.conftest import NEWS, lines_of, write

Json = dict[str, Any]
Opened = Callable[..., Dataset]
Merging = Callable[..., Merged]


@pytest.fixture
def merged(tmp_path: Path) -> Merging:
    """`merged(a, b, on_conflict="drop")`: merges datasets to the folder `out`."""

    def run(*datasets: Dataset, **rules: Any) -> Merged:
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return merge(datasets, MergeConfig(**rules), tmp_path / "out", work)

    return run


def removed(tmp_path: Path) -> list[tuple[str, int]]:
    return [(line["reason"], line["source"]["row"]) for line in lines_of(tmp_path / "out" / "removed.jsonl")]


def test_a_text_that_both_have_stays_once_in_any_case_and_script(
    opened: Opened, merged: Merging, tmp_path: Path
) -> None:
    twin = [{**NEWS[0], "text": NEWS[0]["text"].upper()}, {**NEWS[1], "text": "天文學家發現了新的彗星"}, NEWS[3]]
    found = merged(opened(train=NEWS[:3]), opened(train=twin))
    assert lines_of(tmp_path / "out" / "train.jsonl") == NEWS
    assert removed(tmp_path) == [("duplicate", 0), ("duplicate", 1)]
    assert [kept for _, _, kept in found.kept] == [3, 1]


def test_near_duplicates_go_if_they_have_the_same_target(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    first = {"text": "The striker scored twice in the last minute of the final at home.", "label": "sport"}
    near = {**first, "text": f"{first['text']} Again"}
    merged(opened(train=[first]), opened(train=[near, NEWS[3]]))
    assert lines_of(tmp_path / "out" / "train.jsonl") == [first, NEWS[3]]
    line = lines_of(tmp_path / "out" / "removed.jsonl")[0]
    assert (line["step"], line["reason"], line["row"]) == ("merge", "near_duplicate", near)
    assert line["neighbour"]["row"] == 0


def test_a_near_copy_with_another_target_stays(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    first = {"text": "The striker scored twice in the last minute of the final at home.", "label": "sport"}
    other = {"text": f"{first['text']} Again", "label": "world"}
    found = merged(opened(train=[first]), opened(train=[other]))
    assert lines_of(tmp_path / "out" / "train.jsonl") == [first, other]
    assert found.near_other == 1
    assert "kept: 1 near-duplicates whose target differs" in words.of_merge(found, "out")


def test_near_duplicates_can_be_found_by_meaning_or_not_at_all(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    rows = [{"text": "The striker scored twice.", "label": "a"}], [{"text": "The strikers scored twice!", "label": "a"}]
    sides = [opened(train=each) for each in rows]
    assert merged(*sides, near="none").removed == {}
    (tmp_path / "out").rename(tmp_path / "none")
    found = merged(*sides, near="meaning", threshold=0.8, embedder="hash")
    assert found.removed == {"near_duplicate": 1}
    (tmp_path / "out").rename(tmp_path / "meaning")
    with pytest.raises(UserError, match=r"--embedder: model name 'bundled:none'.*or compare with --near words"):
        merged(*sides, near="meaning", embedder="bundled:none")
    with pytest.raises(UserError, match=r"--threshold: must be from 0\.3 to 1, got 3"):
        MergeConfig(threshold=3)


def test_repetitions_within_a_dataset_stay(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    rows = [NEWS[0], NEWS[0], {**NEWS[0], "label": "world"}]
    merged(opened(train=rows), opened(train=[NEWS[1], NEWS[1]]))
    assert lines_of(tmp_path / "out" / "train.jsonl") == [*rows, NEWS[1], NEWS[1]]


@pytest.mark.parametrize(("rule", "left"), [("first", [NEWS[0], NEWS[1], NEWS[2]]), ("drop", [NEWS[1], NEWS[2]])])
def test_a_text_with_two_labels_is_resolved_by_the_rule(
    rule: str, left: list[Json], opened: Opened, merged: Merging, tmp_path: Path
) -> None:
    other = {**NEWS[0], "label": "world"}
    found = merged(opened(train=NEWS[:2]), opened(train=[other, NEWS[2]]), on_conflict=rule)
    assert lines_of(tmp_path / "out" / "train.jsonl") == left
    assert [each["targets"] for each in found.conflicts] == [[{"label": "business"}, {"label": "world"}]]
    assert {reason for reason, _ in removed(tmp_path)} == {"conflict"}


def test_a_third_dataset_is_compared_with_what_stays_of_the_others(
    opened: Opened, merged: Merging, tmp_path: Path
) -> None:
    other = {**NEWS[0], "label": "world"}
    found = merged(opened(train=[NEWS[0]]), opened(train=[other, NEWS[1]]), opened(train=[other, NEWS[1], NEWS[2]]))
    assert lines_of(tmp_path / "out" / "train.jsonl") == NEWS[:3]
    assert found.removed == {"conflict": 2, "duplicate": 1}
    assert [kept for _, _, kept in found.kept] == [1, 1, 1]


def test_a_text_with_two_labels_can_stop_the_merge(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    sides = opened(train=NEWS), opened(train=[{**NEWS[0], "label": "world"}])
    with pytest.raises(
        InputError, match=r'1 text has different targets(.|\n)*"business"(.|\n)*"world"(.|\n)*--on-conflict'
    ):
        merged(*sides, on_conflict="error")
    assert not (tmp_path / "out").exists()


def test_different_fields_are_named(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    one = opened(train=[{"text": "a", "label": "x", "year": 1}])
    other = opened(train=[{"text": "b", "label": 3, "place": "here", "license": "MIT"}])
    with pytest.raises(InputError) as caught:
        merged(one, other)
    said = str(caught.value)
    assert f"{one.name} has the field 'year', {other.name} has not" in said
    assert f"{other.name} has the field 'place', {one.name} has not" in said
    assert f"label: string in {one.name}, number in {other.name}" in said
    assert "license" not in said
    assert not (tmp_path / "out").exists()


def test_fields_that_are_sometimes_null_or_missing_agree(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    merged(opened(train=[{"text": "a", "note": None}]), opened(train=[{"text": "b", "note": "n"}, {"text": "c"}]))
    assert len(lines_of(tmp_path / "out" / "train.jsonl")) == 3


def test_rows_know_where_they_are_from_also_after_a_second_merge(
    opened: Opened, merged: Merging, tmp_path: Path, library: Library
) -> None:
    placed = {**NEWS[0], "source": {"file": "in.csv", "line": 7}}
    one = opened(train=[placed])
    other = opened(test=NEWS[1:2])
    merged(one, other)
    assert lines_of(tmp_path / "out" / "train.jsonl") == [placed]
    (tmp_path / "out").rename(tmp_path / "both")
    frozen = freeze_dataset(library, str(tmp_path / "both"), licence="MIT")
    assert [part["rows"] for part in frozen.version.meta["merged"]] == [1, 1]
    merged(opened("both@1"), opened(train=NEWS[2:]))
    lineage = lines_of(tmp_path / "out" / "meta" / "lineage.jsonl")
    assert lineage[0]["from"] == [
        {"dataset": "both@1", "split": "train", "row": 0},
        {"dataset": one.name, "split": "train", "row": 0},
    ]
    assert [line.get("licence") for line in lineage] == ["MIT", None, None, "MIT"]
    assert lines_of(tmp_path / "out" / "train.jsonl")[0] == placed
    again = freeze_dataset(library, str(tmp_path / "out"), name="all")
    assert again.version.meta["licence"] == {"MIT": 2, "none": 2}


def test_rows_of_an_edited_merge_keep_their_own_lineage(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    merged(opened(train=NEWS[:2]), opened(train=NEWS[2:]))
    write(tmp_path / "out", train=[NEWS[3], {"text": "new", "label": "sport"}, NEWS[0]])
    rows = opened(tmp_path / "out").rows
    known = [[place["row"] for place in rows.lineage(entry.position).get("from", [])] for entry in rows.entries]
    assert known == [[1], [], [0]]


def test_a_dataset_merged_with_itself_is_itself(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    folder = write(tmp_path / "data", train=NEWS)
    found = merged(opened(folder), opened(folder))
    assert lines_of(tmp_path / "out" / "train.jsonl") == NEWS
    assert found.kept == [(str(folder), 4, 4), (str(folder), 4, 0)]


def test_a_merge_never_replaces_content(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    write(tmp_path / "out", train=NEWS)
    with pytest.raises(UserError, match="has content already"):
        merged(opened(train=NEWS), opened(train=NEWS))


def test_a_merge_without_rows_is_refused(opened: Opened, merged: Merging, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the merge has no rows left"):
        merged(opened(train=NEWS[:1]), opened(train=[{**NEWS[0], "label": "x"}]), on_conflict="drop")
    assert not (tmp_path / "out").exists()


def test_numbers_past_64_bits_and_nested_values_stay_as_they_are(
    opened: Opened, merged: Merging, tmp_path: Path
) -> None:
    rows = [{"text": "前", "n": 2**64 + 1, "of": {"a": [{"b": None}]}}], [{"text": "后", "n": 2**90, "of": {"a": []}}]
    merged(*(opened(train=each) for each in rows))
    assert lines_of(tmp_path / "out" / "train.jsonl") == [*rows[0], *rows[1]]
    assert json.loads((tmp_path / "out" / "merge.json").read_text())["rows"] == {"train": 2}
