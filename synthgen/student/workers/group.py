"""Let the workers of one training agree on decisions, share held-out rows, and collect the parts of a sharded model.

A training in one process is a group of one worker, which needs no communication.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from synthgen.student.scores import Floats

STOP = "stop"
"""The file that asks the workers to write a checkpoint and end."""
Row = TypeVar("Row")


@dataclass(frozen=True)
class WorkerGroup:
    """Hold a worker's number (`rank`) among `size` workers. Only rank 0 writes files."""

    rank: int = 0
    size: int = 1
    works_for: Path | None = None
    """Folder of the training's checkpoints, for a worker; None in the process that owns the training."""
    sharded: bool = False
    """True if each worker holds only a part of the model (FSDP)."""
    group: Any = field(default=None, repr=False)
    """The process group for decisions, which needs no GPU."""

    @property
    def is_worker(self) -> bool:
        return self.works_for is not None

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Return each flag as True if it is True for any worker. All workers must ask at the same step."""
        if self.size == 1:
            return flags
        import torch
        from torch.distributed import ReduceOp, all_reduce

        found = torch.tensor([int(flag) for flag in flags])
        all_reduce(found, op=ReduceOp.MAX, group=self.group)
        return tuple(bool(flag) for flag in found.tolist())

    def asked_to_stop(self) -> bool:
        return self.leads and self.works_for is not None and (self.works_for / STOP).exists()

    def share(self, rows: Sequence[Row]) -> list[Row]:
        """Return this worker's part of the rows. All parts have the same length; the last ones may repeat rows."""
        count = -(-len(rows) // self.size)
        return [rows[(self.rank + place * self.size) % len(rows)] for place in range(count)]

    def gathered(self, part: Floats, rows: int) -> Floats:
        """Return one number for each of all `rows`, from each worker's numbers for its `share`."""
        if self.size == 1:
            return part
        import torch
        from torch.distributed import all_gather

        parts = [torch.zeros(len(part), dtype=torch.float64) for _ in range(self.size)]
        all_gather(parts, torch.as_tensor(np.asarray(part, dtype=np.float64)), group=self.group)
        return np.asarray(torch.stack(parts, 1).reshape(-1)[:rows].numpy(), dtype=np.float64)


ALONE = WorkerGroup()
