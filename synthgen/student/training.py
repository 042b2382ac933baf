"""What both kinds of student ask of transformers' trainers: arguments, silence, progress.

The only place that knows whether there is a GPU.
"""

import contextlib
import importlib.metadata
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Json
from synthgen.student.checkpoint import Checkpoints, restore_optimizer, restore_weights, step_of
from synthgen.student.config import ClassifierConfig, GeneratorConfig
from synthgen.student.folder import is_refused_write
from synthgen.student.interrupts import Held, held_back

_PROGRESS_SECONDS = 30.0


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def use_all_cores() -> None:
    """Gives torch all CPUs of this process, whatever was done before.

    FAISS shares OpenMP with torch: the one thread that its index is set to was torch's number too, and the
    student of a run, but not that of `synthgen train`, was made on one core. Sums differ in their last bits
    between numbers of threads, so a training that is gone on with needs the same one as well.
    """
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))


def surroundings() -> Json:
    """Where half a training must not be gone on with in another place: the device and the libraries."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "trl", "peft")}
    return {"device": device(), "library versions": versions}


def arguments(
    cfg: ClassifierConfig | GeneratorConfig, steps: int, seed: int, folder: Path, report_to: str
) -> dict[str, Any]:
    """Keyword arguments of TrainingArguments and of SFTConfig: no checkpoints of its own, no bars, one process.

    `folder` is where a tracker may write; without one it stays empty.
    """
    import torch

    cuda = device() == "cuda"
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": cfg.batch_size,
        "learning_rate": cfg.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(cfg.warmup * steps),
        "weight_decay": cfg.weight_decay,
        "seed": seed,
        "use_cpu": not cuda,
        "bf16": cuda and torch.cuda.is_bf16_supported(),
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": cuda,
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_strategy": "no" if report_to == "none" else "steps",
        "logging_steps": 10,
        "report_to": report_to,
        "disable_tqdm": True,
    }


def run(trainer: Any, checkpoints: Checkpoints, say: Callable[[str], None]) -> None:
    """Trains to the end, from the latest checkpoint if there is one; says a line now and then instead of printing.

    A signal that would stop the process waits for the end of a step, and for a checkpoint of it.
    Killed and gone on with or not, what is trained is the same: the random numbers of a step follow
    from the seed and the step's number, the order of the rows from the seed and the epoch's.
    """
    from transformers import PrinterCallback

    latest = checkpoints.latest()
    if latest:
        say(f"  goes on from step {step_of(latest)} of {trainer.args.max_steps}")
        if step_of(latest) == trainer.args.max_steps:
            restore_weights(latest, trainer.model)
            return
    trainer.remove_callback(PrinterCallback)
    with held_back() as held:
        trainer.add_callback(_callback(checkpoints, latest, held, say))
        trainer.train(resume_from_checkpoint=str(latest) if latest else None)


def _callback(checkpoints: Checkpoints, latest: Path | None, held: Held, say: Callable[[str], None]) -> Any:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):  # type: ignore[misc]  # transformers is lazily typed
        told = time.monotonic()

        def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            if latest:  # the Trainer has loaded weights and state itself
                restore_optimizer(latest, parts["optimizer"], parts["lr_scheduler"])

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            set_seed_of_step(args.seed, state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            if time.monotonic() - self.told > _PROGRESS_SECONDS:
                self.told = time.monotonic()
                say(f"  step {state.global_step} of {state.max_steps}")
            if held.signal or checkpoints.due():
                checkpoints.write(state, parts["model"], parts["optimizer"], parts["lr_scheduler"])
            held.hand_on()

    return Steps()


def set_seed_of_step(seed: int, step: int) -> None:
    """Random numbers of a step that do not hang on what was drawn before it, so that none need be stored."""
    import numpy as np
    from transformers import set_seed

    set_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))


@contextlib.contextmanager
def loading(key: str, model: str) -> Iterator[None]:
    """Raises ConfigError, naming the key and the model, for what transformers says of one that it cannot load."""
    try:
        yield
    except (OSError, ValueError) as error:
        if is_refused_write(error):  # a model of a hub is written into a cache
            raise
        raise ConfigError(f"{key}: cannot load '{model}': {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps loading bars, notes on fresh heads and the libraries' warnings off the terminal."""
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
