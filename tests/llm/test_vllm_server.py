"""The vLLM server process, without vLLM: its command line, and that nothing of it is left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, RetryableError
from synthgen.llm import vllm_server
from synthgen.llm.endpoint import EndpointEngine
from synthgen.llm.grammar import choice
from synthgen.llm.vllm_server import VllmConfig, VllmEngine, command_line, default_in_flight
from synthgen.records import Completion, Message, Request, Sampling

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def flags_of(command: list[str]) -> dict[str, str | bool]:
    """The flags of a command line by name; a bare one is True."""
    found: dict[str, str | bool] = {}
    for word, following in zip(command, [*command[1:], "--"], strict=True):
        if word.startswith("--"):
            found[word] = True if following.startswith("--") else following
    return found


def flags(build: str = "gpu", model_flags: dict[str, Any] | None = None, **knobs: Any) -> dict[str, str | bool]:
    return flags_of(command_line(VllmConfig(**knobs), "org/model", "synthgen-1", 8123, build, model_flags or {}))


# -- the command line ------------------------------------------------------------------------------


def test_the_server_is_started_by_this_python_and_without_the_vllm_command() -> None:
    command = command_line(VllmConfig(), "org/model", "synthgen-1", 8123, "gpu", {})
    assert command[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]


def test_the_server_listens_to_this_machine_only() -> None:
    found = flags()
    assert (found["--host"], found["--port"]) == ("127.0.0.1", "8123")
    assert (found["--model"], found["--served-model-name"]) == ("org/model", "synthgen-1")


def test_the_judge_reads_logprobs_after_the_grammars_mask() -> None:
    assert flags()["--logprobs-mode"] == "processed_logprobs"


def test_the_backend_is_outlines_unless_said_otherwise() -> None:
    assert json.loads(str(flags()["--structured-outputs-config"])) == {"backend": "outlines"}
    assert json.loads(str(flags(backend="xgrammar")["--structured-outputs-config"])) == {"backend": "xgrammar"}


def test_a_users_flag_goes_over_everything_but_the_address() -> None:
    found = flags(
        model_flags={"max-model-len": 2048, "dtype": "auto"},
        flags={"max_model_len": 512, "--scheduling-policy": "fcfs", "host": "0.0.0.0", "served_model_name": "x"},
    )
    assert (found["--max-model-len"], found["--dtype"]) == ("512", "auto")
    assert found["--scheduling-policy"] == "fcfs"
    assert (found["--host"], found["--served-model-name"]) == ("127.0.0.1", "synthgen-1")


def test_true_is_a_bare_flag_and_null_or_false_is_none() -> None:
    found = flags(flags={"enforce-eager": True, "seed": 0, "enable-prompt-tokens-details": None, "x": False})
    assert found["--enforce-eager"] is True
    assert found["--seed"] == "0"
    assert {"--enable-prompt-tokens-details", "--x"}.isdisjoint(found)


def test_cpu_flags_count_with_the_cpu_build_only_and_flags_go_over_them() -> None:
    knobs: dict[str, Any] = {"cpu_flags": {"block-size": 32, "max-num-seqs": 64}, "flags": {"max-num-seqs": 8}}
    assert flags("cpu", **knobs)["--block-size"] == "32"
    assert flags("cpu", **knobs)["--max-num-seqs"] == "8"
    assert "--block-size" not in flags("gpu", **knobs)


def test_the_number_in_flight_follows_the_build_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for build, expected in (("cpu", 64), ("gpu", 512)):
        monkeypatch.setattr(vllm_server, "vllm_build", lambda build=build: build)
        assert default_in_flight(VllmConfig()) == expected
        assert default_in_flight(VllmConfig(in_flight=7)) == 7


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"backend": "lm-format-enforcer"}, "engine.backend: 'lm-format-enforcer' is not one of outlines, xgrammar"),
        ({"start_timeout": 0}, "engine.start_timeout: must be above 0 seconds, got 0"),
        ({"in_flight": 0}, "engine.in_flight: must be 1 or more, got 0"),
    ],
)
def test_a_knob_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        VllmConfig(**knobs)
    assert message in str(caught.value)


async def test_without_vllm_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "vllm_build", lambda: None)
    with pytest.raises(ConfigError, match=r'pip install "synthgen\[gpu\]" or "synthgen\[cpu\]"'):
        await VllmEngine.start(VllmConfig(), "m", {}, 0, tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", vllm_server._free_port()))


# -- the process -----------------------------------------------------------------------------------


def stubborn(*words: str) -> subprocess.Popen[bytes]:
    """A process group of its own that ignores SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", STUBBORN, *words], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = stubborn("synthgen-abc")
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "_STOP_SECONDS", 0.1)
    monkeypatch.setattr(vllm_server, "_REST_SECONDS", 0.1)


