"""Answer with recorded or scripted completions, with configurable delays and faults.

The replay engine drives the tests and the orchestration benchmark, and is configured like any other engine. The
scripted writer answers within the request's grammar and never runs out of answers. The same request gets the same
answer for the same seed, in whatever order requests come.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgen.engines.base import Capabilities, EngineContext, check_common
from synthgen.engines.fake.recorded import Replies, read_replies
from synthgen.engines.fake.scripted import Writer, Written
from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, InputError, RetryableError
from synthgen.ledger import Reader
from synthgen.records import Completion, Engine, Json, Request


@dataclass
class ReplayConfig:
    kind: str = "replay"
    """Name of the engine; the config group sets it."""
    recording: str | None = None
    """A run folder whose recorded answers are replayed, or a JSON Lines file of replies (docs/tasks.md); null for the
    scripted writer, which invents words."""
    delay: float = 0.0
    """Delay of every answer, in seconds."""
    jitter: float = 0.0
    """Largest additional delay, in seconds, drawn at random for each request."""
    approve: float = 0.9
    """Share of the judge's questions that get a good grade from the scripted writer."""
    repeat: float = 0.0
    """Share of generated samples that repeat another one: exact duplicates."""
    broken: float = 0.0
    """Share of generated samples that are cut off before their end (finish_reason length)."""
    astray: float = 0.0
    """Share of generated samples that belong to another label than the requested one: a label that the prompt shows as
    a contrast."""
    failing: float = 0.0
    """Share of first attempts that fail with a retryable error."""
    dies_after: int | None = None
    """Number of answers after which the engine dies; null for never."""
    poison: str | None = None
    """A text that kills the engine when a request contains it."""
    restarts_per_hour: int = 0
    """Most restarts of a dead engine per hour."""
    in_flight: int = 64
    """Most generation requests in flight."""
    timeout: float = 300.0
    """Timeout of one request, in seconds."""
    attempts: int = 4
    """Failed attempts after which a request's slot is given up."""
    grammar_seconds: float = 120.0
    """CPU time limit for compiling the task's grammar before the run, in seconds."""
    grammar_gigabytes: float = 8.0
    """Memory limit for compiling the task's grammar before the run, in gigabytes."""

    def __post_init__(self) -> None:
        check_common(self)
        for key in ("approve", "repeat", "broken", "astray", "failing"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"engine.{key}: must be from 0 to 1, got {getattr(self, key)}")
        if self.delay < 0 or self.jitter < 0:
            raise ConfigError("engine.delay and engine.jitter: must be 0 seconds or more")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(in_flight=self.in_flight, restarts_per_hour=self.restarts_per_hour, continues=True)

    def info(self, model: str) -> Json:  # noqa: ARG002
        return {"name": self.kind, "version": "", "model": ""}

    async def start(self, context: EngineContext) -> Engine:
        if self.recording is None:
            return ReplayEngine(self, context.seed)
        return _recorded(self, context.seed, Path(self.recording))


class ReplayEngine:
    """Answer without a model.

    `seed` determines answers, delays and faults. `recorded` maps request ids to answers. `replies` are given in their
    order, to whatever requests they fit.
    """

    name = "replay"

    def __init__(
        self,
        cfg: ReplayConfig,
        seed: int,
        recorded: Mapping[str, Completion] | None = None,
        replies: Replies | None = None,
    ) -> None:
        self._cfg = cfg
        self._seed = seed
        self._writer = Writer(seed, cfg.approve, cfg.repeat, cfg.broken)
        self._answers = 0
        self._dead = False
        self._failed: set[str] = set()
        self._recorded = recorded
        self._replies = replies

    async def complete(self, request: Request) -> Completion:
        rng = random.Random(f"{self._seed}/{request.id}")
        cfg = self._cfg
        delay = cfg.delay + cfg.jitter * rng.random()
        if delay > cfg.timeout:
            await asyncio.sleep(cfg.timeout)
            raise RetryableError(f"no answer within {cfg.timeout} s")
        await asyncio.sleep(delay)
        if cfg.poison is not None and any(cfg.poison in message.content for message in request.messages):
            self._dead = True
        if self._dead:
            raise EngineDeadError("the replay engine was poisoned, as configured")
        if cfg.dies_after is not None and self._answers >= cfg.dies_after:
            raise EngineDeadError(f"the replay engine died after {cfg.dies_after} answers, as configured")
        if rng.random() < cfg.failing and request.id not in self._failed:
            self._failed.add(request.id)
            raise RetryableError("a fault, as configured")
        self._answers += 1
        if self._recorded is not None:
            if request.id not in self._recorded:
                raise FatalRequestError(f"the recording has no answer to {request.id}")
            return self._recorded[request.id]
        return self._scripted(request, rng, delay)

    async def aclose(self) -> None:
        """Do nothing; there is nothing to close."""

    def _scripted(self, request: Request, rng: random.Random, delay: float) -> Completion:
        written = self._written(request, rng)
        prompt = sum(len(message.content) for message in request.messages) // 4
        logprobs = (written.logprobs,) if request.sampling.logprobs and written.logprobs else ()
        thinking = self._writer.think(random.Random(f"{self._seed}/thinking/{request.id}")) if request.thinking else ""
        return Completion(
            text=written.text, finish_reason=written.finish_reason, logprobs=logprobs,
            prompt_tokens=prompt, completion_tokens=written.tokens + len(thinking) // 4,
            engine="replay", seconds=delay, thinking=thinking,
        )  # fmt: skip

    def _written(self, request: Request, rng: random.Random) -> Written:
        grammar, asked = request.grammar, request.messages[-1].content
        if self._replies is not None and grammar is not None and grammar.kind == "choice":
            answer = self._replies.answer(asked, [str(option) for option in grammar.spec])
            if answer is not None:
                return Written(max(answer, key=lambda option: answer[option]), "stop", answer)
        elif self._replies is not None:
            text = self._replies.next(request.messages, grammar)
            if text is None:
                raise FatalRequestError(f"the recording has no reply to: {asked[:200]}")
            return Written(text, "stop", None)
        return self._writer.write(self._asked(request, rng), grammar, rng)

    def _asked(self, request: Request, rng: random.Random) -> str:
        """Return the question to answer: the prompt's last one, or that of another label for an off-task sample."""
        asked = request.messages[-1].content
        if self._cfg.astray and not request.sampling.logprobs and rng.random() < self._cfg.astray:
            others = [message.content for message in request.messages if message.role == "user"]
            return rng.choice([other for other in others if other != asked] or [asked])
        return asked


def _recorded(cfg: ReplayConfig, seed: int, recording: Path) -> ReplayEngine:
    """Return an engine that gives the replies of a file, or the answers of an earlier run."""
    if recording.is_file():
        return ReplayEngine(cfg, seed, replies=read_replies(recording))
    if not recording.is_dir():
        raise InputError(
            f"engine.recording: {recording}: there is no such file or folder; name a file of replies (docs/tasks.md, A task "
            "without a model), or the folder of a run whose answers are repeated"
        )
    with Reader(recording / "ledger.sqlite") as reader:
        return ReplayEngine(cfg, seed, reader.answers(0) | reader.answers_before_slots())
