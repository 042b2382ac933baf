"""The vLLM server and its engine, with a stand-in where vLLM would be: started, watched, restarted, left behind never."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.engines import pressure
from synthgen.engines.adapters import Adapter, lora_flags, lora_modules
from synthgen.engines.base import LearnedLimits
from synthgen.engines.grammar.schema import choice
from synthgen.engines.http import fleet
from synthgen.engines.vllm import options as vllm_options
from synthgen.engines.vllm import server as vllm_server
from synthgen.engines.vllm import server_process, supervisor
from synthgen.engines.vllm.config import VllmConfig, command_line, environment, server_flags
from synthgen.engines.vllm.options import default_in_flight
from synthgen.engines.vllm.server import VllmEngine
from synthgen.engines.vllm.supervisor import Supervisor
from synthgen.engines.window import Window
from synthgen.errors import (
    ConfigError,
    EngineDeadError,
    EngineGoneError,
    FatalRequestError,
    PoisonError,
    RetryableError,
)
from synthgen.records import Message, Request, Sampling


def flags_of(command: list[str]) -> dict[str, str | bool]:
    """The flags of a command line by name; a bare one is True."""
    found: dict[str, str | bool] = {}
    for word, following in zip(command, [*command[1:], "--"], strict=True):
        if word.startswith("--"):
            found[word] = True if following.startswith("--") else following
    return found


def flags(build: str = "gpu", model_flags: dict[str, Any] | None = None, **knobs: Any) -> dict[str, str | bool]:
    cfg = VllmConfig(**knobs)
    found = server_flags(cfg, build, model_flags or {}, LearnedLimits())
    return flags_of(command_line(cfg, found, "org/model", "synthgen-1", 8123))


# -- the command line ------------------------------------------------------------------------------


def test_the_server_is_started_by_this_python_and_without_the_vllm_command() -> None:
    command = command_line(VllmConfig(), {}, "org/model", "synthgen-1", 8123)
    assert command[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]


def test_the_server_listens_to_this_machine_only() -> None:
    found = flags()
    assert (found["--host"], found["--port"]) == ("127.0.0.1", "8123")
    assert (found["--model"], found["--served-model-name"]) == ("org/model", "synthgen-1")


def test_a_reasoning_parser_is_passed_on_where_one_is_named() -> None:
    assert flags(reasoning_parser="qwen3")["--reasoning-parser"] == "qwen3"
    assert "--reasoning-parser" not in flags()


def test_the_judge_reads_logprobs_after_the_grammars_mask() -> None:
    assert flags()["--logprobs-mode"] == "processed_logprobs"


def test_the_server_is_given_the_backend_and_no_white_space_to_waste() -> None:
    compact = {"backend": "guidance", "disable_any_whitespace": True}
    assert json.loads(str(flags()["--structured-outputs-config"])) == compact
    assert json.loads(str(flags(backend="outlines")["--structured-outputs-config"])) == {"backend": "outlines"}


def test_a_users_flag_overrides_everything_but_the_address() -> None:
    found = flags(
        model_flags={"max-model-len": 2048, "dtype": "auto"},
        flags={"max_model_len": 512, "--scheduling-policy": "fcfs", "host": "0.0.0.0", "served_model_name": "x"},
    )
    assert (found["--max-model-len"], found["--dtype"]) == ("512", "auto")
    assert found["--scheduling-policy"] == "fcfs"
    assert (found["--host"], found["--served-model-name"]) == ("127.0.0.1", "synthgen-1")


def test_true_becomes_a_bare_flag_and_null_or_false_becomes_none() -> None:
    found = flags(flags={"enforce-eager": True, "seed": 0, "enable-prompt-tokens-details": None, "x": False})
    assert found["--enforce-eager"] is True
    assert found["--seed"] == "0"
    assert {"--enable-prompt-tokens-details", "--x"}.isdisjoint(found)


def test_room_is_made_for_the_adapters_in_the_ranks_that_vllm_has() -> None:
    served = [Adapter("lora-a", Path("/a"), rank=4), Adapter("lora-b", Path("/b, c"), rank=9)]
    command = command_line(VllmConfig(), lora_flags(served) | lora_modules(served), "org/model", "synthgen-1", 8123)
    found = flags_of(command)
    assert (found["--enable-lora"], found["--max-loras"], found["--max-lora-rank"]) == (True, "2", "16")
    named = command[command.index("--lora-modules") + 1 :][:2]
    assert list(map(json.loads, named)) == [{"name": "lora-a", "path": "/a"}, {"name": "lora-b", "path": "/b, c"}]
    assert lora_flags([]) | lora_modules([]) == {}


def test_cpu_flags_count_with_the_cpu_build_only_and_flags_go_over_them() -> None:
    knobs: dict[str, Any] = {"cpu_flags": {"block-size": 32, "max-num-seqs": 64}, "flags": {"max-num-seqs": 8}}
    assert flags("cpu", **knobs)["--block-size"] == "32"
    assert flags("cpu", **knobs)["--max-num-seqs"] == "8"
    assert "--block-size" not in flags("gpu", **knobs)


def test_the_number_in_flight_follows_the_build_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for build, expected in (("cpu", 96), ("gpu", 512)):
        monkeypatch.setattr(vllm_options, "vllm_build", lambda build=build: build)
        assert default_in_flight(VllmConfig()) == expected
        assert default_in_flight(VllmConfig(in_flight=7)) == 7


def test_a_batch_size_found_to_fit_memory_overrides_the_users_flag() -> None:
    cfg = VllmConfig(flags={"max_num_seqs": 64})
    assert server_flags(cfg, "gpu", {}, LearnedLimits(32))["max-num-seqs"] == 32


def cpus_of(build: str = "cpu", model_flags: dict[str, Any] | None = None, **knobs: Any) -> str | None:
    cfg = VllmConfig(**knobs)
    return environment(cfg, build, server_flags(cfg, build, model_flags or {}, LearnedLimits()), "k").get(
        "VLLM_CPU_OMP_THREADS_BIND"
    )


def test_a_small_machine_gives_the_cpu_build_all_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 1})
    assert cpus_of() == "1,5"
    assert cpus_of("gpu") is None
    assert cpus_of(cpu_env={"VLLM_CPU_OMP_THREADS_BIND": "0"}) == "0"
    assert cpus_of(flags={"tensor_parallel_size": 2}) is None
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "auto")
    assert cpus_of() == "auto"


def test_a_large_machine_is_left_to_vllms_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert cpus_of() is None


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"backend": "lm-format-enforcer"}, "engine.backend: 'lm-format-enforcer' is not one of outlines, xgrammar"),
        ({"server": "sglang"}, "engine.server: 'sglang' is not one of vllm, stand_in"),
        ({"start_timeout": 0}, "engine.start_timeout: must be above 0 seconds, got 0"),
        ({"in_flight": 0}, "engine.in_flight: must be 1 or more, got 0"),
    ],
)
def test_a_setting_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        VllmConfig(**knobs)
    assert message in str(caught.value)


async def test_without_vllm_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "vllm_build", lambda: None)
    with pytest.raises(ConfigError, match=r'pip install "synthgen\[gpu\]" or "synthgen\[cpu\]"'):
        await VllmEngine.start(VllmConfig(), "m", {}, 0, tmp_path, LearnedLimits(), lambda _: None, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


# -- the engine, with a stand-in server ------------------------------------------------------------

News = list[tuple[str, str]]
StartEngine = Callable[..., Awaitable[VllmEngine]]
LABELS = choice(["art", "sport"])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, "_STOP_SECONDS", 1.0)
    monkeypatch.setattr(fleet, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(fleet, "_SECOND_LOOK", 0.02)
    monkeypatch.setattr(supervisor, "_FIRST_WAIT", 0.01)


@pytest.fixture
def news() -> News:
    return []


@pytest.fixture
async def start(tmp_path: Path, news: News) -> AsyncIterator[StartEngine]:
    """`start({"kind": "die", "after": 3}, delay=0.1, timeout=2)`: an engine on a stand-in server with faults."""
    engines: list[VllmEngine] = []
    fitted = LearnedLimits()

    async def make(*faults: dict[str, Any], delay: float = 0.0, **knobs: Any) -> VllmEngine:
        knobs = {"flags": {"max-num-seqs": 64}, "timeout": 5.0, **knobs}
        knobs["flags"] = {"faults": list(faults), "delay": delay, "book": "book", **knobs["flags"]}
        cfg = VllmConfig(server="stand_in", **knobs)
        tell = lambda kind, words: news.append((kind, words))  # noqa: E731
        engines.append(await VllmEngine.start(cfg, "org/model", {}, 0, tmp_path, fitted, lambda _: None, tell))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.aclose()


def question(number: int = 0, content: str = "?", **sampling: Any) -> Request:
    message = Message(role="user", content=content)
    return Request(id=f"{number}/generate", messages=(message,), sampling=Sampling(seed=7, **sampling))


async def ask_many(engine: VllmEngine, count: int) -> list[Any]:
    return await asyncio.gather(*(engine.complete(question(n)) for n in range(count)), return_exceptions=True)


def server_pid(folder: Path) -> int:
    return int(json.loads((folder / "engine.pid").read_text())["pid"])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_closing_ends_the_process_and_removes_its_pid_file(start: StartEngine, tmp_path: Path) -> None:
    engine = await start()
    pid = server_pid(tmp_path)
    assert (await engine.complete(question())).text
    await engine.aclose()
    assert not is_running(pid)
    assert not (tmp_path / "engine.pid").exists()


@pytest.mark.parametrize(("request_seeds", "different"), [(False, 3), (True, 1)])
async def test_seeds_are_sent_only_where_wanted(request_seeds: bool, different: int, start: StartEngine) -> None:
    engine = await start(request_seeds=request_seeds)
    texts = {(await engine.complete(question())).text for _ in range(3)}
    assert len(texts) == different


@pytest.mark.usefixtures("_servers_are_started")
async def test_the_key_is_in_the_servers_environment_and_nowhere_else(
    start: StartEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_server.secrets, "token_urlsafe", lambda _: "of-this-start-0123456789")
    engine = await start()
    pid = server_pid(tmp_path)
    assert b"VLLM_API_KEY=of-this-start-0123456789" in Path(f"/proc/{pid}/environ").read_bytes()
    assert b"of-this-start" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert "VLLM_API_KEY" not in os.environ
    assert (await engine.complete(question())).text


async def test_adapters_are_loaded_at_the_start_and_asked_by_name(start: StartEngine) -> None:
    served = [Adapter("lora-a", Path("/a"), rank=4), Adapter("lora-b", Path("/b, c"), rank=9)]
    engine = await start(flags={**lora_flags(served), **lora_modules(served)})
    await engine.warm_up([LABELS], lambda _: None, ["lora-a", "lora-b"])
    assert (await engine.complete(question().model_copy(update={"adapter": "lora-b"}))).text
    with pytest.raises(EngineGoneError, match="`lora-c` does not exist"):
        await engine.complete(question().model_copy(update={"adapter": "lora-c"}))


async def test_a_refusal_of_a_living_server_is_passed_on(start: StartEngine) -> None:
    engine = await start({"kind": "status", "value": 400})
    with pytest.raises(FatalRequestError, match="answered 400"):
        await engine.complete(question())


# -- its start -------------------------------------------------------------------------------------


async def test_a_server_that_does_not_start_is_a_dead_engine_with_its_last_error(start: StartEngine) -> None:
    with pytest.raises(EngineDeadError, match=r"did not start; the end of .*engine.log:\n(.*\n)*.*invalid int value"):
        await start(flags={"max-num-seqs": "many"})


@pytest.mark.usefixtures("_servers_are_started")
async def test_a_server_that_is_not_healthy_in_time_is_a_dead_engine(start: StartEngine) -> None:
    with pytest.raises(EngineDeadError, match="not healthy after 0 s"):
        await start(start_timeout=0.05)


@pytest.mark.slow
async def test_out_of_memory_at_start_halves_max_num_seqs_once_and_says_so(start: StartEngine, news: News) -> None:
    fault = {"kind": "oom", "value": 32}
    engine = await start(fault)
    assert (await engine.complete(question())).text
    said = "vLLM ran out of memory at its start; starting again with max-num-seqs 32 instead of 64"
    assert news == [("engine_memory", said)]
    await start(fault)  # a later start of the session knows
    assert len(news) == 1


@pytest.mark.slow
async def test_out_of_memory_again_is_a_dead_engine(start: StartEngine, news: News) -> None:
    with pytest.raises(EngineDeadError, match="CUDA out of memory"):
        await start({"kind": "oom", "value": 8})
    assert [kind for kind, _ in news] == ["engine_memory"]


async def test_a_port_taken_by_another_process_is_replaced(
    start: StartEngine, news: News, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", unused_tcp_port)
    free = iter([unused_tcp_port, server_process.free_port()])
    monkeypatch.setattr(vllm_server, "free_port", lambda: next(free))
    engine = await start()
    assert (await engine.complete(question())).text
    assert [kind for kind, _ in news] == ["engine_port"]
    other.close()


@pytest.mark.slow
async def test_another_server_on_the_port_is_not_taken_for_ours(
    start: StartEngine, news: News, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await start()
    theirs = int(first._fleet._members[0].endpoint.url.split(":")[2].split("/")[0])
    (tmp_path / "engine.pid").unlink()
    free = iter([theirs, server_process.free_port()])
    monkeypatch.setattr(vllm_server, "free_port", lambda: next(free))
    second = await start()
    assert (await second.complete(question())).engine != f"http://127.0.0.1:{theirs}/v1"
    assert [kind for kind, _ in news] == ["engine_port"]


async def test_a_server_without_logprobs_is_found_before_traffic(start: StartEngine) -> None:
    engine = await start({"kind": "no_logprobs"}, patience=30)
    began = time.monotonic()
    with pytest.raises(EngineDeadError, match="answers come without logprobs"):
        await engine.warm_up([LABELS], lambda _: None)
    assert time.monotonic() - began < 20


# -- its death -------------------------------------------------------------------------------------


async def test_a_request_to_a_dead_server_fails_with_the_servers_last_error(start: StartEngine) -> None:
    engine = await start({"kind": "die", "after": 5}, delay=0.05)
    outcomes = await ask_many(engine, 5) + await ask_many(engine, 20)
    died = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert len(died) == 20
    assert [error for error in died if not isinstance(error, EngineDeadError)] == []
    assert [error for error in died if not str(error).startswith("the vLLM server died; the end of")] == []
    with pytest.raises(EngineGoneError):  # sent to nobody: no suspect
        await engine.complete(question())


async def test_a_server_killed_while_idle_is_noticed(start: StartEngine, tmp_path: Path) -> None:
    engine = await start(stall_seconds=0.4)
    os.kill(server_pid(tmp_path), signal.SIGKILL)
    await asyncio.sleep(0.3)
    with pytest.raises(EngineGoneError, match="the vLLM server died"):
        await engine.complete(question())


async def test_a_server_whose_engine_is_gone_is_dead_while_its_process_lives(
    start: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start()

    async def gone(request: Request) -> None:
        raise RetryableError("answered 500: EngineCore encountered an issue. See stack trace")

    monkeypatch.setattr(engine._fleet, "complete", gone)
    with pytest.raises(EngineDeadError, match="the vLLM server died"):
        await engine.complete(question())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stall", "freeze"])
async def test_a_server_with_work_but_no_tokens_is_killed(kind: str, start: StartEngine, tmp_path: Path) -> None:
    engine = await start({"kind": kind, "after": 3}, stall_seconds=1.5, timeout=30)
    assert (await ask_many(engine, 3))[0].text
    pid = server_pid(tmp_path)
    outcomes = await ask_many(engine, 10)
    assert all(isinstance(error, EngineDeadError) for error in outcomes)
    assert "had work and made no token for 1.5 s" in str(outcomes[0])
    assert not is_running(pid)


@pytest.mark.slow
async def test_a_few_hung_requests_do_not_make_a_stalled_server(start: StartEngine) -> None:
    engine = await start({"kind": "hang", "after": 3, "count": 2}, delay=0.02, stall_seconds=1.0, timeout=2.5)
    assert (await ask_many(engine, 3))[0].text
    asking = asyncio.create_task(ask_many(engine, 10))
    await asyncio.sleep(0.1)  # two of them are stuck
    while not asking.done():
        assert (await engine.complete(question())).text
    failed = [outcome for outcome in await asking if isinstance(outcome, Exception)]
    assert [str(error).split("http")[0] for error in failed] == ["no answer from "] * 2


@pytest.mark.slow
async def test_a_server_that_fails_every_request_is_given_up_after_some_patience(start: StartEngine) -> None:
    engine = await start({"kind": "status", "after": 3}, patience=1)
    assert (await ask_many(engine, 3))[0].text
    outcomes = await ask_many(engine, 40)
    assert {error.charge for error in outcomes} == {0.2}
    with pytest.raises(EngineGoneError, match=r"no endpoint answers: .* answered 500"):
        await engine.complete(question())


async def test_another_model_on_our_port_is_a_dead_engine(start: StartEngine) -> None:
    engine = await start({"kind": "model", "value": "stranger"})
    with pytest.raises(EngineGoneError, match="another model answers"):
        await engine.complete(question())


# -- how much it should have -----------------------------------------------------------------------


def judges_question(number: int) -> Request:
    return question(number)


def generation(number: int) -> Request:
    return question(number).model_copy(update={"priority": 10})


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def keep_asking(engine: VllmEngine, window: Window) -> None:
    """A loop that always has more to ask."""

    async def ask(number: int) -> None:
        try:
            await engine.complete(generation(number))
        finally:
            window.release()

    async with asyncio.TaskGroup() as group:
        for number in range(1_000_000):
            await window.acquire()
            group.create_task(ask(number))


@pytest.fixture
def _quick_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "_READ_SECONDS", 0.03)
    monkeypatch.setattr(pressure, "_START", 8)


@pytest.mark.usefixtures("_quick_readings")
async def test_requests_in_flight_follow_the_servers_own_metrics(start: StartEngine) -> None:
    engine = await start(delay=0.05, flags={"max-num-seqs": 24}, in_flight=200)
    window, heard = Window(1), list[int]()
    engine.on_limit(lambda limit: (heard.append(limit), window.resize(limit)))
    loop = asyncio.create_task(keep_asking(engine, window))
    await until(lambda: 24 < engine.limit <= 40 and len(heard) > 2)  # a batch of 24, and a short queue
    loop.cancel()
    assert heard[:2] == [8, 16]
    assert window.size == engine.limit == heard[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_readings")
async def test_the_judges_questions_make_generation_yield(start: StartEngine) -> None:
    engine = await start(delay=0.3, flags={"max-num-seqs": 4}, in_flight=64)
    asking = [asyncio.create_task(engine.complete(judges_question(number))) for number in range(60)]
    await until(lambda: engine.limit == 4)  # the least there is
    for task in asking:
        task.cancel()


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_readings")
async def test_in_flight_of_the_config_is_the_maximum(start: StartEngine) -> None:
    engine = await start(delay=0.02, flags={"max-num-seqs": 64}, in_flight=5)
    window = Window(1)
    engine.on_limit(window.resize)
    loop = asyncio.create_task(keep_asking(engine, window))
    await asyncio.sleep(0.5)
    loop.cancel()
    assert engine.limit == window.size == 5


# -- under supervision -----------------------------------------------------------------------------


async def fate(engine: Supervisor, number: int, content: str = "?") -> str:
    """Return what becomes of a request that is sent again for as long as the engine is to blame."""
    spent = 0.0
    while spent < 1:
        try:
            return "answered" if (await engine.complete(question(number, content))).text else ""
        except RetryableError as error:
            spent += error.charge
        except PoisonError:
            return "quarantined"
    return "given up"


async def supervised(start: StartEngine, news: News, *faults: dict[str, Any], **knobs: Any) -> Supervisor:
    async def again() -> VllmEngine:
        return await start(*faults, **knobs)

    return Supervisor(await again(), again, 4, lambda kind, words: news.append((kind, words)))


@pytest.mark.slow
async def test_of_64_prompts_in_flight_the_poisonous_one_is_quarantined_and_no_other(
    start: StartEngine, news: News
) -> None:
    engine = await supervised(start, news, {"kind": "poison", "value": "zyzzyva"}, delay=0.05)
    asking = (fate(engine, number, "a zyzzyva" if number == 23 else "?") for number in range(64))
    fates = await asyncio.gather(*asking)
    assert [number for number, end in enumerate(fates) if end == "quarantined"] == [23]
    assert fates.count("answered") == 63
    assert [kind for kind, _ in news] == ["engine_restart", "engine_restart", "quarantined"]


@pytest.mark.parametrize("kind", ["die", "stall", "freeze", "status", "model"])
@pytest.mark.slow
async def test_a_fault_of_one_server_process_costs_one_restart_and_no_request(
    kind: str, start: StartEngine, news: News
) -> None:
    fault = {"kind": kind, "after": 10, "starts": 1}
    engine = await supervised(start, news, fault, delay=0.01, stall_seconds=1.5, patience=1, timeout=10)
    fates = [await fate(engine, number) for number in range(10)]
    fates += await asyncio.gather(*(fate(engine, number) for number in range(10, 40)))
    assert fates == ["answered"] * 40
    assert [told for told, _ in news].count("engine_restart") == 1


@pytest.mark.slow
async def test_a_server_that_always_dies_ends_the_run_within_its_budget(start: StartEngine, news: News) -> None:
    engine = await supervised(start, news, {"kind": "die"})
    fates = await asyncio.gather(*(fate(engine, number) for number in range(8)), return_exceptions=True)
    ends = [end for end in fates if end != "quarantined"]
    assert ends
    assert all(isinstance(end, EngineDeadError) and "after 4 restarts within the hour" in str(end) for end in ends)
    assert [told for told, _ in news].count("engine_restart") == 4
