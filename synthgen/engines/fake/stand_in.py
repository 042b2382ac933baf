"""Serve OpenAI's chat completions over HTTP without a model, with faults on demand.

    python -m synthgen.engines.fake.stand_in --port 0 --seed 0 --delay 0.05 --faults '[{"kind": "die", "after": 100}]'

The first line of its output is its address, for `engine.urls`. Answers come from the scripted writer, within the
request's grammar. A request with a seed or with temperature 0 always gets the same answer for the same `--seed`. Any
other request gets a new answer each time it is repeated. Its answers also differ between two starts of the server if
`--book` is given to count the starts.

`synthgen.engines.fake.faults` lists the faults, `synthgen.engines.fake.habits` the differences between servers. Unknown
flags of vLLM's server are ignored, so that this server can start in vLLM's place: `engine=vllm engine.server=stand_in`.
`synthgen.engines.fake.batch_host` adds the files and batches API.
It does not support streaming, `n` above 1, or tools.
"""

import asyncio
import hmac
import json
import math
import os
import random
import signal
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import NoReturn

import orjson
from aiohttp import web

from synthgen.engines.fake.batch_host import BatchHost
from synthgen.engines.fake.faults import Faults, InjectedFault
from synthgen.engines.fake.flags import count_start, fail_at_start, read_flags
from synthgen.engines.fake.habits import Habits, RefusalError
from synthgen.engines.fake.replies import error_body, error_response, grammar_of, join_parts, logprobs_of
from synthgen.engines.fake.scripted import Writer
from synthgen.records import Json
from synthgen.run.runtime import event_loop

_BLOCK = 16  # tokens; the prefix cache keeps whole blocks
_HARD_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with 0 s: closing sends RST


@dataclass(frozen=True)
class StandInOptions:
    model: str | None
    """Model name to serve; None accepts any name and echoes it."""
    key: str | None
    """The bearer token that a request must carry; None if it needs none."""
    seed: int
    delay: float
    """Delay of every answer, in seconds."""
    max_num_seqs: int | None
    """Requests processed at once; None for no limit."""
    start: int
    """Number of this start of the server, from 1."""
    adapters: tuple[str, ...] = ()
    """Adapter names served besides the model; each gives its own answers."""
    batch_seconds: float = 1.0
    """Seconds that every batch takes."""


