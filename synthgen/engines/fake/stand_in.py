"""A stand-in for a model server: OpenAI's chat completions over HTTP, without a model, with faults on demand.

    python -m synthgen.engines.fake.stand_in --port 0 --seed 0 --delay 0.05 --faults '[{"kind": "die", "after": 100}]'

The first line that it prints is its address, for `engine.urls`. Answers come from the scripted writer, within
the request's grammar. The same request has the same answer for the same `--seed` where it carries a seed or has
temperature 0; any other is answered anew each time: the n-th time it is asked, it has the n-th answer, and in a
server's second life others than in its first, if `--book` is there to count lives. `synthgen.engines.fake.faults` says
what can go wrong. Flags of vLLM's server that it does not know are ignored, so that it can be started in
vLLM's place: `engine=vllm engine.module=synthgen.engines.fake.stand_in`. What is not covered: streaming, `n` above 1, tools.
"""

import argparse
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson
from aiohttp import web

from synthgen.engines.fake.faults import Fault, Faults, parse
from synthgen.engines.fake.scripted import Writer, Written
from synthgen.records import Grammar, Json

_BLOCK = 16  # tokens; the prefix cache keeps whole blocks
_HARD_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with 0 s: closing sends RST


@dataclass(frozen=True)
class Options:
    model: str | None
    """The name the model is served under; None echoes the name that a request asks for."""
    key: str | None
    """What a request must carry as bearer token."""
    seed: int
    delay: float
    """Seconds that every answer takes."""
    max_num_seqs: int | None
    """Requests worked on at once; None for all that come."""
    start: int
    """Which life of the server this is, from 1."""
    adapters: tuple[str, ...] = ()
    """Names served beside the model's; their answers are its own."""


class StandIn:
    """The server's state and its handlers."""

    def __init__(self, options: Options, writer: Writer, faults: Faults) -> None:
        self._options = options
        self._writer = writer
        self._faults = faults
        self._places = asyncio.Semaphore(options.max_num_seqs) if options.max_num_seqs else None
        self._waiting = self._running = self._answers = 0
        self._tokens: Counter[str] = Counter()
        self._asked: Counter[bytes] = Counter()
        self._cache: set[int] = set()
        self._stalled = False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
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
        return web.Response(text=lines)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        body = orjson.loads(await request.read())
        _join_parts(body["messages"])
        name = body.pop("model", "stand-in")
        if self._options.model is not None and name not in (self._options.model, *self._options.adapters):
            return _error(404, f"The model `{name}` does not exist.")
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
        """401 for a request without the key, where one is asked for."""
        key = self._options.key
        if key is None or hmac.compare_digest(request.headers.get("Authorization", ""), f"Bearer {key}"):
            return None
        return _error(401, "Unauthorized")

    async def _work(self, request: web.Request, name: str, body: Json) -> web.StreamResponse:
        self._running += 1  # until the tokens are there; how long they take on the wire is not the engine's work
        try:
            fault = self._faults.strike(self._answers, "\n".join(m["content"] for m in body["messages"]))
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
        return web.Response(body=orjson.dumps(reply), content_type="application/json")

    async def _instead(self, fault: Fault) -> web.Response | None:
        """What comes in an answer's place; None where the fault lies in the answer."""
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
                return _error(fault.value or 500, "a fault, as told")
            case "busy":
                return _error(429, "too many requests, as told", {"Retry-After": str(fault.value or 1)})
        return None

    def _reply(self, name: str, body: Json) -> Json:
        body.pop("priority", None)
        key = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        turn = "same"
        if body.get("seed") is None and body.get("temperature", 1.0) > 0:
            self._asked[key] += 1
            turn = f"{self._options.start}/{self._asked[key]}"
        rng = random.Random(b"%d/%s/" % (self._options.seed, turn.encode()) + key)
        written = self._writer.write(body["messages"][-1]["content"], _grammar(body), rng)
        prompt, cached = self._read(body["messages"])
        self._answers += 1
        self._tokens.update(prompt=prompt, cached=cached, completion=written.tokens)
        return {
            "id": f"chatcmpl-{self._answers}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": name,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": written.text},
                    "finish_reason": written.finish_reason,
                    "logprobs": _logprobs(written, body.get("top_logprobs") or 0) if body.get("logprobs") else None,
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
        """Tokens of a prompt, at four characters each, and how many an earlier one began with."""
        mark, tokens, cached = 0, 0, 0
        for message in messages:
            mark = hash((mark, message["role"], message["content"]))
            tokens += len(message["content"]) // 4
            if mark in self._cache:
                cached = tokens
            self._cache.add(mark)
        return tokens, cached // _BLOCK * _BLOCK


def _join_parts(messages: list[Json]) -> None:
    """Makes plain text of contents that a client sent as a list of parts."""
    for message in messages:
        if isinstance(message["content"], list):
            message["content"] = "".join(part["text"] for part in message["content"])


def _grammar(body: Json) -> Grammar | None:
    if wanted := body.get("structured_outputs"):
        for field, kind in (("json", "json_schema"), ("choice", "choice"), ("regex", "regex"), ("grammar", "cfg")):
            if field in wanted:
                return Grammar.model_construct(kind=kind, spec=wanted[field])
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return Grammar.model_construct(kind="json_schema", spec=form["json_schema"]["schema"])
    return None


def _logprobs(written: Written, top: int) -> Json:
    """One entry a token: the options of a choice, or fourfold characters of running text, each all but certain."""
    if written.logprobs is not None:
        ranked = sorted(written.logprobs.items(), key=lambda entry: -entry[1])
        places = [ranked]
    else:
        places = [[(written.text[start : start + 4], -0.01)] for start in range(0, len(written.text), 4)]
    content = []
    for ranked in places:
        listed = [{"token": token, "logprob": logprob, "bytes": None} for token, logprob in ranked]
        content.append({**listed[0], "top_logprobs": listed[:top]})
    return {"content": content}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "StandInError", "param": None, "code": status}}
    return web.json_response(body, status=status, headers=headers)


