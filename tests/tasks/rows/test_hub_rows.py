"""Datasets: a local folder, a hub that answers, its cache, and a hub that does not answer.

The hub is a stand-in on this machine with the few addresses that `datasets` asks for.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import datasets
import forks
import huggingface_hub
import pytest

from synthgen.cli import dispatch
from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.rows import HubDataset, Row, find_source

Located = Callable[..., list[Row]]
ROWS: list[Json] = [{"text": "前锋梅开二度"}, {"text": "It rained."}]
NEWS = [
    {"text": "Shares fell on Tuesday.", "label": "business"},
    {"text": "天文学家发现了新的彗星。", "label": "science"},
    {"text": "The striker scored twice.", "label": "sport"},
    {"text": "两国同意重开边境。", "label": "world"},
]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:owner/name", HubDataset("owner/name")),
        ("hf:squad", HubDataset("squad")),
        ("hf:owner/name:test", HubDataset("owner/name", None, "test")),
        ("hf:owner/name/zh_CN:train[:100]@refs/pr/1", HubDataset("owner/name", "zh_CN", "train[:100]", "refs/pr/1")),
        ("hf:owner/na-me.v2@1f0a", HubDataset("owner/na-me.v2", None, None, "1f0a")),
    ],
)
def test_a_dataset_name_is_kept_as_it_was_written(text: str, source: HubDataset) -> None:
    assert find_source(text, [], "task.seeds") == source
    assert str(source) == text


@pytest.mark.parametrize(
    "text", ["hf:", "hf:own er/name", "hf:a/b/c/d", "hf:owner/name:", "hf:数据集", "hf:/etc/passwd"]
)
def test_what_cannot_be_a_dataset_name_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"task\.eval: '.*' names no dataset; write hf:OWNER/NAME"):
        find_source(text, [], "task.eval")


# -- folders ---------------------------------------------------------------------------------------


def folder(path: Path, card: str, **files: str) -> Path:
    path.mkdir()
    (path / "README.md").write_text(card, encoding="utf-8")
    for name, text in files.items():
        (path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return path


def jsonl(rows: list[Json]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


CARD = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: train.jsonl}
  - {split: test, path: test.jsonl}
---
"""


def test_the_train_split_of_a_dataset_folder_is_read(tmp_path: Path, located: Located) -> None:
    path = folder(tmp_path / "data", CARD, train=jsonl(ROWS), test=jsonl([{"text": "x"}]))
    rows = located(path)
    assert [row.data for row in rows] == ROWS
    assert rows[1].find(["text"], "") == (2, "text")
    assert sorted(entry.name for entry in path.iterdir()) == ["README.md", "test.jsonl", "train.jsonl"]


def test_saved_datasets_are_read(tmp_path: Path, located: Located) -> None:
    saved = datasets.Dataset.from_list(ROWS)
    saved.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": saved, "test": saved.select([0])}).save_to_disk(str(tmp_path / "many"))
    assert [row.data for row in located(tmp_path / "one")] == [row.data for row in located(tmp_path / "many")] == ROWS


def test_a_folder_without_a_train_split_says_which_it_has(tmp_path: Path, located: Located) -> None:
    card = CARD.replace("split: train", "split: dev")
    path = folder(tmp_path / "data", card, train=jsonl(ROWS), test=jsonl(ROWS))
    with pytest.raises(InputError, match=r"data: no split is named train; it has dev, test; name a file"):
        located(path)


def test_a_folder_whose_files_are_broken_is_an_input_error(tmp_path: Path, located: Located) -> None:
    path = folder(tmp_path / "data", CARD, train="{broken\n", test=jsonl(ROWS))
    with pytest.raises(InputError, match=r"data: cannot be loaded as a dataset \(.*JSON parse error"):
        located(path)


