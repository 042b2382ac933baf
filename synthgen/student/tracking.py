"""Where a training's curves go: TensorBoard's files, or the service of W&B or MLflow.

Whatever a tracker writes on this machine is written inside the student's folder. Its keys and
addresses are read by the tracker itself, from the environment, and reach no file.
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
"""The extra of synthgen that installs each tracker."""


def tracker(report_to: str) -> str:
    """Return the tracker that `report_to` means: auto is tensorboard where it is installed, else none.

    Raises ConfigError for one that is not installed.
    """
    if report_to == "auto":
        return "tensorboard" if _is_installed("tensorboard") else "none"
    if report_to != "none" and not _is_installed(report_to):
        raise ConfigError(
            f'tracking.report_to: {report_to} is not installed: pip install "synthgen[{EXTRAS[report_to]}]", '
            "or set tracking=none"
        )
    return report_to


def write_curves(trainer: Any, folder: Path) -> None:
    """Make a trainer write its TensorBoard files into `folder` itself, not into a folder named after the machine."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    if "TENSORBOARD_LOGGING_DIR" not in os.environ:
        trainer.remove_callback(TensorBoardCallback)
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(folder))))


def where(report_to: str, folder: Path) -> str:
    """Tell where to look while `folder` is written."""
    if report_to == "tensorboard":
        return f"curves of the training: tensorboard --logdir {folder}"
    return f"curves of the training go to {report_to}, as its own environment variables say"


@contextlib.contextmanager
def tracked(report_to: str, folder: Path) -> Iterator[None]:
    """Run a training whose tracker writes into `folder`, unless the user's environment says otherwise.

    W&B and MLflow keep the runs of all trainings in one place, the folder above it.

    Raises ConfigError for what W&B and MLflow refuse, such as a missing key.
    """
    wanted = {
        "wandb": {
            "WANDB_DIR": str(folder.parent),
            "WANDB_PROJECT": "synthgen",
            "WANDB_DISABLE_CODE": "true",
            "WANDB_SILENT": "true",  # a run has a display of its own
        },
        "mlflow": {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder.parent.absolute()}/mlflow.db",
            "MLFLOW_EXPERIMENT_NAME": "synthgen",
        },
    }.get(report_to, {})
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    if ours:
        folder.mkdir(parents=True, exist_ok=True)  # W&B turns to the working folder where its own is missing
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
    """End the tracker's run; the next training would go on writing to it otherwise."""
    if report_to == "wandb" and "wandb" in sys.modules:
        sys.modules["wandb"].finish()
    if report_to == "mlflow" and "mlflow" in sys.modules:
        sys.modules["mlflow"].end_run()


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
