"""Define the student's settings: one dataclass for each kind of student, and one that the kinds share.

Values are checked here, so that a bad value is refused before the run starts and not after hours of work.
"""

import math
from dataclasses import dataclass, field

from synthgen.engines.bundled import EMBEDDER, GENERATOR
from synthgen.errors import ConfigError
from synthgen.student.named import PreferenceConfig, RetrieverConfig
from synthgen.student.values import at_least, check_adapter, check_training, check_writer, choice, positive, within
from synthgen.student.workers.config import LAUNCHERS, WorkerRayConfig, check_count

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
    """Choose the number of steps by the loss on held-out training rows, by the same rule in every arm. The student is
    then trained on all rows of the arm. When false, every training runs all steps that `epochs` and `min_steps` set."""
    validation_share: float = 0.1
    """Share of an arm's rows that is held out to choose the number of steps. If the share is fewer than 20 rows,
    cross-validation is used instead."""
    folds: int = 3
    """Number of cross-validation folds that choose the number of steps when an arm has too few rows for
    `validation_share`."""
    patience: int = 3
    """Stop the training that chooses the number of steps after this many evaluations in a row without a new lowest
    held-out loss. A training has about 12 evaluations. Cross-validation does not use it."""
    schedule: str = "linear"
    """Learning rate after its peak: `linear` or `cosine` fall to 0, `constant` keeps the peak."""
    phases: str = "mixed"
    """Order of the rows. `mixed` shuffles all rows together. `synthetic_then_real` trains on the synthetic rows first,
    then on seeds and label rows; these get steps in proportion to their share of the rows, and at least a quarter of
    all steps."""

    def __post_init__(self) -> None:
        key = "student.training"
        within(self, key, "validation_share", lambda value: 0 < value <= 0.5, "above 0 and at most 0.5")
        at_least(self, key, "folds", 2)
        at_least(self, key, "patience", 1)
        choice(self, key, "schedule", SCHEDULES)
        choice(self, key, "phases", PHASES)


@dataclass
class ClassifierConfig:
    model: str = EMBEDDER
    """The encoder to fine-tune: bundled, a local path or a hub id."""
    pooling: str = "auto"
    """Input of the classification head. `mean` adds a layer that averages the token states (BERT and RoBERTa
    architectures only). `own` keeps the model's own pooling. `auto` is `mean` if the model's files say that it was
    trained with mean pooling, else `own`."""
    head: str = "regression"
    """Start of the head's weights. `regression` takes them from a logistic regression on the vectors of the encoder
    before its training, if the head is one linear layer. `random` takes random numbers."""
    repeats: int = 3
    """Number of trainings of each arm, each with another random seed. Figures are averaged; the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows. `min_steps` applies if it makes more steps."""
    min_steps: int = 45
    """Optimisation steps of an arm whose `epochs` make fewer: a handful of seeds needs many passes to converge. Early
    stopping may end a training before."""
    batch_size: int = 16
    """Rows per step."""
    learning_rate: float = 2e-4
    """Peak learning rate. The default suits a small encoder such as MiniLM; a large one needs about 2e-5."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    max_length: int = 256
    """Most tokens of an input; longer inputs are truncated."""
    seed_repeat: int = 2
    """Number of copies of each seed among the training rows that include synthetic rows."""
    label_smoothing: float = 0.0
    """Share of each row's label probability that is spread evenly over all labels."""
    class_weights: str = "none"
    """`balanced` gives every label the same total weight in the loss; `none` leaves the rows' weights as they are."""

    def __post_init__(self) -> None:
        key = "student.classifier"
        check_training(self, key)
        choice(self, key, "pooling", POOLINGS)
        choice(self, key, "head", HEADS)
        choice(self, key, "class_weights", CLASS_WEIGHTS)
        within(self, key, "label_smoothing", lambda value: 0 <= value < 1, "at least 0 and below 1")
        at_least(self, key, "max_length", 8)


