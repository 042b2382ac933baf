"""Run the loop of a run with shards: passes of all shards, each followed by a merge, until nothing is missing.

The session around it is that of every run (`synthgen.run.session`): it trains the student and writes the reports.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.cluster.shards.child import NO_ROOM, Spec
from synthgen.cluster.shards.merge import merge
from synthgen.cluster.shards.processes import LOG, Ended, Processes
from synthgen.cluster.shards.servers import KEY_VARIABLE, Servers
from synthgen.cluster.shards.state import (
    NOT_BEGUN,
    News,
    ShardRecord,
    State,
    added,
    figures,
    raised,
    shard_record,
    together,
)
from synthgen.config import Config, to_json
from synthgen.engines.base import EngineConfig
from synthgen.errors import EngineDeadError, ExitCode, InputError, RunFolderError, WriteError
from synthgen.ledger import Ledger, Reader
from synthgen.records import Json
from synthgen.run.continuation import relative
from synthgen.run.display import Display
from synthgen.run.metrics import Metrics
from synthgen.run.notes import Notes
from synthgen.run.prepare import Prepared
from synthgen.run.progress import Progress
from synthgen.run.shares import ShardGoal, goals, ledgers, shard_config, shard_folder

_TICK_SECONDS = 1.0
_LAST_LINES = 12
_MORE_GRACE = 15.0


class Sharded:
    """Run the loop of a run with shards. `drain_with` gets the function that stops all shards."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        ledger: Ledger,
        display: Display,
        notes: Notes,
        drain_with: Callable[[Callable[[], object]], None],
    ) -> None:
        self._prepared = prepared
        self._config: Config = prepared.config
        self._folder = folder
        self._ledger = ledger
        self._display = display
        self._notes = notes
        self._drain_with = drain_with
        self._paths = ledgers(folder, prepared.config.shards)
        self._goals = goals(prepared.config, list(prepared.task.asked), prepared.target)
        self._processes: Processes | None = None
        self._news = News([])
        self._closing = False
        self._passes = 0
        """Number of passes that this session has begun."""
        self._progress = Progress(prepared.target, budget_usd=prepared.capabilities.budget_usd)
        self._shards: dict[str, Json] = {}
        """The states of the shards, as `Metrics` shows those of servers."""
        self._starting: asyncio.Task[EngineConfig] | None = None

    async def loop(self) -> str:
        """Return the name of the rule that stopped the run. Raise EngineDeadError where an engine fails for good."""
        self._drain_with(self._stop)
        with Reader(self._ledger.path) as reader:
            state = State.read(reader)
        state.lost = state.lost or [{} for _ in self._paths]
        servers = Servers(self._prepared, self._folder, self._display.say, self._notes, self._stop_processes)
        port = self._config.metrics.port
        metrics = None if port is None else Metrics(port, self._config.run.name, self._progress, lambda: self._shards)
        try:
            while True:
                if state.number == state.merged and (reason := self._begin(state)) is not None:
                    return reason
                if left := [number for number in state.active if not self._standing(number).has_ended(state.number)]:
                    await self._work(state, left, servers)
                if self._closing:
                    return "signal"
                await self._merge(state)
        finally:
            await servers.aclose()
            if metrics is not None:
                metrics.close()

    def _stop(self) -> None:
        self._closing = True
        self._display.say("stopping the shards")
        if self._starting is not None:
            self._starting.cancel()
        self._stop_processes()

    def _stop_processes(self) -> None:
        if self._processes is not None:
            self._processes.stop()

    # -- passes ------------------------------------------------------------------------------------

    def _begin(self, state: State) -> str | None:
        """Begin the next pass. Return the name of the rule that ended the run if no shard continues.

        In the first pass of a session all shards that lack samples continue. Later only those do that have reached
        their goals, and lost samples in the merge.
        """
        if state.number and (missing := next((path for path in self._paths if not path.is_file()), None)):
            raise RunFolderError(
                f"{missing}: the ledger of this shard is missing, so the run cannot go on; start a new run from its merged "
                f"samples:\n  synthgen resume {self._folder} --fork NEW_RUN"
            )
        shards = [self._standing(number) for number in range(len(self._paths))]
        lacking = [
            number
            for number, (shard, goal) in enumerate(zip(shards, raised(self._goals, state.lost), strict=True))
            if goal.lacks(shard.accepted)
        ]
        active = [number for number in lacking if not self._passes or shards[number].stopped_by == "target"]
        if not active:
            stopped = [shards[number].stopped_by for number in lacking]
            return next((reason for reason in stopped if reason not in ("", "target")), "target")
        self._passes += 1
        if state.number:
            state.base += len(shards) * max(
                shard.frontier - begin for shard, begin in zip(shards, state.begins, strict=True)
            )
        state.number += 1
        state.begins = [shard.frontier for shard in shards]
        state.active = active
        state.write(self._ledger)
        return None

    async def _work(self, state: State, numbers: Sequence[int], servers: Servers) -> None:
        """Run these shards to the end of the pass."""
        self._starting = asyncio.create_task(servers.shared())
        try:
            engine = await self._starting
        except asyncio.CancelledError:
            if not self._closing:
                raise
            return
        finally:
            self._starting = None
        raised_goals = raised(self._goals, state.lost)
        specs = [self._spec(state, number, raised_goals[number], engine) for number in numbers]
        for spec in specs:
            self._display.say(self._starts(spec.number, raised_goals[spec.number]))

        def on_end(ended: Ended) -> None:
            self._display.say(f"{self._has(ended.number, raised_goals[ended.number])}, and has ended")

        self._news = News(self._paths)
        self._processes = Processes(
            {KEY_VARIABLE: servers.key} if servers.key else {}, self._notes.engine_event, on_end
        )
        if self._closing:
            return
        ticking = asyncio.create_task(self._tick())
        try:
            ended = await self._processes.run(specs, self._config.budget.grace + _MORE_GRACE)
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            self._processes = None
        self._look()
        if servers.lost:
            raise EngineDeadError(servers.lost)
        self._check(ended)

    def _spec(self, state: State, number: int, goal: ShardGoal, engine: EngineConfig) -> Spec:
        config = shard_config(self._config, self._folder, number, goal, engine)
        return Spec(number, to_json(config), [str(path) for path in self._paths], state.stage)

    def _check(self, ended: Sequence[Ended]) -> None:
        """Raise the error of a shard that failed. Stop the run where one was interrupted."""
        for one in ended:
            place = shard_folder(self._folder, one.number) / LOG
            name = f"shard {one.number + 1}"
            if one.code < 0:
                raise EngineDeadError(f"{name} was killed again and again (signal {-one.code}); its output: {place}")
            if one.code == ExitCode.BUG:
                raise RuntimeError(f"{name} ended at an error in synthgen; its output: {place}\n{_end_of(place)}")
            if one.code == ExitCode.BAD_INPUT:
                raise InputError(f"{name}: {_end_of(place, 1)}")
            if one.code == NO_ROOM:
                raise WriteError(f"{name}: {_end_of(place, 1)}")
            if one.code == ExitCode.ENGINE_FAILED:
                raise EngineDeadError(f"{name}: {self._standing(one.number).failure or _end_of(place)}")
            self._closing = self._closing or one.code == ExitCode.INTERRUPTED

    async def _merge(self, state: State) -> None:
        """Merge the samples of the pass into the ledger of the run."""
        self._display.say(f"merging the samples of {len(self._paths)} shards")
        prepared = self._prepared
        decided = await asyncio.to_thread(
            merge, self._ledger, self._paths, state.stage, state.base, prepared.task, self._config.diversity,
            self._display.say,
        )  # fmt: skip
        state.lost = added(state.lost, decided.lost)
        state.merged = state.number
        state.write(self._ledger)
        lost = sum(sum(own.values()) for own in decided.lost)
        self._notes.event("merged", {"pass": state.number, "samples": decided.kept, "duplicates": lost})
        if lost:
            self._display.say(f"{lost:,} samples were duplicates across shards")

    # -- looking at the shards -----------------------------------------------------------------------

    def _starts(self, number: int, goal: ShardGoal) -> str:
        log = relative(shard_folder(self._folder, number) / LOG)
        return f"{self._has(number, goal)}, and starts; its output: {log}"

    def _has(self, number: int, goal: ShardGoal) -> str:
        have = sum(self._standing(number).accepted.values())
        return f"shard {number + 1} of {len(self._paths)} has {have:,} of {goal.target:,} samples"

    def _standing(self, number: int) -> ShardRecord:
        path = self._paths[number]
        if not path.is_file():
            return NOT_BEGUN
        with Reader(path) as reader:
            return shard_record(reader)

    async def _tick(self) -> None:
        """Show the progress of all shards together, until this is cancelled."""
        self._progress.spent, self._progress.started = self._notes.seconds.loop, time.monotonic()
        while True:
            self._look()
            await asyncio.sleep(_TICK_SECONDS)

    def _look(self) -> None:
        """Show what the shards tell, and their progress."""
        found: dict[int, Json] = {}
        for number, path in enumerate(self._paths):
            if path.is_file():
                with Reader(path) as reader:
                    found[number] = figures(reader)
                    for news in self._news.of(number, reader):
                        self._display.say(f"shard {number + 1}: {news}")
        together(self._progress, list(found.values()))
        self._shards = {
            f"shard {number + 1}": {
                "state": "up", "in_flight": one["in_flight"], "tokens": {"completion": one["output_tokens"]}
            }
            for number, one in found.items()
        }  # fmt: skip
        self._notes.tick(self._progress)


def _end_of(log: Path, lines: int = _LAST_LINES) -> str:
    """Return the last lines of a shard's output."""
    if not log.is_file():
        return "it has no output"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
