"""Write and read the checkpoints of one training, as safetensors and JSON with a marker of completeness.

A checkpoint is a folder with the trained weights, the optimizer's tensors, the settings of optimizer
and scheduler, and the trainer's state. `complete.json` is written last and holds the size and checksum
of each file. A folder without it, or with other files than it lists, is removed. The Trainer's own
checkpoints are not used, because they store optimizer and random state as pickles. Random state need
not be stored here, because it follows from the step; see `training`.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthgen.ledger.durable import agrees, is_refused_write, manifest, read_json, sync, sync_tree, write_json
from synthgen.records import Json

MARKER = "complete.json"
WEIGHTS, OPTIMIZER, SETTINGS, TRAINER = (
    "model.safetensors",  # the Trainer looks for the weights and its state under these two names
    "optimizer.safetensors",
    "settings.json",
    "trainer_state.json",
)
Parts = Callable[[Any, Any], tuple[Json, Json]]
"""Function from a model and its optimizer to the trained weights by name, and the optimizer's state."""
_KEPT = 2
_COST = 20.0
"""Least ratio of the training time between two checkpoints to the time of writing one."""


class Checkpoints:
    """Write and find the checkpoints of one training in its folder. Only the newest two are kept.

    `writes` is False for all workers but the first, which only help to collect a sharded model. `parts` returns the
    weights and the optimizer's state to write.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        complain: Callable[[str], None],
        writes: bool = True,
        parts: "Parts | None" = None,
    ) -> None:
        self.folder = folder
        self.seconds = seconds
        self._complain = complain
        self._writes = writes
        self._parts = parts or own_parts
        self._next = time.monotonic() + seconds

    def due(self) -> bool:
        return self._writes and time.monotonic() >= self._next

    def latest(self) -> Path | None:
        """Return the newest complete checkpoint, or None. Remove incomplete ones."""
        whole = None
        for folder in self._all():
            if is_whole(folder):
                whole = folder
            elif self._writes:
                shutil.rmtree(folder)
        return whole

    def write(self, state: Any, model: Any, optimizer: Any, scheduler: Any, last: bool = False) -> None:
        """Write a checkpoint of a finished step.

        If the disk refuses the write, report it and continue without this checkpoint. Raise the error for the `last`
        checkpoint, from which another process takes the weights of workers.
        """
        began = time.monotonic()
        weights, kept = self._parts(model, optimizer)
        if not self._writes:
            return
        folder = self.folder / f"step-{state.global_step:08d}"
        if last and is_whole(folder):
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_parts(folder, state, weights, kept, scheduler)
            _complete(folder)
        except Exception as error:
            if last or not is_refused_write(error):
                raise
            shutil.rmtree(folder, ignore_errors=True)  # frees the disk space for complete checkpoints
            self._complain(f"{folder}: a checkpoint could not be written ({error}); the training continues without it")
        else:
            for old in self._all()[:-_KEPT]:
                shutil.rmtree(old)
        now = time.monotonic()
        self._next = now + (max(self.seconds, _COST * (now - began)) if self.seconds else 0)

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))


def is_whole(folder: Path) -> bool:
    """Return True if the marker exists and agrees with the folder's files in names, sizes and checksums."""
    marker = read_json(folder / MARKER)
    return marker is not None and agrees(folder, marker.get("files"), without=(MARKER,))


def step_of(folder: Path) -> int:
    state = read_json(folder / TRAINER)
    assert state is not None, "only whole checkpoints are read"
    return int(state["global_step"])


def restore_weights(folder: Path, model: Any, sharded: bool = False) -> None:
    """Set a model's trained weights. A `sharded` model takes this worker's part of each."""
    from safetensors.torch import load_file

    found = load_file(folder / WEIGHTS)
    if sharded:
        import torch

        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in found:
                    weight.copy_(_part(found[name], weight))
        return
    model.load_state_dict(found, strict=False)  # a checkpoint has only the trained weights


def restore_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Set the state of optimizer and scheduler. The state of a sharded weight is sharded in the same way."""
    from safetensors.torch import load_file

    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, Json] = {}
    for key, tensor in load_file(folder / OPTIMIZER).items():
        index, name = key.split(".", 1)
        weight = weights[int(index)]
        state.setdefault(int(index), {})[name] = _part(tensor, weight) if tensor.shape == weight.shape else tensor
    settings = read_json(folder / SETTINGS)
    assert settings is not None, "only whole checkpoints are read"
    optimizer.load_state_dict({"state": state, "param_groups": settings["groups"]})
    scheduler.load_state_dict(settings["scheduler"])


def own_parts(model: Any, optimizer: Any) -> tuple[Json, Json]:
    """Return the trained weights and buffers of a model by name, and the optimizer's state."""
    known = model.state_dict().keys()
    weights = {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in known}
    return weights | buffers, optimizer.state_dict()


def collected_parts(model: Any, optimizer: Any) -> tuple[Json, Json]:
    """Return the same of a sharded model. All workers must call it together, and each gets the whole."""
    weights = {name: _whole(weight.detach()) for name, weight in model.named_parameters() if weight.requires_grad}
    kept = optimizer.state_dict()
    state = {index: {name: _whole(value) for name, value in entry.items()} for index, entry in kept["state"].items()}
    return weights, {**kept, "state": state}


def _whole(tensor: Any) -> Any:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _part(tensor: Any, like: Any) -> Any:
    """Return this worker's part of a tensor, sharded as `like` is; the tensor itself where `like` is not sharded."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _write_parts(folder: Path, state: Any, weights: Json, kept: Json, scheduler: Any) -> None:
    from safetensors.torch import save_file

    save_file(_contiguous(weights), folder / WEIGHTS)
    tensors = {f"{index}.{name}": value for index, entry in kept["state"].items() for name, value in entry.items()}
    save_file(_contiguous(tensors), folder / OPTIMIZER)
    write_json(folder / SETTINGS, {"groups": kept["param_groups"], "scheduler": scheduler.state_dict()})
    state.save_to_json(str(folder / TRAINER))


def _contiguous(tensors: Json) -> Json:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _complete(folder: Path) -> None:
    sync_tree(folder)
    write_json(folder / MARKER, {"files": manifest(folder)})
    sync(folder.parent)
