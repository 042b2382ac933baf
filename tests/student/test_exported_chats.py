"""TRL's trainers take one step on exported chats and pairs."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from synthgen.cli import dispatch
from synthgen.tasks.assets import root

Rows = Callable[[str, str], datasets.Dataset]
pytestmark = pytest.mark.slow


@pytest.fixture
def exported(tmp_path: Path) -> Rows:
    def make(form: str, task: str) -> datasets.Dataset:
        out = tmp_path / form
        seeds = str(root() / "examples" / task / "seeds.jsonl")
        assert dispatch(["export", seeds, "--task", task, "--format", form, "--out", str(out)]) == 0
        file = str(out / "train.jsonl")
        return datasets.load_dataset("json", data_files=file, cache_dir=str(tmp_path / "cache"))["train"].select(
            range(4)
        )

    return make


def one_step(trainer: type, config: type, model: Path, rows: datasets.Dataset, out: Path, **more: Any) -> float:
    """Train for one step, and return its loss."""
    settings = {"max_steps": 1, "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True, "bf16": False}
    cfg = config(output_dir=str(out), save_strategy="no", disable_tqdm=True, max_length=256, **settings, **more)
    made = trainer(model=str(model), args=cfg, train_dataset=rows)
    return float(made.train().training_loss)


@pytest.mark.parametrize(
    ("form", "task"),
    [
        ("trl-messages", "dialogue"),
        pytest.param("trl-prompt-completion", "tool_calls", marks=pytest.mark.thorough),
        pytest.param("openai", "instruction", marks=pytest.mark.thorough),
    ],
)
def test_sft_takes_a_step_on_chats(form: str, task: str, exported: Rows, tiny_generator: Path, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    loss = one_step(SFTTrainer, SFTConfig, tiny_generator, exported(form, task), tmp_path / "out")
    assert math.isfinite(loss)
    assert loss > 0


def test_dpo_takes_a_step_on_pairs(exported: Rows, tiny_generator: Path, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    loss = one_step(DPOTrainer, DPOConfig, tiny_generator, exported("dpo", "preference"), tmp_path / "out")
    assert loss == pytest.approx(math.log(2), rel=0.01)  # the trained model and the reference are equal before a step


@pytest.mark.thorough
def test_kto_takes_a_step_on_verdicts(exported: Rows, tiny_generator: Path, tmp_path: Path) -> None:
    from trl.experimental.kto import KTOConfig, KTOTrainer

    loss = one_step(KTOTrainer, KTOConfig, tiny_generator, exported("kto", "preference"), tmp_path / "out")
    assert math.isfinite(loss)
