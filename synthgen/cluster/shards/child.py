"""Run one shard. This is the program of a shard's process.

The run that started it writes one line of JSON, a `Spec`, to its standard input, and keeps the input open. When it ends,
which is also what a kill of that run does, the shard finishes its requests in flight and ends. Its output goes to run.log
in its folder.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from synthgen import __version__
from synthgen.cluster.shards.exchange import ENDS, ShardExchange, Stage
from synthgen.config import Config, from_saved, to_json
from synthgen.errors import ExitCode, UserError, WriteError
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.records import Json
from synthgen.run.folders import write_config
from synthgen.run.lifecycle import beginning
from synthgen.run.prepare import Prepared, prepare
from synthgen.run.running import Running
from synthgen.run.runtime.signals import exit_with
from synthgen.run.session import Session
from synthgen.safety.secrets import mask

NO_ROOM = os.EX_IOERR
"""Exit code of a shard whose disk refused to write. Only the run that started it sees this code."""
_CODES = {"target": ExitCode.OK, "engine": ExitCode.ENGINE_FAILED, "signal": ExitCode.INTERRUPTED}


@dataclass(frozen=True)
class Spec:
    """Hold the arguments of a shard's process."""

    number: int
    config: Json
    ledgers: Sequence[str]
    stage: Stage

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: str) -> "Spec":
        found = json.loads(line)
        return cls(**{**found, "stage": Stage(**found["stage"])})


def main() -> int:
    spec = Spec.read(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return work(spec, from_saved(spec.config, []))
    except WriteError as error:
        print(mask(str(error)), flush=True)
        return NO_ROOM
    except UserError as error:
        print(mask(str(error)), flush=True)
        return ExitCode.BAD_INPUT


def _end_with_parent() -> None:
    while os.read(0, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def work(spec: Spec, config: Config) -> int:
    """Run the shard's loop to the end of the pass, and return the exit code."""
    folder = Path(config.run.dir)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ledger.sqlite"
    with run_lock(folder):
        begun = path.exists()
        prepared = prepare(config, [], begun=begun)
        with Ledger.open(path) if begun else Ledger.create(path, beginning(prepared)) as ledger:
            write_config(prepared, folder)
            ledger.set_meta("config", to_json(prepared.config))
            ledger.set_meta("target", prepared.target)
            reason, failure = _session(spec, prepared, folder, ledger).gather()
            code = _CODES.get(reason, ExitCode.STOPPED)
            if code in (ExitCode.OK, ExitCode.STOPPED):
                ledger.wait_written()
                with Reader(path) as reader:
                    ends = reader.meta(ENDS) or {}
                    ledger.set_meta(ENDS, {**ends, str(spec.stage.number): reader.frontier()})
            ledger.event("finished", {"exit_code": code})
            ledger.end_session(code).result()
    print(mask(f"synthgen {__version__}: shard {spec.number + 1} ended: {failure or reason}"), flush=True)
    return code


def _session(spec: Spec, prepared: Prepared, folder: Path, ledger: Ledger) -> Session:
    every = prepared.config.run.exchange
    if every is None:
        return Session(prepared, folder, ledger)
    others = [Path(one) for one in spec.ledgers]
    exchange = ShardExchange(ledger, spec.number, others, spec.stage, every, prepared.config.generate.items)
    return Session(prepared, folder, ledger, make_loop=partial(Running, exchange=exchange))


if __name__ == "__main__":
    exit_with(main)
