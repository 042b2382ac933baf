"""Test what the doctor finds on this machine, and on machines that lack something."""

import importlib.metadata
import json
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.run import doctor
from synthgen.run.doctor import Diagnosis


def found(folder: Path, what: str) -> Diagnosis:
    (one,) = [one for one in doctor.doctor(folder) if one.what == what]
    return one


@pytest.mark.slow
def test_a_machine_that_runs_the_tests_lacks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["doctor"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "nothing is missing"
    for what in (
        "synthgen",
        "packages",
        "vLLM",
        "torch",
        "CPU",
        "memory",
        "open files",
        "models",
        "hub",
        "disk",
        "key",
    ):
        assert any(line[6:].startswith(what) for line in said)


@pytest.mark.slow
def test_doctor_prints_the_same_findings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["lacking"] == 0
    assert {one["level"] for one in said["findings"]} <= {"ok", "note"}


@pytest.mark.slow
def test_a_missing_and_an_old_package_are_named_and_end_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "faiss-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return "4.57.0" if name == "transformers" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert dispatch(["doctor"]) == 2
    said = capsys.readouterr().out
    assert "LACK  packages" in said
    assert "faiss-cpu is missing" in said
    assert "transformers is 4.57.0 and should be >=5.0" in said
    assert said.splitlines()[-1] == "one thing is missing"


@pytest.mark.parametrize(
    ("build", "level", "cure"),
    [(None, "note", 'pip install "synthgen[cpu]"'), ("gpu", "lack", "nvidia-smi"), ("cpu", "ok", "")],
)
def test_a_vllm_that_does_not_fit_the_machine_is_reported(
    build: str | None, level: str, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(doctor, "vllm_build", lambda: build)
    one = found(tmp_path, "vLLM")
    assert one.level == level
    assert cure in one.cure


def test_a_gpu_is_shown_with_what_is_free_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    card: Any = type("Card", (), {"name": "Some Card"})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20 * 10**9, 80 * 10**9))
    monkeypatch.setattr(doctor, "vllm_build", lambda: "cpu")
    one = found(tmp_path, "GPU")
    assert (one.level, one.text) == ("note", "Some Card, 80 GB, 20 GB of it free")
    assert "another process uses it" in one.cure
    assert 'pip install "synthgen[gpu]"' in found(tmp_path, "vLLM").cure


def test_few_open_files_are_worth_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert found(tmp_path, "open files").level == "note"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert found(tmp_path, "open files") == Diagnosis("ok", "open files", "without limit per process")


def test_a_full_or_forbidden_disk_is_a_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path / "not/there/yet", "disk").level in ("ok", "note")
    assert found(Path("/proc/1/runs"), "disk").level == "lack"
    monkeypatch.setattr(doctor, "_free", lambda _: 10**7)
    assert found(tmp_path, "disk").level == "lack"


def test_a_generator_that_is_not_unpacked_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    one = found(tmp_path, "models")
    assert (one.level, one.cure) == ("ok", "")
    monkeypatch.setattr(doctor, "_free", lambda _: 10**7)
    assert found(tmp_path, "models").level == "lack"


def test_keys_are_reported_as_set_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-indeed")
    assert dispatch(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "OPENAI_API_KEY is set" in said
    assert "sk-very-secret" not in said


def test_doctor_takes_no_other_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["doctor", "me"]) == 2
    assert "usage: synthgen doctor [OPTIONS]" in capsys.readouterr().err


def test_an_endpoint_that_nobody_serves_is_a_lack_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    assert dispatch(["doctor", "--endpoint", url]) == 2
    assert "Connection refused" in capsys.readouterr().out


def test_a_model_to_examine_needs_an_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["doctor", "--model", "small"]) == 2
    assert "needs --endpoint" in capsys.readouterr().err
