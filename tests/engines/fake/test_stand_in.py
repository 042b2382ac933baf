"""The stand-in server over a real socket: OpenAI's protocol, vLLM's metrics, and each fault as told."""

import asyncio
import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import forks
import pytest

from synthgen.engines.fake.faults import parse
from synthgen.engines.fake.habits import parse as parse_habit

if TYPE_CHECKING:
    from tests.llm.conftest import Server, StartServer

SCHEMA = {"type": "object", "properties": {"text": {"type": "string", "minLength": 5, "maxLength": 60}}}


def body(content: str = "Write one for the label: sport", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


async def ask(http: aiohttp.ClientSession, server: "Server", **fields: Any) -> Any:
    async with http.post(f"{server.url}/chat/completions", json=body(**fields)) as response:
        assert response.status == 200, await response.text()
        return json.loads(await response.read())


def text(reply: Any) -> str:
    return str(reply["choices"][0]["message"]["content"])


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grammar",
    [
        {"structured_outputs": {"json": SCHEMA}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "sample", "schema": SCHEMA}}},
    ],
)
async def test_an_answer_is_within_its_grammar(
    grammar: dict[str, Any], stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    reply = await ask(http, stand_in(), **grammar)
    written = json.loads(text(reply))["text"]
    assert 5 <= len(written) <= 60
    assert written.endswith("sport")
    assert reply["model"] == "m"
    assert reply["usage"]["completion_tokens"] > 1


async def test_a_message_may_be_a_list_of_parts(stand_in: "StartServer", http: aiohttp.ClientSession) -> None:
    server, words = stand_in(), "Write one for the label: sport"
    whole = await ask(http, server, messages=[{"role": "user", "content": words}], seed=1)
    parts = [{"type": "text", "text": words[:10]}, {"type": "text", "text": words[10:]}]
    assert text(await ask(http, server, messages=[{"role": "user", "content": parts}], seed=1)) == text(whole)


async def test_a_choice_comes_with_the_logprobs_of_its_options(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    choice = {"structured_outputs": {"choice": ["art", "sport"]}, "logprobs": True, "top_logprobs": 5}
    first = (await ask(http, stand_in(approve=1), **choice))["choices"][0]
    assert first["message"]["content"] == "sport"
    (place,) = first["logprobs"]["content"]
    listed = {entry["token"]: math.exp(entry["logprob"]) for entry in place["top_logprobs"]}
    assert listed == pytest.approx({"sport": 0.8, "art": 0.2})


async def test_a_seed_fixes_the_answer_and_without_one_each_is_new(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    one, other = stand_in(seed=3), stand_in(seed=3)
    seeded = {text(await ask(http, server, seed=7)) for server in (one, one, other)}
    assert len(seeded) == 1
    assert text(await ask(http, one, seed=8)) not in seeded
    fresh = [[text(await ask(http, server)) for _ in range(5)] for server in (one, other)]
    assert fresh[0] == fresh[1]
    assert len(set(fresh[0])) == 5


@pytest.mark.slow
async def test_metrics_count_tokens_and_what_is_under_way_as_vllm_does(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server = stand_in(delay=0.3, max_num_seqs=2)
    asking = [asyncio.create_task(ask(http, server)) for _ in range(3)]
    await asyncio.sleep(0.15)
    during = await metrics(http, server)
    assert (during["vllm:num_requests_running"], during["vllm:num_requests_waiting"]) == (2, 1)
    replies = await asyncio.gather(*asking)
    after = await metrics(http, server)
    assert after["vllm:num_requests_running"] == 0
    assert after["vllm:generation_tokens_total"] == sum(reply["usage"]["completion_tokens"] for reply in replies)
    assert {"vllm:kv_cache_usage_perc", "vllm:prefix_cache_hits_total", "vllm:num_preemptions_total"} <= after.keys()


async def metrics(http: aiohttp.ClientSession, server: "Server") -> dict[str, float]:
    async with http.get(server.url.removesuffix("/v1") + "/metrics") as response:
        lines = (await response.text()).splitlines()
    return {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


async def test_a_prompt_read_before_is_in_the_prefix_cache(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server, long = stand_in(), "x" * 400
    cached = [(await ask(http, server, content=long))["usage"]["prompt_tokens_details"] for _ in range(2)]
    assert [entry["cached_tokens"] for entry in cached] == [0, 96]


async def test_the_key_and_the_model_are_asked_for_as_vllm_does(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server = stand_in(env={"VLLM_API_KEY": "k"}, model="path/of/it", served_model_name="m")
    url = f"{server.url}/chat/completions"
    async with http.post(url, json=body()) as response:
        assert response.status == 401
    bearer = {"Authorization": "Bearer k"}
    async with http.post(url, json={**body(), "model": "other"}, headers=bearer) as response:
        assert response.status == 404
    async with http.post(url, json=body(), headers=bearer) as response:
        assert response.status == 200


async def test_adapters_are_served_by_their_names_beside_the_model(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server = stand_in(model="m", lora_modules='{"name": "a", "path": "/x"}')
    async with http.get(f"{server.url}/models") as response:
        assert [entry["id"] for entry in (await response.json())["data"]] == ["m", "a"]
    async with http.post(f"{server.url}/chat/completions", json={**body(), "model": "a"}) as response:
        assert (await response.json())["model"] == "a"
    async with http.post(f"{server.url}/chat/completions", json={**body(), "model": "b"}) as response:
        assert response.status == 404


async def test_flags_of_vllm_are_taken(stand_in: "StartServer", http: aiohttp.ClientSession) -> None:
    await ask(http, stand_in(tensor_parallel_size=2, structured_outputs_config='{"backend": "outlines"}'))


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "hang"}, TimeoutError),
        ({"kind": "stall"}, TimeoutError),
        ({"kind": "drip", "value": 0.1}, TimeoutError),
        ({"kind": "reset"}, aiohttp.ClientError),
        ({"kind": "truncated"}, json.JSONDecodeError),
    ],
)
async def test_a_fault_affects_the_request(
    fault: dict[str, Any], error: type[Exception], stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server = stand_in({**fault, "after": 1, "count": 1})
    await ask(http, server)
    with pytest.raises(error):
        await asyncio.wait_for(ask(http, server), 0.2 if error is TimeoutError else 5)
    async with http.get(server.url.removesuffix("/v1") + "/health") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        ({"kind": "status"}, 500, None),
        ({"kind": "status", "value": 503}, 503, None),
        ({"kind": "busy", "value": 2}, 429, "2"),
    ],
)
async def test_an_http_error_occurs_as_often_as_configured(
    fault: dict[str, Any], status: int, header: str | None, stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server = stand_in({**fault, "count": 2})
    seen = []
    for _ in range(3):
        async with http.post(f"{server.url}/chat/completions", json=body()) as response:
            seen.append((response.status, response.headers.get("Retry-After")))
    assert seen == [(status, header), (status, header), (200, None)]


async def test_the_same_seed_gives_faults_to_the_same_requests(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    async def struck(server: "Server") -> list[int]:
        found = []
        for _ in range(40):
            async with http.post(f"{server.url}/chat/completions", json=body()) as response:
                found.append(response.status)
        return found

    fault = {"kind": "status", "share": 0.5}
    first, second = await struck(stand_in(fault)), await struck(stand_in(fault))
    assert first == second
    assert 8 < first.count(500) < 32


@pytest.mark.slow
async def test_answers_can_come_from_another_model_or_without_readable_logprobs(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    choice = {"structured_outputs": {"choice": ["art", "sport"]}, "logprobs": True, "top_logprobs": 5}
    assert (await ask(http, stand_in({"kind": "model", "value": "x"})))["model"] == "x"
    assert (await ask(http, stand_in({"kind": "no_logprobs"}), **choice))["choices"][0]["logprobs"] is None
    spoilt = (await ask(http, stand_in({"kind": "nan_logprobs"}), **choice))["choices"][0]["logprobs"]["content"]
    assert all(math.isnan(entry["logprob"]) for entry in spoilt[0]["top_logprobs"])


@pytest.mark.parametrize("fault", [{"kind": "die", "after": 1}, {"kind": "poison", "value": "zyzzyva"}])
async def test_a_server_can_die_by_sigkill(
    fault: dict[str, Any], stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server = stand_in(fault)
    await ask(http, server)
    with pytest.raises(aiohttp.ClientError):
        await ask(http, server, content="a zyzzyva")
    server.process.join(5)
    assert server.process.exitcode == -signal.SIGKILL


async def test_a_frozen_server_takes_connections_and_answers_nothing(
    stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    server = stand_in({"kind": "freeze"})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(http, server), 0.2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(metrics(http, server), 0.2)
    assert server.process.is_alive()


def start_and_end(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "synthgen.engines.fake.stand_in", *flags]
    return forks.run(command, capture_output=True, text=True, timeout=60)


def test_out_of_memory_at_start_in_cudas_words_unless_few_sequences_are_asked_for(stand_in: "StartServer") -> None:
    fault = {"kind": "oom", "value": 32}
    done = start_and_end("--faults", json.dumps([fault]), "--max-num-seqs", "64")
    assert done.returncode == 1
    assert "torch.OutOfMemoryError: CUDA out of memory" in done.stderr
    assert stand_in(fault, max_num_seqs=32).url.startswith("http://127.0.0.1:")


def test_a_taken_port_is_an_error_in_the_systems_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = start_and_end("--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "Address already in use" in done.stderr


@pytest.mark.slow
def test_a_fault_can_be_of_the_first_starts_only(tmp_path: Any) -> None:
    flags = ("--book", str(tmp_path / "book"), "--faults", '[{"kind": "port_taken", "starts": 2}]')
    assert [start_and_end(*flags, "--port", "1").returncode for _ in range(2)] == [1, 1]
    third = forks.Popen(
        [sys.executable, "-m", "synthgen.engines.fake.stand_in", *flags], stdout=subprocess.PIPE, text=True
    )
    assert third.stdout is not None
    assert third.stdout.readline().startswith("http://")
    third.terminate()
    began = time.monotonic()
    assert third.wait(5) == 0
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ('{"kind": "die"}', "a JSON array of objects"),
        ('[{"kind": "dy"}]', "unknown kind of fault 'dy'; use one of hang, stall"),
        ('[{"kind": "die", "afterwards": 3}]', "unknown keys of a fault: afterwards; use after, count"),
        ('[{"kind": "poison"}]', "poison needs a text"),
        ('[{"kind": "oom"}]', "oom needs a number"),
    ],
)
def test_an_invalid_fault_is_named(faults: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        parse(faults)


def test_a_fault_limited_to_the_first_starts_needs_the_file_that_counts_starts() -> None:
    done = start_and_end("--faults", '[{"kind": "die", "starts": 1}]')
    assert done.returncode == 2
    assert "needs --book FILE" in done.stderr


# -- habits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("habit", "fields", "status", "words"),
    [
        ("window=10", {"content": "word " * 60}, 400, "maximum context length is 10 tokens"),
        ("known_keys", {"min_p": 0.1}, 400, "Unrecognized request argument supplied: min_p"),
        ("busy=0", {}, 429, "Too many requests"),
    ],
)
async def test_a_habit_refuses_with_the_messages_of_real_servers(
    habit: str, fields: dict[str, Any], status: int, words: str, stand_in: "StartServer", http: aiohttp.ClientSession
) -> None:
    async with http.post(f"{stand_in(habit=[habit]).url}/chat/completions", json=body(**fields)) as response:
        assert response.status == status
        assert words in await response.text()


def test_an_unknown_habit_is_named() -> None:
    with pytest.raises(ValueError, match="unknown habit 'lazy'; use one of busy, "):
        parse_habit("lazy")
    with pytest.raises(ValueError, match="busy needs a value: busy=VALUE"):
        parse_habit("busy")
