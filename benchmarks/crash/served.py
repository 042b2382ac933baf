"""Inject faults into a server: the stand-in, which fails on demand, and a real vLLM, which is killed.

A server's answers depend on the order of the requests, so no dataset is known in advance. The check is that the run
reaches its target, in one session or in two, with nothing lost and no request repeated.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crash.probe import is_whole
from benchmarks.crash.stage import Row, Stage, last_line
from synthgen.ledger import Reader

TARGET = 60
# The stand-in replaces vLLM. The time limits suit answers that take 20 ms.
SERVER = ["engine=vllm", "engine.server=stand_in", "model.name=none", "engine.in_flight=8", "engine.timeout=1",
          "engine.stall_seconds=2", "engine.patience=3", "engine.restarts_per_hour=20", "+engine.flags.delay=0.02"]  # fmt: skip
RESTARTED = "SELECT COUNT(*) FROM events WHERE kind = 'engine_restart'"
FAILED = "SELECT COUNT(*) FROM requests WHERE state = 'failed'"
ASKED_AGAIN = "SELECT COUNT(*) FROM requests WHERE kind LIKE '%/again%' AND state = 'answered'"


@dataclass(frozen=True)
class ServerFault:
    """Hold the stand-in's fault, and a query whose result is above 0 once the fault occurred."""

    name: str
    orders: dict[str, object]
    sign: str


FAULTS = [
    ServerFault("engine dies by SIGKILL", {"kind": "die", "after": 80, "starts": 3}, RESTARTED),
    ServerFault("engine hangs: requests never answered", {"kind": "hang", "after": 40, "count": 3}, FAILED),
    ServerFault("engine stalls: healthy, no token", {"kind": "stall", "after": 60, "starts": 2}, RESTARTED),
    ServerFault("engine frozen (SIGSTOP)", {"kind": "freeze", "after": 60, "starts": 1}, RESTARTED),
    ServerFault("some 500s", {"kind": "status", "value": 500, "share": 0.1}, FAILED),
    ServerFault("storm of 503s until a restart", {"kind": "status", "value": 503, "after": 60, "starts": 1}, RESTARTED),
    ServerFault("429 with Retry-After", {"kind": "busy", "value": 1, "after": 40, "count": 4}, FAILED),
    ServerFault("slow drip past the time limit", {"kind": "drip", "value": 0.2, "after": 40, "count": 3}, FAILED),
    ServerFault("connection reset in mid-answer", {"kind": "reset", "share": 0.1}, FAILED),
    ServerFault("answer cut in the middle", {"kind": "truncated", "share": 0.1}, FAILED),
    ServerFault("wrong model answers", {"kind": "model", "value": "another", "after": 60, "starts": 1}, RESTARTED),
    ServerFault("NaN logprobs now and then", {"kind": "nan_logprobs", "share": 0.1}, ASKED_AGAIN),
    ServerFault("logprobs left out now and then", {"kind": "no_logprobs", "share": 0.1}, ASKED_AGAIN),
    ServerFault("port taken at the start", {"kind": "port_taken", "starts": 2},
                "SELECT COUNT(*) FROM events WHERE kind = 'engine_port'"),
    ServerFault("out of memory at the start", {"kind": "oom", "value": 32},
                "SELECT COUNT(*) FROM events WHERE kind = 'engine_memory'"),
]  # fmt: skip
POISON = "zyzzyva"
_ASKED = (
    "SELECT r.slot, t.body FROM requests r, json_each(r.messages) m JOIN texts t ON t.id = m.value"
    " WHERE r.kind = 'generate'"
)


