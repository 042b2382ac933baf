"""What both kinds of student ask of transformers' trainers: arguments, silence, progress.

The only place that knows whether there is a GPU.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from synthgen.student.config import ClassifierConfig, GeneratorConfig

_PROGRESS_SECONDS = 30.0


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def arguments(
    cfg: ClassifierConfig | GeneratorConfig, steps: int, seed: int, folder: Path, report_to: str
) -> dict[str, Any]:
    """Keyword arguments of TrainingArguments and of SFTConfig: no checkpoints, no bars, one process.

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


def run(trainer: Any, say: Callable[[str], None]) -> None:
    """Trains to the end; says a line now and then instead of printing."""
    from transformers import PrinterCallback, TrainerCallback

    class Progress(TrainerCallback):  # type: ignore[misc]  # transformers is lazily typed
        told = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            if time.monotonic() - self.told > _PROGRESS_SECONDS:
                self.told = time.monotonic()
                say(f"  step {state.global_step} of {state.max_steps}")

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress())
    trainer.train()


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