def gone(pid: int) -> bool:
    """No such process, or only its entry is left for a parent that does not ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return gone(pid)


def test_a_server_that_ignores_sigterm_is_killed(child: subprocess.Popen[bytes], impatient: None) -> None:
    vllm_server._stop_group(child)
    assert child.returncode == -signal.SIGKILL


def test_a_server_that_heeds_sigterm_is_not_killed() -> None:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    vllm_server._stop_group(process)
    assert process.returncode == -signal.SIGTERM


def test_what_the_server_started_itself_goes_with_it(impatient: None) -> None:
    script = f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}]); c.wait()"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", f"{script}"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    (grandchild,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    vllm_server._stop_group(process)
    assert wait_until_gone(int(grandchild))


def test_stopping_a_server_that_died_already_is_no_error() -> None:
    process = subprocess.Popen(["true"], start_new_session=True)
    process.wait()
    vllm_server._stop_group(process)
    assert process.returncode == 0


def test_a_leftover_server_of_a_killed_run_is_ended(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    note = tmp_path / "engine.pid"
    note.write_text(json.dumps({"pid": child.pid, "name": "synthgen-abc"}))
    vllm_server._stop_leftover(tmp_path)
    assert child.wait(5) == -signal.SIGKILL
    assert not note.exists()


def test_another_process_with_the_leftovers_number_is_left_alone(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    note = tmp_path / "engine.pid"
    note.write_text(json.dumps({"pid": child.pid, "name": "synthgen-other"}))
    vllm_server._stop_leftover(tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)
    assert not note.exists()


@pytest.mark.parametrize("note", ["", "not json", "[1]", "7", '{"pid": 4194305, "name": "x"}', '{"name": "x"}'])
def test_a_note_that_names_no_process_is_put_away(note: str, tmp_path: Path) -> None:
    (tmp_path / "engine.pid").write_text(note)
    vllm_server._stop_leftover(tmp_path)
    assert not (tmp_path / "engine.pid").exists()


def test_a_server_dies_with_its_parent(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys; from synthgen.llm.vllm_server import _die_with_parent;"
        "c = subprocess.Popen(['sleep', '60'], preexec_fn=_die_with_parent, start_new_session=True);"
        "print(c.pid, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    server = int(process.stdout.readline())
    assert not gone(server)
    process.kill()
    process.wait()
    assert wait_until_gone(server)


# -- the engine ------------------------------------------------------------------------------------


class Endpoint:
    """What the engine talks through; keeps the requests, and raises `error` where there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[Request] = []
        self.error = error
        self.closed = False

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        if self.error:
            raise self.error
        return Completion(text="x", finish_reason="stop")

    async def aclose(self) -> None:
        self.closed = True


def engine(process: subprocess.Popen[bytes], endpoint: Any, folder: Path, request_seeds: bool = False) -> VllmEngine:
    log = folder / "engine.log"
    log.write_text("INFO starting\nTraceback (most recent call last):\nRuntimeError: out of memory\n")
    (folder / "engine.pid").write_text("{}")
    return VllmEngine(process, endpoint, log, request_seeds)


QUESTION = Request(id="0/generate", messages=(Message(role="user", content="?"),), sampling=Sampling(seed=7))


