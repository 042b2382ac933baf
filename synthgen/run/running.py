"""Build the parts of the loop, start the engine beside them, run the loop, and stop the engine.

`synthgen.run.loop` is the loop itself; `synthgen.run.build` makes the larger parts.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from synthgen.diversity.embedder import Embedder, make_encoder
from synthgen.engines.base import LearnedLimits, description
from synthgen.engines.vllm.supervisor import Supervisor
from synthgen.generate.mix import Mix
from synthgen.generate.planner import Planner
from synthgen.generate.strategy import Resources
from synthgen.judge.endpoints import JudgeEngines
from synthgen.judge.judge import Judge
from synthgen.labels.decide import LabelDecider
from synthgen.ledger import Ledger, Reader
from synthgen.ledger.recorder import Recorder
from synthgen.numerics.blas import one_core
from synthgen.records import Engine, Json
from synthgen.run.asking import AskAfter, calibration_rows
from synthgen.run.budget import StopRules
from synthgen.run.build import begin_strategies, chain, count_planned, deciding, drift_monitor, load_corpus, price_of
from synthgen.run.continues import check_dialects
from synthgen.run.corpus import Corpus
from synthgen.run.display import Display
from synthgen.run.embedding import embed_missing
from synthgen.run.engine import engine_info, start_engine
from synthgen.run.exchange import Exchange
from synthgen.run.fitting import FittedPrompts, fit_prompts
from synthgen.run.loop import Boundary, Loop, Parts
from synthgen.run.metrics import Metrics
from synthgen.run.notes import Notes
from synthgen.run.paces import remembered
from synthgen.run.prepare import Prepared
from synthgen.run.progress import Progress
from synthgen.run.refitting import Refitting, known_window
from synthgen.run.restore import Restored, replan, restore, strategy_given
from synthgen.run.runtime.heap import seldom_collected
from synthgen.run.spending import Spending, spent
from synthgen.student.clock import Paces
from synthgen.student.estimate import estimate

_LATE_GRACE = 3.0  # seconds for chat requests in flight when a run stops whose other answers come late


class Running:
    """Run the loop of one session. `drain_with` gets the function that makes the event loop finish its work and end.

    `exchange` gives the samples of other runs that share the work.
    """

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        ledger: Ledger,
        display: Display,
        notes: Notes,
        drain_with: Callable[[Callable[[], object]], None],
        exchange: Exchange | None = None,
    ) -> None:
        self._prepared = prepared
        self._config = prepared.config
        self._folder = folder
        self._ledger = ledger
        self._display = display
        self._notes = notes
        self._drain_with = drain_with
        self._exchange = exchange
        self._limits = LearnedLimits()
        self._supervisor: Supervisor | None = None
        self._engine: Engine | None = None
        """The supervised engine, with the judge's own endpoints where it has some; None until it has started."""

    async def loop(self) -> str:
        """Return the name of the rule that stopped the loop. Raise EngineDeadError where the engine fails for good."""
        config, prepared, ledger = self._config, self._prepared, self._ledger
        budget = replace(config.budget, idle_minutes=None) if self._answers_late else config.budget
        rules = StopRules(budget, prepared.task.asked, free_bytes=lambda: shutil.disk_usage(self._folder).free)
        state = restore(ledger.path, rules.target, self._notes.seconds.loop)
        planner = replan(
            ledger,
            rules,
            prepared.in_flight,
            prepared.group_size,
            config.generate.items,
            prepared.capabilities.rounds,
            prepared.strategies.longest,
        )
        count_planned(prepared.strategies, ledger)
        rules.watch(lambda: _hopeless(planner, rules, prepared.strategies))
        rules.watch(AskAfter(config.budget, rules, ledger.path))
        with Reader(ledger.path) as reader:
            spending = Spending(price_of(config), prepared.capabilities.budget_usd, spent(reader))
        state.progress.usd, state.progress.budget_usd = spending.usd, spending.budget
        if reason := rules.reached() or spending.exhausted():
            await self._complete()
            return reason
        await self._announce_student()
        corpus: Corpus | None = None
        starting = asyncio.create_task(self._start_engine())  # slow, so the other parts are built meanwhile
        free = prepared.capabilities.leaves_cores
        embedder = Embedder(await asyncio.to_thread(make_encoder, config.diversity, free))
        try:
            filters, corpus, seed_vectors = await load_corpus(prepared, ledger, embedder, planner, self._exchange)
            drift, alarms = await drift_monitor(prepared, ledger, seed_vectors)
            for alarm in alarms:  # a killed session may not have written some of them to the ledger
                if (alarm.figure, alarm.slot) not in state.alarms:
                    self._notes.alarm(alarm)
            rules.watch(drift.reached)
            if reason := rules.reached():
                return reason
            dialects = _dialects(started := await starting) + known_window(ledger.path)
            check_dialects(prepared.strategies, dialects)
            judge_dialects = await self._supervise(started, state)
            assert self._engine is not None
            keep_thinking = config.model.keep_thinking or prepared.task.takes_thinking
            recorder = Recorder(
                self._engine, ledger, config.engine.attempts, state.answers, state.attempts, keep_thinking, spending
            )
            labels = await deciding(prepared, ledger, embedder, seed_vectors, planner)
            fitted = await asyncio.to_thread(fit_prompts, prepared, dialects, judge_dialects)
            for line in fitted.notes:
                self._display.say(line)
            judge = self._judge(recorder, labels, fitted, corpus)
            refitting = Refitting(prepared, ledger, dialects, judge, self._display.say)
            judge.on_too_long(refitting.adopt_window)
            await judge.ready(planner.frontier)
            rules.watch(lambda: judge.alarm)
            checks = await chain(prepared, ledger, embedder, seed_vectors, filters, corpus, labels, judge, rules)
            strategies, shorten = prepared.strategies, refitting.shorter
            given = partial(strategy_given, ledger.path)
            resources = Resources(recorder.complete, embedder.embed_all, self._display.say, given)
            await begin_strategies(strategies, resources, ledger)
            boundary = _taking_over(self._exchange, corpus) if self._exchange is not None else None
            parts = Parts(
                strategies, recorder, corpus, checks, planner, rules, drift, ledger, spending, shorten, boundary
            )
            return await self._run(parts, state)
        finally:
            await self._stop_engine(starting)
            embedder.close()
            if corpus is not None:
                corpus.close()

    @property
    def _answers_late(self) -> bool:
        """Return True for an engine whose answers may take hours, such as a batch endpoint."""
        return bool(self._config.engine.capabilities.answers_late)

    async def _run(self, parts: Parts, state: Restored) -> str:
        """Run the loop to its end. Return the name of the rule that stopped it."""
        seconds = self._config.budget.grace
        grace = min(_LATE_GRACE, seconds) if self._answers_late else seconds
        supervisor = self._supervisor
        assert supervisor is not None
        with self._serving(state.progress, supervisor, parts.engine.tokens) as update:

            def tick(progress: Progress) -> None:
                self._notes.tick(progress, supervisor.states())
                update()

            loop = Loop(
                parts, state.progress, self._prepared.in_flight, state.planned, tick, self._notes.alarm,
                grace if self._answers_late else None,
            )  # fmt: skip
            supervisor.on_limit(loop.window.resize)

            def drain() -> None:
                loop.stop("signal", grace)
                self._display.say(
                    f"interrupted: finishing the requests in flight, for up to {grace:g} s; Ctrl-C leaves at once, and loses "
                    "nothing that was accepted"
                )

            self._drain_with(drain)
            with one_core(), seldom_collected():
                return await loop.run()

    @contextmanager
    def _serving(
        self, progress: Progress, supervisor: Supervisor, tokens: Mapping[str, int]
    ) -> Iterator[Callable[[], None]]:
        """Serve the figures to Prometheus where `metrics.port` asks for it. Yield a function that updates them."""
        port = self._config.metrics.port
        if port is None:
            yield lambda: None
            return
        metrics = Metrics(port, self._config.run.name, progress, supervisor.states)
        try:
            yield lambda: metrics.update(tokens)
        finally:
            metrics.close()

    async def _supervise(self, started: Engine, state: Restored) -> list[Json]:
        """Restart the engine when it dies, and start the judge's own endpoints. Return the dialects of these endpoints."""
        config, prepared, notes = self._config, self._prepared, self._notes
        restarts = config.engine.capabilities.restarts_per_hour
        self._engine = self._supervisor = Supervisor(
            started, self._start_engine, restarts, notes.engine_event, state.deaths, state.quarantined
        )
        state.progress.started = time.monotonic()  # the engine's start does not count as time of the loop
        judges = JudgeEngines(config.judge.engine, config.judge.panel)
        self._engine = await judges.started(
            self._supervisor, prepared.judge_grammars, prepared.judge_adapters, self._display.say, notes.engine_event
        )
        if about := judges.about():
            notes.note_engine(judge=about)
        return list(about.get("dialects", {}).values())

    async def _complete(self) -> None:
        """Write missing seeds and vectors to the ledger of a fork that needs no loop because it began at its target."""
        await embed_missing(self._prepared, self._ledger)

    def _judge(self, recorder: Recorder, labels: LabelDecider | None, fitted: FittedPrompts, corpus: Corpus) -> Judge:
        prepared, run = self._prepared, self._config.run
        rated = calibration_rows(prepared, self._ledger.path)
        return Judge(
            prepared.task, fitted.judge, prepared.prompts, prepared.seeds, corpus.samples.__getitem__, rated, recorder,
            run.own_seed, run.round_slots, self._ledger.set_meta, self._notes.engine_event, labels,
            prepared.adapters.names()["judge"], self._config.model.thinking_tokens,
        )  # fmt: skip

    async def _start_engine(self) -> Engine:
        began = time.monotonic()
        engine = await start_engine(
            self._config, self._prepared.engine_grammars, self._folder, self._limits, self._display.say,
            self._notes.engine_event, self._prepared.engine_adapters,
        )  # fmt: skip
        seconds = time.monotonic() - began
        self._notes.seconds.engine_start += seconds
        adapters = self._prepared.adapters
        info = engine_info(self._config) | ({"adapters": adapters.names()} if adapters.all else {})
        info |= description(engine)
        self._notes.note_engine(**info)
        self._notes.event("engine_started", {**info, "seconds": round(seconds, 1)})
        self._display.engine_started(engine.name, seconds)
        return engine

    async def _stop_engine(self, starting: asyncio.Task[Engine]) -> None:
        """Stop the engine, or cancel its start."""
        starting.cancel()
        (first,) = await asyncio.gather(starting, return_exceptions=True)
        engine = self._engine or first
        if not isinstance(engine, BaseException):
            self._display.say("stopping the engine")
            await engine.aclose()

    async def _announce_student(self) -> None:
        """Tell the display and `synthgen status` that the student follows, and how long it takes."""
        prepared, config = self._prepared, self._config
        if config.student.kind == "none":
            return
        with Reader(self._ledger.path) as reader:
            known = (reader.meta("student") or {}).get("paces")
        paces = Paces(**known) if known else remembered(prepared)
        seeds = [seed.data for seed in prepared.seeds]
        found = await asyncio.to_thread(
            estimate, prepared.task, config.student, seeds, prepared.target, prepared.eval_rows, paces
        )
        words = found.words()
        if found.seconds is None:
            words += f", time known after its first {'steps' if found.steps else 'fit'}"
        self._ledger.set_meta("student_outlook", words)
        self._display.then(f"the student, {words}", found.seconds)


def _hopeless(planner: Planner, rules: StopRules, strategies: Mix) -> str | None:
    """Return the stop rule of a run whose labels that lack samples are given up, or None."""
    reason = planner.hopeless()
    return reason and (strategies.used_up(rules.shares.lacking) or reason)


def _taking_over(exchange: Exchange, corpus: Corpus) -> Boundary:
    """Return the function that takes over the samples of other runs before a slot is settled."""

    async def boundary(slot: int, is_closing: Callable[[], bool]) -> bool:
        found = await exchange.before(slot, is_closing)
        if found:  # in the loop's own thread, because the index takes vectors from one thread alone
            goal = len(corpus.order) + len(found)
            corpus.extend([sample for sample, _ in found], [vector for _, vector in found], goal)
        return found is not None

    return boundary


def _dialects(engine: Engine) -> list[Json]:
    """Return the dialects that an engine's endpoints understand; none for most engines."""
    return list(description(engine).get("dialects", {}).values())
