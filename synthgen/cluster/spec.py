"""Hold the data that a run, its keeper and the servers in the cluster exchange."""

import base64
import pickle
from dataclasses import dataclass
from typing import Any

from synthgen.engines.vllm.config import ServerKnobs
from synthgen.records import Json


@dataclass(frozen=True)
class ServerSpec:
    """Describe a server to start."""

    cfg: ServerKnobs
    model: str
    flags: Json
    build: str
    served_name: str
    key: str


@dataclass(frozen=True)
class Bundle:
    """Hold the resources that Ray reserves for one replica."""

    cpus: float
    gpus: float
    memory: float | None
    """Bytes; None to reserve none."""
    resources: dict[str, float]

    def amounts(self) -> dict[str, float]:
        """Return the resources by Ray's names."""
        found = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory or 0.0, **self.resources}
        return {name: amount for name, amount in found.items() if amount}


def to_line(message: tuple[Any, ...]) -> bytes:
    """Return a message as one line. Both ends are processes of the same program, so that pickle is safe."""
    return base64.b64encode(pickle.dumps(message)) + b"\n"


def from_line(line: bytes) -> tuple[Any, ...]:
    return tuple(pickle.loads(base64.b64decode(line)))
