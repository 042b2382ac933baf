"""The whole loop on a real vLLM server, with the bundled models: the last test of `make test`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthgen.engines.vllm.config import VllmConfig
from synthgen.engines.vllm.options import vllm_build
from synthgen.ledger import Reader

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(vllm_build() is None, reason="vLLM is not installed"),
]
TARGET = 16


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run of `voice_intent` with a small target, made once for the whole module."""
    folder = tmp_path_factory.mktemp("vllm")
    settings = ["task=voice_intent", "run.dir=run", f"budget.target={TARGET}", "budget.minutes=8", "generate.group=4"]
    settings.append("labels.sure=null")  # so that the model is asked for every label
    settings.append("judge.rubric.ask_untrusted=true")  # and for grades, though it falls for its canaries
    student = ["student.classifier.repeats=1", "student.classifier.min_steps=10", "student.classifier.epochs=1"]
    command = [sys.executable, "-m", "synthgen", "run", *settings, *student]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output.txt").write_text(done.stdout)
    yield folder / "run"


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(folder / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def test_the_run_reached_its_target_on_vllm(run_folder: Path) -> None:
    summary = json.loads((run_folder / "summary.json").read_text())
    assert summary["counts"]["accepted"] == TARGET
    assert summary["stopped_by"] == "target"
    assert summary["engine"]["name"] == "vllm"
    assert summary["engine"]["version"].startswith("vllm")
    assert summary["tokens"]["cached"] > 0.5 * summary["tokens"]["prompt"]
    assert "engine vllm ready after" in (run_folder.parent / "output.txt").read_text()


def test_the_grammar_held_for_every_reply(run_folder: Path) -> None:
    replies = rows(
        run_folder, "SELECT text, finish_reason FROM requests WHERE kind = 'generate' AND state = 'answered'"
    )
    assert len(replies) >= TARGET
    for text, finish in replies:
        assert finish == "stop"
        reply = json.loads(text)
        assert list(reply) == ["text"]
        assert 4 <= len(reply["text"]) <= 120
    labels = rows(run_folder, "SELECT text FROM requests WHERE kind LIKE 'rubric/%' AND state = 'answered'")
    assert labels
    assert {text for (text,) in labels} <= {"1", "2", "3", "4", "5"}
    assert f"StructuredOutputsConfig(backend='{VllmConfig().backend}'" in (run_folder / "engine.log").read_text()


def test_the_judge_read_distributions_over_the_labels(run_folder: Path) -> None:
    details = [json.loads(d) for (d,) in rows(run_folder, "SELECT details FROM verdicts WHERE \"check\" = 'label'")]
    assert details
    for entry in details:
        assert set(entry["probabilities"]) == {"alarm", "lights", "message", "music", "navigation", "weather"}
        assert sum(entry["probabilities"].values()) == pytest.approx(1.0, abs=0.01)


def test_no_server_process_is_left(run_folder: Path) -> None:
    assert not (run_folder / "engine.pid").exists()
    served = [
        word
        for word in (run_folder / "engine.log").read_text(errors="replace").split("'")
        if word.startswith("synthgen-")
    ]
    assert served
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if served[0].encode() in _read(path)]
    assert left == []


def test_the_dataset_loads_and_the_student_predicts(run_folder: Path, tmp_path: Path) -> None:
    import datasets

    loaded = datasets.load_dataset(str(run_folder / "dataset"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    assert loaded["train"].column_names == ["text", "label"]
    metrics = json.loads((run_folder / "student" / "metrics.json").read_text())
    assert metrics["eval_rows"] == 120
    assert (run_folder / "student" / "model.safetensors").is_file()
    (tmp_path / "new.jsonl").write_text('{"text": "set an alarm for six"}\n{"text": "will it rain tomorrow"}\n')
    command = [sys.executable, "-m", "synthgen", "predict", str(run_folder), str(tmp_path / "new.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len([json.loads(line)["label"] for line in done.stdout.splitlines()]) == 2


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process ended meanwhile
        return b""
