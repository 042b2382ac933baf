"""One run from an empty folder to a report: engine, loop, student, dataset.

The loop itself is `synthgen.loop`; here its parts are built, and what surrounds it happens in order.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synthgen import report, student
from synthgen.config import Config, EngineConfig, to_json, to_yaml
from synthgen.display import Display
from synthgen.diversity.embedder import Embedder, Encoder, HashEncoder, ModelEncoder
from synthgen.diversity.near import NearDuplicate
from synthgen.errors import EngineDeadError, RunFolderError
from synthgen.generate.balance import LabelBalance
from synthgen.judge.checks import LabelCheck, Questions, RubricCheck
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.llm import bundled
from synthgen.llm.endpoint import EndpointConfig, EndpointEngine
from synthgen.llm.replay import ReplayConfig, ReplayEngine
from synthgen.llm.transformers_engine import TransformersConfig, TransformersEngine
from synthgen.llm.vllm_server import VllmConfig, VllmEngine, vllm_version
from synthgen.loop import Loop, Parts, Progress
from synthgen.pool import Pool
from synthgen.prepare import Prepared, compile_grammars, differences, fingerprint, prepare, rule_checks, versions
from synthgen.recorder import Recorder
from synthgen.records import Check, Engine, Json
from synthgen.seeds import stratified_split

OK, BAD_INPUT, STOPPED, ENGINE_FAILED, INTERRUPTED = 0, 2, 3, 4, 5
_EXIT_CODES = {"target": OK, "engine": ENGINE_FAILED, "signal": INTERRUPTED}
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
            "target": config.budget.target,
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
            ledger.set_meta("target", config.budget.target)
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
        self._display = Display(prepared.config.run.name, prepared.config.budget.target)
        self._began = time.monotonic()
        with Reader(ledger.path) as reader:
            self._seconds = _Seconds(**(reader.meta("seconds") or {}))
        self._before = self._seconds.total
        self._noted = 0.0

    def run(self) -> int:
        reason, failure = "engine", ""
        self._event("started", {"pid": os.getpid()})
        with self._display:
            try:
                reason = asyncio.run(self._loop())
            except EngineDeadError as error:
                failure = str(error)
            self._note_seconds()
            self._ledger.set_meta("stopped_by", reason)
            self._event("stopped", {"by": reason, "failure": failure})
            code = _EXIT_CODES.get(reason, STOPPED)
            if code in (OK, STOPPED):
                self._train()
            self._note_seconds()
            self._ledger.event("finished", {"exit_code": code}).result()
            summary = self._export()
        self._display.close(report.last_lines(summary, self._folder), failure, self._advice(code))
        return code

    def _train(self) -> None:
        if self._config.student.kind == "none":
            return
        began = time.monotonic()
        with self._display.aside("training the student"):
            metrics = train(self._prepared, self._folder, self._display.say)
        self._seconds.student += time.monotonic() - began
        self._ledger.set_meta("student", metrics)
        self._event("student", {key: metrics[key] for key in ("metric", "seeds_only", "synthetic") if key in metrics})

    def _export(self) -> Json:
        summary = report.write_summary(self._folder)
        if summary["counts"]["seeds"]:  # none when the run ended before its first slot
            report.export_dataset(self._folder, self._config.run.validation_share, self._config.run.seed, summary)
        report.write_report(self._folder, summary)
        return summary

    def _advice(self, code: int) -> str | None:
        """The command that goes on, for the last line."""
        if code == OK:
            return None
        try:
            shown = self._folder.relative_to(Path.cwd())
        except ValueError:
            shown = self._folder
        raised = f" budget.{self._spent_budget()}=..." if code == STOPPED else ""
        return f"synthgen resume {shown}{raised}"

    def _spent_budget(self) -> str:
        with Reader(self._ledger.path) as reader:
            return str(reader.meta("stopped_by"))

    # -- the loop and its parts --------------------------------------------------------------------

    async def _loop(self) -> str:
        config, prepared = self._config, self._prepared
        with Reader(self._ledger.path) as reader:
            planned = reader.planned()
            frontier = planned[0].slot if planned else reader.one("SELECT COALESCE(MAX(slot), -1) + 1 FROM slots")
            samples = reader.samples()
            vectors = reader.embeddings()
            answers = reader.answers(frontier) | reader.answers_before_slots()
            attempts = reader.attempts(frontier)
            groups = reader.groups()
            progress = _progress(reader, config.budget.target, self._seconds.loop)
        embedder = Embedder(await asyncio.to_thread(_encoder, config), config.diversity.batch)
        try:
            near = NearDuplicate(prepared.task, config.diversity, embedder)
            seed_vectors = await near.prepare(prepared.seeds, [prepared.task.text(row) for row in prepared.eval_rows])
            pool = Pool(config.pool)
            for seed in prepared.seeds:
                pool.add(seed)
            rules, exact = rule_checks(prepared, pool)
            if not samples:
                await asyncio.wrap_future(self._ledger.add_seeds(prepared.seeds, seed_vectors))
            for sample in samples:
                if sample.origin == "synthetic":
                    pool.add(sample)
                    exact.add(sample)
                    near.add(sample.id, vectors[sample.id])
            if progress.accepted >= config.budget.target:
                return "target"
            recorder = Recorder(await self._start_engine(), self._ledger, config.engine.attempts, answers, attempts)
            try:
                balance = LabelBalance(list(prepared.task.labels)) if prepared.task.labels else None
                for group, label in groups if balance else ():
                    balance.record(group * config.generate.group, config.generate.group, label)  # type: ignore[union-attr]
                parts = Parts(
                    prepared.strategy,
                    recorder,
                    [*rules, exact, near, *self._judges(recorder)],
                    exact,
                    near,
                    pool,
                    balance,
                    self._ledger,
                )
                first_group = groups[-1][0] + 1 if groups else 0
                loop = Loop(parts, config.budget, progress, prepared.in_flight, planned, first_group, self._on_tick)
                _stop_on_signals(loop, config.budget.grace)
                return await loop.run()
            finally:
                self._display.say("stopping the engine")
                await recorder.aclose()
        finally:
            embedder.close()

    async def _start_engine(self) -> Engine:
        began = time.monotonic()
        engine = await self._build_engine()
        self._seconds.engine_start += time.monotonic() - began
        version = vllm_version() if engine.name == "vllm" else versions().get(engine.name, "")
        model = getattr(self._config.engine, "model", None) or self._config.model.name
        info = {"name": engine.name, "version": version, "model": "" if engine.name == "replay" else model}
        self._ledger.set_meta("engine", info)
        self._event("engine_started", {**info, "seconds": round(time.monotonic() - began, 1)})
        self._display.engine_started(engine.name, time.monotonic() - began)
        return engine

    async def _build_engine(self) -> Engine:
        cfg: EngineConfig = self._config.engine
        model = self._config.model
        seed = self._config.run.seed
        match cfg:
            case ReplayConfig():
                if cfg.recording is None:
                    return ReplayEngine(cfg, seed)
                with Reader(Path(cfg.recording) / "ledger.sqlite") as reader:
                    return ReplayEngine(cfg, seed, reader.answers(0) | reader.answers_before_slots())
            case EndpointConfig():
                return EndpointEngine.from_config(cfg)
            case TransformersConfig():
                path = await asyncio.to_thread(bundled.resolve, model.name, self._display.say)
                engine = TransformersEngine(cfg, path, model.revision, model.trust_remote_code, seed)
                await engine.start()
                return engine
            case VllmConfig():
                path = await asyncio.to_thread(bundled.resolve, model.name, self._display.say)
                flags: Json = {"dtype": model.dtype, "revision": model.revision, "max-model-len": model.max_len}
                flags["trust-remote-code"] = model.trust_remote_code
                return await VllmEngine.start(cfg, path, flags, seed, self._folder, self._display.say)

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


def _progress(reader: Reader, target: int, spent: float) -> Progress:
    """Where earlier sessions left the run."""
    progress = Progress(target=target, spent=spent)
    progress.accepted = reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")
    progress.candidates = reader.one("SELECT COUNT(*) FROM candidates")
    for reason, count in reader.rows(
        "SELECT reason, COUNT(*) FROM candidates WHERE outcome = 'rejected' GROUP BY reason"
    ):
        progress.rejected[reason] = count
    answered = "FROM requests WHERE state = 'answered'"
    progress.output_tokens = reader.one(f"SELECT COALESCE(SUM(completion_tokens), 0) {answered}")
    progress.all_tokens = progress.output_tokens + reader.one(f"SELECT COALESCE(SUM(prompt_tokens), 0) {answered}")
    return progress


def _encoder(config: Config) -> Encoder:
    name = config.diversity.embedder
    return HashEncoder() if name == "hash" else ModelEncoder(bundled.resolve(name), config.diversity.batch)


def _stop_on_signals(loop: Loop, grace: float) -> None:
    """First signal: drain for `grace` seconds and stop. A second SIGINT leaves at once; the ledger needs no goodbye."""
    running = asyncio.get_running_loop()

    def interrupted() -> None:
        loop.stop("signal", grace)
        running.add_signal_handler(signal.SIGINT, os._exit, INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        running.add_signal_handler(number, interrupted)


def _write_config(prepared: Prepared, folder: Path) -> None:
    (folder / "config.yaml").write_text(to_yaml(to_json(prepared.config)), encoding="utf-8")
