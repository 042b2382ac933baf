"""Run `synthgen`, then replay the requests of its loop through the same server; write measured.json.

The replay is another process with a bare client. The server's prefix cache is emptied before each of the two, if the
server allows it. The server's load comes from the readings that the engine takes anyway.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from synthgen.cli import dispatch
from synthgen.engines.http.endpoint import Endpoint
from synthgen.engines.pressure import InFlight, Load
from synthgen.engines.vllm.server import VllmEngine
from synthgen.ledger import Reader
from synthgen.records import Grammar, Message, Request, Sampling
from synthgen.run.loop import Loop

ROOT = Path(__file__).resolve().parents[2]
LEDGER = Path("run/ledger.sqlite")
ENGINES: list[VllmEngine] = []
MEASURED: dict[str, Any] = {"readings": [], "replays": {}}
Sent = tuple[float, float, int, bool, bytes]  # time sent, time answered, completion tokens, True for the judge's, body


async def measured_loop(loop: Loop) -> str:
    clock, cpu = time.monotonic(), time.process_time()
    reason = await run(loop)
    MEASURED["loop"] = [clock, time.monotonic()]
    MEASURED["own_cpu_seconds"] = time.process_time() - cpu
    engine = ENGINES[-1]
    endpoint = engine._fleet._members[0].endpoint
    words = (Path("/proc") / str(engine._process._process.pid) / "cmdline").read_text().split("\0")
    MEASURED["max_num_seqs"] = int(words[words.index("--max-num-seqs") + 1]) if "--max-num-seqs" in words else None
    MEASURED["most"] = engine._in_flight._most
    sent = requests_of_the_run(endpoint)
    MEASURED["run"] = {"answered": [[at, tokens] for _, at, tokens, _, _ in sent], "in_flight": peak(sent)}
    for name, bodies in {
        "replay": [body for *_, body in sent],
        "without_judge": [body for *_, judges, body in sent if not judges],
    }.items():
        await empty(endpoint)
        MEASURED["replays"][name] = await replay(endpoint, bodies, peak(sent))
    return reason


def requests_of_the_run(endpoint: Endpoint) -> list[Sent]:
    """Return the answered requests of the ledger in sending order, with the bodies that were sent."""
    shift = time.time() - time.monotonic()
    found: list[Sent] = []
    with Reader(LEDGER) as ledger:
        texts = {key: json.loads(body) for key, body in ledger.rows("SELECT id, body FROM texts")}
        sql = (
            "SELECT id, messages, spec, sent_at, seconds, completion_tokens, kind FROM requests"
            " WHERE state = 'answered' ORDER BY sent_at"
        )
        for name, messages, spec, at, seconds, tokens, kind in ledger.rows(sql):
            what = texts[spec]
            request = Request(
                id=name,
                messages=tuple(Message(**texts[key]) for key in json.loads(messages)),
                grammar=what["grammar"] and Grammar(**what["grammar"]),
                sampling=Sampling(**what["sampling"]),
                priority=what["priority"],
            )
            body = orjson.dumps(endpoint.request_body(request, endpoint.dialect))
            found.append((at - shift, at - shift + seconds, tokens, not kind.startswith("generate"), body))
    return found


def peak(sent: list[Sent]) -> int:
    """Return the most requests in flight at once."""
    steps = sorted([(began, 1) for began, *_ in sent] + [(ended, -1) for _, ended, *_ in sent])
    level = highest = 0
    for _, step in steps:
        level += step
        highest = max(highest, level)
    return highest


async def replay(endpoint: Endpoint, bodies: list[bytes], in_flight: int) -> dict[str, Any]:
    """Let a bare client in another process send `bodies`; return when each was answered, and its tokens."""
    sent, answered = Path("bodies.jsonl"), Path("answered.json")
    await asyncio.to_thread(sent.write_bytes, b"\n".join(bodies))
    words = [endpoint.url, str(sent), str(in_flight), str(answered)]
    env = {**os.environ, "BARE_KEY": endpoint._key or "", "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.efficiency.bare", *words, env=env)
    if await process.wait():
        raise SystemExit("the bare client failed")
    return {
        "began": began,
        "answered": json.loads(await asyncio.to_thread(answered.read_bytes)),
        "in_flight": in_flight,
    }


async def empty(endpoint: Endpoint) -> None:
    """Wait until nothing runs, then clear a vLLM server's prefix cache; the stand-in's needs no clearing."""
    while MEASURED["readings"][-1]["running"] + MEASURED["readings"][-1]["waiting"]:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    root = endpoint.url.removesuffix("/v1")
    async with aiohttp.ClientSession() as session, session.post(f"{root}/reset_prefix_cache") as response:
        if response.status not in (200, 404):
            raise SystemExit(f"the prefix cache was not emptied: {response.status} {await response.text()}")
        MEASURED["emptied"] = response.status == 200


def read(in_flight: InFlight, load: Load | None, ahead: int = 0) -> int:
    limit = update(in_flight, load, ahead)
    if load is not None:
        MEASURED["readings"].append({"at": time.monotonic(), "limit": limit, "ahead": ahead, **vars(load)})
    return limit


async def started(engine: VllmEngine, *arguments: Any) -> None:
    ENGINES.append(engine)
    await warm_up(engine, *arguments)


if __name__ == "__main__":
    run, update, warm_up = Loop.run, InFlight.update, VllmEngine.warm_up
    Loop.run, InFlight.update, VllmEngine.warm_up = measured_loop, read, started  # type: ignore[method-assign]
    code = dispatch(sys.argv[1:])
    Path("measured.json").write_text(json.dumps(MEASURED))
    sys.exit(0 if code in (0, 3) else code)
