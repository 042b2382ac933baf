"""Files and folders killed at every step, and on a disk that takes no more: the old one or the new one, whole."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.errors import WriteError
from synthgen.ledger import durable

OLD = {"a.txt": b"old a", "sub/b.txt": b"old b", "gone.txt": b"only in the old one"}
NEW = {"a.txt": b"new a", "sub/b.txt": b"new b, and longer"}
Survives = Callable[[Callable[[], object], int, Path], bool]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith((".new", ".old"))]


@pytest.mark.parametrize("step", range(1, 40))
def test_a_folder_killed_at_any_step_is_the_old_or_the_new_one(step: int, tmp_path: Path, survives: Survives) -> None:
    place = tmp_path / "place"
    durable.write_folder(place, OLD)
    done = survives(lambda: durable.write_folder(place, NEW), step, tmp_path)
    assert contents(place) in ([NEW] if done else [OLD, NEW])
    durable.write_folder(place, NEW)
    assert contents(place) == NEW
    assert leftovers(tmp_path) == []


def test_every_step_of_a_swap_is_among_the_kill_points(tmp_path: Path, survives: Survives) -> None:
    assert survives(lambda: durable.write_folder(tmp_path / "place", NEW), 40, tmp_path)
    assert not survives(lambda: durable.write_folder(tmp_path / "place", NEW), 10, tmp_path)


@pytest.mark.parametrize("step", range(1, 40))
def test_without_atomic_exchange_a_whole_folder_always_exists_under_one_of_two_names(
    step: int, tmp_path: Path, survives: Survives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_exchange", lambda *_: False)
    place = tmp_path / "place"
    durable.write_folder(place, OLD)
    survives(lambda: durable.write_folder(place, NEW), step, tmp_path)
    whole = place if place.exists() else tmp_path / ".place.old"
    assert contents(whole) in [OLD, NEW]
    durable.write_folder(place, NEW)
    assert contents(place) == NEW
    assert leftovers(tmp_path) == []


def test_an_export_that_cannot_be_written_keeps_what_an_earlier_kill_left_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    durable.write_folder(place, OLD)
    place.rename(tmp_path / ".place.old")  # killed between its two renames
    monkeypatch.setattr(durable, "write_synced", no_space)
    with pytest.raises(OSError, match="No space"):
        durable.write_folder(place, NEW)
    assert contents(place) == OLD


@pytest.mark.parametrize("step", range(1, 16))
def test_files_killed_at_any_step_are_each_old_or_new(step: int, tmp_path: Path, survives: Survives) -> None:
    old, new = {"one": b"old", "two": b"old"}, {"one": b"new", "two": b"new"}
    durable.write_files(tmp_path, old)
    done = survives(lambda: durable.write_files(tmp_path, new), step, tmp_path)
    found = {name: (tmp_path / name).read_bytes() for name in old}
    assert found == new if done else all(found[name] in (b"old", b"new") for name in found)
    durable.write_files(tmp_path, new)
    assert contents(tmp_path) == new


def no_space(path: Path, data: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_other_system_errors_name_a_cure_too(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match=r"Permission denied.*make it writable for this user"),
        durable.exporting(tmp_path, "x"),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "f"))
    with pytest.raises(WriteError, match=r"Is a directory.*fix the cause"), durable.exporting(tmp_path, "x"):
        tmp_path.open("wb")


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("step", range(1, 20))
def test_a_folder_that_is_swapped_in_at_any_step_is_the_old_or_the_new_one(
    exchange: bool, step: int, tmp_path: Path, survives: Survives, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(durable, "_exchange", lambda *_: False)
    place, work = tmp_path / "place", tmp_path / ".work"
    durable.write_folder(place, OLD)
    work.mkdir()
    durable.write_folder(work / "built", NEW)
    done = survives(lambda: durable.swap_in(work / "built", place), step, tmp_path)
    durable.recover(place)
    assert contents(place) in ([NEW] if done else [OLD, NEW])
    assert leftovers(tmp_path) == []


def test_every_step_of_swapping_in_is_among_the_kill_points(tmp_path: Path, survives: Survives) -> None:
    durable.write_folder(tmp_path / "place", OLD)
    durable.write_folder(tmp_path / "built", NEW)
    assert survives(lambda: durable.swap_in(tmp_path / "built", tmp_path / "place"), 20, tmp_path)
    assert contents(tmp_path / "place") == NEW
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("of_rust", [False, True])
def test_a_training_on_a_disk_that_refuses_is_a_write_error_with_its_cure(
    number: int, of_rust: bool, tmp_path: Path
) -> None:
    error = RuntimeError(f"I/O error (os error {number})") if of_rust else OSError(number, os.strerror(number))
    with pytest.raises(WriteError) as caught, durable.training_into(tmp_path / "student"):
        raise error
    assert str(caught.value).startswith(f"{tmp_path / 'student'}: cannot be written: ")
    assert str(caught.value).endswith(f"{durable.cure(error)}, then continue")
    assert durable.cure(error) != "fix the cause"


def test_an_error_that_is_not_the_disks_is_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), durable.training_into(tmp_path):
        (tmp_path / "missing").read_bytes()


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "a").write_bytes(b"other"),
        lambda folder: (folder / "b").write_bytes(b"one more"),
        lambda folder: (folder / "a").unlink(),
    ],
)
def test_a_folder_agrees_with_its_manifest_until_a_file_differs(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    (tmp_path / "a").write_bytes(b"text!")
    (tmp_path / "marker").write_bytes(b"")
    files = durable.manifest(tmp_path, without=("marker",))
    assert list(files) == ["a"]
    assert durable.agrees(tmp_path, files, without=("marker",))
    harm(tmp_path)
    assert not durable.agrees(tmp_path, files, without=("marker",))
