"""Describe the faults that the stand-in server can simulate.

    [{"kind": "status", "value": 503, "after": 100, "count": 40}, {"kind": "poison", "value": "zyzzyva"}]

A fault starts after the server has given `after` answers. It affects at most `count` requests (null: no limit), each
with probability `share`. It occurs only in the server's first `starts` starts (null: in all of them), and only for
requests with the text `only` in the prompt (null: for all requests).
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

KINDS = {
    "hang": "the request is accepted and never answered",
    "stall": "from then on no request is answered, while /health and /metrics still answer",
    "freeze": "the process stops (SIGSTOP): connections are accepted, and nothing is answered",
    "die": "the process ends by SIGKILL",
    "poison": "the process ends by SIGKILL when the prompt contains the text `value`",
    "status": "HTTP error `value`, 500 if none is given",
    "busy": "HTTP error 429 with Retry-After: `value` seconds, 1 if none is given",
    "drip": "the answer comes slowly, one byte every `value` seconds, 0.05 if none is given",
    "reset": "the connection is reset in the middle of the answer",
    "truncated": "the answer stops in the middle, as if it were complete",
    "model": "the answer comes from another model, `value`",
    "nan_logprobs": "logprobs are NaN",
    "no_logprobs": "logprobs are left out",
    "no_grammar": "the answer is `value`, a greeting if none is given, whatever the grammar",
    "port_taken": "the server does not start: another process has its port",
    "oom": "the server does not start: out of memory, unless --max-num-seqs is at most `value`",
}
AT_START = ("port_taken", "oom")
OF_BATCHES = {
    "upload_busy": "an upload is answered 429 with Retry-After: `value` seconds, 1 if none is given",
    "upload_limit": "an upload of more than `value` bytes is answered 413",
    "create_lost": "a batch is created, and the connection ends without an answer",
    "batch_fails": "the batch fails its validation, with the error `value`, written CODE: MESSAGE",
    "batch_expires": "the batch expires when the share `value` of its requests is answered, 0.5 if none is given",
    "batch_cancelled": "the batch is cancelled when the share `value` of its requests is answered, 0.5 if none is given",
    "batch_gone": "the server does not know the batch",
    "line_status": "a line is answered with HTTP status `value`, 500 if none is given",
    "line_lost": "a line is in neither of the result files",
    "line_strangers": "the output has lines that nobody asked for",
    "output_cut": "a result file stops in the middle",
    "output_gone": "a result file has been deleted",
}
"""Kinds of faults in the batch API. Their `after` and `count` count events of the same kind, such as uploads."""


@dataclass(frozen=True)
class InjectedFault:
    kind: str
    value: Any = None
    after: int = 0
    count: int | None = None
    share: float = 1.0
    starts: int | None = None
    only: str | None = None


class Faults:
    """Hold the faults of one start of a server; `start` counts starts from 1, `seed` fixes which requests fail."""

    def __init__(self, faults: list[InjectedFault], start: int, seed: int) -> None:
        alive = [fault for fault in faults if fault.starts is None or start <= fault.starts]
        self.at_start = [fault for fault in alive if fault.kind in AT_START]
        self._of_batches = [fault for fault in alive if fault.kind in OF_BATCHES]
        self._events: Counter[str] = Counter()
        self._waiting = [fault for fault in alive if fault.kind not in (*AT_START, *OF_BATCHES)]
        self._struck = [0] * len(self._waiting)
        self._rng = random.Random(f"{seed}/{start}/faults")

    def fault_for(self, answers: int, prompt: str) -> InjectedFault | None:
        """Return the fault for a request that arrives after `answers` answers, if any; the first in the list wins."""
        for place, fault in enumerate(self._waiting):
            if answers < fault.after or (fault.kind == "poison" and str(fault.value) not in prompt):
                continue
            if fault.only is not None and fault.only not in prompt:
                continue
            if fault.count is not None and self._struck[place] >= fault.count:
                continue
            if fault.share < 1 and self._rng.random() >= fault.share:
                continue
            self._struck[place] += 1
            return fault
        return None

    def batch_fault(self, kind: str) -> InjectedFault | None:
        """Return the fault for the next event of the batch API at which faults of this `kind` can happen, if any."""
        self._events[kind] += 1
        for fault in self._of_batches:
            since = self._events[kind] - fault.after
            if fault.kind == kind and since > 0 and (fault.count is None or since <= fault.count):
                return fault if fault.share >= 1 or self._rng.random() < fault.share else None
        return None


def parse(text: str) -> list[InjectedFault]:
    """Parse faults from a JSON array. Raise ValueError with the reason."""
    entries = json.loads(text)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("faults are a JSON array of objects")
    known = {field.name for field in fields(InjectedFault)}
    for entry in entries:
        if entry.get("kind") not in KINDS | OF_BATCHES:
            known_kinds = ", ".join(KINDS | OF_BATCHES)
            raise ValueError(f"unknown kind of fault {entry.get('kind')!r}; use one of {known_kinds}")
        if unknown := entry.keys() - known:
            raise ValueError(f"unknown keys of a fault: {', '.join(sorted(unknown))}; use {', '.join(sorted(known))}")
        if entry["kind"] == "poison" and not entry.get("value"):
            raise ValueError("poison needs a text as its value")
        if entry["kind"] == "oom" and not isinstance(entry.get("value"), int):
            raise ValueError("oom needs a number as its value: the largest --max-num-seqs that fits")
    return [InjectedFault(**entry) for entry in entries]
