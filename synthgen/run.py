"""One run from an empty folder to a report: engine, loop, student, dataset.

The loop itself is `synthgen.loop`; here its parts are put together, and what surrounds it happens
in order.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthgen import report, student
from synthgen.config import Config, to_json, to_yaml
from synthgen.display import Display
from synthgen.diversity.embedder import Embedder, Encoder, HashEncoder, ModelEncoder
from synthgen.diversity.near import NearDuplicate
from synthgen.engines import engine_info, start_engine
from synthgen.errors import EngineDeadError, RunFolderError
from synthgen.generate.balance import LabelBalance
from synthgen.judge.checks import LabelCheck, Questions, RubricCheck
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.llm import bundled
from synthgen.llm.supervisor import Supervisor
from synthgen.loop import Loop, Parts, Progress
from synthgen.pool import Pool
from synthgen.prepare import Prepared, compile_grammars, differences, fingerprint, prepare, rule_checks, versions
from synthgen.recorder import Recorder
from synthgen.records import Check, Engine, Json
from synthgen.restore import Restored, restore
from synthgen.seeds import stratified_split
from synthgen.stopping import StopRules

OK, BAD_INPUT, STOPPED, ENGINE_FAILED, INTERRUPTED = 0, 2, 3, 4, 5
_EXIT_CODES = {"target": OK, "engine": ENGINE_FAILED, "signal": INTERRUPTED}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_NOTE_SECONDS = 5.0


def start(config: Config, bases: list[Path]) -> int:
    """A new run. Returns the exit code."""
    prepared = prepare(config, bases)
    folder = Path(config.run.dir).resolve()
    if (folder / "ledger.sqlite").exists():
        raise RunFolderError(
            f"{config.run.dir} holds a run already. Go on with it:\n  synthgen resume {config.run.dir}\n"
            "or give the new one a name of its own: run.name=NAME"
        )
    compile_grammars(prepared)
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder):
        _write_config(prepared, folder)
        meta = {
            "run": {"name": config.run.name, "seed": config.run.seed, "versions": versions()},
            "fingerprint": fingerprint(prepared),
            "config": to_json(config),
            "task": prepared.task.definition(),
            "target": prepared.target,
        }
        with Ledger.create(folder / "ledger.sqlite", meta) as ledger:
            return _Session(prepared, folder, ledger).run()


def resume(folder: Path, config: Config) -> int:
    """Goes on with a run; `config` is its saved one, budgets possibly changed. Returns the exit code."""
    prepared = prepare(config, [])
    with run_lock(folder):
        with Reader(folder / "ledger.sqlite") as reader:
            changed = differences(reader.meta("fingerprint"), fingerprint(prepared))
        if changed:
            raise RunFolderError(
                "the run cannot be resumed, because this is not what it was started with:\n"
                + "\n".join(changed)
                + "\nput it back as it was, or start a new run with run.name=NAME"
            )
        compile_grammars(prepared)
        _write_config(prepared, folder)
        with Ledger.open(folder / "ledger.sqlite") as ledger:
            ledger.set_meta("config", to_json(config))
            ledger.set_meta("target", prepared.target)
            return _Session(prepared, folder, ledger).run()


def train(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> Json:
    """Trains and scores the student on what the ledger holds; returns its metrics."""
    config = prepared.config
    with Reader(folder / "ledger.sqlite") as reader:
        accepted = [sample for sample in reader.samples() if sample.origin == "synthetic"]
    labels = [sample.label for sample in accepted]
    kept, _ = stratified_split(labels, config.run.validation_share, config.run.seed)
    config.student.report_to = config.tracking.report_to
    return student.train(
        prepared.task,
        config.student,
        [seed.data for seed in prepared.seeds],
        [accepted[index].data for index in kept],
        prepared.eval_rows,
        folder / "student",
        config.run.seed,
        say,
    )


@dataclass
class _Seconds:
    """Time spent, over all sessions of the run."""

    engine_start: float = 0.0
    loop: float = 0.0
    student: float = 0.0
    total: float = 0.0


class _Session:
    """One process's share of a run."""

    def __init__(self, prepared: Prepared, folder: Path, ledger: Ledger) -> None:
        self._prepared = prepared
        self._config = prepared.config
        self._folder = folder
        self._ledger = ledger
        self._display = Display(prepared.config.run.name, prepared.target)
        self._began = time.monotonic()
        with Reader(ledger.path) as reader:
            self._seconds = _Seconds(**(reader.meta("seconds") or {}))
        self._before = self._seconds.total
        self._noted = 0.0

    def run(self) -> int:
        """The loop, then student, dataset and report. Returns the exit code."""
        failure = ""
        self._event("started", {"pid": os.getpid()})
        with self._display:
            try:
                reason = asyncio.run(self._loop())
            except EngineDeadError as error:
                reason, failure = "engine", str(error)
            except (KeyboardInterrupt, asyncio.CancelledError):  # before the loop was there to drain
                reason = "signal"
            self._note_seconds()
            self._ledger.set_meta("stopped_by", reason)
            self._event("stopped", {"by": reason, "failure": failure})
            code = _EXIT_CODES.get(reason, STOPPED)
            if code in (OK, STOPPED) and not self._train():
                code = INTERRUPTED
            self._note_seconds()
            self._ledger.event("finished", {"exit_code": code}).result()
            summary = self._export()
        self._display.close(report.last_lines(summary, self._folder), failure, self._advice(code, reason))
        return code

    def _train(self) -> bool:
        """Trains and scores the student. False when a signal cut it short; a resume trains again."""
        if self._config.student.kind == "none":
            return True
        began = time.monotonic()
        self._display.say("training the student")
        try:
            with _signals_interrupt():
                metrics = train(self._prepared, self._folder, self._display.say)
        except KeyboardInterrupt:
            return False
        finally:
            self._seconds.student += time.monotonic() - began
        self._ledger.set_meta("student", metrics)
        self._event("student", {key: metrics[key] for key in ("metric", "seeds_only", "synthetic")})
        return True

    def _export(self) -> Json:
        summary = report.write_summary(self._folder)
        if summary["counts"]["seeds"]:  # none when the run ended before its first slot
            report.export_dataset(self._folder, self._config.run.validation_share, self._config.run.seed, summary)
        report.write_report(self._folder, summary)
        return summary

    def _advice(self, code: int, reason: str) -> str | None:
        """The command that goes on, for the last line."""
        if code == OK:
            return None
        here = Path.cwd()
        shown = self._folder.relative_to(here) if self._folder.is_relative_to(here) else self._folder
        return f"synthgen resume {shown}" + (f" budget.{reason}=..." if code == STOPPED else "")

    # -- the loop and its parts --------------------------------------------------------------------

    async def _loop(self) -> str:
        config = self._config
        session = asyncio.current_task()
        assert session is not None
        _on_signals(session.cancel)
        rules = StopRules(config.budget, self._prepared.task.labels)
        state = restore(self._ledger.path, rules.target, self._seconds.loop)
        for label, similarity in state.outcomes:
            rules.settled(label, similarity)
        if reason := rules.reached():
            return reason
        supervisor: Supervisor | None = None
        engine_starting = asyncio.create_task(self._start_engine())  # takes long; the rest is made meanwhile
        embedder = Embedder(await asyncio.to_thread(_encoder, config), config.diversity.batch)
        try:
            near = await self._near(embedder, state)
            restarts = getattr(config.engine, "restarts_per_hour", 0)  # endpoints and models in this process have none
            supervisor = Supervisor(
                await engine_starting, self._start_engine, restarts, self._engine_news, state.deaths
            )
            recorder = Recorder(supervisor, self._ledger, config.engine.attempts, state.answers, state.attempts)
            parts = self._parts(recorder, near, rules, state)
            loop = Loop(
                parts,
                state.progress,
                self._prepared.in_flight,
                state.planned,
                state.next_group,
                self._on_tick,
            )
            _on_signals(lambda: loop.stop("signal", config.budget.grace))
            return await loop.run()
        finally:
            await self._stop_engine(engine_starting, supervisor)
            embedder.close()

    async def _near(self, embedder: Embedder, state: Restored) -> NearDuplicate:
        """The near-duplicate check over seeds, eval rows and what was accepted; a new run's seeds go to the ledger."""
        prepared = self._prepared
        near = NearDuplicate(prepared.task, self._config.diversity, embedder)
        vectors = await near.prepare(prepared.seeds, [prepared.task.text(row) for row in prepared.eval_rows])
        if not state.samples:
            await asyncio.wrap_future(self._ledger.add_seeds(prepared.seeds, vectors))
        for sample in state.samples:
            if sample.origin == "synthetic":
                near.add(sample.id, state.vectors[sample.id])
        return near

    def _parts(self, recorder: Recorder, near: NearDuplicate, rules: StopRules, state: Restored) -> Parts:
        prepared, config = self._prepared, self._config
        pool = Pool(config.pool)
        filters, exact = rule_checks(prepared, pool)
        for sample in [*prepared.seeds, *(sample for sample in state.samples if sample.origin == "synthetic")]:
            pool.add(sample)
            exact.add(sample)
        balance = LabelBalance(list(prepared.task.labels)) if prepared.task.labels else None
        if balance is not None:
            size = prepared.strategy.group_size
            for group, label in state.groups:
                balance.record(group * size, size, label)
        checks = [*filters, exact, near, *self._judges(recorder)]
        return Parts(prepared.strategy, recorder, checks, exact, near, pool, balance, rules, self._ledger)

    def _judges(self, recorder: Recorder) -> list[Check]:
        prepared, cfg = self._prepared, self._config.judge
        questions = Questions(recorder, cfg.attempts)
        seed = self._config.run.seed
        judges: list[Check] = []
        if cfg.label.enabled and prepared.task.labels:
            judges.append(LabelCheck(prepared.task, cfg.label, questions, prepared.prompts, prepared.seeds, seed))
        if cfg.rubric.enabled and prepared.task.rubric:
            judges.append(RubricCheck(prepared.task, cfg.rubric, questions, prepared.prompts, seed))
        return judges

    async def _start_engine(self) -> Engine:
        began = time.monotonic()
        engine = await start_engine(self._config, self._prepared.grammars(), self._folder, self._display.say)
        seconds = time.monotonic() - began
        self._seconds.engine_start += seconds
        info = engine_info(self._config)
        self._ledger.set_meta("engine", info)
        self._event("engine_started", {**info, "seconds": round(seconds, 1)})
        self._display.engine_started(engine.name, seconds)
        return engine

    async def _stop_engine(self, starting: asyncio.Task[Engine], supervisor: Supervisor | None) -> None:
        """Ends the engine, or its start if that is how far it got."""
        starting.cancel()
        (first,) = await asyncio.gather(starting, return_exceptions=True)
        engine = supervisor or first
        if not isinstance(engine, BaseException):
            self._display.say("stopping the engine")
            await engine.aclose()

    def _engine_news(self, news: str) -> None:
        self._event("engine_restart", {"why": news})
        self._display.say(news)

    # -- telling ---------------------------------------------------------------------------------

    def _on_tick(self, progress: Progress) -> None:
        self._display.progress(progress)
        self._seconds.loop = progress.seconds
        if time.monotonic() - self._noted >= _NOTE_SECONDS:
            self._noted = time.monotonic()
            self._note_seconds()
            figures = {"accepted": progress.accepted, "candidates": progress.candidates}
            self._event("progress", {**figures, "rejected": dict(progress.rejected)})

    def _note_seconds(self) -> None:
        self._seconds.total = self._before + time.monotonic() - self._began
        self._ledger.set_meta("seconds", vars(self._seconds))

    def _event(self, kind: str, data: Json) -> None:
        self._ledger.event(kind, data)
        line = json.dumps({"at": round(time.time(), 3), "kind": kind, **data}, ensure_ascii=False)
        with (self._folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _encoder(config: Config) -> Encoder:
    name = config.diversity.embedder
    return HashEncoder() if name == "hash" else ModelEncoder(bundled.resolve(name), config.diversity.batch)


def _on_signals(first: Callable[[], object]) -> None:
    """`first` at the first signal. A second SIGINT leaves at once; the ledger needs no goodbye."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        first()
        loop.add_signal_handler(signal.SIGINT, os._exit, INTERRUPTED)

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupted)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Every stopping signal is a KeyboardInterrupt, for work outside the event loop."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_config(prepared: Prepared, folder: Path) -> None:
    (folder / "config.yaml").write_text(to_yaml(to_json(prepared.config)), encoding="utf-8")
