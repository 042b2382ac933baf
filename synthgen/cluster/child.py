"""Speak to Ray: place one actor for each replica, start its server there, and report when it ends.

This is the program of the keeper's process. It reads commands from its standard input and writes messages to its standard
output (`synthgen.cluster.spec`); everything that Ray prints goes to its standard error. It ends when its input ends.
"""

import asyncio
import contextlib
import os
import sys
from typing import Any, BinaryIO

from synthgen.cluster.spec import Bundle, ServerSpec, from_line, to_line

_OWN_STORE = 100_000_000  # bytes of Ray's object store on this machine, which no replica uses
_STOP_SECONDS = 20.0


class Child:
    """Hold the places in the cluster, by their number."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._bundle = Bundle(1, 0, None, {})
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._specs: dict[int, asyncio.Future[ServerSpec]] = {}

    def say(self, *message: Any) -> None:
        self._output.write(to_line(message))
        self._output.flush()

    async def work(self, commands: asyncio.StreamReader) -> None:
        while line := await commands.readline():
            match from_line(line):
                case ("join", address, bundle):
                    self._bundle = bundle
                    try:
                        await asyncio.to_thread(join, address)
                    except Exception as error:  # Ray raises many kinds
                        self.say("refused", -1, f"the Ray cluster cannot be joined ({address}): {error}")
                        return
                    self.say("joined", -1)
                case ("place", number):
                    self._specs[number] = asyncio.get_running_loop().create_future()
                    self._jobs[number] = asyncio.create_task(self._keep(number))
                case ("run", number, spec) if not self._specs[number].done():
                    self._specs[number].set_result(spec)
                case ("release", number) if number in self._jobs:
                    self._jobs[number].cancel()
        for job in self._jobs.values():
            job.cancel()
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)

    async def _keep(self, number: int) -> None:
        """Keep one place from its reservation to the end of its server."""
        import ray
        from ray.exceptions import RayError
        from ray.util import placement_group, remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        from synthgen.cluster.actor import ServerActor

        group = placement_group([self._bundle.amounts()], strategy="STRICT_PACK")
        actor = None
        try:
            await group.ready()
            actor = ray.remote(ServerActor).options(
                num_cpus=self._bundle.cpus, num_gpus=self._bundle.gpus, memory=self._bundle.memory,
                resources=self._bundle.resources, max_restarts=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0),
            ).remote()  # fmt: skip
            self.say("answer", number, await actor.build.remote())
            spec = await self._specs[number]
            self.say("answer", number, await actor.start.remote(spec))
            words, missing_resource = await actor.ended.remote()
            self.say("ended", number, False, words, missing_resource)
        except RayError as error:
            started_badly = getattr(error, "cause", None)
            self.say("ended", number, started_badly is None, _first_line(started_badly or error), None)
        except Exception as error:  # the run must not wait for a place that will never answer
            self.say("ended", number, False, f"{type(error).__name__}: {_first_line(error)}", None)
        finally:
            if actor is not None:
                with contextlib.suppress(RayError, TimeoutError):  # its machine may be gone
                    await asyncio.wait_for(actor.stop.remote(), _STOP_SECONDS)
                ray.kill(actor)
            remove_placement_group(group)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def join(address: str | None) -> None:
    """Join a cluster, or start one on this machine that ends with this process."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is not None:
        ray.init(address=address, **quiet)
    else:
        ray.init(include_dashboard=False, object_store_memory=_OWN_STORE, _node_ip_address="127.0.0.1", **quiet)


async def main() -> None:
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Ray prints to its standard output
    commands = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), os.fdopen(0, "rb")
    )
    await Child(output).work(commands)


if __name__ == "__main__":
    asyncio.run(main())
    sys.stderr.flush()
