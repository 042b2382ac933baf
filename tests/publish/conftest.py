"""A finished run with a student's folder, and a hub to publish it to."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in import TOKEN, StandInHub

from synthgen.cli import dispatch
from synthgen.ledger import durable


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("published") / "run"
    assert dispatch(["run", "experiment=smoke", f"run.dir={folder}", "student=none", "budget.target=24"]) == 0
    student = folder / "student"
    student.mkdir()
    (student / "model.safetensors").write_bytes(bytes(range(256)) * 8)
    (student / "config.json").write_text('{"model_type": "bert"}')
    metrics = {"task": "news_topic", "files": durable.manifest(student)}
    (student / "metrics.json").write_text(json.dumps(metrics))
    (student / "README.md").write_text("---\nlicense: other\nbase_model: bundled:minilm\n---\n\n# A student\n")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # Xet's own servers are no part of the stand-in
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    with StandInHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
