"""Run transformers' trainers for all students: arguments, checkpoints, progress, and quiet output.

Only this module decides which device is used.
"""

import contextlib
import importlib.metadata
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from synthgen.errors import ConfigError
from synthgen.ledger.durable import is_refused_write, read_json
from synthgen.records import Json
from synthgen.student.checkpoint import TRAINER, restore_optimizer, restore_weights, step_of
from synthgen.student.config import AdaptConfig, SteppedConfig
from synthgen.student.interrupts import Postponed, signals_postponed
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.scores import Floats
from synthgen.student.tracking import tracked, write_curves


class TrainedError(Exception):
    """End the fit of a worker, whose training is done."""


class StoppedError(Exception):
    """End the fit of a worker that was asked to stop, after its checkpoint."""


_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def use_all_cores(workers: int = 1) -> None:
    """Let torch use all CPUs of this process, even if another library has set fewer threads; a share of them for workers.

    FAISS shares OpenMP with torch. The index sets FAISS to one thread, and without this call torch would use one
    thread too when a run trains its student, but not under `synthgen train`. The number of threads also changes the
    last bits of sums, so a continued training needs the same number as before.
    """
    import torch

    cores = len(os.sched_getaffinity(0)) // workers
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS") or cores)))


def environment() -> Json:
    """Return the device and the library versions, which must not change in the middle of a training."""
    versions = {
        name: importlib.metadata.version(name) for name in ("torch", "transformers", "trl", "peft", "scikit-learn")
    }
    return {"device": device(), "library versions": versions}


