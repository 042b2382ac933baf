"""Freezing datasets as versions, and restoring them."""

import json
import os
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synthgen.errors import RunFolderError, UserError, WriteError
from synthgen.versions import FrozenVersion, Library, Store, check_out, freeze_dataset
from tests.versions.conftest import NEWS, lines_of, write

Json = dict[str, Any]


def freeze(library: Library, folder: Path, **more: Any) -> FrozenVersion:
    return freeze_dataset(library, str(folder), name="news", **more)


def stored(library: Library) -> list[Json]:
    return [line for path in (library.store.root / "rows").glob("*.jsonl") for line in lines_of(path)]


def text_of(rows: list[Json]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def test_a_restored_version_has_the_rows_of_the_dataset(tmp_path: Path, library: Library) -> None:
    odd = [
        {"text": "前锋梅开二度", "spans": [{"from": 0, "of": {"deep": [None, True, 1.5]}}], "n": 2**63 + 1},
        {"text": "line\nbreak \u202e ' \"", "n": -(2**70)},
        {"text": ""},
    ]
    folder = write(tmp_path / "data", train=[*NEWS, *odd], test=odd[:1])
    frozen = freeze(library, folder, message="first")
    assert frozen.version.label == "news@1"
    assert frozen.version.meta["rows"] == {"train": 7, "test": 1}
    assert frozen.version.meta["message"] == "first"
    assert check_out(frozen.version, tmp_path / "back") == {"train": 7, "test": 1}
    assert text_of(lines_of(tmp_path / "back" / "train.jsonl")) == text_of([*NEWS, *odd])
    assert lines_of(tmp_path / "back" / "test.jsonl") == odd[:1]


def test_an_unchanged_dataset_makes_no_version(tmp_path: Path, library: Library) -> None:
    folder = write(tmp_path / "data", train=NEWS)
    first = freeze(library, folder)
    write(folder, train=[dict(reversed(row.items())) for row in reversed(NEWS)])  # another order of rows and fields
    again = freeze(library, folder, message="another message")
    assert (first.new, again.new) == (True, False)
    assert again.version == first.version
    assert library.store.numbers("news") == [1]


def test_a_later_version_stores_only_what_is_new(tmp_path: Path, library: Library) -> None:
    rows = [{"text": f"item {number}", "label": "a"} for number in range(50)]
    freeze(library, write(tmp_path / "data", train=rows))
    frozen = freeze(library, write(tmp_path / "data", train=[*rows[1:], {"text": "new", "label": "b"}]))
    assert frozen.rows == (1, 1)
    assert frozen.stored[0] == 1
    assert len(stored(library)) == 51
    lines = (library.store.folder("news", 2) / "rows.txt").read_text().splitlines()
    assert sorted(line[0] for line in lines) == ["+", "-"]
    assert frozen.version.meta["base"] == frozen.version.parent == "news@1"


def test_files_of_a_store_are_sorted_and_one_row_a_line(tmp_path: Path, library: Library) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS, test=NEWS[:1]))
    ids = [line["id"] for line in stored(library)]
    assert ids == sorted(set(ids))
    assert len(ids) == 4
    lines = (library.store.folder("news", 1) / "rows.txt").read_text().splitlines()
    assert lines == sorted(lines)
    assert len(lines) == 5


def test_a_version_is_written_in_full_where_differences_would_be_longer(tmp_path: Path, library: Library) -> None:
    bases = []
    for number in range(6):
        rows = [{"text": f"item {each}", "label": "a"} for each in range(number, number + 10)]
        bases.append(freeze(library, write(tmp_path / "data", train=rows)).version.meta["base"])
    assert bases == [None, "news@1", "news@2", "news@3", "news@4", "news@5"]
    other = [{"text": f"other {each}", "label": "a"} for each in range(10)]
    assert freeze(library, write(tmp_path / "data", train=other)).version.meta["base"] is None
    for number in library.store.numbers("news"):
        assert library.store.rows(library.store.version("news", number)).total() == 10


