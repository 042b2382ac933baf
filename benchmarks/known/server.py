"""Serve the known generator and the known judge as OpenAI's chat completions, on 127.0.0.1, in its own thread.

A request whose grammar is a choice goes to the judge; any other is a request for a sample. Streaming, several samples
in one reply, prompt logprobs, and questions that compare two samples are not supported.
"""

import asyncio
import hashlib
import math
import re
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import orjson
from aiohttp import web

from benchmarks.known.judge import KnownJudge
from benchmarks.known.writer import KnownGenerator
from synthgen.records import Json
from synthgen.tasks.task import Task

MODEL = "known-generator"
_HELLO = "Hello"  # the engine's words to warm up a server
_FENCED = re.compile(r"\[(\w+)\]\s(.*?)\s\[\1\]", re.DOTALL)


class AskedError(ValueError):
    """Report a request that the server does not understand."""


class Server:
    """Answer until the `with` block ends; `url` is for `engine.urls`, `failure` states what was not understood."""

    def __init__(self, task: Task, generator: KnownGenerator, judge: KnownJudge) -> None:
        self._task = task
        self._generator = generator
        self._judge = judge
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="known-generator", daemon=True)
        self._ready = threading.Event()
        self._ended = asyncio.Event()
        self.url = ""
        self.failure: str | None = None

    def __enter__(self) -> "Server":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def answer(self, body: Json) -> Json:
        """Return the chat completion of a request. Raises AskedError for one that it does not understand."""
        asked, grammar = str(body["messages"][-1]["content"]), _grammar(body)
        choice, finish, logprobs = grammar.get("choice"), "stop", None
        if choice is not None:
            shares = self._judged(asked, [str(option) for option in choice])
            text = max(shares, key=lambda option: shares[option])
            logprobs = _logprobs(shares, int(body.get("top_logprobs") or 0)) if body.get("logprobs") else None
        elif asked == _HELLO:
            text = "{" if "json" in grammar else "Hello."
        elif "json" in grammar:
            if self._task.input[0] not in grammar["json"].get("properties", {}):
                raise AskedError("one sample a reply is served: set generate.items=1")
            plant = self._generator.reply(asked_label(self._task, asked), _name(body))
            text, finish = plant.reply, plant.finish
        else:
            raise AskedError(f"neither a question nor a request for a sample: {asked[-300:]!r}")
        return _completion(body, text, finish, logprobs)

    def _judged(self, asked: str, options: list[str]) -> dict[str, float]:
        if asked == _HELLO:
            return dict.fromkeys(options, 1 / len(options))
        text = fenced_text(self._task, asked)
        if all(option.isdigit() for option in options):
            return self._judge.grade(text, options, self._generator.is_sound(text))
        if set(options) <= self._task.labels.keys():
            return self._judge.label(text, options)
        raise AskedError(f"a choice of neither labels nor grades: {options[:5]}")

    async def _chat(self, request: web.Request) -> web.Response:
        try:
            reply = self.answer(orjson.loads(await request.read()))
        except AskedError as error:
            self.failure = self.failure or str(error)
            return web.json_response({"error": {"message": str(error), "code": 400}}, status=400)
        return web.Response(body=orjson.dumps(reply), content_type="application/json")

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._until_ended())
        self._loop.close()

    async def _until_ended(self) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._ready.set()
        await self._ended.wait()
        await runner.cleanup()


def asked_label(task: Task, asked: str) -> str:
    """Return the label that is named last in a prompt's last message, by its name or by what it says.

    Raises AskedError where none is named.
    """
    found: list[tuple[int, int, str]] = []
    for label, text in task.label_texts.items():
        for name in (label, text):
            place = _last_place(asked, name)
            if place is not None:
                found.append((place + len(name), len(name), label))  # of names with the same end, the longest is meant
    if not found:
        raise AskedError(f"no label of task {task.name} is named in the request for a sample: {asked[-300:]!r}")
    return max(found)[2]


def fenced_text(task: Task, asked: str) -> str:
    """Return the input text between the first two marks of a question. Raises AskedError where there are none."""
    match = _FENCED.search(asked)
    if match is None:
        raise AskedError(f"no text between two marks in a question: {asked[-300:]!r}")
    inside, field = match.group(2), task.input[0]
    if inside.startswith(f"{field}: "):  # the rubric's questions show all fields by name
        inside = inside.removeprefix(f"{field}: ")
        for name in task.schema["properties"]:
            inside = inside.split(f"\n{name}: ")[0]
    return inside


def _last_place(text: str, name: str) -> int | None:
    places = [match.start() for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
    return places[-1] if places else None


def _grammar(body: Json) -> Json:
    """Return the request's grammar as vLLM's `structured_outputs` has it; empty where it has none."""
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return {"json": form["json_schema"]["schema"]}
    return dict(body.get("structured_outputs") or {})


def _name(body: Json) -> str:
    """Return the request's seed, which is its slot's; of a request without one, a hash of what it says."""
    if body.get("seed") is not None:
        return str(body["seed"])
    return hashlib.blake2b(orjson.dumps(body["messages"]), digest_size=8).hexdigest()


def _logprobs(shares: Mapping[str, float], top: int) -> Json:
    ranked = sorted(shares.items(), key=lambda entry: -entry[1])
    listed = [{"token": token, "logprob": math.log(max(share, 1e-12)), "bytes": None} for token, share in ranked]
    return {"content": [{**listed[0], "top_logprobs": listed[:top]}]}


def _completion(body: Json, text: str, finish: str, logprobs: Json | None) -> Json:
    prompt = sum(len(str(message["content"])) for message in body["messages"]) // 4
    written = 1 if logprobs is not None else max(1, len(text) // 4)
    first: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
        "logprobs": logprobs,
    }
    return {
        "id": "chatcmpl-known",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", MODEL),
        "choices": [first],
        "usage": {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written},
    }