def test_code_in_a_dataset_folder_is_not_run(tmp_path: Path, located: Located) -> None:
    path = folder(tmp_path / "data", CARD, train=jsonl(ROWS), test=jsonl(ROWS))
    (path / "data.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(InputError, match="scripts are no longer supported"):
        located(path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_of_files_is_no_dataset(tmp_path: Path, located: Located) -> None:
    path = folder(tmp_path / "data", "# Notes\n", train=jsonl(ROWS))
    with pytest.raises(InputError, match="a folder, not a file"):
        located(path)


def test_progress_is_shown_again_after_a_dataset_was_read(tmp_path: Path, located: Located) -> None:
    before = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    located(folder(tmp_path / "data", CARD, train=jsonl(ROWS), test=jsonl(ROWS)))
    assert (datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()) == before


@pytest.mark.slow
def test_a_runs_own_dataset_can_be_the_seeds_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch(["run", "experiment=smoke", "run.dir=out", "budget.target=5"]) == 0
    rows = (tmp_path / "out/dataset/train.jsonl").read_text("utf-8").splitlines()
    capsys.readouterr()
    assert dispatch(["validate", "experiment=smoke", "task.seeds=out/dataset"]) == 0
    assert f"{len(rows)} seeds" in capsys.readouterr().out


# -- the hub ---------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """One dataset, `owner/news`, with a train and a test split."""

    protocol_version = "HTTP/1.1"
    commit = "c0ffee" + "0" * 34
    files = {
        "README.md": CARD.encode(),
        "train.jsonl": jsonl(NEWS).encode(),
        "test.jsonl": jsonl([{"text": "The bank cut its rate.", "label": "business"}]).encode(),
    }

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/datasets/owner/news/resolve/") and name in self.files:
            self.answer(200, self.files[name], ETag=f'"{name}"')
        elif path.startswith("/datasets/owner/news/resolve/"):
            self.answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
        elif path.startswith("/api/datasets/owner/news/tree/"):
            listed = [{"type": "file", "path": n, "size": len(b), "oid": n} for n, b in self.files.items()]
            self.answer(200, json.dumps(listed).encode())
        elif path.startswith("/api/datasets/owner/news"):
            self.answer(200, json.dumps({"id": "owner/news", "sha": self.commit, "siblings": []}).encode())
        else:
            self.answer(404, b"", **{"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"X-Repo-Commit": self.commit, "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def synthgen(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own: its libraries read the hub's address when they are imported."""
    here = {**os.environ, "HF_HOME": str(folder.parent / "cache"), "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    folder.mkdir(exist_ok=True)
    return forks.run([*forks.SYNTHGEN, *arguments], cwd=folder, env=here, capture_output=True, text=True)


@pytest.mark.slow
def test_a_run_from_the_hub_continues_without_it_and_from_elsewhere(tmp_path: Path, hub: str) -> None:
    settings = ["experiment=smoke", "run.dir=out", "budget.target=5", "task.seeds=hf:owner/news"]
    done = synthgen(tmp_path / "here", "run", *settings, "task.eval=hf:owner/news:test", HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr
    train = (tmp_path / "here/out/dataset/train.jsonl").read_text("utf-8")
    assert [json.loads(line) for line in train.splitlines()[: len(NEWS)]] == NEWS
    resumed = synthgen(
        tmp_path / "elsewhere", "resume", str(tmp_path / "here/out"), "budget.target=8", HF_HUB_OFFLINE="1"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((tmp_path / "here/out/summary.json").read_text())["counts"]["accepted"] == 8


@pytest.mark.slow
def test_a_dataset_that_is_not_on_the_hub_is_one_message(tmp_path: Path, hub: str) -> None:
    done = synthgen(tmp_path / "here", "validate", "experiment=smoke", "task.seeds=hf:owner/gone", HF_ENDPOINT=hub)
    assert done.returncode == 2
    assert done.stderr == (
        "synthgen: hf:owner/gone: cannot be loaded as a dataset (Dataset 'owner/gone' doesn't exist on the Hub or cannot"
        " be accessed.); check the name, or set HF_TOKEN if it is private\n"
    )
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("offline", "cause"),
    [
        (True, "HF_HUB_OFFLINE is set, and the dataset is not in the cache; unset it and run once with a network, or"),
        (False, "the Hugging Face hub at http"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_one_message(
    offline: bool, cause: str, located: Located, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset_builder", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(InputError) as caught:
        located(HubDataset("owner/name"))
    assert str(caught.value).startswith(f"hf:owner/name: {cause}")
    assert str(caught.value).endswith("or name a file")