@pytest.mark.parametrize(("request_seeds", "sent"), [(False, None), (True, 7)])
async def test_seeds_are_sent_only_where_wanted(
    request_seeds: bool, sent: int | None, child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    endpoint = Endpoint()
    await engine(child, endpoint, tmp_path, request_seeds).complete(QUESTION)
    assert endpoint.asked[0].sampling.seed == sent
    assert endpoint.asked[0].id == QUESTION.id


@pytest.mark.parametrize("error", [FatalRequestError("too long"), RetryableError("no answer in time")])
async def test_an_error_of_a_living_server_is_passed_on(
    error: Exception, child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with pytest.raises(type(error), match=str(error)):
        await engine(child, Endpoint(error), tmp_path).complete(QUESTION)


async def test_no_answer_from_a_dead_server_is_its_last_words(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    with pytest.raises(EngineDeadError) as caught:
        await engine(dead, Endpoint(RetryableError("disconnected")), tmp_path).complete(QUESTION)
    assert str(caught.value).splitlines() == [
        f"the vLLM server died; the end of {tmp_path / 'engine.log'}:",
        "  RuntimeError: out of memory",
    ]


async def test_a_server_whose_engine_is_gone_is_dead_while_its_process_lives(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    gone = RetryableError("answered 500: EngineCore encountered an issue. See stack trace")
    with pytest.raises(EngineDeadError, match="the vLLM server died"):
        await engine(child, Endpoint(gone), tmp_path).complete(QUESTION)


async def test_a_server_that_does_not_listen_any_more_is_dead(
    child: subprocess.Popen[bytes], tmp_path: Path, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    silent = engine(child, EndpointEngine([url], "m", None, 5.0, "structured_outputs", {}), tmp_path)
    with pytest.raises(EngineDeadError, match="the vLLM server died"):
        await silent.complete(QUESTION)
    await silent._endpoint.aclose()


async def test_each_grammar_is_compiled_before_traffic_one_after_another(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    endpoint, grammars = Endpoint(), [choice(["a", "b"]), choice("12345")]
    said: list[str] = []
    await engine(child, endpoint, tmp_path).warm_up(grammars, said.append)
    assert [request.grammar for request in endpoint.asked] == grammars
    assert {request.sampling.max_tokens for request in endpoint.asked} == {1}
    assert said == ["vLLM compiles grammar 1 of 2", "vLLM compiles grammar 2 of 2"]


async def test_closing_ends_the_process_and_takes_its_note_away(
    child: subprocess.Popen[bytes], tmp_path: Path, impatient: None
) -> None:
    endpoint = Endpoint()
    await engine(child, endpoint, tmp_path).aclose()
    assert child.returncode == -signal.SIGKILL
    assert endpoint.closed
    assert not (tmp_path / "engine.pid").exists()


async def test_a_server_that_does_not_start_is_a_dead_engine_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "import sys; sys.exit('ValueError: no such model')"
    monkeypatch.setattr(vllm_server, "vllm_build", lambda: "cpu")
    monkeypatch.setattr(vllm_server, "command_line", lambda *_: [sys.executable, "-S", "-c", words])
    with pytest.raises(EngineDeadError, match=r"did not start; the end of .*\n  ValueError: no such model"):
        await VllmEngine.start(VllmConfig(), "m", {}, 0, tmp_path, lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["engine.log"]


async def test_the_key_is_in_the_servers_environment_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "import os, sys; sys.exit('KeyError ' + os.environ['VLLM_API_KEY'] + os.environ['OF_THE_RUN'])"
    seen: list[str] = []

    def listed(*arguments: Any) -> list[str]:
        seen.extend(command_line(*arguments))
        return [sys.executable, "-S", "-c", words]

    monkeypatch.setattr(vllm_server, "vllm_build", lambda: "cpu")
    monkeypatch.setattr(vllm_server, "command_line", listed)
    with pytest.raises(EngineDeadError) as caught:
        await VllmEngine.start(VllmConfig(env={"OF_THE_RUN": "!"}), "m", {}, 0, tmp_path, lambda _: None)
    key = str(caught.value).rsplit("KeyError ", 1)[1].removesuffix("!")
    assert len(key) >= 32
    assert key not in " ".join(seen)
    assert "VLLM_API_KEY" not in os.environ
