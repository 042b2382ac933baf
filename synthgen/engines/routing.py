"""Choose a replica for each request, so that requests with the same prefix use the prefix cache of the same replica.

This is rendezvous hashing (Thaler and Ravishankar 1998): every key has its own order of the replicas. A replica that
leaves or comes back moves only its own keys. A replica with more than its share of the load is passed over, as in
consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam 2018): the next one in the key's order gets
the request, so that the overflow of a key shares a prefix cache too.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

from synthgen.records import Request

_SLACK, _GROUP = 1.125, 16
"""Most load of a replica: this multiple of its share, or a group of slots more, but never more than one and a half times
its share. Less slack balances better and splits more groups."""


class Routed(Protocol):
    """Hold the state of a replica that the choice depends on."""

    name: str
    held: int
    """Requests that it answers now."""
    limit: int
    """Requests that it should have in flight."""


R = TypeVar("R", bound=Routed)


def key_of(request: Request) -> str:
    """Return the key that requests with the same beginning share.

    This is the group of a request that writes a sample. The judge's questions about one candidate share its text.
    """
    return f"group/{request.group}" if request.group is not None else request.id.partition("/")[0]


def choose(key: str, replicas: Sequence[R]) -> R | None:
    """Return the replica for a request with this key; None if there are no replicas."""
    if len(replicas) < 2:
        return replicas[0] if replicas else None
    one_each = (sum(one.held for one in replicas) + 1) / sum(max(1, one.limit) for one in replicas)

    def most(one: R) -> int:
        share = one_each * max(1, one.limit)
        return math.ceil(max(_SLACK * share, min(share + _GROUP - 1, 1.5 * share)))

    open_ones = [one for one in replicas if one.held < most(one)]
    return max(open_ones, key=lambda one: _weight(key, one.name))


def _weight(key: str, name: str) -> bytes:
    return hashlib.blake2b(f"{name}/{key}".encode(), digest_size=8).digest()