def test_copies_of_a_row_are_counted(tmp_path: Path, library: Library) -> None:
    freeze(library, write(tmp_path / "data", train=[NEWS[0]] * 3))
    frozen = freeze(library, write(tmp_path / "data", train=[NEWS[0]] * 2))
    assert frozen.rows == (0, 1)
    check_out(frozen.version, tmp_path / "back")
    assert lines_of(tmp_path / "back" / "train.jsonl") == [NEWS[0]] * 2


def test_the_place_and_the_split_that_prepare_notes_are_no_content(tmp_path: Path, library: Library) -> None:
    def noted(line: int, split: str) -> list[Json]:
        return [
            {**row, "source": {"file": "in.csv", "line": line + place}, "split": split}
            for place, row in enumerate(NEWS)
        ]

    folder = write(tmp_path / "data", train=noted(2, "train"))
    first = freeze(library, folder)
    assert not freeze(library, write(folder, train=noted(9, "train"))).new
    check_out(first.version, tmp_path / "back")
    assert text_of(lines_of(tmp_path / "back" / "train.jsonl")) == text_of(noted(2, "train"))
    assert not freeze(library, tmp_path / "back").new
    own = freeze(library, write(tmp_path / "own", train=[{**row, "source": "Reuters"} for row in NEWS]))
    assert own.new


@pytest.mark.parametrize("form", ["csv", "parquet", "json", "tsv.gz"])
def test_the_format_of_a_file_makes_no_difference(form: str, tmp_path: Path, library: Library) -> None:
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    freeze(library, write(tmp_path / "data", train=NEWS))
    other = tmp_path / "other"
    other.mkdir()
    mark = "\t" if form == "tsv.gz" else ","
    cells = [["text", "label"], *([row["text"], row["label"]] for row in NEWS)]
    table = "".join(f"{mark.join(line)}\n" for line in cells)
    match form:
        case "csv":
            (other / "train.csv").write_text(table, encoding="utf-8")
        case "tsv.gz":
            (other / "train.tsv.gz").write_bytes(gzip.compress(table.encode()))
        case "json":
            (other / "train.json").write_text(json.dumps(NEWS), encoding="utf-8")
        case _:
            pq.write_table(pa.Table.from_pylist(NEWS), other / "train-00000-of-00001.parquet")
    assert not freeze(library, other).new


def test_the_parent_of_a_restored_and_edited_folder_is_the_restored_version(tmp_path: Path, library: Library) -> None:
    first = freeze(library, write(tmp_path / "data", train=NEWS))
    freeze(library, write(tmp_path / "data", train=NEWS[:2]))
    check_out(first.version, tmp_path / "back")
    write(tmp_path / "back", train=NEWS[1:])
    frozen = freeze_dataset(library, str(tmp_path / "back"))
    assert (frozen.version.label, frozen.version.parent, frozen.rows) == ("news@3", "news@1", (0, 1))
    assert not freeze_dataset(library, str(tmp_path / "back")).new


def test_a_restored_folder_whose_rows_are_frozen_may_be_replaced(tmp_path: Path, library: Library) -> None:
    first = freeze(library, write(tmp_path / "data", train=NEWS)).version
    second = freeze(library, write(tmp_path / "data", train=NEWS[:2])).version
    check_out(first, tmp_path / "back")
    check_out(second, tmp_path / "back")
    assert len(lines_of(tmp_path / "back" / "train.jsonl")) == 2
    write(tmp_path / "back", train=NEWS[1:])
    with pytest.raises(UserError, match="its rows are in no version; freeze them first"):
        check_out(first, tmp_path / "back")
    (tmp_path / "data" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="has content already"):
        check_out(first, tmp_path / "data")


def test_an_earlier_version_frozen_again_is_the_newest(tmp_path: Path, library: Library) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS))
    freeze(library, write(tmp_path / "data", train=NEWS[:2]))
    back = freeze_dataset(library, "news@1")
    assert (back.version.label, back.stored[0]) == ("news@3", 0)
    assert back.version.content == library.version("news@1").content


def test_licences_are_counted_and_the_default_one_is_kept(tmp_path: Path, library: Library) -> None:
    rows = [{**NEWS[0], "license": "MIT"}, NEWS[1], NEWS[2]]
    assert freeze(library, write(tmp_path / "data", train=rows)).version.meta["licence"] == {"MIT": 1, "none": 2}
    frozen = freeze(library, tmp_path / "data", licence="CC0-1.0")
    assert frozen.version.meta["licence"] == {"CC0-1.0": 2, "MIT": 1}
    assert list(frozen.changed) == ["default_licence", "licence"]
    check_out(frozen.version, tmp_path / "back")
    assert not freeze_dataset(library, str(tmp_path / "back")).new


