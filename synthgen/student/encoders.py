"""Load encoders with a new head, for classification and for tagging, and the students that were made of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from synthgen.engines.bundled import resolve
from synthgen.student import training
from synthgen.student.config import ClassifierConfig, TaggerConfig
from synthgen.student.labels import refuse_others
from synthgen.tasks.task import Task


def fresh(
    head: str, cfg: ClassifierConfig | TaggerConfig, key: str, labels: Sequence[str], say: Callable[[str], None]
) -> tuple[Any, Any, str]:
    """Return a model of transformers' class `head` for `labels`, its tokenizer, and their path.

    The tokenizer's `model_max_length` is the most tokens of an input. Raise ConfigError, naming `key`, for a model that
    cannot be loaded.
    """
    import transformers

    path = resolve(cfg.model, say)
    with training.loading(key, path):
        config = transformers.AutoConfig.from_pretrained(path)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        model = getattr(transformers, head).from_pretrained(
            path,
            dtype="float32",
            use_safetensors=True,  # the older format is a pickle, which can run code
            ignore_mismatched_sizes=True,
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
        )
    limit = getattr(config, "max_position_embeddings", None) or cfg.max_length
    tokenizer.model_max_length = min(cfg.max_length, tokenizer.model_max_length, limit)
    return model, tokenizer, path


def saved(head: str, folder: Path, task: Task, labels: Sequence[str]) -> tuple[Any, Any]:
    """Return the saved model of transformers' class `head`, and its tokenizer.

    Raise RunFolderError if it was trained for other labels.
    """
    import transformers

    model = getattr(transformers, head).from_pretrained(folder, dtype="float32", use_safetensors=True)
    refuse_others(task, labels, [model.config.id2label[index] for index in range(model.config.num_labels)], folder)
    return model.to(training.device()), transformers.AutoTokenizer.from_pretrained(folder)