def arguments(cfg: SteppedConfig | AdaptConfig, plan: Plan, place: TrainingFolders) -> dict[str, Any]:
    """Return the keyword arguments for TrainingArguments and SFTConfig.

    They turn off the trainer's own checkpoints, its progress bars and its shuffling. The data set must therefore hold
    the rows in the plan's order. Workers share each batch, so that it has the same rows with any number of them.
    """
    import torch

    cuda, workers = device() == "cuda", place.workers
    return {
        "output_dir": str(place.logs),
        "max_steps": plan.steps,
        "per_device_train_batch_size": cfg.batch_size // workers.size,
        "learning_rate": cfg.learning_rate,
        "lr_scheduler_type": _SCHEDULES[plan.schedule],
        "warmup_steps": round(cfg.warmup * plan.steps),
        "train_sampling_strategy": "sequential",
        "weight_decay": cfg.weight_decay,
        "seed": plan.seed,
        "use_cpu": not cuda,
        "bf16": cuda and torch.cuda.is_bf16_supported(),
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": cuda,
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_strategy": "no" if place.report_to == "none" else "steps",
        "logging_steps": min(10, max(1, plan.steps // 20)),
        "report_to": place.report_to if workers.leads else "none",
        "run_name": place.logs.name,
        "disable_tqdm": True,
        **({"ddp_backend": "nccl" if cuda else "gloo"} if workers.size > 1 else {}),
        **({"fsdp": True, "fsdp_config": {"version": 2}} if workers.sharded else {}),
    }


def run(
    trainer: Any,
    place: TrainingFolders,
    say: Callable[[str], None],
    probe: Probe | None = None,
    losses: Callable[[], Floats] | None = None,
) -> None:
    """Train to the end, from the latest checkpoint if there is one. Report every step to the place's clock.

    With a probe, `losses` returns the losses of the probe's rows, and the probe's patience may end the training. The
    clock's limit may end it too; `clock.cut` is then the last step.

    A signal that would stop the process is postponed until the current step is done and saved in a checkpoint.
    An interrupted and continued training gives the same model as an uninterrupted one: the random numbers of a step
    follow from the seed and the step's number, and the order of the rows follows from the plan.

    If workers have done the training, only take over the weights and the probe's losses. In a worker, raise
    TrainedError at the end, after the last checkpoint.
    """
    from transformers import PrinterCallback

    latest = place.checkpoints.latest()
    if latest and place.trained:
        if probe:
            probe.recall((read_json(latest / TRAINER) or {})["log_history"])
        restore_weights(latest, trainer.model)
        return
    if latest:
        say(f"  continues from step {step_of(latest)} of {trainer.args.max_steps}")
        if probe:
            probe.recall((read_json(latest / TRAINER) or {})["log_history"])
        if step_of(latest) >= trainer.args.max_steps or (probe and probe.over()):
            restore_weights(latest, trainer.model)
            return
    trainer.remove_callback(PrinterCallback)
    # One process trains on one GPU: with several, the Trainer would multiply the batch by their number (DataParallel).
    trainer.args._n_gpu = min(trainer.args.n_gpu, 1)
    trainer._train_batch_size = trainer.args.train_batch_size
    report_to = place.report_to if place.workers.leads else "none"
    if report_to == "tensorboard":
        write_curves(trainer, place.logs)
    if place.workers.sharded:  # the Trainer looks for weights in a format of its own
        trainer._load_from_checkpoint = lambda *_, **__: None
    with signals_postponed() as postponed, tracked(report_to, place.logs):
        if probe and losses:
            # added before the callback that writes checkpoints, because a checkpoint stores the losses
            trainer.add_callback(_watch(probe, losses, place))
        trainer.add_callback(_callback(place, latest, postponed))
        trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    if place.workers.is_worker:
        place.checkpoints.write(trainer.state, trainer.model, trainer.optimizer, trainer.lr_scheduler, last=True)
        raise TrainedError


def _callback(place: TrainingFolders, latest: Path | None, postponed: Postponed) -> Any:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):  # type: ignore[misc]  # transformers is lazily typed
        def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            if latest:  # the Trainer has loaded its state itself, and the weights of a model that is not sharded
                if place.workers.sharded:
                    restore_weights(latest, parts["model"], sharded=True)
                restore_optimizer(latest, parts["optimizer"], parts["lr_scheduler"])

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            set_seed_of_step(args.seed, state.global_step, place.workers.rank)

        def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            workers = place.workers
            place.clock.stepped(state.global_step, state.max_steps)
            stopping = bool(postponed.signal) or workers.asked_to_stop()
            cut, stopping, due = workers.agree(place.clock.cut is not None, stopping, place.checkpoints.due())
            if cut:
                control.should_training_stop = True
            if stopping or due:
                place.checkpoints.write(state, parts["model"], parts["optimizer"], parts["lr_scheduler"])
                place.clock.keep()
            postponed.deliver()
            if stopping and workers.is_worker:
                raise StoppedError

    return Steps()


def _watch(probe: Probe, losses: Callable[[], Floats], place: TrainingFolders) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is lazily typed
        def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            if probe.due(state.global_step):
                with place.clock.evaluating(len(probe.rows)):
                    found = place.workers.gathered(losses(), len(probe.rows)).tolist()
                probe.note(state.global_step, found, state.log_history)
                parts["model"].train()
                control.should_training_stop |= probe.over()

    return Watch()


def batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return row indices in batches of similar length, to save padding."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return [order[start : start + size] for start in range(0, len(order), size)]


def set_seed_of_step(seed: int, step: int, worker: int = 0) -> None:
    """Seed the random numbers of a step independently of earlier steps, so that checkpoints need no random state.

    Each worker gets random numbers of its own, so that their parts of a batch do not share a dropout mask.
    """
    import numpy as np
    from transformers import set_seed

    set_seed(int(np.random.SeedSequence([seed, step, *([worker] if worker else [])]).generate_state(1)[0]))


@contextlib.contextmanager
def loading(key: str, model: str) -> Iterator[None]:
    """Raise ConfigError, naming key and model, if the block cannot load the model."""
    try:
        yield
    except (OSError, ValueError) as error:
        if is_refused_write(error):  # a model from the hub is written to a cache
            raise
        raise ConfigError(f"{key}: cannot load '{model}': {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide progress bars, messages about new heads, and library warnings inside this context."""
    import datasets
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    data_bars = datasets.are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if not data_bars:
            datasets.enable_progress_bars()