def test_a_guide_is_kept_by_its_hash(tmp_path: Path, library: Library) -> None:
    guide = tmp_path / "guide.md"
    guide.write_text("In doubt, world.", encoding="utf-8")
    folder = write(tmp_path / "data", train=NEWS)
    first = freeze(library, folder, guide=str(guide))
    guide.write_text("In doubt, none.", encoding="utf-8")
    second = freeze(library, folder, guide=str(guide))
    assert second.new
    assert list(second.changed) == ["guide"]
    assert first.version.meta["guide"]["sha256"] != second.version.meta["guide"]["sha256"]
    with pytest.raises(UserError, match=r"--guide: .*gone\.md: cannot be read"):
        freeze(library, folder, guide=str(tmp_path / "gone.md"))


# -- safety ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_whole_versions(
    tmp_path: Path, library: Library, survives: Callable[[Callable[[], object], int, Path], bool]
) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS[:2]))
    folder = write(tmp_path / "data", train=NEWS)
    step = 1
    while not survives(lambda: freeze(library, folder), step, library.store.root):
        for number in library.store.numbers("news"):
            assert library.store.rows(library.version(f"news@{number}")).total() in (2, 4)
        step += 1
    assert step > 5
    assert library.store.numbers("news") == [1, 2]
    check_out(library.version("news@2"), tmp_path / "back")
    assert text_of(lines_of(tmp_path / "back" / "train.jsonl")) == text_of(NEWS)


@pytest.mark.slow
def test_processes_at_once_make_one_version_each(tmp_path: Path, library: Library) -> None:
    folders = [
        write(tmp_path / f"data{number}", train=[*NEWS, {"text": f"own {number}", "label": "a"}]) for number in range(6)
    ]
    children = []
    for folder in folders:
        child = os.fork()
        if child == 0:
            try:
                freeze(library, folder)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    assert library.store.numbers("news") == [1, 2, 3, 4, 5, 6]
    contents = {library.store.version("news", number).content for number in range(1, 7)}
    assert len(contents) == 6
    assert all(library.store.rows(each).total() == 5 for each in library.store.versions("news"))
    assert max(Counter(line["id"] for line in stored(library)).values()) == 1


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def pack(library: Library) -> Path:
    return next((library.store.root / "rows").glob("*.jsonl"))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda library: edit(pack(library), b"striker", b"stroker"), r"rows/\w+\.jsonl:\d: the row does not match its id"),
        (lambda library: edit(pack(library), b'"row"', b'"rov"'), r"rows/\w+\.jsonl:1: the row does not match its id"),
        (lambda library: edit(pack(library), b'{"id"', b'{"iD"'), r"rows/\w+\.jsonl:1: not a line"),
        (lambda library: pack(library).unlink(), "4 rows of the version are missing"),
        (lambda library: edit(library.store.folder("news", 1) / "rows.txt", b"+ ", b"* "), r"rows\.txt:1: not a line `\+ ID"),
        (lambda library: edit(library.store.folder("news", 1) / "rows.txt", b" train", b" valid"), "not the rows of the"),
        (lambda library: edit(library.store.folder("news", 1) / "rows.txt", b"train", b"../tr"), "not a line"),
        (lambda library: (library.store.folder("news", 1) / "rows.txt").unlink(), r"rows\.txt: No such file"),
        (lambda library: edit(library.store.folder("news", 1) / "version.json", b"{", b""), r"version\.json: missing, torn"),
        (
            lambda library: edit(library.store.folder("news", 1) / "version.json", b'"base": null', b'"base": "news@1"'),
            "the base 'news@1' is wrong",
        ),
    ],
)  # fmt: skip
def test_a_damaged_store_is_named_with_file_and_cure(
    harm: Callable[[Library], None], named: str, tmp_path: Path, library: Library
) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS))
    harm(library)
    with pytest.raises(RunFolderError, match=rf"{named}.*Restore the file from git, DVC or a copy"):
        check_out(library.version("news@1"), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_folder_with_other_content_does_not_become_a_store(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", train=NEWS)
    with pytest.raises(UserError, match="has content and is no store of versions"):
        freeze(Library(Store(folder)), folder)
    assert [path.name for path in folder.iterdir()] == ["train.jsonl"]


def test_a_store_of_a_later_format_is_refused(tmp_path: Path, library: Library) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS))
    (library.store.root / "store.json").write_text('{"synthgen_versions": 2}')
    with pytest.raises(UserError, match="use a newer synthgen"):
        library.version("news@1")
    with pytest.raises(UserError, match="use a newer synthgen"):
        freeze(library, tmp_path / "data")


