"""Run a Hugging Face causal LM in this process, for machines where vLLM has no build.

One thread answers requests in small batches. A request leaves its batch when it is done; no request joins a batch in
progress. `synthgen.engines.local.model` computes a batch.
"""

import asyncio
import contextlib
import functools
import importlib.metadata
import itertools
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from synthgen.engines import bundled
from synthgen.engines.adapters import Adapter
from synthgen.engines.base import Capabilities, EngineContext, check_common
from synthgen.engines.local.model import LocalModel
from synthgen.errors import ConfigError, EngineDeadError, EngineError, RetryableError
from synthgen.records import Completion, Engine, Json, Request

DTYPES = ("auto", "bfloat16", "float16", "float32")


@dataclass
class TransformersConfig:
    kind: str = "transformers"
    """Name of the engine; the config group sets it."""
    batch_size: int = 16
    """Requests that are decoded together; halved each time memory runs out."""
    batch_wait: float = 0.02
    """Seconds to wait for a batch to fill."""
    device: str = "auto"
    """Device of the model: cpu, cuda, cuda:1, mps or xpu; auto takes the accelerator if there is one."""
    dtype: str = "auto"
    """bfloat16, float16 or float32; auto is bfloat16 if the device computes in it, else float32."""
    in_flight: int = 32
    """Most generation requests in flight."""
    timeout: float = 300.0
    """Timeout of one request, in seconds, waiting time included."""
    attempts: int = 4
    """Failed attempts after which a request's slot is given up."""
    grammar_seconds: float = 120.0
    """CPU time limit for compiling the task's grammar before the run, in seconds."""
    grammar_gigabytes: float = 8.0
    """Memory limit for compiling the task's grammar before the run, in gigabytes."""

    def __post_init__(self) -> None:
        check_common(self)
        if self.batch_size < 1:
            raise ConfigError(f"engine.batch_size: must be 1 or more, got {self.batch_size}")
        if self.batch_wait < 0:
            raise ConfigError(f"engine.batch_wait: must be 0 seconds or more, got {self.batch_wait}")
        if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", self.device):
            raise ConfigError(f"engine.device: '{self.device}' is not one of auto, cpu, cuda, cuda:N, mps, xpu, xpu:N")
        if self.dtype not in DTYPES:
            raise ConfigError(f"engine.dtype: '{self.dtype}' is not one of {', '.join(DTYPES)}")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            in_flight=self.in_flight,
            loads_model=True,
            continues=True,
            no_thinking="engine=transformers applies the grammar from the first token, which leaves no room for thinking; "
            "use engine=openai, or engine=vllm with engine.reasoning_parser",
        )

    def info(self, model: str) -> Json:
        return {"name": self.kind, "version": importlib.metadata.version("transformers"), "model": model}

    async def start(self, context: EngineContext) -> Engine:
        model = context.model
        path = await asyncio.to_thread(bundled.resolve, model.name, context.say)
        engine = TransformersEngine(
            self, path, model.revision, model.trust_remote_code, context.seed, context.adapters, model.asked_to_think
        )
        context.say("loading the model")
        await engine.start()
        return engine


