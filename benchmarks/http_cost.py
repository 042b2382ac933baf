"""Measure the cost of HTTP on a fast engine: vLLM's OpenAI server compared with vLLM's AsyncLLM in this process.

    python benchmarks/http_cost.py --out http_cost.json

The model stands for a fast engine: Llama's architecture with two layers of 64, random weights, and the bundled model's
chat template and tokenizer. The tokenizer is cut to its first `--vocabulary` tokens, because on a CPU the choice among
all 49,152 takes longer than such a model. Replies are `--tokens` tokens, drawn greedily. Both engines run at once, with
the same flags and the same structured-output backend, and get requests alternately. The requests are new in every
window, after a prompt that many requests share, as in a run. `http_share` is the share of the requests per second that
HTTP costs: one minus the median, over the windows, of the rate through the server divided by the rate in process just
before or after it.

CPU is milliseconds per request: of this process's main thread, which runs a run's loop; of all of this process; of the
server's own process; and of the engine processes of either. With too few cores for all of them, as on a laptop, the
rate follows their sum. With enough cores, it follows the busiest, and a core's 1,000 ms divided by the busiest one's
figure is the highest possible number of requests per second.
"""

import argparse
import asyncio
import json
import os
import resource
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp
import yaml

from benchmarks.common import machine, print_table, write_figures
from synthgen.engines import bundled
from synthgen.engines.base import LearnedLimits
from synthgen.engines.grammar.schema import sample_grammar
from synthgen.engines.http.endpoint import Endpoint, RequestSettings
from synthgen.engines.vllm.config import VllmConfig, command_line, environment, server_flags
from synthgen.engines.vllm.inprocess import VllmInprocess, VllmInprocessConfig
from synthgen.engines.vllm.options import vllm_build
from synthgen.engines.vllm.server_process import ServerProcess, free_port
from synthgen.records import Engine, Grammar, Json, Message, Request, Sampling
from synthgen.run.runtime import event_loop

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 400
GRAMMAR = sample_grammar({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}, 1, 256)
SYSTEM = (
    "You write samples for a training set of spoken commands to a phone. Write one new command, unlike those shown."
)
SHOWN = "\n".join(f"- set an alarm for {hour} o'clock and wake me with the radio" for hour in range(1, 13))


@dataclass(frozen=True)
class Side:
    """Hold one way to send requests, and the processes whose CPU time it uses."""

    name: str
    engine: Engine
    server: int | None
    engine_processes: tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """Hold the results of requests sent together: requests per second, and CPU seconds per request."""

    rate: float
    loop: float
    process: float
    server: float
    core: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--requests", type=int, default=512, help="number of requests of a window")
    parser.add_argument("--rounds", type=int, default=5, help="number of windows of each kind")
    parser.add_argument("--tokens", type=int, default=24, help="number of tokens of a reply")
    parser.add_argument("--vocabulary", type=int, default=2048, help="number of tokens in the model's vocabulary")
    parser.add_argument("--backend", default="guidance", help="structured-output backend of both engines")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    build = vllm_build()
    if build is None:
        raise SystemExit('vLLM is not installed here: pip install "synthgen[gpu]" or "synthgen[cpu]"')
    with tempfile.TemporaryDirectory(prefix="synthgen-http-") as folder:
        found = event_loop.run(measure(options, build, Path(folder)))
    figures = summed_up(found)
    rows = [
        (key, *(f"{figures[f'{key}.{name}']:{form}}" for name, form in COLUMNS))
        for key in dict.fromkeys(key for key, _ in found)
    ]
    title = f"{options.requests} requests of {options.tokens} tokens, medians of {options.rounds} windows"
    print_table(title, ("grammar, in flight", *HEADS), rows, width=140)
    print(f"http_share {figures['http_share']:.2f}; {machine()}")
    write_figures(options.out, figures)


COLUMNS = (
    ("http.rate", ".0f"), ("inprocess.rate", ".0f"), ("http_share", ".2f"), ("http.loop_ms", ".2f"),
    ("inprocess.loop_ms", ".2f"), ("http.process_ms", ".2f"), ("inprocess.process_ms", ".2f"),
    ("http.server_ms", ".2f"), ("http.core_ms", ".2f"), ("inprocess.core_ms", ".2f"),
)  # fmt: skip
HEADS = (
    "HTTP, req/s", "in process, req/s", "HTTP's share", "loop, HTTP", "loop, in process", "process, HTTP",
    "process, in process", "server", "engine, HTTP", "engine, in process",
)  # fmt: skip


async def measure(options: argparse.Namespace, build: str, folder: Path) -> dict[tuple[str, str], list[Window]]:
    """Return the windows by kind of request and side, in the order in which they were measured."""
    model = fast_model(folder / "model", options.vocabulary)
    found: dict[tuple[str, str], list[Window]] = {}
    folders = folder / "http", folder / "inprocess"
    for made in folders:
        made.mkdir()
    async with server(options, build, model, folders[0]) as http, inprocess(options, model, folders[1]) as direct:
        note("both engines are up")
        for in_flight in options.in_flight:
            for grammar in (None, GRAMMAR):
                key = f"{'JSON' if grammar else 'free'}, {in_flight}"
                for number in range(options.rounds + 1):
                    for side in (http, direct) if number % 2 else (direct, http):
                        taken = await window(side, options, in_flight, grammar, number)
                        if number:  # the first window is slower, because caches are empty
                            found.setdefault((key, side.name), []).append(taken)
                        note(f"{key}: {side.name} {taken.rate:.0f} requests/s")
    return found


