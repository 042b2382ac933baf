"""Files and folders killed at every step, and on a disk that takes no more: the old one or the new one, whole."""

import errno
import os
from collections.abc import Callable
from itertools import count
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


@pytest.fixture(
    params=[pytest.param(True, id="exchange"), pytest.param(False, id="two renames", marks=pytest.mark.slow)]
)
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """True where the file system exchanges two names at once."""
    if not request.param:
        monkeypatch.setattr(durable, "_exchange", lambda *_: False)
    return bool(request.param)


def until_it_survives(base: Path, once: Callable[[int, Path], bool]) -> int:
    """Call `once(step, folder)` with steps from 1 on, each with an empty folder, until it says that no step killed it."""
    for step in count(1):
        (here := base / str(step)).mkdir()
        if once(step, here):
            return step
    raise AssertionError("unreachable")


def test_a_folder_killed_at_any_step_is_the_old_or_the_new_one(
    exchange: bool, tmp_path: Path, survives: Survives
) -> None:
    def once(step: int, here: Path) -> bool:
        place = here / "place"
        durable.write_folder(place, OLD)
        done = survives(lambda: durable.write_folder(place, NEW), step, here)
        whole = place if exchange or place.exists() else here / ".place.old"
        assert contents(whole) in ([NEW] if done else [OLD, NEW])
        durable.write_folder(place, NEW)
        assert contents(place) == NEW
        assert leftovers(here) == []
        return done

    assert until_it_survives(tmp_path, once) > 15


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


def test_files_killed_at_any_step_are_each_old_or_new(tmp_path: Path, survives: Survives) -> None:
    old, new = {"one": b"old", "two": b"old"}, {"one": b"new", "two": b"new"}

    def once(step: int, here: Path) -> bool:
        durable.write_files(here, old)
        done = survives(lambda: durable.write_files(here, new), step, here)
        found = {name: (here / name).read_bytes() for name in old}
        assert found == new if done else all(found[name] in (b"old", b"new") for name in found)
        durable.write_files(here, new)
        assert contents(here) == new
        return done

    assert until_it_survives(tmp_path, once) > 5


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


@pytest.mark.usefixtures("exchange")
def test_a_folder_that_is_swapped_in_at_any_step_is_the_old_or_the_new_one(tmp_path: Path, survives: Survives) -> None:
    def once(step: int, here: Path) -> bool:
        place, work = here / "place", here / ".work"
        durable.write_folder(place, OLD)
        work.mkdir()
        durable.write_folder(work / "built", NEW)
        done = survives(lambda: durable.swap_in(work / "built", place), step, here)
        durable.recover(place)
        assert contents(place) in ([NEW] if done else [OLD, NEW])
        assert leftovers(here) == []
        assert not done or not (work / "built").exists()
        return done

    assert until_it_survives(tmp_path, once) > 3


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
