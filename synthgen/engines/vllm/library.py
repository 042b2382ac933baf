"""Start and stop vLLM as a library: AsyncLLM in this process, its engine core in child processes.

The engine core's processes start in their own session, so that a Ctrl-C for the run does not reach them. They end when
this process ends, and their output goes to engine.log. `vllm_inprocess` sends the requests.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import multiprocessing.spawn
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO

from synthgen.engines.pressure import Load
from synthgen.engines.vllm import engine_child
from synthgen.engines.vllm.engine_log import LogTail, masked_into
from synthgen.engines.vllm.options import spelled
from synthgen.engines.vllm.server_process import signal_group
from synthgen.errors import ConfigError, EngineDeadError
from synthgen.records import Json

_STOP_SECONDS = 10.0
_LOG_SECONDS = 1.0


class CoreStatistics:
    """Log one engine core's statistics for AsyncLLM: the newest state and the sums since the start."""

    def __init__(self) -> None:
        self.load = Load()

    def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
        load = self.load
        if scheduler_stats is not None:
            cache = scheduler_stats.prefix_cache_stats
            load = replace(
                load,
                running=scheduler_stats.num_running_reqs,
                waiting=scheduler_stats.num_waiting_reqs + getattr(scheduler_stats, "num_skipped_waiting_reqs", 0),
                kv_usage=scheduler_stats.kv_cache_usage,
                cache_queries=load.cache_queries + cache.queries,
                cache_hits=load.cache_hits + cache.hits,
            )
        if iteration_stats is not None:
            load = replace(
                load,
                preemptions=load.preemptions + iteration_stats.num_preempted_reqs,
                prompt_tokens=load.prompt_tokens + iteration_stats.num_prompt_tokens,
                generation_tokens=load.generation_tokens + iteration_stats.num_generation_tokens,
            )
        self.load = load

    def log_engine_initialized(self) -> None:
        """Do nothing; vLLM calls it."""

    def log(self) -> None:
        """Do nothing; vLLM calls it."""

    def record_sleep_state(self, is_awake: int, level: int) -> None:
        """Do nothing; vLLM calls it."""


@dataclass
class Vllm:
    """Hold a running AsyncLLM and the parts of vLLM's library that are needed to use it."""

    llm: Any
    params: Callable[[Json, int | None, Json | None], Any]
    """Makes vLLM's sampling parameters from keywords, the number of logprobs, and the value of `structured_outputs`."""
    defaults: Json
    """Sampling parameters in the model's generation config; vLLM's server uses them where a request gives none."""
    refusals: tuple[type[Exception], ...]
    dead: tuple[type[Exception], ...]
    failures: tuple[type[Exception], ...]
    tail: LogTail
    adapter: Callable[[str, int, str], Any]
    """Makes vLLM's request object for an adapter from its name, a unique number above 0, and its folder."""
    meters: list[CoreStatistics] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    """Process groups of the engine core."""
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    output: TextIO | None = None

    @property
    def has_died(self) -> bool:
        return bool(self.llm.errored)

    def load(self) -> Load:
        """Return the load of all engine cores together."""
        loads = [meter.load for meter in self.meters]
        sums = {
            name: sum(getattr(load, name) for load in loads) for name in Load.__dataclass_fields__ if name != "kv_usage"
        }
        return Load(**sums, kv_usage=max((load.kv_usage for load in loads), default=0.0))

    def tokens(self, messages: list[Json], variables: Json, continues: bool = False) -> list[int]:
        """Return a prompt's tokens, made with the model's chat template and these variables, as vLLM's server does.

        With `continues`, the prompt ends in the middle of the last message.
        """
        template = self.llm.get_tokenizer().apply_chat_template
        ending = {"add_generation_prompt": not continues, **({"continue_final_message": True} if continues else {})}
        return list(template(messages, tokenize=True, return_dict=False, **ending, **variables))

    def text(self, token: int) -> str:
        return str(self.llm.get_tokenizer().decode([token]))

    def failure_message(self, what: str) -> str:
        return self.tail.failure_message(what)

    def kill(self) -> None:
        for group in self.groups:
            signal_group(group, signal.SIGKILL)

    async def stop(self) -> None:
        """End the engine core and every process that it started."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self._stop)
        self.thread.shutdown(wait=False)

    def _stop(self) -> None:
        _log_to(None)  # AsyncLLM logs the engine core's end during shutdown, when the log file may be closed
        try:
            self.llm.shutdown(timeout=_STOP_SECONDS)
        finally:
            self.kill()
            multiprocessing.active_children()  # collects ended children
            if self.output is not None:
                self.output.close()


class Launch:
    """Describe one start of vLLM: `model` with `flags` under `env`, without changing this process's environment."""

    def __init__(self, model: str, flags: Json, env: dict[str, str], folder: Path, limit: float) -> None:
        self._words = spelled(flags)
        self._model = model
        self._env = env | {"VLLM_ENGINE_READY_TIMEOUT_S": str(max(1, int(limit)))}
        self._folder = folder
        self._tail = LogTail(folder / "engine.log")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vllm")  # the engine core ends with this thread
        self._before = _children()

    async def run(self, say: Callable[[str], None]) -> Vllm:
        """Start vLLM. Raise ConfigError for an unknown engine flag, EngineDeadError where it does not start."""
        began = time.monotonic()
        launching = asyncio.get_running_loop().run_in_executor(self._thread, self._launch)
        try:
            while not (await asyncio.wait([launching], timeout=0.5))[0]:
                say(f"starting vLLM: {time.monotonic() - began:.0f} s (its output: {self._tail.path})")
            return launching.result()
        except asyncio.CancelledError:
            await self._abandon(launching)
            raise
        finally:
            if not launching.done() or launching.exception() is not None:
                self._thread.shutdown(wait=False)

    def missing_resource(self) -> Literal["port", "memory"] | None:
        return self._tail.missing_resource()

    async def _abandon(self, launching: "asyncio.Future[Vllm]") -> None:
        """End a start that cannot be interrupted by killing its engine core."""
        while not launching.done():
            for group in _children() - self._before:
                signal_group(group, signal.SIGKILL)
            await asyncio.wait([launching], timeout=0.2)
        if launching.exception() is None:
            await launching.result().stop()

    def _launch(self) -> Vllm:
        os.environ.update(self._env)
        # Threads run here already, and a forked process would inherit their locks without the threads.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
        os.environ["VLLM_CONFIGURE_LOGGING"] = "0"  # for this process only; `engine_child` turns it on in the others
        with masked_into(self._folder / "engine.log") as (output, _), _children_print_to(output):
            stream = os.fdopen(os.dup(output), "w", buffering=1)
            _log_to(stream)
            try:
                vllm = _bring_up(self._model, self._words, self._tail)
            except Exception as error:
                _log_to(None)
                stream.close()
                if isinstance(error, ConfigError):
                    raise
                time.sleep(_LOG_SECONDS)  # the engine core's last output is still in the pipe
                first = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise EngineDeadError(self._tail.failure_message(f"vLLM did not start: {first}")) from error
        vllm.groups, vllm.thread, vllm.output = list(_children() - self._before), self._thread, stream
        return vllm


