"""Run vLLM without its HTTP server: AsyncLLM in this process, its engine core in child processes.

A request needs no HTTP, no second JSON conversion and no second event loop. In return, this process does the work of
the server's process: chat template, tokenization and detokenization. `synthgen.engines.vllm.library` starts and stops
vLLM. Linux only, as vLLM itself.
"""

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from synthgen.engines import bundled
from synthgen.engines.adapters import Adapter, lora_flags
from synthgen.engines.base import EngineContext, LearnedLimits, Tell, warmed
from synthgen.engines.grammar.schema import to_vllm
from synthgen.engines.http.fitness import readable, warm_up_requests
from synthgen.engines.http.reading import alternatives
from synthgen.engines.http.thinking import template_variables
from synthgen.engines.pressure import InFlight, Load
from synthgen.engines.vllm.library import Launch, Vllm
from synthgen.engines.vllm.options import (
    VllmKnobs,
    default_in_flight,
    engine_environment,
    engine_flags,
    flags_of,
    vllm_build,
    vllm_version,
    with_chosen_backend,
)
from synthgen.errors import ConfigError, EngineDeadError, EngineGoneError, FatalRequestError, RetryableError
from synthgen.records import Completion, Engine, Grammar, Json, Message, Request

_LOOK_SECONDS = 0.5  # between two readings of the engine's load and health
_AHEAD = 0  # priority of requests that go before generation and do not count against its limit
_KEPT = 256
_LEAST_LOGPROB = -9999.0  # vLLM's server uses it for minus infinity


@dataclasses.dataclass
class VllmInprocessConfig(VllmKnobs):
    kind: str = "vllm_inprocess"
    """Name of the engine; the config group sets it."""

    def info(self, model: str) -> Json:
        return {"name": self.kind, "version": vllm_version(), "model": model}

    async def start(self, context: EngineContext) -> Engine:
        path = await asyncio.to_thread(bundled.resolve, context.model.name, context.say)
        engine = await VllmInprocess.start(
            with_chosen_backend(self, context), path, flags_of(context.model), context.seed, context.folder,
            context.limits, context.say, context.tell, context.adapters, context.model.asked_to_think,
        )  # fmt: skip
        return await warmed(engine, context)