@dataclass(eq=False)
class _Job:
    """Hold a request and the future of its answer."""

    request: Request
    future: asyncio.Future[Completion]
    number: int
    started: float

    @property
    def rank(self) -> tuple[int, int]:
        return self.request.priority, self.number

    @property
    def kind(self) -> tuple[int, str | None]:
        """Return the settings that all requests of one batch share."""
        return self.request.sampling.max_tokens, self.request.adapter

    def settle(self, answer: Completion | Exception) -> None:
        if self.future.done():
            return
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class TransformersEngine:
    """Answer with a Hugging Face model in this process, loaded by `start` or else by the first request.

    A request with `sampling.seed` draws from its own random generator, whatever its batch: the same seed gives the same
    reply, except for rounding that depends on the batch's shape. Requests without a seed share a generator, seeded with
    `seed`, in the order in which they are computed.
    """

    name = "transformers"

    def __init__(
        self,
        cfg: TransformersConfig,
        model: str,
        revision: str | None,
        trust_remote_code: bool,
        seed: int,
        adapters: Sequence[Adapter] = (),
        thinking: bool | None = None,
    ) -> None:
        self._cfg = cfg
        folders = {adapter.name: str(adapter.folder) for adapter in adapters}
        self._load = functools.partial(
            LocalModel, model, revision, trust_remote_code, cfg.device, cfg.dtype, seed, folders, thinking
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers-engine")
        self._model: LocalModel | None = None
        self._starting: asyncio.Task[None] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._waiting: list[_Job] = []
        self._running: list[_Job] = []
        self._arrived = asyncio.Event()
        self._numbers = itertools.count()
        self._batch_size = cfg.batch_size
        self._dead = ""

    async def start(self) -> None:
        """Load the model. Raise ConfigError if it or its device cannot be used."""
        if self._dead:
            raise EngineDeadError(self._dead)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def complete(self, request: Request) -> Completion:
        try:
            await self.start()
        except ConfigError as error:
            raise EngineDeadError(str(error)) from error
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(request, future, next(self._numbers), time.monotonic()))
        self._arrived.set()
        try:
            async with asyncio.timeout(self._cfg.timeout):
                return await future
        except TimeoutError:
            raise RetryableError(f"no answer in {self._cfg.timeout:g} s") from None

    async def aclose(self) -> None:
        self._die(self._dead or "the engine is closed")
        if self._serving is not None:
            self._serving.cancel()
        await asyncio.to_thread(self._thread.shutdown)
        self._model = None

    async def _start(self) -> None:
        model = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        if self._dead:
            raise EngineDeadError(self._dead)
        self._model = model
        self._serving = asyncio.create_task(self._serve(model))

    async def _serve(self, model: LocalModel) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            await self._fill()
            self._running = self._take()
            failure = await loop.run_in_executor(self._thread, _answer, model, self._running, loop)
            if failure is not None:
                self._fail(failure)

    async def _fill(self) -> None:
        """Wait until a batch can be taken, or for `batch_wait` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._cfg.batch_wait):
                while len(self._waiting) < self._batch_size:
                    self._arrived.clear()
                    await self._arrived.wait()

    def _take(self) -> list[_Job]:
        """Return the next batch: the most urgent request, and the next ones with its adapter and token limit."""
        waiting = sorted((job for job in self._waiting if not job.future.done()), key=lambda job: job.rank)
        batch = [job for job in waiting if job.kind == waiting[0].kind][: self._batch_size]
        self._waiting = [job for job in waiting if job not in batch]
        if self._waiting:
            self._arrived.set()
        else:
            self._arrived.clear()
        return batch

    def _fail(self, failure: Exception) -> None:
        """Fail the whole batch with the error that stopped it."""
        import torch

        answer = failure
        if isinstance(failure, getattr(torch, "AcceleratorError", ())):  # the device is unusable after this error
            self._die(f"the device failed: {_first_line(failure)}")
        elif isinstance(failure, torch.OutOfMemoryError) or "can't allocate memory" in str(failure):
            size = len(self._running)
            self._batch_size = max(1, size // 2)
            torch.cuda.empty_cache()
            answer = RetryableError(
                f"out of memory with {size} requests in a batch; continuing with at most {self._batch_size}"
            )
        elif isinstance(failure, RuntimeError):
            answer = RetryableError(f"the batch failed: {_first_line(failure)}")
        for job in self._running:
            job.settle(answer)

    def _die(self, why: str) -> None:
        self._dead = why
        for job in [*self._waiting, *self._running]:
            job.settle(EngineDeadError(why))
        self._waiting, self._running = [], []


def _answer(model: LocalModel, batch: list[_Job], loop: asyncio.AbstractEventLoop) -> Exception | None:
    """Answer each request of a batch as soon as it is done; return the error that stopped the others, if any."""
    try:
        jobs = {}
        for job in batch:
            try:
                jobs[model.row(job.request, job.future.done)] = job
            except EngineError as error:
                loop.call_soon_threadsafe(job.settle, error)
        for row in model.generate(list(jobs)):
            job = jobs[row]
            loop.call_soon_threadsafe(job.settle, model.completion(row, time.monotonic() - job.started))
    except Exception as error:
        return error.with_traceback(None)  # its frames would keep the batch in memory
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
