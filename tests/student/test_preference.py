"""The student of preferences: DPO moves it towards the better answers, measured against the untrained model."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shipped_tasks import shipped

from synthgen import student
from synthgen.errors import ConfigError
from synthgen.student.config import StudentConfig, TrainingConfig
from synthgen.student.named import PreferenceConfig
from synthgen.student.preference import _PLACEHOLDER, PreferenceLearner
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task

Rows = list[dict[str, Any]]
Settings = Callable[..., StudentConfig]


@pytest.fixture(scope="module")
def task() -> Task:
    return shipped("preference")


@pytest.fixture(scope="module")
def rows(task: Task) -> Rows:
    return read_samples(task.seeds, task, "seed")


@pytest.fixture
def settings(tiny_generator: Path) -> Settings:
    def make(**changes: Any) -> StudentConfig:
        small = {"model": str(tiny_generator), "min_steps": 2, "epochs": 0.1, "batch_size": 2, "rank": 4}
        cfg = PreferenceConfig(**{**small, "max_length": 128, "max_new_tokens": 8, **changes})
        return StudentConfig(preference=cfg, bootstrap=100, training=TrainingConfig(early_stopping=False))

    return make


def says(_: str) -> None:
    pass


@pytest.mark.slow
def test_both_arms_are_measured_by_the_reward_of_the_better_answer(
    task: Task, rows: Rows, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    metrics = student.train(task, settings(), rows[:4], rows[4:6], rows[16:], out, 0, says)
    assert (metrics["kind"], metrics["metric"]) == ("preference", "reward_accuracy")
    assert set(metrics["synthetic"]["figures"]) == {"reward_accuracy", "reward_margin"}
    assert metrics["gain"]["mean"] is not None
    assert "synthgen evaluate RUN --judge" in metrics["synthetic"]["metrics_left_out"]["win_rate"]
    again = student.evaluate(task, settings(), out, rows[16:])
    assert again["mean"] == pytest.approx(metrics["synthetic"]["mean"])
    [answer] = student.predict(task, settings(), out, [{"prompt": "How long do eggs take?"}])
    assert set(answer) == {"chosen"}


@pytest.mark.slow
def test_training_raises_the_rewards_of_the_better_answers(
    task: Task, rows: Rows, settings: Settings, tmp_path: Path
) -> None:
    cfg = settings(min_steps=12, learning_rate=2e-2)
    metrics = student.train(task, cfg, rows[:2], [], rows[:2], tmp_path / "student", 0, says)
    assert metrics["synthetic"]["figures"]["reward_accuracy"]["mean"] == 1.0
    assert metrics["synthetic"]["figures"]["reward_margin"]["mean"] > 0


def test_the_untrained_model_has_no_reward(task: Task, rows: Rows, settings: Settings) -> None:
    learner = PreferenceLearner(task, settings().preference, says)
    scores = learner.score(learner._untrained(), rows[:4])
    assert scores == pytest.approx(np.zeros((4, 2)), abs=1e-4)


@pytest.mark.slow
def test_the_loss_is_that_of_trl(task: Task, rows: Rows, settings: Settings) -> None:
    """TRL's own trainer, fed with our tokens, has our loss; the adapter is moved first, because its loss starts equal."""
    import torch
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from synthgen.student import causal
    from synthgen.student.generator import Student

    learner = PreferenceLearner(task, settings().preference, says)
    base = learner._untrained()
    encoded = [learner._encoded(base.chat, row) for row in rows[:4]]
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    batch = [dict(zip(names, row, strict=True)) for row in encoded]
    trainer = DPOTrainer(
        model=base.model,
        args=DPOConfig(report_to="none", use_cpu=True, max_length=128, beta=learner.cfg.beta, bf16=False),
        train_dataset=Dataset.from_list([_PLACEHOLDER]),
        processing_class=base.chat.tokenizer,
        peft_config=causal.lora(learner.cfg),
    )
    torch.manual_seed(0)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    adapted = Student(trainer.model, base.chat)
    with trainer.model.disable_adapter():
        reference = learner._logprobs(adapted, encoded)
    ours = learner._losses(learner._logprobs(adapted, encoded) - reference)
    with torch.no_grad():
        theirs = trainer.compute_loss(trainer.model, trainer.data_collator(batch)).item()
    assert ours.std() > 1e-3
    assert ours.mean() == pytest.approx(theirs, rel=1e-3)


def test_a_question_that_is_too_long_is_the_same_for_both_answers(task: Task, rows: Rows, settings: Settings) -> None:
    learner = PreferenceLearner(task, settings(max_length=160).preference, says)
    row = {**rows[0], "prompt": "potatoes " * 100, "rejected": "No."}
    prompt, better, worse = learner._encoded(learner._untrained().chat, row)
    assert len(prompt) + len(better) <= 160
    assert len(worse) < len(better)


@pytest.mark.slow
def test_the_steps_are_chosen_by_the_loss_on_held_out_pairs(
    task: Task, rows: Rows, settings: Settings, tmp_path: Path
) -> None:
    cfg = replace(settings(), training=TrainingConfig(folds=2))
    metrics = student.train(task, cfg, rows[:6], [], [], tmp_path / "student", 0, says)
    assert metrics["synthetic"]["steps_chosen_by"] == "2-fold cross-validation"
    assert all(loss > 0 for _, loss in metrics["synthetic"]["held_out_loss"])


def test_errors_of_the_model_name_the_key_of_the_preference_student(
    task: Task, settings: Settings, tiny_generator: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    shutil.copytree(tiny_generator, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tiny_generator)
    tokenizer.chat_template = "{{ raise_exception('No chats.') }}"
    tokenizer.save_pretrained(tmp_path / "model")
    learner = PreferenceLearner(task, settings(model=str(tmp_path / "model")).preference, says)
    with pytest.raises(ConfigError, match=r"student\.preference\.model: its chat template refuses"):
        learner._untrained()


def test_a_field_that_has_no_worse_answer_is_refused(task: Task, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"student\.preference\.rejected: 'worse' must be a required field"):
        PreferenceLearner(task, settings(rejected="worse").preference, says)
    with pytest.raises(ConfigError, match=r"task\.metrics: a preference student has no metric 'bleu'"):
        PreferenceLearner(replace(task, metrics=("bleu",)), settings().preference, says)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"beta": 0}, "student.preference.beta: must be above 0, got 0"),
        ({"target_modules": []}, "student.preference.target_modules: name at least one layer"),
    ],
)
def test_values_are_checked(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PreferenceConfig(**keys)
    assert message in str(caught.value)
