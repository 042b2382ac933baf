"""Run one session, that is, one process's share of a run: engine, loop, student, dataset and report, in that order.

`synthgen.run.loop` is the loop itself. This module starts it with its parts, and turns every failure into an exit code
and the command that continues the run.
"""

import asyncio
import json
import os
import resource
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from synthgen import __version__, report, student
from synthgen.config import to_yaml
from synthgen.diversity.drift import Alarm
from synthgen.diversity.embedder import Embedder, make_encoder
from synthgen.engines.base import LearnedLimits, description
from synthgen.engines.vllm.supervisor import Supervisor
from synthgen.errors import EngineDeadError, ExitCode, WriteError
from synthgen.judge.judge import Judge
from synthgen.judge.panel import with_own_endpoints
from synthgen.labels.decide import LabelDecider
from synthgen.ledger import Ledger, Reader
from synthgen.ledger.durable import is_refused_write
from synthgen.ledger.recorder import Recorder
from synthgen.numerics.blas import one_core
from synthgen.records import Engine, Json
from synthgen.report import trends
from synthgen.run.asking import ASK_AFTER, AskAfter, calibration_rows
from synthgen.run.budget import StopRules, relative, resume_command
from synthgen.run.build import chain, deciding, load_corpus, watch
from synthgen.run.corpus import Corpus, complete, is_complete
from synthgen.run.display import Display
from synthgen.run.engine import engine_info, start_engine
from synthgen.run.fitting import FittedPrompts, fit_prompts
from synthgen.run.loop import Loop, Parts
from synthgen.run.prepare import Prepared
from synthgen.run.progress import Progress
from synthgen.run.refusal import REFUSED, cure, is_empty, refused
from synthgen.run.restore import replan, restore
from synthgen.run.runtime import event_loop
from synthgen.run.runtime.heap import seldom_collected
from synthgen.run.runtime.signals import interrupted, on_signals
from synthgen.run.training import train
from synthgen.safety.secrets import mask_json
from synthgen.safety.untrusted import escaped
from synthgen.student.clock import Paces
from synthgen.student.outlook import outlook

_EXIT_CODES = {"target": ExitCode.OK, "engine": ExitCode.ENGINE_FAILED, "signal": ExitCode.INTERRUPTED}
_NOTE_SECONDS = 5.0


@dataclass
class _Seconds:
    """Hold the seconds spent, over all sessions of the run."""

    engine_start: float = 0.0
    loop: float = 0.0
    student: float = 0.0
    total: float = 0.0