@dataclass
class TaggerConfig:
    model: str = EMBEDDER
    """The encoder to fine-tune: bundled, a local path or a hub id. It needs a fast tokenizer."""
    repeats: int = 3
    """Number of trainings of each arm, each with another random seed. Figures are averaged; the first model is kept."""
    epochs: float = 5.0
    """Passes over an arm's rows. `min_steps` applies if it makes more steps."""
    min_steps: int = 60
    """Optimisation steps of an arm whose `epochs` make fewer: a handful of seeds needs many passes to converge. Early
    stopping may end a training before."""
    batch_size: int = 16
    """Rows per step."""
    learning_rate: float = 5e-4
    """Peak learning rate. The default suits a small encoder such as MiniLM; a large one needs about 5e-5."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    max_length: int = 256
    """Most tokens of an input; the student finds no spans in the rest of a longer input."""
    seed_repeat: int = 2
    """Number of copies of each seed among the training rows that include synthetic rows."""

    def __post_init__(self) -> None:
        check_training(self, "student.tagger")
        at_least(self, "student.tagger", "max_length", 8)


@dataclass
class GeneratorConfig:
    model: str = GENERATOR
    """The instruct model to fine-tune, with a chat template: bundled, a local path or a hub id."""
    repeats: int = 1
    """Number of trainings of each arm, each with another random seed. Figures are averaged; the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows. `min_steps` applies if it makes more steps."""
    min_steps: int = 30
    """Optimisation steps of an arm whose `epochs` make fewer: a handful of seeds needs several passes to converge.
    Early stopping may end a training before."""
    batch_size: int = 8
    """Rows per step."""
    learning_rate: float = 5e-4
    """Peak learning rate of the adapter."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    max_length: int = 512
    """Most tokens of question and answer together. If they are longer, the oldest turns of a dialogue are left out, then
    the question is truncated, then the answer."""
    seed_repeat: int = 2
    """Number of copies of each seed among the training rows that include synthetic rows."""
    rank: int = 16
    """LoRA rank."""
    alpha: int = 32
    """LoRA alpha: the adapter is scaled by alpha / rank."""
    dropout: float = 0.05
    """Dropout inside the adapter."""
    target_modules: list[str] = field(default_factory=lambda: ["all-linear"])
    """Layers that get an adapter, given by the end of their names. `all-linear` is every linear layer but the head."""
    max_new_tokens: int | None = None
    """Most tokens of an answer. An answer in JSON, or in code, that is cut off counts as wrong. null means as many as
    the longest target that `task.schema` allows, and at most `max_length`."""
    generate_rows: int = 64
    """Number of eval rows, from the first, for which the student writes an answer to compute the metrics of answers. The
    loss is computed on all eval rows."""

    def __post_init__(self) -> None:
        key = "student.generator"
        check_training(self, key)
        check_writer(self, key)
        at_least(self, key, "generate_rows", 1)


@dataclass
class AdaptConfig:
    dir: str = ""
    """Folder in which the adapter gets a subfolder, `judge/` or `generator/`; `adapters/TASK` if empty."""
    held_out: float = 0.2
    """Share of the rows that is held out from training to measure the adapter."""
    prompts: int = 4
    """For a generator: number of conversations for each seed, each with other demonstrations."""
    epochs: float = 3.0
    """Passes over the conversations. `min_steps` applies if it makes more steps."""
    min_steps: int = 30
    """Fewest optimisation steps."""
    batch_size: int = 8
    """Conversations per step."""
    learning_rate: float = 2e-4
    """Peak learning rate."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    schedule: str = "linear"
    """Learning rate after its peak: `linear` or `cosine` fall to 0, `constant` keeps the peak."""
    max_length: int = 2048
    """Most tokens of a conversation with its answer. Longer conversations are left out and counted, because a run never
    sends a truncated one."""
    rank: int = 16
    """LoRA rank."""
    alpha: int = 32
    """LoRA alpha: the adapter is scaled by alpha / rank."""
    dropout: float = 0.05
    """Dropout inside the adapter."""
    target_modules: list[str] = field(default_factory=lambda: ["all-linear"])
    """Layers that get an adapter, given by the end of their names. `all-linear` is every linear layer but the head."""

    def __post_init__(self) -> None:
        key = "adapt"
        for name, least in (("prompts", 1), ("min_steps", 1), ("batch_size", 1), ("max_length", 64)):
            at_least(self, key, name, least)
        for name in ("epochs", "learning_rate"):
            positive(self, key, name)
        within(self, key, "held_out", lambda value: 0 < value <= 0.5, "above 0 and at most 0.5")
        within(self, key, "warmup", lambda value: 0 <= value < 1, "at least 0 and below 1")
        within(self, key, "weight_decay", lambda value: value >= 0, "0 or more")
        choice(self, key, "schedule", SCHEDULES)
        check_adapter(self, key)


@dataclass
class FrozenConfig:
    model: str = EMBEDDER
    """The sentence-transformers encoder whose vectors the regression uses: bundled, a local path or a hub id."""
    repeats: int = 1
    """Number of fits of each arm, each with other folds. Figures are averaged; the first model is kept."""
    strengths: list[float] = field(default_factory=lambda: [1.0, 10.0, 100.0])
    """Candidate values of the inverse regularisation. Cross-validation on the arm's training rows chooses one; a single
    value is used as it is."""
    folds: int = 5
    """Most folds of that cross-validation. There are never more folds than the most frequent label has rows."""
    class_weights: str = "none"
    """`balanced` gives every label the same total weight; `none` leaves the rows' weights as they are."""
    seed_repeat: int = 2
    """Weight of a seed relative to a synthetic row."""

    def __post_init__(self) -> None:
        key = "student.frozen"
        for name, least in (("repeats", 1), ("folds", 2), ("seed_repeat", 1)):
            at_least(self, key, name, least)
        choice(self, key, "class_weights", CLASS_WEIGHTS)
        if not self.strengths or not all(0 < strength < float("inf") for strength in self.strengths):
            raise ConfigError(f"{key}.strengths: must be at least one number above 0, got {list(self.strengths)}")


