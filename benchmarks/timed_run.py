"""Run `synthgen` and time its loop; write spent.json into the working folder."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from synthgen.cli import dispatch
from synthgen.diversity.near import NearDuplicate
from synthgen.ledger.commits import Commits
from synthgen.run.loop import Loop

SPENT = {"loop_seconds": 0.0, "main_cpu": 0.0, "ledger_cpu": 0.0, "embedder_cpu": 0.0, "all_cpu": 0.0}


async def timed_loop(loop: Loop) -> str:
    clock, cpu, everything = time.monotonic(), time.thread_time(), time.process_time()
    try:
        return await run(loop)
    finally:
        SPENT["loop_seconds"] += time.monotonic() - clock
        SPENT["main_cpu"] += time.thread_time() - cpu
        SPENT["all_cpu"] += time.process_time() - everything


def timed_writer(commits: Commits) -> Any:
    write(commits)
    SPENT["ledger_cpu"] = time.thread_time()


def timed_comparison(near: NearDuplicate, questions: Any) -> Any:
    began = time.thread_time()
    try:
        return compare(near, questions)
    finally:
        SPENT["embedder_cpu"] += time.thread_time() - began


if __name__ == "__main__":
    run, write, compare = Loop.run, Commits._run, NearDuplicate._compare
    Loop.run, Commits._run = timed_loop, timed_writer  # type: ignore[method-assign, assignment]
    NearDuplicate._compare = timed_comparison  # type: ignore[method-assign]
    code = dispatch(sys.argv[1:])
    Path("spent.json").write_text(json.dumps(SPENT))
    sys.exit(code)
