"""The student's knobs: one dataclass for each kind of student, and what both share.

Values are checked here, so that a bad one stops a run before it starts and not after a night.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from synthgen.engines.bundled import EMBEDDER, GENERATOR
from synthgen.errors import ConfigError

KINDS = ("auto", "frozen", "none")
POOLINGS = ("auto", "mean", "own")
HEADS = ("regression", "random")
CLASS_WEIGHTS = ("none", "balanced")
SCHEDULES = ("linear", "cosine", "constant")
TRACKERS = ("auto", "none", "tensorboard", "wandb", "mlflow")
PHASES = ("mixed", "synthetic_then_real")


@dataclass
class TrainingConfig:
    early_stopping: bool = True
    """Choose the number of steps on training rows that are held out for it, alike in all arms; the student is then
    trained on all of the arm's rows. Off, every training has all the steps that `epochs` and `min_steps` ask for."""
    validation_share: float = 0.1
    """Share of an arm's rows that is held out to choose the number of steps, where that makes 20 rows or more."""
    folds: int = 3
    """Folds of the cross-validation by which fewer rows choose it."""
    patience: int = 3
    """Losses on the held-out share without a new least one, of about 12 in a training, after which that one ends."""
    schedule: str = "linear"
    """How the learning rate goes on from its peak: linear or cosine, down to 0, or constant."""
    phases: str = "mixed"
    """`mixed` shuffles seeds and synthetic rows; `synthetic_then_real` passes over the synthetic rows first, then over
    the seeds, as many steps as their share of the rows and a quarter of all at least."""

    def __post_init__(self) -> None:
        key = "student.training"
        _within(self, key, "validation_share", lambda value: 0 < value <= 0.5, "above 0 and at most 0.5")
        _at_least(self, key, "folds", 2)
        _at_least(self, key, "patience", 1)
        _choice(self, key, "schedule", SCHEDULES)
        _choice(self, key, "phases", PHASES)


@dataclass
class ClassifierConfig:
    model: str = EMBEDDER
    """The encoder to fine-tune: bundled, a local path or a hub id."""
    pooling: str = "auto"
    """`mean` adds a layer that averages the tokens before the head (BERT and RoBERTa kinds), `own` keeps the
    model's own head, `auto` is `mean` where the model says that it was trained for it."""
    head: str = "regression"
    """`regression` starts the head from a logistic regression on what the encoder gives before it is trained, where
    the head is one linear layer; `random` starts it from noise."""
    repeats: int = 3
    """How often each arm is trained, with other random numbers; figures are averaged, the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows, where `min_steps` does not ask for more."""
    min_steps: int = 45
    """Most optimisation steps of an arm of few rows: a handful of seeds needs many passes to converge."""
    batch_size: int = 16
    """Rows a step."""
    learning_rate: float = 2e-4
    """Peak learning rate; the default suits a small encoder such as MiniLM, a large one wants about 2e-5."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    max_length: int = 256
    """Tokens of an input that are read; the rest is cut off."""
    seed_repeat: int = 2
    """How often each seed stands in the mix beside the synthetic rows."""
    label_smoothing: float = 0.0
    """Share of each row's label that is spread over all labels."""
    class_weights: str = "none"
    """`balanced` gives all labels the same weight in the loss, `none` each row its own."""

    def __post_init__(self) -> None:
        key = "student.classifier"
        _check_training(self, key)
        _choice(self, key, "pooling", POOLINGS)
        _choice(self, key, "head", HEADS)
        _choice(self, key, "class_weights", CLASS_WEIGHTS)
        _within(self, key, "label_smoothing", lambda value: 0 <= value < 1, "at least 0 and below 1")
        _at_least(self, key, "max_length", 8)