SteppedConfig = PreferenceConfig | RetrieverConfig | ClassifierConfig | TaggerConfig | GeneratorConfig
LearnerConfig = SteppedConfig | FrozenConfig


@dataclass
class StudentConfig:
    kind: str = "auto"
    """Kind of student. `auto` fine-tunes an encoder for classification tasks and for extraction tasks whose targets are
    spans, and an instruct model with LoRA for all other tasks. `frozen` fits a regression on the vectors of a frozen
    encoder (classification only). `none` trains no student."""
    bootstrap: int = 1000
    """Number of bootstrap resamples of the eval rows, for confidence intervals."""
    confidence: float = 0.95
    """Confidence level of the intervals."""
    report_to: str = "none"
    """Tracker to which the trainer logs. A run sets it from `tracking.report_to`."""
    checkpoint_seconds: float = 60.0
    """Seconds of training between checkpoints; a killed training continues from the last one. The interval is longer if
    writing a checkpoint would otherwise take more than a twentieth of the time. 0 writes one after every step."""
    max_minutes: float | None = None
    """Most minutes that the student may take, over all sessions of an interrupted training. The student that is kept is
    trained first, with fewer steps if time is short, and is always scored. Arms that there is no time for are left out
    and named. null means no limit."""
    workers: str = "1"
    """Processes that train the student together, each on its part of every batch: a number, or `auto` for one per GPU (1
    without GPUs). The figures do not depend on it. docs/student.md says when it pays."""
    launcher: str = "processes"
    """Starts the workers as `processes` of this machine, or with `ray` on the machines of a Ray cluster."""
    fsdp: bool = False
    """Divide the weights of an instruct model among the workers (FSDP), for one that does not fit into the memory of one
    GPU. Other students are small, and each worker holds the whole model."""
    ray: WorkerRayConfig = field(default_factory=WorkerRayConfig)
    """The cluster of `launcher=ray`."""
    label_rows: float = 5.0
    """Weight of a training row made from each label's name and meaning; a seed has weight 1 (classification only). With
    label rows, one more arm is trained, on seeds and label rows without synthetic rows. 0 makes no label rows."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Settings that all students trained in steps share."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The student of a classification task."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """The student of every other task."""
    tagger: TaggerConfig = field(default_factory=TaggerConfig)
    """The student of an extraction task whose targets are spans of the input."""
    retriever: RetrieverConfig = field(default_factory=RetrieverConfig)
    """The student of a task with `student: retriever`."""
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
    """The student of a task with `student: preference`."""
    frozen: FrozenConfig = field(default_factory=FrozenConfig)
    """The student of a classification task if `kind` is `frozen`."""

    def __post_init__(self) -> None:
        choice(self, "student", "kind", KINDS)
        choice(self, "student", "report_to", TRACKERS)
        choice(self, "student", "launcher", LAUNCHERS)
        check_count(self.workers)
        if self.fsdp and self.workers == "1":
            raise ConfigError(
                "student.fsdp: it divides a model among workers, and there is one; set student.workers=auto"
            )
        within(self, "student", "checkpoint_seconds", lambda value: value >= 0, "0 or more")
        within(self, "student", "label_rows", lambda value: 0 <= value < float("inf"), "0 or more")
        if self.max_minutes is not None:
            positive(self, "student", "max_minutes")
        at_least(self, "student", "bootstrap", 100)
        within(self, "student", "confidence", lambda value: 0.5 <= value < 1, "at least 0.5 and below 1")


def planned_steps(rows: int, cfg: SteppedConfig | AdaptConfig) -> int:
    """Return the greatest number of optimisation steps for this many rows."""
    return max(cfg.min_steps, math.ceil(math.ceil(rows / cfg.batch_size) * cfg.epochs))