class Served:
    """Run against servers, each run below `place`."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.seed = seed
        self.runs = 0

    def stage(self, settings: Sequence[str], target: int = TARGET) -> Stage:
        self.runs += 1
        stage = Stage(self.place / f"served-{self.runs}", target, self.seed)
        stage.settings = [*settings, "budget.min_free_gigabytes=0"]
        return stage

    def fault(self, fault: ServerFault, times: int) -> Row:
        row = Row(fault.name)
        for _ in range(times):
            book = self.place / f"book-{self.runs}"
            orders = json.dumps([fault.orders]).replace('"', "")
            stage = self.stage([*SERVER, f"+engine.flags.book={book}", f"+engine.flags.faults={orders}"])
            row.times += 1
            self._goes_through(row, stage)
            with Reader(stage.folder / "ledger.sqlite") as reader:
                row.expect(reader.one(fault.sign) > 0, "the fault did not strike")
        return row.end()

    def poison(self, times: int) -> Row:
        """Use a seed whose text kills the server: only the prompts that show it must be quarantined."""
        row = Row("poison prompt")
        for _ in range(times):
            seeds, book = self.place / f"seeds-{self.runs}.jsonl", self.place / f"book-{self.runs}"
            seeds.write_text("".join(json.dumps(seed) + "\n" for seed in _seeds()))
            stage = self.stage(
                [*SERVER, "generate.group=1", "judge=none", "engine.restarts_per_hour=99", f"task.seeds={seeds}",
                 f"+engine.flags.book={book}", f"+engine.flags.faults=[{{kind: poison, value: {POISON}}}]"]
            )  # fmt: skip
            row.times += 1
            self._goes_through(row, stage)
            with Reader(stage.folder / "ledger.sqlite") as reader:
                bad = {slot for slot, body in reader.rows(_ASKED) if POISON in body}
                quarantined = {slot for (slot,) in reader.rows("SELECT slot FROM slots WHERE state = 'quarantined'")}
            row.expect(bool(bad), "the poison was never asked")
            row.expect(quarantined == bad, f"quarantined slots {quarantined}, poisoned ones {bad}")
        return row.end()

    def dead_for_good(self, times: int) -> Row:
        """Check that the run ends with exit code 4 past the restart budget, and resumes with a healthy server."""
        row = Row("engine dies past its restart budget")
        for _ in range(times):
            book = self.place / f"book-{self.runs}"
            stage = self.stage(
                [*SERVER, "engine.restarts_per_hour=1", f"+engine.flags.book={book}",
                 "+engine.flags.faults=[{kind: die, after: 60, starts: 2}]"]
            )  # fmt: skip
            code, said = stage.finish()
            row.times += 1
            row.expect(code == 4, f"exit code {code}, not 4: {said[-300:]}")
            row.expect(last_line(said).startswith("synthgen resume "), f"the last line is {last_line(said)!r}")
            stage.watch.look()
            self._goes_through(row, stage)
        return row.end()

    def kill_vllm(self, times: int) -> Row:
        """Kill a real vLLM server several times in one run: alternately the server and its engine process."""
        row = Row("kill -9 of a real vLLM server")
        settings = ["engine=vllm", f"engine.restarts_per_hour={times + 2}", "engine.in_flight=16"]
        stage = self.stage(settings, target=12 * (times + 1))
        process = stage.start()
        for number in range(times):
            stage.wait_until_it_accepts(process, stage.told() + 8)
            victim = self._vllm_process(stage.folder, engine=number % 2 == 1)
            if not process.runs() or victim is None:
                row.expect(False, f"the run ended before its kill {number + 1}")
                break
            os.kill(victim, signal.SIGKILL)
            row.times += 1
            time.sleep(2)
        self._check(row, stage, *process.end(1800))
        return row.end()

    def _goes_through(self, row: Row, stage: Stage) -> None:
        code, said = stage.finish()
        self._check(row, stage, code, said)

    def _check(self, row: Row, stage: Stage, code: int, said: str) -> None:
        stage.watch.look()
        row.add(stage.watch)
        row.expect(code == 0, f"exit code {code}: {said[-600:]}")
        if code == 0:
            row.expect(is_whole(stage.folder), "the dataset does not match its manifest")
        row.expect(not self._left(stage.folder), "a server process is left")

    def _vllm_process(self, folder: Path, engine: bool) -> int | None:
        """Return the PID of the server, or of the engine process that it started."""
        note = folder / "engine.pid"
        if not note.exists():
            return None
        server = int(json.loads(note.read_text())["pid"])
        listed = subprocess.run(["ps", "-eo", "pid,pgid,args"], capture_output=True, text=True, check=True).stdout
        group = [line.split(None, 2) for line in listed.splitlines()[1:]]
        below = [int(pid) for pid, pgid, words in group if int(pgid) == server and "EngineCore" in words]
        return below[0] if engine and below else server

    def _left(self, folder: Path) -> bool:
        return (folder / "engine.pid").exists()


def _seeds() -> list[dict[str, str]]:
    """Return enough seeds that each is shown rarely; one of them is the poison."""
    labels = ("business", "science", "sport", "world")
    rows = [
        {"text": f"Number {number} of the {label} news.", "label": label} for number in range(60) for label in labels
    ]
    rows[7]["text"] = f"The {POISON} is a beetle."
    return rows