def _bring_up(model: str, words: list[str], tail: LogTail) -> Vllm:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMError
    from vllm.lora.request import LoRARequest
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.engine.exceptions import EngineDeadError as CoreDeadError

    args: Any = AsyncEngineArgs.from_cli_args(_parsed(["--model", model, *words]))
    args.disable_log_stats = True  # the default loggers; `CoreStatistics` replaces them
    meters: list[CoreStatistics] = []

    def meter(*_: Any) -> Any:
        meters.append(CoreStatistics())
        return meters[-1]

    def params(keywords: Json, logprobs: int | None, grammar: Json | None) -> Any:
        held = StructuredOutputsParams(**grammar) if grammar is not None else None
        return SamplingParams(
            **keywords, logprobs=logprobs, structured_outputs=held, output_kind=RequestOutputKind.FINAL_ONLY
        )

    llm: Any = AsyncLLM.from_engine_args(args, stat_loggers=[meter])
    defaults = llm.model_config.get_diff_sampling_param()
    defaults.pop("max_tokens", None)
    return Vllm(
        llm, params, defaults, (VLLMClientError,), (CoreDeadError,), (VLLMError, GracefulHTTPError), tail, LoRARequest,
        meters,
    )  # fmt: skip


def _parsed(words: list[str]) -> Any:
    """Parse flags as vLLM's server does. Raise ConfigError."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"engine.flags: {message}")

    parser: Any = FlexibleArgumentParser
    parser = AsyncEngineArgs.add_cli_args(parser(add_help=False))
    parser.error = refuse
    parsed, unknown = parser.parse_known_args(words)
    if unknown:
        raise ConfigError(
            f"engine.flags: {unknown[0]} is not a flag of vLLM's engine; flags of its server need engine=vllm"
        )
    return parsed


def _log_to(stream: TextIO | None) -> None:
    """Send vLLM's log output in this process to `stream` only."""
    logger = logging.getLogger("vllm")
    logger.handlers[:] = [logging.NullHandler() if stream is None else logging.StreamHandler(stream)]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _children() -> set[int]:
    return {child.pid for child in multiprocessing.active_children() if child.pid is not None}


@contextlib.contextmanager
def _children_print_to(output: int) -> Iterator[None]:
    """Make multiprocessing start its processes under `synthgen.engines.vllm.engine_child` in this context."""
    resource_tracker.ensure_running()  # it belongs to this process, not to the engine
    before = multiprocessing.spawn.get_executable()
    with tempfile.TemporaryDirectory(prefix="synthgen-") as folder:
        launcher = Path(folder) / "python"
        words = [sys.executable, "-IS", engine_child.__file__, f"/proc/{os.getpid()}/fd/{output}", sys.executable]
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        launcher.chmod(0o700)
        multiprocessing.spawn.set_executable(str(launcher))
        try:
            yield
        finally:
            multiprocessing.spawn.set_executable(before)