async def window(
    side: Side, options: argparse.Namespace, in_flight: int, grammar: Grammar | None, number: int
) -> Window:
    """Send `options.requests` requests with `in_flight` of them in flight; return their window."""
    left: Iterator[int] = iter(range(options.requests))
    sampling = Sampling(temperature=0.0, max_tokens=options.tokens)

    async def ask() -> None:
        for place in left:
            words = f"{SHOWN}\nThe command is number {place} of draft {number}."
            messages = (Message(role="system", content=SYSTEM), Message(role="user", content=words))
            name = f"{side.name}/{in_flight}/{number}/{place}/{grammar is None}"
            answer = await side.engine.complete(Request(id=name, messages=messages, grammar=grammar, sampling=sampling))
            if answer.completion_tokens != options.tokens:
                raise SystemExit(f"a reply of {answer.completion_tokens} tokens, not {options.tokens}: {answer.text!r}")

    before, began = spent(side), time.monotonic()
    await asyncio.gather(*(ask() for _ in range(in_flight)))
    seconds = time.monotonic() - began
    after = spent(side)
    shares = ((late - early) / options.requests for early, late in zip(before, after, strict=True))
    return Window(options.requests / seconds, *shares)


def spent(side: Side) -> tuple[float, float, float, float]:
    """Return the CPU seconds so far of this thread, this process, the server and the engine processes."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    server = cpu_seconds(side.server) if side.server is not None else 0.0
    return (
        time.thread_time(), own.ru_utime + own.ru_stime, server, sum(map(cpu_seconds, side.engine_processes))
    )  # fmt: skip


def cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> tuple[int, ...]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    own = [int(child) for listed in children for child in listed.read_text().split()]
    return tuple(own) + tuple(grandchild for child in own for grandchild in descendants(child))


def summed_up(found: dict[tuple[str, str], list[Window]]) -> Json:
    figures: Json = {}
    shares: list[float] = []
    for (key, side), windows in found.items():
        figures[f"{key}.{side}.rate"] = statistics.median(taken.rate for taken in windows)
        of: dict[str, Callable[[Window], float]] = {
            "loop": lambda w: w.loop, "process": lambda w: w.process, "server": lambda w: w.server, "core": lambda w: w.core
        }  # fmt: skip
        for name, read in of.items():
            figures[f"{key}.{side}.{name}_ms"] = 1000 * statistics.median(map(read, windows))
    for key in dict.fromkeys(key for key, _ in found):
        pairs = zip(found[key, "http"], found[key, "inprocess"], strict=True)
        ratios = [http.rate / direct.rate for http, direct in pairs]
        figures[f"{key}.http_share"] = 1 - statistics.median(ratios)
        shares.append(figures[f"{key}.http_share"])
    return figures | {"http_share": statistics.median(shares)}


def fast_model(folder: Path, vocabulary: int) -> str:
    """Create a model that costs almost nothing, with a tokenizer and a chat template of realistic cost."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer: Any = AutoTokenizer.from_pretrained(bundled.resolve(bundled.GENERATOR))
    tokenizer.save_pretrained(folder)
    cut_vocabulary(folder / "tokenizer.json", vocabulary)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return str(folder)


def cut_vocabulary(path: Path, size: int) -> None:
    """Keep only the first tokens of a byte-level BPE tokenizer: special ones, bytes and the most common merges."""
    tokenizer = json.loads(path.read_text())
    model = tokenizer["model"]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if number < size}
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    model["merges"] = [pair for pair in pairs if {*pair, "".join(pair)} <= model["vocab"].keys()]
    path.write_text(json.dumps(tokenizer))


def common(options: argparse.Namespace) -> Json:
    """Return the configuration of both engines: the shipped settings, with a batch that holds all requests in flight."""
    composed = yaml.safe_load((ROOT / "conf/engine/vllm_inprocess.yaml").read_text())
    cpu_env = composed["cpu_env"] | {"VLLM_CPU_KVCACHE_SPACE": "1"}
    flags = {"max-num-seqs": max(options.in_flight)}
    return {"backend": options.backend, "cpu_flags": composed["cpu_flags"], "cpu_env": cpu_env, "flags": flags}


MODEL_FLAGS: Json = {"dtype": "bfloat16", "max-model-len": 2048}


@asynccontextmanager
async def server(options: argparse.Namespace, build: str, model: str, folder: Path) -> AsyncIterator[Side]:
    """Start a vLLM server as a run does, and yield it with a run's client."""
    cfg = VllmConfig(**common(options))
    flags = server_flags(cfg, build, MODEL_FLAGS, LearnedLimits())
    name, key, port = f"synthgen-{secrets.token_hex(6)}", secrets.token_urlsafe(24), free_port()
    process = ServerProcess.start(
        command_line(cfg, flags, model, name, port), environment(cfg, build, flags, key), name, folder
    )
    try:
        await until_healthy(f"http://127.0.0.1:{port}/health", process)
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", name, key, RequestSettings(300.0))
        pid = process._process.pid
        yield Side("http", endpoint, pid, descendants(pid))
        await endpoint.aclose()
    finally:
        await asyncio.to_thread(process.stop)


@asynccontextmanager
async def inprocess(options: argparse.Namespace, model: str, folder: Path) -> AsyncIterator[Side]:
    """Start and yield the engine of `engine=vllm_inprocess`."""
    before = set(descendants(os.getpid()))
    engine = await VllmInprocess.start(
        VllmInprocessConfig(**common(options)),
        model,
        MODEL_FLAGS,
        0,
        folder,
        LearnedLimits(),
        lambda _: None,
        lambda *_: None,
    )
    try:
        yield Side("inprocess", engine, None, tuple(set(descendants(os.getpid())) - before))
    finally:
        await engine.aclose()


async def until_healthy(url: str, process: ServerProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while time.monotonic() < deadline and not process.has_ended:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.5)
    raise SystemExit(process.failure_message("the vLLM server did not start"))


def note(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
