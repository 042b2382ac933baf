"""Measure the cost of structured-output backends on a real vLLM server: outlines, xgrammar, guidance; same schemas.

    python benchmarks/structured_outputs.py --out structured_outputs.json

A server has one backend, so each has a server of its own, one after the other, `--starts` times. What is compared is
measured within one server: windows of `--requests` requests under a grammar, each followed by a window of the same
prompts with no grammar that are made to run to the very same lengths. `kept` is the tokens a second with the grammar over
those without, the median of `--rounds` windows, and behind it the lowest and the highest.

`first` is the first grammar that a server meets, `cold` one that is new to a server that has met others: seconds to one
token, beyond the seconds without a grammar. The schemas: a reply of the task itself (one short text), a judge's choice
of one token, `wide` (24 fields of every kind) and `long` (the `instruction` task's three texts, compiled only). `valid` is
the share of whole replies that the schema accepts. Outlines' cache on disk is off, as it is in a run.

`CPU` rows are of vLLM's own class for the backend, outside a server, and change little with what else the machine does:
seconds to compile, and milliseconds to mask and take one token, which the engine spends for each running request
between two steps of the model. `--starts 0` prints those alone.
"""

import argparse
import asyncio
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp
import orjson
import yaml

from benchmarks.common import machine, print_table, write_figures
from benchmarks.structured.asks import Ask, Asks, asks
from benchmarks.structured.library import library_figures
from synthgen.engines import bundled
from synthgen.engines.base import LearnedLimits
from synthgen.engines.grammar.backends import BACKENDS
from synthgen.engines.grammar.schema import to_vllm
from synthgen.engines.vllm.config import VllmConfig, command_line, environment, server_flags
from synthgen.engines.vllm.options import vllm_build, vllm_version
from synthgen.engines.vllm.server_process import ServerProcess, free_port
from synthgen.records import Grammar, Json
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import TaskConfig

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS, NEW_GRAMMARS = 900, 3
LIBRARY_ROWS = (
    ("CPU ms a token, the task's schema", "ms_per_token", "{:.3f}"),
    ("CPU s to compile, the task's schema", "compile_cpu_s", "{:.3f}"),
    ("CPU s to compile, wide", "wide.compile_cpu_s", "{:.3f}"),
    ("CPU s to compile, long", "long.compile_cpu_s", "{:.3f}"),
)
SERVER_ROWS = (
    ("first grammar, s", "first_s", "{:.2f}"),
    ("cold, the task's schema, s", "cold_s", "{:.2f}"),
    ("cold, wide, s", "wide.cold_s", "{:.2f}"),
    ("cold, long, s", "long.cold_s", "{:.2f}"),
    ("task: output tokens/s", "tokens_per_s", "{:,.0f}"),
    ("task: the same without a grammar", "none.tokens_per_s", "{:,.0f}"),
    ("task: requests/s", "requests_per_s", "{:.1f}"),
    ("task: kept", "kept", "{:.3f}"),
    ("task: valid", "valid", "{:.3f}"),
    ("choice: requests/s", "choice.requests_per_s", "{:.1f}"),
    ("choice: kept", "choice.kept", "{:.3f}"),
    ("choice: valid", "choice.valid", "{:.3f}"),
    ("wide: output tokens/s", "wide.tokens_per_s", "{:,.0f}"),
    ("wide: kept", "wide.kept", "{:.3f}"),
    ("wide: valid", "wide.valid", "{:.3f}"),
)


@dataclass
class Reply:
    text: str
    whole: bool
    tokens: int


@dataclass
class Window:
    """Hold requests that were sent together, and the seconds until the last answer."""

    replies: list[Reply]
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        return sum(reply.tokens for reply in self.replies) / self.seconds

    @property
    def requests_per_s(self) -> float:
        return len(self.replies) / self.seconds


