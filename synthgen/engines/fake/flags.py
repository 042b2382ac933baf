"""Read the command line of the stand-in server, and prepare its start."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthgen.engines.fake import faults, habits
from synthgen.engines.fake.faults import InjectedFault


def read_flags(words: list[str], description: str | None) -> argparse.Namespace:
    """Read the command line. Print flags of vLLM's server that the stand-in does not know, and ignore them."""
    parser = argparse.ArgumentParser(
        "python -m synthgen.engines.fake.stand_in", allow_abbrev=False, description=description
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--seed", type=int, default=0, help="determines the answers and which requests fail")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that every answer takes")
    parser.add_argument("--batch-seconds", type=float, default=1.0, help="seconds that every batch takes")
    parser.add_argument("--model", help="model name to serve; without it, any requested name is accepted")
    parser.add_argument("--served-model-name", help="overrides --model, as in vLLM")
    parser.add_argument("--lora-modules", type=_checked(_adapter), nargs="+", default=[], help="as for vLLM")
    parser.add_argument("--max-num-seqs", type=int, help="requests processed at once; no limit without it")
    parser.add_argument(
        "--approve", type=_share, default=0.9, help="share of the judge's questions that get a good grade"
    )
    parser.add_argument("--repeat", type=_share, default=0.0, help="share of answers that repeat another answer")
    parser.add_argument("--broken", type=_share, default=0.0, help="share of answers that are cut off")
    parser.add_argument(
        "--faults", type=_checked(faults.parse), default=[], help="a JSON array; see synthgen.engines.fake.faults"
    )
    parser.add_argument(
        "--habit", type=_checked(habits.parse), action="append", default=[],
        help="NAME or NAME=VALUE, can be repeated; see synthgen.engines.fake.habits",
    )  # fmt: skip
    parser.add_argument(
        "--book", type=Path, help="file that gets one line per start, to count the starts of this server"
    )
    flags, ignored = parser.parse_known_args(words)
    if ignored:
        print(f"ignored flags: {' '.join(ignored)}", file=sys.stderr)
    if flags.book is None and any(fault.starts is not None for fault in flags.faults):
        parser.error("a fault with 'starts' needs --book FILE to count the starts")
    return flags


def _checked(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap `read`, so that argparse prints the messages of its ValueErrors."""

    def wrapped(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return wrapped


def _adapter(text: str) -> str:
    """Return the name of an adapter given in one of vLLM's two forms: a JSON object, or NAME=PATH."""
    return str(json.loads(text)["name"]) if text.startswith("{") else text.partition("=")[0]


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value


def count_start(book: Path | None) -> int:
    """Return the number of this start, from 1; `book` gets one line per start."""
    if book is None:
        return 1
    with book.open("a+") as file:
        file.write(f"{os.getpid()}\n")
        file.flush()
        file.seek(0)
        return sum(1 for _ in file)


def fail_at_start(found: list[InjectedFault], max_num_seqs: int | None, port: int) -> None:
    """End the process with vLLM's own error message if a fault requires it."""
    for fault in found:
        if fault.kind == "port_taken":
            sys.exit(f"OSError: [Errno 98] Address already in use (port {port})")
        if max_num_seqs is None or max_num_seqs > fault.value:
            sys.exit(
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a total capacity"
                " of 23.64 GiB of which 312.81 MiB is free.\nRuntimeError: CUDA out of memory occurred when warming up"
                f" sampler with {max_num_seqs or 256} dummy requests. Please try lowering `max_num_seqs` or"
                " `gpu_memory_utilization` when initializing the engine.\n"
                "RuntimeError: Engine core initialization failed. See root cause above."
            )
