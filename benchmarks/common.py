"""What every benchmark prints and writes: one table, one flat JSON object, and the machine."""

import json
import os
import platform
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


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