# -- names -----------------------------------------------------------------------------------------


def test_a_version_is_found_by_number_name_hash_and_folder(tmp_path: Path, library: Library) -> None:
    first = freeze(library, write(tmp_path / "data", train=NEWS)).version
    second = freeze(library, write(tmp_path / "data", train=NEWS[:2])).version
    for text in ("news@1", first.content, first.content[:8], str(library.store.folder("news", 1))):
        assert library.version(text).label == "news@1"
    for text in ("news", "news@2", "news@latest", second.content[:8]):
        assert library.version(text).label == "news@2"
    elsewhere = Library(Store(tmp_path / "elsewhere"))
    copied = freeze_dataset(elsewhere, str(library.store.folder("news", 2)))
    assert (copied.version.label, copied.version.content, copied.version.parent) == ("news@1", second.content, None)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("news@3", r"'news@3': no such version; news has 1$"),
        ("news@x", "no such version"),
        ("nws@1", "has no dataset 'nws'; did you mean news"),
        ("nws", "did you mean news"),
        ("other", r"no version in .*; `synthgen log` lists the versions"),
        ("../news@1", "has no dataset"),
        ("000000", "no version in"),
    ],
)
def test_a_wrong_name_is_refused_with_what_there_is(text: str, cause: str, tmp_path: Path, library: Library) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS))
    with pytest.raises(UserError, match=cause):
        library.version(text)


def test_a_beginning_of_two_hashes_is_ambiguous(
    tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS))
    freeze(library, write(tmp_path / "data", train=NEWS[:2]))
    for number, content in ((1, "abcdef00"), (2, "abcdef11")):
        path = library.store.folder("news", number) / "version.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "content": content}))
    with pytest.raises(UserError, match="begins the hashes of news@1, news@2; write more of it"):
        library.version("abcdef")
    assert library.version("abcdef1").label == "news@2"


@pytest.mark.parametrize("name", ["a/b", "..", "", "a@1", "-x", "a b"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str, tmp_path: Path, library: Library) -> None:
    folder = write(tmp_path / "my data", train=NEWS)
    with pytest.raises(UserError, match="cannot be the name of a version; give --name"):
        freeze_dataset(library, str(folder), name=name or None)
    assert not library.store.root.exists()


def test_a_chinese_name_is_a_name(tmp_path: Path, library: Library) -> None:
    assert freeze_dataset(library, str(write(tmp_path / "新闻", train=NEWS))).version.label == "新闻@1"
    assert library.version("新闻").number == 1


@pytest.fixture
def limited() -> Iterator[Callable[[int], None]]:
    """`limited(15_000)`: no file may grow past this size, which is how a full disk looks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("size", "where"), [(15_000, r"rows/\.\w+\.jsonl\.new: cannot be written"), (3_000, "TMPDIR")])
def test_a_full_disk_is_one_message_and_loses_nothing(
    size: int, where: str, tmp_path: Path, library: Library, limited: Callable[[int], None]
) -> None:
    freeze(library, write(tmp_path / "data", train=NEWS))
    rows = [{"text": f"one item with its number {number:04}"} for number in range(200)]
    folder = write(tmp_path / "data", train=rows)
    limited(size)
    with pytest.raises(WriteError, match=where):
        freeze(library, folder)
    limited(resource.RLIM_INFINITY)
    assert library.store.numbers("news") == [1]
    assert library.store.rows(library.version("news@1")).total() == 4
    assert freeze(library, folder).stored[0] == 200
