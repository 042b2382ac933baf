"""Stand-in servers as real processes, for what speaks HTTP."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass
class Server:
    """A stand-in server's process and its address, up to and with /v1."""

    process: subprocess.Popen[str]
    url: str


StartServer = Callable[..., Server]


@pytest.fixture
def stand_in() -> Iterator[StartServer]:
    """`stand_in(*faults, delay=0.01, habit=["busy=4"], ...)`: starts a server whose faults are keyword dictionaries."""
    started: list[subprocess.Popen[str]] = []

    def start(*faults: dict[str, Any], env: dict[str, str] | None = None, **flags: Any) -> Server:
        command = [sys.executable, "-m", "synthgen.engines.fake.stand_in", "--faults", json.dumps(faults)]
        for name, value in flags.items():
            for one in value if isinstance(value, list) else [value]:
                command += [f"--{name.replace('_', '-')}", str(one)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        started.append(process)
        assert process.stdout is not None
        return Server(process, process.stdout.readline().strip())

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
