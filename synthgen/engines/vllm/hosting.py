"""Define where a vLLM server can run, for `synthgen.engines.vllm.server`.

`ThisMachine` there starts a child process; `synthgen.cluster` starts a server on a machine of a Ray cluster.
"""

from typing import TYPE_CHECKING, Literal, Protocol

from synthgen.records import Json

if TYPE_CHECKING:
    from synthgen.engines.vllm.config import ServerKnobs


class Process(Protocol):
    """Watch and stop a server that was started."""

    @property
    def log(self) -> object:
        """Return the place of its output, for messages."""
        ...

    @property
    def has_ended(self) -> bool: ...

    @property
    def was_lost(self) -> bool:
        """Return True if the server ended because its machine did, so that no request can be the cause."""
        ...

    async def settled(self) -> None:
        """Wait until it is known why it does not answer any more, for a few seconds at most."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def stop(self) -> None:
        """End it in order. This may block for some seconds."""
        ...

    def failure_message(self, what: str) -> str:
        """Return `what`, followed by the lines of its output that explain it best."""
        ...

    def missing_resource(self) -> Literal["port", "memory"] | None:
        """Return the resource that a failed server lacked, if its output states it."""
        ...


class Host(Protocol):
    """Start servers in one place."""

    async def build(self) -> str | None:
        """Return the build of vLLM that is installed there: `cpu` or `gpu`; None if there is none."""
        ...

    async def run(
        self, cfg: "ServerKnobs", model: str, flags: Json, build: str, served_name: str, key: str
    ) -> tuple[Process, str]:
        """Start a server and return it with its address, without /v1. Do not wait until it is healthy."""
        ...