async def _spoil(fault: Fault, reply: Json, request: web.Request) -> web.StreamResponse:
    """An answer with `fault`."""
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
    """Runs the server until it is told to end."""
    flags = _flags(words)
    start = _count_start(flags.book)
    faults = Faults(flags.faults, start, flags.seed)
    _fail_at_start(faults.at_start, flags.max_num_seqs, flags.port)
    listener = socket.create_server((flags.host, flags.port), backlog=4096)
    address = f"http://{flags.host}:{listener.getsockname()[1]}/v1"
    options = Options(
        flags.served_model_name or flags.model,
        os.environ.get("VLLM_API_KEY"),
        flags.seed,
        flags.delay,
        flags.max_num_seqs,
        start,
        tuple(flags.lora_modules),
    )
    server = StandIn(options, Writer(flags.seed, flags.approve, flags.repeat, flags.broken), faults)

    def ready(_: str) -> None:  # from here on it answers, and ends when told to
        print(address, flush=True)

    web.run_app(server.app(), sock=listener, print=ready, access_log=None, shutdown_timeout=0.1)


def _flags(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m synthgen.engines.fake.stand_in", allow_abbrev=False, description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--seed", type=int, default=0, help="fixes the answers and who meets a fault")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that every answer takes")
    parser.add_argument("--model", help="name to serve; without one, the name asked for is echoed")
    parser.add_argument("--served-model-name", help="goes over --model, as for vLLM")
    parser.add_argument("--lora-modules", type=_checked(_adapter), nargs="+", default=[], help="as for vLLM")
    parser.add_argument("--max-num-seqs", type=int, help="requests worked on at once; all without it")
    parser.add_argument("--approve", type=_share, default=0.9, help="share of the judge's questions answered well")
    parser.add_argument("--repeat", type=_share, default=0.0, help="share of answers that say what another one said")
    parser.add_argument("--broken", type=_share, default=0.0, help="share of answers that are cut off")
    parser.add_argument(
        "--faults", type=_checked(parse), default=[], help="a JSON array; see synthgen.engines.fake.faults"
    )
    parser.add_argument("--book", type=Path, help="file that gets a line a start, to count this server's lives")
    flags, ignored = parser.parse_known_args(words)
    if ignored:
        print(f"flags left aside: {' '.join(ignored)}", file=sys.stderr)
    if flags.book is None and any(fault.starts is not None for fault in flags.faults):
        parser.error("a fault with 'starts' needs --book FILE to count the starts")
    return flags


def _checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """`read` whose ValueErrors argparse prints in their own words."""

    def wrapped(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return wrapped


def _adapter(text: str) -> str:
    """The name in one of the two forms that vLLM takes: a JSON object, or NAME=PATH."""
    return str(json.loads(text)["name"]) if text.startswith("{") else text.partition("=")[0]


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value


def _count_start(book: Path | None) -> int:
    if book is None:
        return 1
    with book.open("a+") as file:
        file.write(f"{os.getpid()}\n")
        file.flush()
        file.seek(0)
        return sum(1 for _ in file)


def _fail_at_start(faults: list[Fault], max_num_seqs: int | None, port: int) -> None:
    """Ends the process in vLLM's words where a fault says so."""
    for fault in faults:
        if fault.kind == "port_taken":
            sys.exit(f"OSError: [Errno 98] Address already in use (port {port})")
        if max_num_seqs is None or max_num_seqs > fault.value:
            sys.exit(
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a total capacity"
                " of 23.64 GiB of which 312.81 MiB is free.\nRuntimeError: CUDA out of memory occurred when warming up"
                f" sampler with {max_num_seqs or 256} dummy requests. Please try lowering `max_num_seqs` or"
                " `gpu_memory_utilization` when initializing the engine.\n"
                "RuntimeError: Engine core initialization failed. See root cause above."
            )


if __name__ == "__main__":
    main(sys.argv[1:])
