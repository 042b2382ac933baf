"""Run one session, that is, one process's share of a run: engine, loop, student, dataset and report, in that order.

`synthgen.run.loop` is the loop itself. This module starts it with its parts, and turns every failure into an exit code
and the command that continues the run.
"""

import asyncio
import os
import resource
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from synthgen import __version__, report
from synthgen.config import to_yaml
from synthgen.engines.batch.records import waiting
from synthgen.errors import EngineDeadError, ExitCode, InputError, WorkersError, WriteError
from synthgen.ledger import Ledger, Reader
from synthgen.ledger.durable import is_refused_write
from synthgen.records import Json
from synthgen.report.strategies import GAINS
from synthgen.run.asking import ASK_AFTER
from synthgen.run.continuation import fork_into, relative, resume_command
from synthgen.run.display import Display
from synthgen.run.notes import Notes
from synthgen.run.prepare import Prepared
from synthgen.run.refusal import REFUSED, cure, in_environment, is_empty, mostly_thought, refused
from synthgen.run.running import Running
from synthgen.run.runtime import event_loop
from synthgen.run.runtime.signals import interrupted, on_signals
from synthgen.run.training import strategy_gains, train

_EXIT_CODES = {"target": ExitCode.OK, "engine": ExitCode.ENGINE_FAILED, "signal": ExitCode.INTERRUPTED}


DrainWith = Callable[[Callable[[], object]], None]


class LoopRunner(Protocol):
    """Run the loop of a session, as `Running` does. The samples come into the ledger of the session."""

    async def loop(self) -> str:
        """Return the name of the rule that stopped the loop. Raise EngineDeadError where the engine fails for good."""
        ...


LoopFactory = Callable[[Prepared, Path, Ledger, Display, Notes, DrainWith], LoopRunner]


class Session:
    """Run one session in a run folder that this process has locked. The ledger may be new or have earlier sessions.

    `endless` is True for a run without a real target, such as a preview; the display then shows none. `make_loop`
    returns the object that runs the loop.
    """

    def __init__(
        self, prepared: Prepared, folder: Path, ledger: Ledger, endless: bool = False, make_loop: LoopFactory = Running
    ) -> None:
        self._prepared = prepared
        self._config = prepared.config
        self._folder = folder
        self._ledger = ledger
        self._make_loop = make_loop
        self._display = Display(prepared.config.run.name, None if endless else prepared.target)
        self._notes = Notes(folder, ledger, self._display)
        self._refused = ""
        """The refusal that ended the run; an empty text if none did."""
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
            except WorkersError as error:
                code, reason, failure = ExitCode.ENGINE_FAILED, "workers", str(error)
            except (WriteError, OSError) as error:
                if not (isinstance(error, WriteError) or is_refused_write(error)):
                    raise
                code, reason, failure = ExitCode.STOPPED, "disk", self._no_room(error)
        if reason == ASK_AFTER:
            lines.append(shlex.join(["synthgen", "label", relative(self._folder), "--count", "40"]))
        self._display.close(lines, failure, None if code == ExitCode.OK else self._advice(reason))
        return code

    def _advice(self, reason: str) -> str:
        """Return the last line: the resume command, or advice where the engine refused everything from the start.

        The keys that cure a refusal may change in a fork alone, which keeps the accepted samples.
        """
        if not self._refused or waiting(self._folder):
            return self._resume_command(reason)
        if not self._is_empty():
            return self._resume_command(reason, fork=not in_environment(self._refused))
        self._ledger.set_meta(REFUSED, True)
        return f"nothing was generated: change what is named above, and start the run again; {relative(self._folder)} is free"

    def _is_empty(self) -> bool:
        with Reader(self._ledger.path) as reader:
            return is_empty(reader)

    def _where_to_change(self, failure: str) -> str:
        """Return the sentence that explains the fork in the last line after a refusal; empty if the last line offers no
        fork."""
        if self._is_empty() or waiting(self._folder) or in_environment(failure):
            return ""
        return "; add the changed key to the command below, which continues with the accepted samples in a new folder"

    def gather(self) -> tuple[str, str]:
        """Run only the loop. Return the name of the rule that stopped it, and the failure if there was one."""
        with on_signals(self._interrupt), self._display:
            return self._gather()

    def _gather(self) -> tuple[str, str]:
        reason, failure = "", ""
        report.write_events(self._folder)  # a killed session may have left an incomplete line in that file
        self._ledger.begin_session(__version__)
        self._notes.event("started", {"pid": os.getpid()})
        try:
            running = self._make_loop(
                self._prepared, self._folder, self._ledger, self._display, self._notes, self._drain_with
            )
            reason = event_loop.run(self._loop(running))
        except EngineDeadError as error:
            reason, failure = "engine", str(error)
            if refused(error, self._is_empty()):
                self._refused = failure
                failure += f"\n{cure(failure)}{self._where_to_change(failure)}"
        except (KeyboardInterrupt, asyncio.CancelledError):  # came before the loop could drain its work
            reason = "signal"
        finally:
            self._drain = None
        if interrupted() and not failure:  # also where the signal came after the loop had ended
            reason = "signal"
        self._notes.note_seconds()
        self._ledger.set_meta("stopped_by", reason)
        if reason == ASK_AFTER:
            self._ledger.set_meta(ASK_AFTER, True)
        self._notes.event("stopped", {"by": reason, "failure": failure})
        return reason, failure

    def _finish(self, reason: str) -> tuple[int, list[str]]:
        """Train the student and write dataset and report. Return the exit code and the closing lines."""
        code = _EXIT_CODES.get(reason, ExitCode.STOPPED)
        if code in (ExitCode.OK, ExitCode.STOPPED) and not self._train():
            code = ExitCode.INTERRUPTED
        self._notes.note_seconds()
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
            metrics = train(self._prepared, self._folder, self._display.say, False, self._notes.student_tick)
            gains = strategy_gains(self._prepared, self._folder, self._display.say)
        except KeyboardInterrupt:
            return False
        except InputError as error:
            if self._prepared.seeds:
                raise
            self._display.say(f"no student is trained: {error}")  # without seeds there may be no row at all
            return True
        finally:
            self._notes.seconds.student += time.monotonic() - began
        self._ledger.set_meta("student", metrics)
        self._ledger.set_meta(GAINS, gains)
        self._notes.event(
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
        counts = summary["counts"]
        if counts["seeds"] or counts["accepted"]:  # neither where the run ended before its first slot
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

    def _resume_command(self, reason: str, fork: bool = False) -> str:
        """Return the command that continues the run, or its fork, for the last line of the output."""
        budget_usd = self._prepared.capabilities.budget_usd
        more = []
        if reason not in ("signal", "engine", "workers") and mostly_thought(self._ledger.path):
            more.append(f"model.thinking_tokens={2 * self._config.model.thinking_tokens}")
        if fork:
            more += fork_into(self._folder)
        return resume_command(self._folder, self._config.budget, reason, budget_usd, more)

    async def _loop(self, running: LoopRunner) -> str:
        task = asyncio.current_task()
        assert task is not None
        self._drain_with(task.cancel)
        return await running.loop()

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
