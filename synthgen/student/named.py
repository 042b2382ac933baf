"""Define the settings of the students that a task names: retriever and preference. `config` has those of the others."""

from dataclasses import dataclass, field

from synthgen.engines.bundled import EMBEDDER, GENERATOR
from synthgen.student.values import at_least, check_training, check_writer, positive, within


@dataclass
class RetrieverConfig:
    model: str = EMBEDDER
    """The sentence-transformers encoder to fine-tune: bundled, a local path or a hub id."""
    repeats: int = 3
    """Number of trainings of each arm, each with another random seed. Figures are averaged; the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows. `min_steps` applies if it makes more steps."""
    min_steps: int = 30
    """Optimisation steps of an arm whose `epochs` make fewer. Early stopping may end a training before."""
    batch_size: int = 16
    """Rows per step, or fewer where an arm has fewer different passages. The passages of the other rows of a batch are
    negatives too."""
    learning_rate: float = 5e-5
    """Peak learning rate."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    max_length: int = 256
    """Most tokens of a query or a passage; longer texts are truncated."""
    seed_repeat: int = 2
    """Number of copies of each seed among the training rows that include synthetic rows."""
    scale: float = 20.0
    """Factor of the cosines in the loss, the inverse of its temperature."""
    negatives: int = 1
    """Hard negatives of each query, mined among all passages of the arm's rows. 0 mines none."""
    margin: float = 0.95
    """A passage is a hard negative only if its cosine to the query is at most this share of the cosine of the query's own
    passage. Nearer passages may answer the query too."""
    near_duplicate: float = 0.9
    """A passage whose cosine to the query's own passage is this or more is no negative, because it says the same."""
    answers: int = 5
    """Passages that `synthgen predict` prints for each query."""

    def __post_init__(self) -> None:
        key = "student.retriever"
        check_training(self, key)
        for name, least in (("max_length", 8), ("negatives", 0), ("answers", 1)):
            at_least(self, key, name, least)
        positive(self, key, "scale")
        for name in ("margin", "near_duplicate"):
            within(self, key, name, lambda value: 0 < value <= 1, "above 0 and at most 1")


@dataclass
class PreferenceConfig:
    model: str = GENERATOR
    """The instruct model to fine-tune, with a chat template: bundled, a local path or a hub id. It is the reference model
    too."""
    rejected: str = "rejected"
    """The field with the worse answer. The task's target has the better one."""
    beta: float = 0.1
    """Strength with which DPO keeps the student near the reference model."""
    repeats: int = 1
    """Number of trainings of each arm, each with another random seed. Figures are averaged; the first model is kept."""
    epochs: float = 3.0
    """Passes over an arm's rows. `min_steps` applies if it makes more steps."""
    min_steps: int = 30
    """Optimisation steps of an arm whose `epochs` make fewer. Early stopping may end a training before."""
    batch_size: int = 8
    """Rows per step, each with two answers."""
    learning_rate: float = 1e-4
    """Peak learning rate of the adapter."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    max_length: int = 512
    """Most tokens of question and answer together. If they are longer, the question is truncated first, then the
    answer."""
    seed_repeat: int = 2
    """Number of copies of each seed among the training rows that include synthetic rows."""
    rank: int = 16
    """LoRA rank."""
    alpha: int = 32
    """LoRA alpha: the adapter is scaled by alpha / rank."""
    dropout: float = 0.0
    """Dropout inside the adapter."""
    target_modules: list[str] = field(default_factory=lambda: ["all-linear"])
    """Layers that get an adapter, given by the end of their names. `all-linear` is every linear layer but the head."""
    max_new_tokens: int | None = None
    """Most tokens of an answer that `synthgen predict` prints. null means as many as the longest target that
    `task.schema` allows, and at most `max_length`."""

    def __post_init__(self) -> None:
        key = "student.preference"
        check_training(self, key)
        check_writer(self, key)
        positive(self, key, "beta")
