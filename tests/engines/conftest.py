"""Stand-in servers as real processes, for what speaks HTTP."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any
from unittest import mock

import pytest
from forks import forks, like_subprocess
from stand_in_servers import serve


@pytest.fixture(scope="module", autouse=True)
def _servers_are_forked() -> Iterator[None]:
    """Stand-in servers that code under test starts in vLLM's place take no time to start."""
    with mock.patch("synthgen.engines.vllm.server_process.subprocess", like_subprocess):
        yield


@pytest.fixture
def _servers_are_started() -> Iterator[None]:
    """For tests of what a new process has: its environment, its command line, the time it takes to start."""
    with mock.patch("synthgen.engines.vllm.server_process.subprocess", subprocess):
        yield


@dataclass
class Server:
    """A stand-in server's process and its address, up to and with /v1."""

    process: BaseProcess
    url: str


StartServer = Callable[..., Server]


@pytest.fixture
def stand_in() -> Iterator[StartServer]:
    """`stand_in(*faults, delay=0.01, habit=["busy=4"], ...)`: starts a server whose faults are keyword dictionaries."""
    started: list[tuple[BaseProcess, Connection]] = []

    def start(*faults: dict[str, Any], env: dict[str, str] | None = None, **flags: Any) -> Server:
        words = ["--faults", json.dumps(faults)]
        for name, value in flags.items():
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{name.replace('_', '-')}", str(one)]
        context = forks("synthgen.engines.fake.stand_in")
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=serve, args=(words, {**os.environ, **(env or {})}, there), daemon=True)
        process.start()
        there.close()
        started.append((process, here))
        return Server(process, here.recv())

    yield start
    for process, output in started:
        process.kill()
        process.join()
        output.close()
