"""Exports killed at every step, and on a disk that takes no more: the old one or the new one, whole."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.errors import WriteError
from synthgen.report import damage, export_dataset, files, write_reports

OLD = {"a.txt": b"old a", "sub/b.txt": b"old b", "gone.txt": b"only in the old one"}
NEW = {"a.txt": b"new a", "sub/b.txt": b"new b, and longer"}
STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def survives(action: Callable[[], object], step: int, within: Path) -> bool:
    """Whether `action`, in a process of its own, ends before its `step`-th step on files in `within` kills it."""
    child = os.fork()
    if child == 0:
        try:
            _kill_at(step, str(within))
            action()
        except BaseException:  # nothing of pytest's may run in here
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def _kill_at(step: int, within: str) -> None:
    taken = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal taken
        if event in STEPS and any(within in str(argument) for argument in arguments):
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    synced, exchanged = os.fsync, files._exchange
    os.fsync = lambda descriptor: (count("open", (within,)), synced(descriptor))[1]
    files._exchange = lambda *names: (count("open", (within,)), exchanged(*names))[1]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith((".new", ".old"))]


@pytest.mark.parametrize("step", range(1, 40))
def test_a_folder_killed_at_any_step_is_the_old_or_the_new_one(step: int, tmp_path: Path) -> None:
    place = tmp_path / "place"
    files.write_folder(place, OLD)
    done = survives(lambda: files.write_folder(place, NEW), step, tmp_path)
    assert contents(place) in ([NEW] if done else [OLD, NEW])
    files.write_folder(place, NEW)
    assert contents(place) == NEW
    assert leftovers(tmp_path) == []


def test_every_step_of_an_export_is_among_the_kill_points(tmp_path: Path) -> None:
    assert survives(lambda: files.write_folder(tmp_path / "place", NEW), 40, tmp_path)
    assert not survives(lambda: files.write_folder(tmp_path / "place", NEW), 10, tmp_path)


@pytest.mark.parametrize("step", range(1, 40))
def test_without_atomic_exchange_a_whole_folder_always_exists_under_one_of_two_names(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    place = tmp_path / "place"
    files.write_folder(place, OLD)
    survives(lambda: files.write_folder(place, NEW), step, tmp_path)
    whole = place if place.exists() else tmp_path / ".place.old"
    assert contents(whole) in [OLD, NEW]
    files.write_folder(place, NEW)
    assert contents(place) == NEW
    assert leftovers(tmp_path) == []


def test_an_export_that_cannot_be_written_keeps_what_an_earlier_kill_left_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    files.write_folder(place, OLD)
    place.rename(tmp_path / ".place.old")  # killed between its two renames
    monkeypatch.setattr(files, "write_synced", no_space)
    with pytest.raises(OSError, match="No space"):
        files.write_folder(place, NEW)
    assert contents(place) == OLD


@pytest.mark.parametrize("step", range(1, 16))
def test_files_killed_at_any_step_are_each_old_or_new(step: int, tmp_path: Path) -> None:
    old, new = {"one": b"old", "two": b"old"}, {"one": b"new", "two": b"new"}
    files.write_files(tmp_path, old)
    done = survives(lambda: files.write_files(tmp_path, new), step, tmp_path)
    found = {name: (tmp_path / name).read_bytes() for name in old}
    assert found == new if done else all(found[name] in (b"old", b"new") for name in found)
    files.write_files(tmp_path, new)
    assert contents(tmp_path) == new


@pytest.mark.parametrize("step", [1, 4, 9, 12, 15, 18, 20, 22])
def test_a_killed_dataset_export_is_whole_and_the_next_one_is_the_same_as_ever(step: int, run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    old = contents(folder)
    survives(lambda: export_dataset(run.path, 0.5, seed=1), step, run.path)
    assert damage(folder) == []
    assert contents(export_dataset(run.path, 0.2, seed=0)) == old
    assert leftovers(run.path) == []


def no_space(path: Path, data: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.parametrize("failing", ["train.jsonl", "README.md", "manifest.json"])
def test_a_full_disk_is_one_message_and_the_old_export_stands(
    failing: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    old, written = contents(folder), files.write_synced
    monkeypatch.setattr(
        files, "write_synced", lambda path, data: (no_space if path.name == failing else written)(path, data)
    )
    with pytest.raises(WriteError) as caught:
        export_dataset(run.path, 0.5, seed=1)
    message = str(caught.value)
    assert message.startswith(f"{run.path / '.dataset.new' / failing}: cannot be written: No space left on device")
    assert "the ledger has everything: make room on that disk" in message
    assert message.endswith(f"\n  synthgen export {run.path}")
    assert contents(folder) == old
    assert leftovers(run.path) == []


def test_a_full_disk_under_the_report_leaves_the_old_files(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reports(run.path, yaml.safe_dump)
    old = {name: (run.path / name).read_bytes() for name in ("summary.json", "report.html", "manifest.json")}
    monkeypatch.setattr(files, "write_synced", no_space)
    with pytest.raises(WriteError, match=rf"No space left(?s:.*)\n  synthgen report {run.path}$"):
        write_reports(run.path, yaml.safe_dump)
    assert {name: (run.path / name).read_bytes() for name in old} == old
    assert leftovers(run.path) == []


def test_other_errors_of_the_system_have_a_cure_too(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match=r"Permission denied.*make it writable for this user"),
        files.exporting(tmp_path, "x"),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "f"))
    with pytest.raises(WriteError, match=r"Is a directory.*mend that"), files.exporting(tmp_path, "x"):
        tmp_path.open("wb")