class Session:
    """Run one session in a run folder that this process has locked. The ledger may be new or have earlier sessions."""

    def __init__(self, prepared: Prepared, folder: Path, ledger: Ledger) -> None:
        self._prepared = prepared
        self._config = prepared.config
        self._folder = folder
        self._ledger = ledger
        self._display = Display(prepared.config.run.name, prepared.target)
        self._limits = LearnedLimits()
        self._began = time.monotonic()
        with Reader(ledger.path) as reader:
            self._seconds = _Seconds(**(reader.meta("seconds") or {}))
        self._before = self._seconds.total
        self._noted = 0.0
        self._refused = False
        self._drain: Callable[[], object] | None = None
        """Asks the event loop to finish the work in flight and end; None while no event loop runs."""

    def run(self) -> int:
        """Run the loop, train the student, write dataset and report, print the closing lines. Return the exit code."""
        with on_signals(self._interrupt, self._leave):
            try:
                return self._run()
            except KeyboardInterrupt:  # came while the closing lines were printed
                self._leave()
                return ExitCode.INTERRUPTED

    def _run(self) -> int:
        lines: list[str] = []
        failure = ""
        with self._display:
            try:
                reason, failure = self._gather()
                code, lines = self._finish(reason)
            except KeyboardInterrupt:
                code, reason = ExitCode.INTERRUPTED, "signal"
            except (WriteError, OSError) as error:
                if not (isinstance(error, WriteError) or is_refused_write(error)):
                    raise
                code, reason, failure = ExitCode.STOPPED, "disk", self._no_room(error)
        if reason == ASK_AFTER:
            lines.append(shlex.join(["synthgen", "label", relative(self._folder), "--count", "40"]))
        self._display.close(lines, failure, None if code == ExitCode.OK else self._advice(reason))
        return code

    def _advice(self, reason: str) -> str:
        """Return the last line: the resume command, or advice where the engine refused everything from the start."""
        with Reader(self._ledger.path) as reader:
            if not (self._refused and is_empty(reader)):
                return self._resume_command(reason)
        self._ledger.set_meta(REFUSED, True)
        return f"nothing was generated: change what is named above, and start the run again; {relative(self._folder)} is free"

    def gather(self) -> tuple[str, str]:
        """Run only the loop. Return the name of the rule that stopped it, and the failure if there was one."""
        with on_signals(self._interrupt), self._display:
            return self._gather()

    def _gather(self) -> tuple[str, str]:
        reason, failure = "", ""
        report.write_events(self._folder)  # a killed session may have left an incomplete line in that file
        self._ledger.begin_session(__version__)
        self._event("started", {"pid": os.getpid()})
        try:
            reason = event_loop.run(self._loop())
        except EngineDeadError as error:
            reason, failure = "engine", str(error)
            if refused(error):
                failure += f"\n{cure(failure)}"
                self._refused = True
        except (KeyboardInterrupt, asyncio.CancelledError):  # came before the loop could drain its work
            reason = "signal"
        finally:
            self._drain = None
        if interrupted() and not failure:  # also where the signal came after the loop had ended
            reason = "signal"
        self._note_seconds()
        self._ledger.set_meta("stopped_by", reason)
        if reason == ASK_AFTER:
            self._ledger.set_meta(ASK_AFTER, True)
        self._event("stopped", {"by": reason, "failure": failure})
        return reason, failure

    def _finish(self, reason: str) -> tuple[int, list[str]]:
        """Train the student and write dataset and report. Return the exit code and the closing lines."""
        code = _EXIT_CODES.get(reason, ExitCode.STOPPED)
        if code in (ExitCode.OK, ExitCode.STOPPED) and not self._train():
            code = ExitCode.INTERRUPTED
        self._note_seconds()
        self._ledger.event("finished", {"exit_code": code})
        self._ledger.end_session(code).result()
        return code, report.last_lines(self._export(), self._folder)

    def _train(self) -> bool:
        """Train and score the student. Return False when a signal interrupted the training; a resume continues it."""
        if self._config.student.kind == "none":
            return True
        began = time.monotonic()
        self._display.say("training the student")
        try:
            metrics = train(self._prepared, self._folder, self._display.say, False, self._on_student)
        except KeyboardInterrupt:
            return False
        finally:
            self._seconds.student += time.monotonic() - began
        self._ledger.set_meta("student", metrics)
        self._event(
            "student",
            {
                key: metrics[key]
                for key in ("metric", "seeds_only", "described", "synthetic", "left_out", "cut_short")
                if key in metrics
            },
        )
        return True

    def _export(self) -> Json:
        summary = report.write_reports(self._folder, to_yaml)
        if summary["counts"]["seeds"]:  # 0 when the run ended before its first slot
            report.export_dataset(self._folder, self._config.run.validation_share, self._config.run.seed, summary)
        return summary

    def _no_room(self, error: Exception) -> str:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        way = "free some disk space"
        if limit != resource.RLIM_INFINITY:  # SQLite does not tell which of the two it met
            way = f"raise the limit on file sizes, which is {limit / 1e6:.1f} MB (ulimit -f), or free some disk space"
        return (
            f"the disk refuses to write ({self._free_bytes() / 1e6:.0f} MB free): {error}\n"
            f"every sample shown as accepted is in the ledger; {way}, then resume the run"
        )

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free

    def _resume_command(self, reason: str) -> str:
        """Return the command that continues the run, for the last line of the output."""
        return resume_command(self._folder, self._config.budget, reason)

    # -- the loop and its parts --------------------------------------------------------------------

    async def _loop(self) -> str:
        config = self._config
        session = asyncio.current_task()
        assert session is not None
        self._drain_with(session.cancel)
        rules = StopRules(config.budget, self._prepared.task.asked, free_bytes=self._free_bytes)
        state = restore(self._ledger.path, rules.target, self._seconds.loop)
        prepared = self._prepared
        planner = replan(self._ledger, rules, prepared.in_flight, prepared.group_size, config.generate.items)
        rules.watch(planner.hopeless)
        rules.watch(AskAfter(config.budget, rules, self._ledger.path))
        if reason := rules.reached():
            await self._complete()
            return reason
        await self._announce_student()
        engine: Engine | None = None
        corpus: Corpus | None = None
        engine_starting = asyncio.create_task(self._start_engine())  # slow, so the other parts are built meanwhile
        embedder = Embedder(await asyncio.to_thread(make_encoder, config.diversity))
        try:
            filters, corpus, seed_vectors = await load_corpus(prepared, self._ledger, embedder, planner)
            drift, alarms = await watch(prepared, self._ledger, seed_vectors)
            for alarm in alarms:  # a killed session may not have written some of them to the ledger
                if (alarm.figure, alarm.slot) not in state.alarms:
                    self._on_alarm(alarm)
            rules.watch(drift.reached)
            if reason := rules.reached():
                return reason
            restarts = config.engine.capabilities.restarts_per_hour
            window = _window(started := await engine_starting)
            engine = supervisor = Supervisor(
                started, self._start_engine, restarts, self._engine_news, state.deaths, state.quarantined
            )
            state.progress.started = time.monotonic()  # the engine's start does not count as time of the loop
            engine = await with_own_endpoints(supervisor, config.judge.panel, self._display.say, self._engine_news)
            recorder = Recorder(engine, self._ledger, config.engine.attempts, state.answers, state.attempts)
            labels = await deciding(prepared, self._ledger, embedder, seed_vectors, planner)
            fitted = await asyncio.to_thread(fit_prompts, prepared, window)
            for line in fitted.notes:
                self._display.say(line)
            judge = self._judge(recorder, labels, fitted)
            await judge.ready()
            rules.watch(lambda: judge.alarm)
            checks = await chain(prepared, self._ledger, embedder, seed_vectors, filters, corpus, labels, judge, rules)
            parts = Parts(prepared.strategies, recorder, corpus, checks, planner, rules, drift, self._ledger)
            loop = Loop(parts, state.progress, prepared.in_flight, state.planned, self._on_tick, self._on_alarm)
            supervisor.on_limit(loop.window.resize)
            self._drain_with(lambda: loop.stop("signal", config.budget.grace))
            with one_core(), seldom_collected():
                return await loop.run()
        finally:
            await self._stop_engine(engine_starting, engine)
            embedder.close()
            if corpus is not None:
                corpus.close()

    async def _complete(self) -> None:
        """Write missing seeds and vectors to the ledger of a fork that needs no loop because it began at its target."""
        with Reader(self._ledger.path) as reader:
            if is_complete(reader):
                return
        embedder = Embedder(await asyncio.to_thread(make_encoder, self._config.diversity))
        try:
            await complete(self._prepared.seeds, self._prepared.task, self._ledger, embedder)
        finally:
            embedder.close()

    def _drain_with(self, stop: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        self._drain = lambda: loop.call_soon_threadsafe(stop)

    def _interrupt(self) -> None:
        """Handle the first signal: ask the event loop to drain, or raise KeyboardInterrupt where no event loop runs."""
        if self._drain is None:
            raise KeyboardInterrupt
        self._drain()

    def _leave(self) -> None:
        """Print the resume command before an immediate exit. A signal handler may call this."""
        self._display.leave(self._resume_command("signal"))

    def _judge(self, recorder: Recorder, labels: LabelDecider | None, fitted: FittedPrompts) -> Judge:
        prepared, run = self._prepared, self._config.run
        rated = calibration_rows(prepared, self._ledger.path)
        return Judge(
            prepared.task, fitted.judge, prepared.prompts, prepared.seeds, rated, recorder,
            run.seed, run.round_slots, self._ledger.set_meta, self._engine_news, labels,
            prepared.adapters.names()["judge"],
        )  # fmt: skip

    async def _start_engine(self) -> Engine:
        began = time.monotonic()
        engine = await start_engine(
            self._config, self._prepared.grammars(), self._folder, self._limits, self._display.say, self._engine_news,
            self._prepared.adapters.all,
        )  # fmt: skip
        seconds = time.monotonic() - began
        self._seconds.engine_start += seconds
        adapters = self._prepared.adapters
        info = engine_info(self._config) | ({"adapters": adapters.names()} if adapters.all else {})
        info |= description(engine)
        self._ledger.set_meta("engine", info)
        self._event("engine_started", {**info, "seconds": round(seconds, 1)})
        self._display.engine_started(engine.name, seconds)
        return engine

    async def _stop_engine(self, starting: asyncio.Task[Engine], running: Engine | None) -> None:
        """Stop the engine, or cancel its start."""
        starting.cancel()
        (first,) = await asyncio.gather(starting, return_exceptions=True)
        engine = running or first
        if not isinstance(engine, BaseException):
            self._display.say("stopping the engine")
            await engine.aclose()

    def _engine_news(self, kind: str, news: str) -> None:
        self._event(kind, {"why": news})
        self._display.say(news)

    def _on_alarm(self, alarm: Alarm) -> None:
        self._event("alarm", alarm.event())
        self._display.say(f"alarm: {trends.sentence(alarm.event())}")

    # -- telling ---------------------------------------------------------------------------------

    def _on_tick(self, progress: Progress) -> None:
        self._display.progress(progress)
        self._seconds.loop = progress.seconds
        if time.monotonic() - self._noted >= _NOTE_SECONDS:
            self._noted = time.monotonic()
            self._note_seconds()
            figures = {"accepted": progress.accepted, "candidates": progress.candidates}
            self._event("progress", {**figures, "rejected": dict(progress.rejected)})

    def _on_student(self, progress: student.Progress) -> None:
        self._display.student(progress.line())
        if time.monotonic() - self._noted >= _NOTE_SECONDS:
            self._noted = time.monotonic()
            self._event("student_progress", {"line": progress.line(), **asdict(progress)})

    async def _announce_student(self) -> None:
        """Tell the display and `synthgen status` that the student follows, and how long it takes."""
        prepared, config = self._prepared, self._config
        if config.student.kind == "none":
            return
        with Reader(self._ledger.path) as reader:
            known = (reader.meta("student") or {}).get("paces")
        seeds = [seed.data for seed in prepared.seeds]
        found = await asyncio.to_thread(
            outlook, prepared.task, config.student, seeds, prepared.target, prepared.eval_rows,
            Paces(**known) if known else None,
        )  # fmt: skip
        self._ledger.set_meta("student_outlook", found.words())
        self._display.then(f"the student, {found.words()}")

    def _note_seconds(self) -> None:
        self._seconds.total = self._before + time.monotonic() - self._began
        self._ledger.set_meta("seconds", vars(self._seconds))

    def _event(self, kind: str, data: Json) -> None:
        data = mask_json(data)  # errors quote servers' answers, which may contain secrets
        self._ledger.event(kind, data)
        line = escaped(json.dumps({"at": round(time.time(), 3), "kind": kind, **data}, ensure_ascii=False))
        with (self._folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _window(engine: object) -> int | None:
    """Return the smallest window that an engine's endpoints report, or None."""
    about = getattr(engine, "about", None)
    dialects = about().get("dialects", {}) if about is not None else {}
    return min((size for each in dialects.values() if (size := each.get("window"))), default=None)
