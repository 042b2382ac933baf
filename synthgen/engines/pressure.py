"""Adapt the number of generation requests to an engine's load: keep its batch full and avoid preemption.

A preempted request is computed again, which wastes work.

The engine runs as many requests as its batch (`max-num-seqs`) and its KV cache can hold; the rest waits. A queue that
is never empty means a full batch, and a short queue is enough to keep it full. A KV cache that is almost full is about
to preempt, whatever the queue. Between these two bounds nothing changes. The number of requests first doubles and later
rises in steps, as in TCP, and falls by a fixed share after a preemption. The queue length is the minimum over an
interval, because bursts pass by themselves (CoDel, RFC 8289).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

_INTERVAL = 4  # readings that a decision uses, and that its effect gets to become visible
_START = 64
_FLOOR = 4
# The limit falls to this share of the running requests at a preemption, and to this share of itself at least if too
# many requests wait.
_BACK_OFF = 0.8
_FAR = 0.75  # below this share of the target for the KV cache, steps may be large
_LONGEST_DRAIN = 40  # readings
# The share of the KV cache to use. Requests differ in length, so the target falls when it proves too high.
_LEAST_GOAL, _MOST_GOAL, _TOLERANCE = 0.5, 0.88, 0.07
_LOWERED, _RAISED = 0.05, 0.001


@dataclass(frozen=True)
class Load:
    """Hold a reading of a server's metrics over all its engine cores; counters count from its start."""

    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0
    """Largest share of the KV cache in use in any engine core, from 0 to 1."""
    preemptions: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    cache_queries: int = 0
    """Prompt tokens looked up in the prefix cache."""
    cache_hits: int = 0
    """Prompt tokens found in the prefix cache."""

    @property
    def tokens(self) -> int:
        """Return the tokens read and written so far."""
        return self.prompt_tokens + self.generation_tokens

    @property
    def is_busy(self) -> bool:
        return self.running + self.waiting > 0


_NAMES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_usage",
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:prefix_cache_queries_total": "cache_queries",
    "vllm:prefix_cache_hits_total": "cache_hits",
}


def read_load(page: str) -> Load | None:
    """Parse the load from vLLM's /metrics page; None where it lacks running or waiting requests."""
    found: dict[str, list[float]] = {}  # one value per engine core
    for line in page.splitlines():
        if line.startswith("vllm:") and (key := _NAMES.get(line.split("{", 1)[0].split(" ", 1)[0])) is not None:
            found.setdefault(key, []).append(float(line.rsplit(" ", 1)[1]))
    if "running" not in found or "waiting" not in found:
        return None
    kv_usage = max(found.pop("kv_usage", [0.0]))
    return Load(kv_usage=kv_usage, **{key: int(sum(values)) for key, values in found.items()})


class InFlight:
    """Adapt the limit on generation requests in flight, up to `most`.

    Call `update` with every reading of the load, about every half second; None, for a failed reading, changes nothing.
    `ahead` counts the judge's requests in the load: they go before generation and do not count against the limit. If
    they queue up, the limit falls.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = min(most, _START)
        self._is_doubling = True
        self._recent: deque[Load] = deque(maxlen=_INTERVAL)
        self._kv_goal = _MOST_GOAL
        self._preemptions: int | None = None
        self._drained_for = 0

    @property
    def limit(self) -> int:
        return self._limit

    def update(self, load: Load | None, ahead: int = 0) -> int:
        """Return the limit after this reading."""
        if load is None:
            return self._limit
        preempted = self._preemptions is not None and load.preemptions > self._preemptions
        self._preemptions = load.preemptions
        if self._is_draining(load, ahead):
            return self._limit
        if preempted:
            self._kv_goal = max(_LEAST_GOAL, self._kv_goal - _LOWERED)
            self._set(_BACK_OFF * min(self._limit, load.running))
            return self._limit
        self._recent.append(load)
        if len(self._recent) == _INTERVAL:
            self._decide()
        return self._limit

    def _is_draining(self, load: Load, ahead: int) -> bool:
        """Return True while more requests run than the lowered limit allows, so that readings do not reflect it yet."""
        excess = load.running + load.waiting - ahead > self._limit
        self._drained_for = self._drained_for + 1 if excess else 0
        return 0 < self._drained_for <= _LONGEST_DRAIN

    def _decide(self) -> None:
        queue = min(load.waiting for load in self._recent)
        kv_usage = max(load.kv_usage for load in self._recent)
        running = max(load.running for load in self._recent)
        self._kv_goal = min(_MOST_GOAL, self._kv_goal + _RAISED)
        if kv_usage > self._kv_goal + _TOLERANCE:
            self._set(min(self._limit, running) * self._kv_goal / kv_usage)
        elif queue > 2 + running // 4:
            self._set(max(_BACK_OFF * self._limit, self._limit - (queue - running // 8) // 2))
        elif queue:
            self._is_doubling = False
        elif kv_usage < self._kv_goal and running >= self._limit // 2 and not self._is_filling():
            room = self._limit * self._kv_goal / max(kv_usage, 0.01)
            self._set(min(self._limit + self._step(kv_usage), room))

    def _step(self, kv_usage: float) -> int:
        if self._is_doubling:
            return self._limit
        return 2 + self._limit // 8 if kv_usage < _FAR * self._kv_goal else 1 + self._limit // 24

    def _is_filling(self) -> bool:
        """Return True while running requests still grow and use more and more of the KV cache."""
        return self._recent[-1].kv_usage > max(0.05, 1.1 * self._recent[0].kv_usage)

    def _set(self, limit: float) -> None:
        """Change the limit, and wait an interval to see its effect."""
        self._is_doubling = self._is_doubling and limit >= self._limit
        self._limit = min(self._most, max(min(_FLOOR, self._most), int(limit)))
        self._recent.clear()
        self._drained_for = 0


@runtime_checkable
class Paced(Protocol):
    """Mark an engine that sets its own in-flight limit."""

    def on_limit(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the limit now and whenever it changes."""