class StandIn:
    """Hold the server's state and its request handlers."""

    def __init__(self, options: StandInOptions, writer: Writer, faults: Faults, habits: Habits) -> None:
        self._options = options
        self._writer = writer
        self._faults = faults
        self._habits = habits
        self._places = asyncio.Semaphore(options.max_num_seqs) if options.max_num_seqs else None
        self._waiting = self._running = self._answers = self._refusals = 0
        self._tokens: Counter[str] = Counter()
        self._asked: Counter[bytes] = Counter()
        self._cache: set[int] = set()
        self._stalled = False
        self._batches = BatchHost(self._line, faults, options.batch_seconds, options.seed)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=256 * 2**20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._batches.add_routes(app, self._refusal)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        names = (self._options.model or "stand-in", *self._options.adapters)
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "synthgen"} for name in names]
        return web.json_response({"object": "list", "data": listed})

    async def _metrics(self, _: web.Request) -> web.Response:
        figures = {
            "num_requests_running": self._running,
            "num_requests_waiting": self._waiting,
            "kv_cache_usage_perc": self._running / (2 * (self._options.max_num_seqs or max(512, self._running))),
            "prompt_tokens_total": self._tokens["prompt"],
            "generation_tokens_total": self._tokens["completion"],
            "prefix_cache_queries_total": self._tokens["prompt"],
            "prefix_cache_hits_total": self._tokens["cached"],
            "num_preemptions_total": 0,
        }
        labels = f'{{engine="0",model_name="{self._options.model or "stand-in"}"}}'
        lines = "".join(f"vllm:{name}{labels} {float(value)}\n" for name, value in figures.items())
        lines += f"stand_in:answers_total {self._answers}\nstand_in:refusals_total {self._refusals}\n"
        return web.Response(text=lines)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        body = orjson.loads(await request.read())
        join_parts(body["messages"])
        name = body.pop("model", "stand-in")
        if self._options.model is not None and name not in (self._options.model, *self._options.adapters):
            return error_response(404, f"The model `{name}` does not exist.")
        try:
            headers = self._habits.read(body, self._running, time.time())
        except RefusalError as error:
            self._refusals += 1
            return error_response(error.status, str(error), error.headers, error.param)
        request["headers"] = headers
        if self._places is None:
            return await self._work(request, name, body)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._work(request, name, body)
        finally:
            self._places.release()

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Return a 401 answer for a request without the required key; None if the request may pass."""
        key = self._options.key
        if key is None or hmac.compare_digest(request.headers.get("Authorization", ""), f"Bearer {key}"):
            return None
        return error_response(401, "Unauthorized")

    async def _work(self, request: web.Request, name: str, body: Json) -> web.StreamResponse:
        self._running += 1  # only until the tokens exist: sending them is not the engine's work
        try:
            fault = self._faults.fault_for(self._answers, "\n".join(m["content"] for m in body["messages"]))
            if fault is not None and (early := await self._instead(fault)) is not None:
                return early
            if self._options.delay:
                await asyncio.sleep(self._options.delay)
            if self._stalled:
                await _for_ever()
            reply = self._reply(name, body)
        finally:
            self._running -= 1
        if fault is not None:
            return await _spoil(fault, reply, request)
        self._habits.change(reply, body)
        return web.Response(body=orjson.dumps(reply), content_type="application/json", headers=request["headers"])

    def _line(self, body: Json) -> tuple[int, Json]:
        """Return the status and body that answer one line of a batch."""
        join_parts(body["messages"])
        name = body.pop("model", "stand-in")
        try:
            self._habits.read(body, 0, time.time())
        except RefusalError as error:
            return error.status, error_body(error.status, str(error), error.param)
        reply = self._reply(name, body)
        self._habits.change(reply, body)
        return 200, reply

    async def _instead(self, fault: InjectedFault) -> web.Response | None:
        """Return the answer that replaces the regular one; None if the fault changes the regular answer."""
        match fault.kind:
            case "hang":
                await _for_ever()
            case "stall":
                self._stalled = True
            case "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "die" | "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            case "status":
                return error_response(fault.value or 500, "a fault, as told")
            case "busy":
                return error_response(429, "too many requests, as told", {"Retry-After": str(fault.value or 1)})
        return None

    def _reply(self, name: str, body: Json) -> Json:
        body.pop("priority", None)
        key = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        turn = "same"
        if body.get("seed") is None and body.get("temperature", 1.0) > 0:
            self._asked[key] += 1
            turn = f"{self._options.start}/{self._asked[key]}"
        rng = random.Random(b"%d/%s/" % (self._options.seed, turn.encode()) + key)
        written = self._writer.write(body["messages"][-1]["content"], grammar_of(body), rng)
        prompt, cached = self._read(body["messages"])
        self._answers += 1
        self._tokens.update(prompt=prompt, cached=cached, completion=written.tokens)
        return {
            "id": f"chatcmpl-{self._answers}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self._habits.model(name),
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": written.text},
                    "finish_reason": written.finish_reason,
                    "logprobs": logprobs_of(written, body.get("top_logprobs") or 0) if body.get("logprobs") else None,
                }
            ],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": written.tokens,
                "total_tokens": prompt + written.tokens,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }

    def _read(self, messages: list[Json]) -> tuple[int, int]:
        """Return the tokens of a prompt, at four characters each, and how many of them the prefix cache held."""
        mark, tokens, cached = 0, 0, 0
        for message in messages:
            mark = hash((mark, message["role"], message["content"]))
            tokens += len(message["content"]) // 4
            if mark in self._cache:
                cached = tokens
            self._cache.add(mark)
        return tokens, cached // _BLOCK * _BLOCK


async def _spoil(fault: InjectedFault, reply: Json, request: web.Request) -> web.StreamResponse:
    """Send an answer with `fault`."""
    first = reply["choices"][0]
    match fault.kind:
        case "model":
            reply["model"] = fault.value or "another-model"
        case "no_logprobs":
            first["logprobs"] = None
        case "no_grammar":
            first["message"]["content"] = fault.value or "Hello! How can I help you today?"
        case "nan_logprobs":
            for place in (first["logprobs"] or {}).get("content", ()):
                for entry in (place, *place["top_logprobs"]):
                    entry["logprob"] = math.nan
    whole = json.dumps(reply).encode()  # unlike orjson, the json module writes NaN as it is
    match fault.kind:
        case "truncated":
            whole = whole[: len(whole) // 2]
        case "drip":
            return await _trickle(request, whole, fault.value or 0.05)
        case "reset":
            return await _reset(request, whole)
    return web.Response(body=whole, content_type="application/json")


async def _trickle(request: web.Request, whole: bytes, seconds: float) -> web.StreamResponse:
    response = await _begin(request, len(whole))
    for byte in whole:
        await response.write(bytes([byte]))
        await asyncio.sleep(seconds)
    return response


async def _reset(request: web.Request, whole: bytes) -> web.StreamResponse:
    response = await _begin(request, len(whole))
    await response.write(whole[: len(whole) // 2])
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD_RESET)
        transport.abort()
    return response


async def _begin(request: web.Request, length: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(length)})
    await response.prepare(request)
    return response


async def _for_ever() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("unreachable: nobody sets the event")


# -- the program -----------------------------------------------------------------------------------


def main(words: list[str]) -> None:
    """Run the server until it receives a signal to end."""
    flags = read_flags(words, __doc__)
    start = count_start(flags.book)
    faults = Faults(flags.faults, start, flags.seed)
    fail_at_start(faults.at_start, flags.max_num_seqs, flags.port)
    listener = socket.create_server((flags.host, flags.port), backlog=4096)
    address = f"http://{flags.host}:{listener.getsockname()[1]}/v1"
    options = StandInOptions(
        flags.served_model_name or flags.model,
        os.environ.get("VLLM_API_KEY"),
        flags.seed,
        flags.delay,
        flags.max_num_seqs,
        start,
        tuple(flags.lora_modules),
        flags.batch_seconds,
    )
    writer = Writer(flags.seed, flags.approve, flags.repeat, flags.broken)
    server = StandIn(options, writer, faults, Habits(flags.habit, flags.seed))

    def ready(_: str) -> None:  # called when the server accepts requests and signals
        print(address, flush=True)

    loop = event_loop.new()
    web.run_app(server.app(), sock=listener, print=ready, access_log=None, shutdown_timeout=0.1, loop=loop)


if __name__ == "__main__":
    main(sys.argv[1:])
