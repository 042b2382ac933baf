"""Share code among the benchmarks: arguments, tables, figures as one flat JSON object, child processes, the machine's name."""

import argparse
import contextlib
import json
import os
import platform
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from synthgen.engines.vllm.server_process import end_with_parent, signal_group
from synthgen.run.runtime.signals import STOPPING

DRAIN_SECONDS = 120.0
"""Seconds between SIGTERM and SIGKILL for a child; a run finishes its requests in flight."""
_REST_SECONDS = 5.0
"""Seconds after a child's end for the processes that it started."""
_LOOK_SECONDS = 0.1


def on_real_rows(doc: str | None, task: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments of a benchmark on real rows: --task, --train, --test and --out.

    `doc` is the help of the benchmark, and `task` the help of --task.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help=task)
    parser.add_argument("--train", type=Path, required=True, help="real rows: the seeds, and those of the real_ arms")
    parser.add_argument("--test", type=Path, required=True, help="real rows that are only scored")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures to this file")
    return parser


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int = 110) -> None:
    """Print `rows`; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    Console(width=width).print(table)


def write_figures(out: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures and the machine's name as one flat JSON object."""
    if out is not None:
        out.write_text(json.dumps({**figures, "machine": machine()}, indent=2, ensure_ascii=False) + "\n")


def run_child(
    command: Sequence[str], env: Mapping[str, str], log: Path, is_over: Callable[[], bool] = lambda: False
) -> int:
    """Run `command` in a process group of its own, append its output to `log`, and return its exit code.

    The child is ended once `is_over` says so. It does not outlive this process, and nothing that it started outlives it
    then. An exception, such as the KeyboardInterrupt of a signal, sends it SIGTERM and waits until it has drained; a second
    signal kills it. If this process is killed, the kernel sends the SIGTERM.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            preexec_fn=end_with_parent,
        )  # fmt: skip
    try:
        while process.poll() is None and not is_over():
            time.sleep(_LOOK_SECONDS)
    finally:
        _end(process)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a running process and then the processes that it started. Servers have process groups of their own."""
    if process.poll() is not None:
        return
    deadline = time.monotonic() + DRAIN_SECONDS
    started = _started_by(process.pid)
    with _signals_noted() as came:
        process.terminate()  # the shell makes background jobs ignore SIGINT
        while process.poll() is None and not came and time.monotonic() < deadline:
            started |= _started_by(process.pid)
            time.sleep(_LOOK_SECONDS)
        if process.poll() is None:
            started |= _started_by(process.pid)
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
        _, left = psutil.wait_procs(started, 0 if came else _REST_SECONDS)
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def _started_by(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


@contextlib.contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Yield a list that collects the stopping signals; they have no other effect inside this context."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield came
        return
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in STOPPING}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resident() -> int:
    """Return the bytes of resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def machine() -> str:
    """Return the processor, the number of cores that this process may use, and the Python version."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
