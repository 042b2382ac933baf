"""Stores that fsspec reaches are targets and sources; a reader never sees half of a version."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from synthgen.cli import dispatch
from synthgen.errors import InputError, UserError
from synthgen.publish import store
from synthgen.publish.upload import Upload
from synthgen.tasks.assets import root
from synthgen.tasks.rows import find_source

FILES: dict[str, bytes | Path] = {"train.jsonl": b'{"text": "one"}\n', "meta/lineage.jsonl": b"{}\n"}
OLD, NEW = (Upload("dataset", "news", {**FILES, "README.md": text}, "mit") for text in (b"old", b"new"))
TARGET = "memory://bucket/news"


def silent(_: str) -> None:
    pass


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    found = fsspec.filesystem("memory")
    found.store.clear()
    yield found
    found.store.clear()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def newest(memory: fsspec.AbstractFileSystem) -> bytes:
    """Return the README of the version that a reader finds."""
    found = json.loads(memory.cat_file("/bucket/news/dataset/latest.json"))
    folder = f"/bucket/news/dataset/{found['folder']}"
    assert {name: memory.info(f"{folder}/{name}")["size"] for name in found["files"]} == {
        name: entry["bytes"] for name, entry in found["files"].items()}  # fmt: skip
    return bytes(memory.cat_file(f"{folder}/README.md"))


def test_a_reader_finds_the_old_version_until_the_new_one_is_whole(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = stop = 0
    write = type(memory).pipe_file

    def failing(self: object, path: str, value: bytes, **more: object) -> None:
        nonlocal writes
        writes += 1
        if writes == stop:
            raise PermissionError("the disk is gone")
        write(self, path, value, **more)

    monkeypatch.setattr(type(memory), "pipe_file", failing)
    for step in range(1, len(NEW.files) + 2):
        memory.store.clear()
        store.push(TARGET, OLD, silent)
        writes, stop = 0, step
        with pytest.raises(UserError, match=r"refuses access to 'bucket' \(the disk is gone\)"):
            store.push(TARGET, NEW, silent)
        assert newest(memory) == b"old"
    stop = 0
    store.push(TARGET, NEW, silent)
    assert newest(memory) == b"new"


def test_a_store_that_fails_for_a_moment_is_asked_again(
    memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, said = type(memory).pipe_file, []
    failures = iter([OSError("timeout")])

    def failing(self: object, path: str, value: bytes, **more: object) -> None:
        for failure in failures:
            raise failure
        write(self, path, value, **more)

    monkeypatch.setattr(type(memory), "pipe_file", failing)
    store.push(TARGET, NEW, said.append, first_wait=0.0)
    assert said == [f"{TARGET}: timeout; trying again"]
    assert newest(memory) == b"new"


def test_the_same_version_is_not_sent_again(memory: fsspec.AbstractFileSystem) -> None:
    store.push(TARGET, OLD, silent)
    assert "is the newest version already; nothing was sent" in store.push(TARGET, OLD, silent).line


def test_a_run_is_pushed_to_a_folder_and_read_back_from_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"file://{tmp_path}/store"
    assert dispatch(["push", str(run), "--to", target, "--what", "both", "--yes"]) == 0
    assert capsys.readouterr().out.count("named in") == 2
    source = find_source(f"{target}/dataset", [], "FILES")
    assert isinstance(source, Path)
    assert source.read_bytes() == (run / "dataset" / "train.jsonl").read_bytes()
    assert dispatch(["prepare", f"{target}/dataset", "--out", str(tmp_path / "clean"), "--steps", "repair"]) == 0
    assert (tmp_path / "clean" / "prepared.jsonl").is_file()


def test_the_message_about_a_row_shows_the_address_of_its_file(
    memory: fsspec.AbstractFileSystem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.pipe_file("/data/rows.jsonl", b'{"text": 1}\n')
    words = ["export", "memory://data/rows.jsonl", "--task", "news_topic", "--out", str(tmp_path / "out")]
    assert dispatch(words) == 2
    assert "memory/data/rows.jsonl:1:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://data/none.jsonl", "task.seeds: memory://data/none.jsonl: no such file in the store"),
        ("s3://bucket/x.jsonl", "s3:// needs the package s3fs; install it with: pip install s3fs"),
        ("gs://bucket/x.jsonl", "gs:// needs the package gcsfs; install it with: pip install gcsfs"),
        ("tape://x/y", "'tape://' is no kind of store that fsspec knows"),
    ],
)
def test_a_source_that_cannot_be_read_names_its_cure(url: str, words: str, memory: fsspec.AbstractFileSystem) -> None:
    with pytest.raises(InputError) as raised:
        find_source(url, [], "task.seeds")
    assert words in str(raised.value)


@pytest.mark.slow
def test_a_run_keeps_the_address_of_its_seeds_and_continues_without_the_copy(tmp_path: Path, cache: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    shutil.copy(root() / "examples" / "news_topic" / "seeds.jsonl", seeds)
    words = [f"task.seeds=file://{seeds}", "task.eval=null", "student=none", "judge=none", "diversity=hash"]
    run = tmp_path / "run"
    assert dispatch(["run", "task=news_topic", "engine=replay", *words, f"run.dir={run}", "budget.target=4"]) == 0
    assert f"seeds: file://{seeds}\n" in (run / "config.yaml").read_text()
    shutil.rmtree(cache)
    assert dispatch(["resume", str(run), "budget.target=6"]) == 0


def test_an_interrupted_push_says_how_to_continue(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "push", interrupted)
    assert dispatch(["push", str(run), "--to", TARGET, "--yes", "--license", "mit"]) == 5
    command = f"synthgen push {run} --to {TARGET} --what dataset --format jsonl --license mit --yes"
    assert capsys.readouterr().out.endswith(f"sends only what is missing:\n  {command}\n")
