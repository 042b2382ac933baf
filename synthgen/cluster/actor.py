"""Start a server on the machine that Ray chose. An instance is a Ray actor, and the server ends with it.

The server listens at the machine's address in the cluster, because the run may be elsewhere; it answers only requests that
carry its key.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

from synthgen.cluster.spec import ServerSpec
from synthgen.cluster.weights import local_weights
from synthgen.engines.vllm.config import command_line, environment
from synthgen.engines.vllm.options import vllm_build
from synthgen.engines.vllm.server_process import ServerProcess, free_port


class ServerActor:
    """Hold one server process. Its methods are coroutines, so that Ray runs them all in one thread that lives on."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="synthgen-"))
        self._process: ServerProcess | None = None

    async def build(self) -> str | None:
        return vllm_build()

    async def start(self, spec: ServerSpec) -> str:
        """Start the server and return its address, without /v1."""
        import ray

        model = spec.model if spec.cfg.server != "vllm" else await asyncio.to_thread(local_weights, spec.model)
        host, port = ray.util.get_node_ip_address(), free_port(ray.util.get_node_ip_address())
        command = command_line(spec.cfg, spec.flags, model, spec.served_name, port, host)
        env = environment(spec.cfg, spec.build, spec.flags, spec.key)
        self._process = ServerProcess.start(command, env, spec.served_name, self._folder)
        return f"http://{host}:{port}"

    async def ended(self) -> tuple[str, str | None]:
        """Wait until the server has ended. Return the end of its output, and the resource that it lacked."""
        assert self._process is not None
        await asyncio.to_thread(self._process.wait)
        return self._process.failure_message("the server ended"), self._process.missing_resource()

    async def stop(self) -> None:
        """End the server, if it still runs, with all its processes, and remove its files."""
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)
        shutil.rmtree(self._folder, ignore_errors=True)
