"""Start the processes of the shards, start them again where they are killed, and stop them together."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from synthgen.cluster.shards.child import Spec
from synthgen.errors import ExitCode
from synthgen.ledger import holder

LOG = "run.log"
_MOST_STARTS = 4  # a shard that is killed more often than this is not started again
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Ended:
    """Hold how a shard's process ended: its exit code, or minus the signal that killed it too often."""

    number: int
    code: int


class Processes:
    """Hold the processes of the shards, which end when this process does.

    `env` is added to their environment. `tell` receives the restart of a shard that was killed, and `on_end` the end of
    each shard.
    """

    def __init__(
        self, env: Mapping[str, str], tell: Callable[[str, str], None], on_end: Callable[[Ended], None]
    ) -> None:
        self._env = {**os.environ, **env}
        self._tell = tell
        self._on_end = on_end
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = False

    async def run(self, specs: Sequence[Spec], grace: float) -> list[Ended]:
        """Run all shards to their ends. Where one fails, stop the others.

        Wait for up to `grace` seconds for processes that a killed run has left in the shards' folders.
        """
        return list(await asyncio.gather(*(self._keep(spec, grace) for spec in specs)))

    def stop(self) -> None:
        """Make every shard finish its requests in flight and end."""
        self._stopping = True
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)

    async def _keep(self, spec: Spec, grace: float) -> Ended:
        folder = Path(spec.config["run"]["dir"])
        await _unlocked(folder, grace)
        for start in range(_MOST_STARTS):
            if self._stopping:
                return Ended(spec.number, ExitCode.INTERRUPTED)
            code = await self._run(spec, folder)
            if code >= 0:
                break
            name = signal.Signals(-code).name
            if start + 1 < _MOST_STARTS and not self._stopping:
                self._tell("shard_restart", f"shard {spec.number + 1} was killed ({name}) and is started again")
        ended = Ended(spec.number, code)
        self._on_end(ended)
        if code not in (ExitCode.OK, ExitCode.STOPPED):
            self.stop()
        return ended

    async def _run(self, spec: Spec, folder: Path) -> int:
        """Run a shard once. Keep its standard input open, so that it notices the end of this process."""
        with _log(folder) as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "synthgen.cluster.shards.child", stdin=asyncio.subprocess.PIPE, stdout=log,
                stderr=log, env=self._env, start_new_session=True,
            )  # fmt: skip
        self._running[spec.number] = process
        try:
            assert process.stdin is not None
            process.stdin.write(spec.line())
            if self._stopping:
                process.send_signal(signal.SIGTERM)
            return await process.wait()
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            raise
        finally:
            del self._running[spec.number]


def _log(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / LOG).open("ab")


async def _unlocked(folder: Path, seconds: float) -> None:
    """Wait until no process works in a folder, for up to `seconds`.

    If the process still works after that, the next step fails with its own message.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while holder(folder) is not None and loop.time() < deadline:  # noqa: ASYNC110, another process has the lock
        await asyncio.sleep(_LOOK_SECONDS)
