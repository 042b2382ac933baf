"""Shared parts of the benchmarks: tables, figures as one flat JSON object, child processes, and the machine's name."""

import contextlib
import json
import os
import platform
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from synthgen.engines.vllm.server_process import end_with_parent, signal_group

DRAIN_SECONDS = 120.0
"""Time that a child has between SIGTERM and SIGKILL; a run finishes its requests in flight."""


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int = 110) -> None:
    """Prints `rows`; the first column is text, the others are figures."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    Console(width=width).print(table)


def write_figures(out: Path | None, figures: dict[str, Any]) -> None:
    """Writes the figures as one flat JSON object, the machine among them."""
    if out is not None:
        out.write_text(json.dumps({**figures, "machine": machine()}, indent=2, ensure_ascii=False) + "\n")


def run_child(command: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """Run `command` in a process group of its own, append its output to `log`, and return its exit code.

    The child does not outlive this process. An exception, such as the KeyboardInterrupt of a signal, sends it SIGTERM and
    waits until it has drained; a second one kills it. If this process is killed, the kernel sends the SIGTERM.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            preexec_fn=end_with_parent,
        )  # fmt: skip
    try:
        return process.wait()
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process.terminate()  # a SIGINT would be lost where the shell made it ignored, as for a job in the background
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DRAIN_SECONDS)
    finally:
        if process.poll() is None:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def machine() -> str:
    """The processor, how many of its cores this process may use, and the Python."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
