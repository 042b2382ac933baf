"""A Ray cluster of several raylets on this machine."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Ring = Any
"""A cluster whose head runs no replica, with `workers`, `grow()`, `shrink()` and `behead()`."""
_STORE = 80_000_000


class _Ring:
    def __init__(self, workers: int) -> None:
        from ray.cluster_utils import Cluster

        common = {"object_store_memory": _STORE, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **common})
        self.address = self._cluster.address
        self.workers: list[Any] = []
        for _ in range(workers):
            self.grow()

    def grow(self) -> None:
        self.workers.append(self._cluster.add_node(num_cpus=1, object_store_memory=_STORE, wait=False))

    def shrink(self) -> None:
        """Kill the oldest raylet, and with it everything on its machine."""
        self._cluster.remove_node(self.workers.pop(0), allow_graceful=False)

    def behead(self) -> None:
        self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # a cluster without its head cannot be shut down in order
            self._cluster.shutdown()


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Ring]]:
    """`ring(2)`: starts a cluster with two machines of one CPU each besides its head."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    started: list[_Ring] = []

    def start(workers: int) -> _Ring:
        for tries in range(3):  # Ray gives a raylet 30 s to start, which a busy machine may not keep
            try:
                started.append(_Ring(workers))
                return started[-1]
            except Exception:
                if tries == 2:
                    raise
                time.sleep(5)
        raise AssertionError("unreachable")

    yield start
    for one in started:
        one.close()
    os.environ.pop("RAY_ADDRESS", None)
