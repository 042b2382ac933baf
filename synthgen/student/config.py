"""The student's knobs: one dataclass for each kind of student, and what both share.

Values are checked here, so that a bad one stops a run before it starts and not after a night.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from synthgen.errors import ConfigError
from synthgen.llm.bundled import EMBEDDER, GENERATOR

KINDS = ("auto", "frozen", "none")
POOLINGS = ("auto", "mean", "own")
CLASS_WEIGHTS = ("none", "balanced")


@dataclass
class ClassifierConfig:
    model: str = EMBEDDER
    """The encoder to fine-tune: bundled, a local path or a hub id."""
    pooling: str = "auto"
    """`mean` adds a layer that averages the tokens before the head (BERT and RoBERTa kinds), `own` keeps the
    model's own head, `auto` is `mean` where the model says that it was trained for it."""
    repeats: int = 3
    """How often each arm is trained, with other random numbers; figures are averaged, the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows, where `min_steps` does not ask for more."""
    min_steps: int = 45
    """Fewest optimisation steps of either arm: a handful of seeds needs many passes to converge."""
    batch_size: int = 16
    """Rows a step."""
    learning_rate: float = 2e-4
    """Peak learning rate; the default suits a small encoder such as MiniLM, a large one wants about 2e-5."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak; it then falls to 0."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    max_length: int = 256
    """Tokens of an input that are read; the rest is cut off."""
    seed_repeat: int = 2
    """How often each seed stands in the mix beside the synthetic rows."""

    def __post_init__(self) -> None:
        key = "student.classifier"
        _check_training(self, key)
        _choice(self, key, "pooling", POOLINGS)
        _at_least(self, key, "max_length", 8)


@dataclass
class GeneratorConfig:
    model: str = GENERATOR
    """The instruct model to fine-tune, with a chat template: bundled, a local path or a hub id."""
    repeats: int = 1
    """How often each arm is trained, with other random numbers; figures are averaged, the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows, where `min_steps` does not ask for more."""
    min_steps: int = 30
    """Fewest optimisation steps of either arm: a handful of seeds needs several passes to converge."""
    batch_size: int = 8
    """Rows a step."""
    learning_rate: float = 5e-4
    """Peak learning rate of the adapter."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak; it then falls to 0."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    max_length: int = 512
    """Tokens of question and answer together; a longer question is cut, then a longer answer."""
    seed_repeat: int = 2
    """How often each seed stands in the mix beside the synthetic rows."""
    rank: int = 16
    """LoRA rank."""
    alpha: int = 32
    """LoRA alpha: the adapter is scaled by alpha / rank."""
    dropout: float = 0.05
    """Dropout inside the adapter."""
    target_modules: list[str] = field(default_factory=lambda: ["all-linear"])
    """Layers that get an adapter, by the end of their names; `all-linear` for every linear layer but the head."""
    max_new_tokens: int = 128
    """Tokens of an answer, at most."""
    generate_rows: int = 64
    """Eval rows that are answered for ROUGE-L, the first ones; the loss is taken on all."""

    def __post_init__(self) -> None:
        key = "student.generator"
        _check_training(self, key)
        for name, least in (("max_length", 32), ("rank", 1), ("alpha", 1), ("max_new_tokens", 1), ("generate_rows", 1)):
            _at_least(self, key, name, least)
        _within(self, key, "dropout", lambda value: 0 <= value < 1, "at least 0 and below 1")
        if not self.target_modules:
            raise ConfigError(f"{key}.target_modules: name at least one layer, or all-linear")


@dataclass
class FrozenConfig:
    model: str = EMBEDDER
    """The sentence-transformers encoder whose vectors the regression is fitted on: bundled, a local path or a hub id."""
    repeats: int = 1
    """How often each arm is fitted, with other folds; figures are averaged, the first model is kept."""
    strengths: list[float] = field(default_factory=lambda: [1.0, 10.0, 100.0, 1000.0])
    """Inverse regularisations to choose from, by cross-validation on the arm's own training rows; one is taken as it is."""
    folds: int = 5
    """Folds of that cross-validation, and no more than the most frequent label has rows."""
    class_weights: str = "none"
    """`balanced` gives all labels the same weight in sum, `none` each row its own."""
    seed_repeat: int = 2
    """How many times as much a seed counts as a synthetic row."""

    def __post_init__(self) -> None:
        key = "student.frozen"
        for name, least in (("repeats", 1), ("folds", 2), ("seed_repeat", 1)):
            _at_least(self, key, name, least)
        _choice(self, key, "class_weights", CLASS_WEIGHTS)
        if not self.strengths or not all(0 < strength < float("inf") for strength in self.strengths):
            raise ConfigError(f"{key}.strengths: must be at least one number above 0, got {list(self.strengths)}")


LearnerConfig = ClassifierConfig | GeneratorConfig | FrozenConfig


@dataclass
class StudentConfig:
    kind: str = "auto"
    """auto fine-tunes what fits the task's kind (an encoder for classification, LoRA otherwise); frozen fits a
    regression on a frozen encoder's vectors (classification only); none leaves the student out."""
    bootstrap: int = 1000
    """Resamples of the eval rows behind every interval."""
    confidence: float = 0.95
    """Share of the resamples that an interval covers."""
    report_to: str = "none"
    """Where the trainer logs: none, or tensorboard, which writes inside the student's folder."""
    checkpoint_seconds: float = 60.0
    """Seconds of training between checkpoints, from which a killed training goes on, and longer where writing one takes
    over a twentieth of that; 0 for one after every step."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The student of a classification task."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """The student of every other kind of task."""
    frozen: FrozenConfig = field(default_factory=FrozenConfig)
    """The student of a classification task where `kind` is frozen."""

    def __post_init__(self) -> None:
        _choice(self, "student", "kind", KINDS)
        _within(self, "student", "checkpoint_seconds", lambda value: value >= 0, "0 or more")
        _at_least(self, "student", "bootstrap", 100)
        _within(self, "student", "confidence", lambda value: 0.5 <= value < 1, "at least 0.5 and below 1")


def planned_steps(rows: int, cfg: ClassifierConfig | GeneratorConfig) -> int:
    """Optimisation steps for an arm of so many rows."""
    return max(cfg.min_steps, math.ceil(math.ceil(rows / cfg.batch_size) * cfg.epochs))


def _check_training(cfg: ClassifierConfig | GeneratorConfig, key: str) -> None:
    """The range checks that both kinds of student share."""
    for name in ("repeats", "min_steps", "batch_size", "seed_repeat"):
        _at_least(cfg, key, name, 1)
    for name in ("epochs", "learning_rate"):
        _positive(cfg, key, name)
    _within(cfg, key, "warmup", lambda value: 0 <= value < 1, "at least 0 and below 1")
    _within(cfg, key, "weight_decay", lambda value: value >= 0, "0 or more")


def _at_least(cfg: Any, key: str, name: str, least: int) -> None:
    _within(cfg, key, name, lambda value: value >= least, f"{least} or more")


def _positive(cfg: Any, key: str, name: str) -> None:
    _within(cfg, key, name, lambda value: 0 < value < float("inf"), "above 0")


def _choice(cfg: Any, key: str, name: str, choices: tuple[str, ...]) -> None:
    _within(cfg, key, name, lambda value: value in choices, f"one of {', '.join(choices)}")


def _within(cfg: Any, key: str, name: str, fits: Callable[[Any], bool], what: str) -> None:
    value = getattr(cfg, name)
    if not fits(value):
        raise ConfigError(f"{key}.{name}: must be {what}, got {value}")