class Client:
    """Send the requests, `in_flight` at a time, and do nothing else."""

    def __init__(self, session: aiohttp.ClientSession, url: str, model: str, in_flight: int) -> None:
        self._session, self._url, self._model = session, url, model
        self._turn = asyncio.Semaphore(in_flight)

    async def ask(self, ask: Ask, number: int, grammar: Grammar | None, tokens: int | None = None) -> Reply:
        """Return one reply; without a grammar, one of exactly `tokens` tokens."""
        body: Json = {"model": self._model, "messages": ask.prompts[number % len(ask.prompts)], "temperature": 1.0,
                      "min_p": 0.05, "max_tokens": tokens or ask.max_tokens}  # fmt: skip
        if grammar is None:
            body["ignore_eos"] = True
        else:
            body["structured_outputs"] = to_vllm(grammar)
        if ask.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": ask.logprobs}
        async with self._turn, self._session.post(self._url, data=orjson.dumps(body)) as response:
            payload = orjson.loads(await response.read())
            if response.status != 200:
                raise SystemExit(f"the server refuses the grammar: {payload}")
        first = payload["choices"][0]
        whole = first["finish_reason"] == "stop" or ask.max_tokens == 1
        return Reply(first["message"]["content"] or "", whole, payload["usage"]["completion_tokens"])

    async def window(self, ask: Ask, lengths: Sequence[int | None], grammar: Grammar | None) -> Window:
        began = time.monotonic()
        replies = await asyncio.gather(*(self.ask(ask, n, grammar, length) for n, length in enumerate(lengths)))
        return Window(list(replies), time.monotonic() - began)

    async def seconds_to_one_token(self, ask: Ask, grammar: Grammar | None) -> float:
        began = time.monotonic()
        await self.ask(replace(ask, max_tokens=1, logprobs=None), 0, grammar, 1)
        return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--task", type=Path, default=ROOT / "conf/task/voice_intent.yaml")
    parser.add_argument("--model", default=bundled.GENERATOR)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--requests", type=int, default=64, help="number of requests of a window")
    parser.add_argument(
        "--wide-requests", type=int, default=24, help="number of requests of a window with the wide schema"
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of windows of each kind for each server start")
    parser.add_argument("--starts", type=int, default=1, help="number of server starts for each backend, in turns")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    task = load_task(TaskConfig(**yaml.safe_load(options.task.read_text())), [ROOT])
    asked = asks(task)
    found: dict[str, list[Json]] = {backend: [] for backend in options.backends}
    for _ in range(options.starts):
        for backend in options.backends:
            found[backend].append(asyncio.run(measure(backend, options, asked)))
    columns = {
        backend: library_figures(backend, options.model, asked) | merged(starts) for backend, starts in found.items()
    }
    title = f"{vllm_version()}, {options.model}"
    if options.starts:
        title += f", {options.in_flight} in flight, medians of {options.rounds * options.starts} windows"
    rows = LIBRARY_ROWS + (SERVER_ROWS if options.starts else ())
    print_table(
        title, ["", *columns], [(name, *(cell(c, key, form) for c in columns.values())) for name, key, form in rows]
    )
    figures = {f"{backend}.{key}": value for backend, column in columns.items() for key, value in column.items()}
    if options.starts:
        costs = cost_beside_fastest(columns)
        print("; ".join(f"{backend} costs {100 * cost:.1f}% beside the fastest" for backend, cost in costs.items()))
        figures |= {f"{backend}.cost": cost for backend, cost in costs.items()}
    print(machine())
    write_figures(options.out, figures)


async def measure(backend: str, options: argparse.Namespace, asked: Asks) -> Json:
    """Return the figures of one server start; for `kept` a list with one value per window."""
    write = asked.task
    async with server(backend, options.model) as (session, url, model):
        note(f"{backend}: the server is up")
        client = Client(session, url, model, options.in_flight)
        plain = [await client.seconds_to_one_token(write, None) for _ in range(5)]

        async def cold(grammar: Grammar) -> float:
            return await client.seconds_to_one_token(write, grammar) - statistics.median(plain[1:])

        figures: Json = {
            "first_s": await cold(write.grammar),
            "cold_s": statistics.median([await cold(new) for new in renamed(write.grammar, NEW_GRAMMARS)]),
            "wide.cold_s": await cold(asked.wide.grammar),
            "long.cold_s": await cold(asked.long),
        }
        note(f"{backend}: cold {figures['cold_s']:.2f} s")
        for prefix, ask, count in (
            ("", write, options.requests),
            ("choice.", asked.choice, options.requests),
            ("wide.", asked.wide, options.wide_requests),
        ):
            warm = await rounds(client, ask, count, options.rounds)
            figures |= {f"{prefix}{key}": value for key, value in warm.items()}
            note(f"{backend}: {prefix or 'task.'}kept {statistics.median(warm['kept']):.3f}")
    return figures


def note(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


async def rounds(client: Client, ask: Ask, count: int, times: int) -> Json:
    """Return windows with and without the grammar, alternating, after one of each that fills the prefix cache."""
    pairs: list[tuple[Window, Window]] = []
    for _ in range(times + 1):
        bound = await client.window(ask, [None] * count, ask.grammar)
        free = await client.window(ask, [reply.tokens for reply in bound.replies], None)
        pairs.append((bound, free))
    whole = [reply for bound, _ in pairs for reply in bound.replies if reply.whole]
    measured = pairs[1:]
    return {
        "tokens_per_s": [bound.tokens_per_s for bound, _ in measured],
        "requests_per_s": [bound.requests_per_s for bound, _ in measured],
        "none.tokens_per_s": [free.tokens_per_s for _, free in measured],
        "none.requests_per_s": [free.requests_per_s for _, free in measured],
        "kept": [bound.tokens_per_s / free.tokens_per_s for bound, free in measured],
        "valid": sum(ask.is_valid(reply.text) for reply in whole) / len(whole) if whole else 0.0,
        "cut_off": 1 - len(whole) / (count * (times + 1)),
    }


@asynccontextmanager
async def server(backend: str, model: str) -> AsyncIterator[tuple[aiohttp.ClientSession, str, str]]:
    """Start a vLLM server as a run does; yield a session with its key, its URL and the model's name when it is healthy."""
    build = vllm_build()
    if build is None:
        raise SystemExit("vLLM is not installed here")
    composed = yaml.safe_load((ROOT / "conf/engine/vllm.yaml").read_text())
    cfg = VllmConfig(backend=backend, **{key: composed[key] for key in ("cpu_flags", "cpu_env")})
    flags = server_flags(cfg, build, {"dtype": "auto", "max-model-len": 2048}, LearnedLimits())
    name, key, port = f"synthgen-{secrets.token_hex(6)}", secrets.token_urlsafe(24), free_port()
    with tempfile.TemporaryDirectory(prefix="synthgen-structured-") as folder:
        command = command_line(cfg, flags, bundled.resolve(model), name, port)
        process = ServerProcess.start(command, environment(cfg, build, flags, key), name, Path(folder))
        try:
            timeout = aiohttp.ClientTimeout(total=600)
            async with aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
                timeout=timeout,
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0),  # shorter than the server's 5 s
            ) as session:
                await until_healthy(session, f"http://127.0.0.1:{port}/health", process)
                yield session, f"http://127.0.0.1:{port}/v1/chat/completions", name
        finally:
            await asyncio.to_thread(process.stop)