class VllmInprocess:
    """Run vLLM's AsyncLLM in this process. `start` creates an instance."""

    name = "vllm_inprocess"

    def __init__(
        self, cfg: VllmInprocessConfig, vllm: Vllm, adapters: Sequence[Adapter] = (), thinking: bool | None = None
    ) -> None:
        """Answer with `vllm`.

        If `thinking` is False, the model's chat template gets the variable that switches thinking off.
        """
        self._cfg = cfg
        self._vllm = vllm
        self._adapters = {
            adapter.name: vllm.adapter(adapter.name, number, str(adapter.folder))
            for number, adapter in enumerate(adapters, 1)
        }
        self._in_flight = InFlight(default_in_flight(cfg))
        self._on_change: Callable[[int], None] = lambda _: None
        self._ahead = 0
        self._under_way: set[asyncio.Timeout] = set()
        self._prompts: dict[int, tuple[object, list[int]]] = {}
        self._template: Json = {} if thinking is None else template_variables(thinking)
        self._dead = ""
        self._closing = False
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        cfg: VllmInprocessConfig,
        model: str,
        model_flags: Json,
        seed: int,
        folder: Path,
        limits: LearnedLimits,
        say: Callable[[str], None],
        tell: Tell,
        adapters: Sequence[Adapter] = (),
        thinking: bool | None = None,
    ) -> "VllmInprocess":
        """Start vLLM and wait until it is ready; its output goes to `folder`/engine.log.

        If memory runs out, start once more with half the `max-num-seqs`, which `limits` stores. Raise ConfigError if
        vLLM is not installed or its engine does not know a flag, EngineDeadError if it does not start.
        """
        build = vllm_build()
        if build is None:
            raise ConfigError(
                'engine=vllm_inprocess: vLLM is not installed: pip install "synthgen[gpu]" or "synthgen[cpu]"'
            )
        while True:
            flags = engine_flags(cfg, build, {"seed": seed, **model_flags, **lora_flags(adapters)}, limits)
            env = engine_environment(cfg, build, flags)
            launch = Launch(model, flags, env, folder, cfg.start_timeout)
            try:
                engine = cls(cfg, await launch.run(say), adapters, thinking)
            except EngineDeadError:
                if launch.missing_resource() != "memory" or limits.max_num_seqs is not None:
                    raise
                limits.halve(flags, default_in_flight(cfg), tell)
            else:
                engine._watcher = asyncio.create_task(engine._watch())
                return engine

    async def complete(self, request: Request) -> Completion:
        if self._dead:
            raise EngineGoneError(self._dead)
        prompt, params = self._asked(request)
        is_ahead = request.priority <= _AHEAD
        self._ahead += is_ahead
        started = time.monotonic()
        try:
            answer = await self._answer(request, prompt, params)
        except TimeoutError:
            raise self._unanswered() from None
        except self._vllm.refusals as error:
            raise FatalRequestError(f"vLLM refuses the request: {error}") from error
        except self._vllm.dead as error:
            self._die(self._vllm.failure_message("the vLLM engine died"))
            raise self._unanswered() from error
        except self._vllm.failures as error:
            raise RetryableError(f"vLLM failed at the request: {error.__cause__ or error}") from error
        finally:
            self._ahead -= is_ahead
        return self._completion(answer, len(prompt), request, time.monotonic() - started)

    @property
    def limit(self) -> int:
        """Return the generation requests that should be in flight now to fill the engine without preemption."""
        return self._in_flight.limit

    def on_limit(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the limit now and whenever it changes."""
        self._on_change = callback
        callback(self.limit)

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None:
        """Make the engine load each adapter and compile each grammar, one by one, before traffic.

        Raise EngineDeadError if it fails, or gives no logprobs where the judge needs them.
        """
        for words, request in warm_up_requests(grammars, adapters):
            say(words)
            try:
                completion = await self.complete(request)
            except (RetryableError, FatalRequestError) as error:
                raise EngineDeadError(f"the engine fails at {words}: {error}") from error
            if not readable(request, completion):
                raise EngineDeadError(
                    "vLLM answers without logprobs, or with NaN; the judge reads them: run judge=none"
                )

    async def aclose(self) -> None:
        self._closing = True
        self._die("the vLLM engine was stopped")
        if self._watcher is not None:
            self._watcher.cancel()
        await self._vllm.stop()

    # -- requests and answers ----------------------------------------------------------------------

    async def _answer(self, request: Request, prompt: list[int], params: Any) -> Any:
        """Return vLLM's answer. Raise TimeoutError if this request's time is up, or the engine has died."""
        async with asyncio.timeout(self._cfg.timeout) as limit:
            self._under_way.add(limit)
            try:
                asked = {"prompt_token_ids": prompt}
                adapter = self._adapters[request.adapter] if request.adapter is not None else None
                answers = self._vllm.llm.generate(
                    asked, params, request.id, lora_request=adapter, priority=request.priority
                )
                return [answer async for answer in answers][-1]  # the only one: partial answers are off
            finally:
                self._under_way.discard(limit)

    def _asked(self, request: Request) -> tuple[list[int], Any]:
        """Return the prompt's tokens and vLLM's sampling parameters, as its server derives them from a request.

        Raise FatalRequestError for messages that the model's chat template refuses.
        """
        sampling = request.sampling
        params = self._vllm.defaults | {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
        if sampling.top_p < 1:
            params["top_p"] = sampling.top_p
        if sampling.min_p > 0:
            params["min_p"] = sampling.min_p
        if sampling.bad_words:
            params["bad_words"] = list(sampling.bad_words)
        if sampling.seed is not None and self._cfg.request_seeds:
            params["seed"] = sampling.seed
        grammar = to_vllm(request.grammar) if request.grammar is not None else None
        refusals: tuple[type[Exception], ...] = (TemplateError, ValueError, TypeError, *self._vllm.refusals)
        try:
            return self._tokens(request), self._vllm.params(params, sampling.logprobs, grammar)
        except refusals as error:
            raise FatalRequestError(f"{request.id}: cannot be turned into a prompt: {error}") from error

    def _tokens(self, request: Request) -> list[int]:
        """Return the tokens of a prompt; cached, because many requests share one prompt."""
        messages = request.messages
        known = self._prompts.get(id(messages))
        if known is None or known[0] is not messages:
            if len(self._prompts) >= _KEPT:
                self._prompts.clear()
            tokens = self._vllm.tokens(_spoken(messages), self._template, request.continues)
            known = self._prompts[id(messages)] = messages, tokens
        return known[1]

    def _completion(self, answer: Any, prompt_tokens: int, request: Request, seconds: float) -> Completion:
        output = answer.outputs[0]
        if output.finish_reason in ("abort", "error"):
            raise RetryableError(f"vLLM gave up the request: {output.finish_reason}")
        wanted = request.sampling.logprobs
        places = (output.logprobs or ()) if wanted is not None else ()
        listed = tuple(alternatives(self._listed(place, wanted or 0)) for place in places)
        return Completion(
            text=output.text,
            finish_reason=output.finish_reason or "unknown",
            logprobs=listed,
            prompt_tokens=prompt_tokens,
            cached_tokens=answer.num_cached_tokens or 0,
            completion_tokens=len(output.token_ids),
            engine=self.name,
            seconds=seconds,
        )

    def _listed(self, place: dict[int, Any], wanted: int) -> list[Json]:
        """Return a position's `top_logprobs` in the order of vLLM's server: the drawn token first, `wanted` in all."""
        listed = []
        for number, entry in list((place or {}).items())[:wanted]:
            token = entry.decoded_token if entry.decoded_token is not None else self._vllm.text(number)
            value = entry.logprob
            listed.append({"token": token, "logprob": value if math.isnan(value) else max(value, _LEAST_LOGPROB)})
        return listed

    # -- watching ----------------------------------------------------------------------------------

    def _unanswered(self) -> Exception:
        """Return why a request that timed out has no answer; the engine's death ends all requests."""
        if self._closing:
            return EngineGoneError(self._dead)
        if self._dead:
            return EngineDeadError(self._dead)
        return RetryableError(f"no answer in {self._cfg.timeout:g} s")

    def _die(self, why: str) -> None:
        """Mark the engine dead and end all requests in flight; later ones fail at once."""
        self._dead = self._dead or why
        now = asyncio.get_running_loop().time()
        for limit in self._under_way:
            if not limit.expired():
                limit.reschedule(now)

    async def _watch(self) -> None:
        """Poll the engine's load and health. Kill an engine that has work but makes no progress."""
        stall_seconds = self._cfg.stall_seconds
        last, since = -1, time.monotonic()
        while not self._dead:
            await asyncio.sleep(min(_LOOK_SECONDS, stall_seconds / 4))
            load = self._vllm.load()
            if self._vllm.has_died:
                self._die(self._vllm.failure_message("the vLLM engine died"))
            elif load.tokens != last or not self._under_way:
                last, since = load.tokens, time.monotonic()
            elif time.monotonic() - since > stall_seconds:
                self._die(f"the vLLM engine had work and made no token for {stall_seconds:g} s")
                self._vllm.kill()
            self._follow(load)

    def _follow(self, load: Load) -> None:
        before = self.limit
        if self._in_flight.update(load, self._ahead) != before:
            self._on_change(self.limit)


def _spoken(messages: tuple[Message, ...]) -> list[Json]:
    return [{"role": message.role, "content": message.content} for message in messages]
