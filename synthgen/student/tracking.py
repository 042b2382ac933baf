"""Send a training's curves to TensorBoard's files, or to the service of W&B or MLflow.

All local files of a tracker are written inside the student's folder. The tracker reads its keys and
addresses from the environment; they are written to no file.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthgen.errors import ConfigError

EXTRAS = {"tensorboard": "tracking", "wandb": "wandb", "mlflow": "mlflow"}
"""The installation extra of synthgen for each tracker."""


def tracker(report_to: str) -> str:
    """Return the tracker for `report_to`. `auto` is TensorBoard if it is installed, else none.

    Raise ConfigError for a tracker that is not installed.
    """
    if report_to == "auto":
        return "tensorboard" if _is_installed("tensorboard") else "none"
    if report_to != "none" and not _is_installed(report_to):
        raise ConfigError(
            f'tracking.report_to: {report_to} is not installed; run pip install "synthgen[{EXTRAS[report_to]}]", '
            "or set tracking=none"
        )
    return report_to


def write_curves(trainer: Any, folder: Path) -> None:
    """Make a trainer write its TensorBoard files into `folder`, and not into a subfolder named after the machine."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    if "TENSORBOARD_LOGGING_DIR" not in os.environ:
        trainer.remove_callback(TensorBoardCallback)
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(folder))))


def where(report_to: str, folder: Path) -> str:
    """Return a message that tells where to see the curves while the training writes to `folder`."""
    if report_to == "tensorboard":
        return f"curves of the training: tensorboard --logdir {folder}"
    return f"curves of the training are sent to {report_to}; its own environment variables set the destination"


@contextlib.contextmanager
def tracked(report_to: str, folder: Path) -> Iterator[None]:
    """Make the tracker of a training write into `folder`, unless the user's environment sets another place.

    W&B and MLflow keep the runs of all trainings together, in the parent of `folder`.

    Raise ConfigError for an error of W&B or MLflow, such as a missing key.
    """
    wanted = {
        "wandb": {
            "WANDB_DIR": str(folder.parent),
            "WANDB_PROJECT": "synthgen",
            "WANDB_DISABLE_CODE": "true",
            "WANDB_SILENT": "true",  # a run has its own display
        },
        "mlflow": {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder.parent.absolute()}/mlflow.db",
            "MLFLOW_EXPERIMENT_NAME": "synthgen",
        },
    }.get(report_to, {})
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    if ours:
        folder.mkdir(parents=True, exist_ok=True)  # without it, W&B writes to the working folder
    os.environ.update(ours)
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] != report_to:
            raise
        raise ConfigError(f"tracking.report_to: {report_to}: {error}; set it up, or set tracking=none") from error
    finally:
        for name in ours:
            os.environ.pop(name, None)
        _end(report_to)


def _end(report_to: str) -> None:
    """End the tracker's run, because otherwise the next training would continue it."""
    if report_to == "wandb" and "wandb" in sys.modules:
        sys.modules["wandb"].finish()
    if report_to == "mlflow" and "mlflow" in sys.modules:
        sys.modules["mlflow"].end_run()


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