async def until_healthy(session: aiohttp.ClientSession, url: str, process: ServerProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not process.has_ended:
        try:
            async with session.get(url) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.5)
    raise SystemExit(process.failure_message("the vLLM server did not start"))


def renamed(grammar: Grammar, count: int) -> Iterator[Grammar]:
    """Return the same schema with other field names: equally large, and new to every cache."""
    assert isinstance(grammar.spec, dict)
    for number in range(count):
        names = {name: f"{name}_{number}" for name in grammar.spec["properties"]}
        yield Grammar(kind="json_schema", spec={
            **grammar.spec,
            "properties": {names[name]: part for name, part in grammar.spec["properties"].items()},
            "required": [names[name] for name in grammar.spec["required"]],
        })  # fmt: skip


def merged(starts: Sequence[Json]) -> Json:
    """Return medians over windows and starts, and the lowest and highest of `kept`."""
    out: Json = {}
    for key in starts[0] if starts else ():
        values = [value for start in starts for value in (start[key] if isinstance(start[key], list) else [start[key]])]
        out[key] = statistics.median(values)
        if key.endswith("kept"):
            out |= {f"{key}_low": min(values), f"{key}_high": max(values)}
    return out


def cell(column: Json, key: str, form: str) -> str:
    shown = form.format(column[key])
    return f"{shown} ({column[f'{key}_low']:.2f}-{column[f'{key}_high']:.2f})" if key.endswith("kept") else shown


def cost_beside_fastest(columns: dict[str, Json]) -> dict[str, float]:
    """Return the share of tokens per second that a backend loses compared with the fastest backend."""
    best = max(column["kept"] for column in columns.values())
    return {backend: 1 - column["kept"] / best for backend, column in columns.items()}


if __name__ == "__main__":
    main()