@dataclass
class TaggerConfig:
    model: str = EMBEDDER
    """The encoder to fine-tune: bundled, a local path or a hub id; its tokenizer must be a fast one."""
    repeats: int = 3
    """How often each arm is trained, with other random numbers; figures are averaged, the first model is kept."""
    epochs: float = 5.0
    """Passes over an arm's rows, where `min_steps` does not ask for more."""
    min_steps: int = 60
    """Most optimisation steps of an arm of few rows: a handful of seeds needs many passes to converge."""
    batch_size: int = 16
    """Rows a step."""
    learning_rate: float = 5e-4
    """Peak learning rate; the default suits a small encoder such as MiniLM, a large one wants about 5e-5."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    max_length: int = 256
    """Tokens of an input that are read; there are no spans in the rest."""
    seed_repeat: int = 2
    """How often each seed stands in the mix beside the synthetic rows."""

    def __post_init__(self) -> None:
        _check_training(self, "student.tagger")
        _at_least(self, "student.tagger", "max_length", 8)


@dataclass
class GeneratorConfig:
    model: str = GENERATOR
    """The instruct model to fine-tune, with a chat template: bundled, a local path or a hub id."""
    repeats: int = 1
    """How often each arm is trained, with other random numbers; figures are averaged, the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows, where `min_steps` does not ask for more."""
    min_steps: int = 30
    """Most optimisation steps of an arm of few rows: a handful of seeds needs several passes to converge."""
    batch_size: int = 8
    """Rows a step."""
    learning_rate: float = 5e-4
    """Peak learning rate of the adapter."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
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
class AdaptConfig:
    dir: str = ""
    """Folder that gets `judge/` or `generator/`, the adapter's own; `adapters/TASK` if empty."""
    held_out: float = 0.2
    """Share of the rows that is not trained on and says what the adapter is worth."""
    prompts: int = 4
    """Generator: conversations for each seed, every one with other demonstrations."""
    epochs: float = 3.0
    """Passes over the conversations, where `min_steps` does not ask for more."""
    min_steps: int = 30
    """Optimisation steps at least."""
    batch_size: int = 8
    """Conversations a step."""
    learning_rate: float = 2e-4
    """Peak learning rate."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    schedule: str = "linear"
    """How the learning rate goes on from its peak: linear or cosine, down to 0, or constant."""
    max_length: int = 2048
    """Tokens of a conversation with its answer; longer ones are left out and counted, for a cut one is never sent."""
    rank: int = 16
    """LoRA rank."""
    alpha: int = 32
    """LoRA alpha: the adapter is scaled by alpha / rank."""
    dropout: float = 0.05
    """Dropout inside the adapter."""
    target_modules: list[str] = field(default_factory=lambda: ["all-linear"])
    """Layers that get an adapter, by the end of their names; `all-linear` for every linear layer but the head."""

    def __post_init__(self) -> None:
        key = "adapt"
        for name, least in (
            ("prompts", 1),
            ("min_steps", 1),
            ("batch_size", 1),
            ("max_length", 64),
            ("rank", 1),
            ("alpha", 1),
        ):
            _at_least(self, key, name, least)
        for name in ("epochs", "learning_rate"):
            _positive(self, key, name)
        _within(self, key, "held_out", lambda value: 0 < value <= 0.5, "above 0 and at most 0.5")
        for name in ("warmup", "dropout"):
            _within(self, key, name, lambda value: 0 <= value < 1, "at least 0 and below 1")
        _within(self, key, "weight_decay", lambda value: value >= 0, "0 or more")
        _choice(self, key, "schedule", SCHEDULES)
        if not self.target_modules:
            raise ConfigError("adapt.target_modules: name at least one layer, or all-linear")


@dataclass
class FrozenConfig:
    model: str = EMBEDDER
    """The sentence-transformers encoder whose vectors the regression is fitted on: bundled, a local path or a hub id."""
    repeats: int = 1
    """How often each arm is fitted, with other folds; figures are averaged, the first model is kept."""
    strengths: list[float] = field(default_factory=lambda: [1.0, 10.0, 100.0])
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


SteppedConfig = ClassifierConfig | TaggerConfig | GeneratorConfig
LearnerConfig = SteppedConfig | FrozenConfig


@dataclass
class StudentConfig:
    kind: str = "auto"
    """auto fine-tunes what fits the task (an encoder for classification and for spans to extract, LoRA on an instruct
    model otherwise); frozen fits a regression on a frozen encoder's vectors (classification only); none leaves it out."""
    bootstrap: int = 1000
    """Resamples of the eval rows behind every interval."""
    confidence: float = 0.95
    """Share of the resamples that an interval covers."""
    report_to: str = "none"
    """Where the trainer logs; a run sets it from `tracking.report_to`."""
    checkpoint_seconds: float = 60.0
    """Seconds of training between checkpoints, from which a killed training goes on, and longer where writing one takes
    over a twentieth of that; 0 for one after every step."""
    max_minutes: float | None = None
    """Most minutes that the student may take, the sessions of an interrupted training together. The student that is kept is
    trained first, for fewer steps where time is short, and is always scored; arms that there is no time for are left out
    and named. null for no limit."""
    label_rows: float = 5.0
    """Weight of each label's name and meaning as a training row of its own, beside a seed's 1 (classification only); the
    student is then scored on seeds and label rows alone too. 0 for none."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How students that are trained step by step are trained."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The student of a classification task."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """The student of every other task."""
    tagger: TaggerConfig = field(default_factory=TaggerConfig)
    """The student of an extraction task whose targets are spans of the input."""
    frozen: FrozenConfig = field(default_factory=FrozenConfig)
    """The student of a classification task where `kind` is frozen."""

    def __post_init__(self) -> None:
        _choice(self, "student", "kind", KINDS)
        _choice(self, "student", "report_to", TRACKERS)
        _within(self, "student", "checkpoint_seconds", lambda value: value >= 0, "0 or more")
        _within(self, "student", "label_rows", lambda value: 0 <= value < float("inf"), "0 or more")
        if self.max_minutes is not None:
            _positive(self, "student", "max_minutes")
        _at_least(self, "student", "bootstrap", 100)
        _within(self, "student", "confidence", lambda value: 0.5 <= value < 1, "at least 0.5 and below 1")


def planned_steps(rows: int, cfg: SteppedConfig | AdaptConfig) -> int:
    """Optimisation steps for so many rows."""
    return max(cfg.min_steps, math.ceil(math.ceil(rows / cfg.batch_size) * cfg.epochs))


def _check_training(cfg: SteppedConfig, key: str) -> None:
    """Check the ranges that both kinds of student share."""
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
