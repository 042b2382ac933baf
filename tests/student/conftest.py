"""Tasks of both kinds, and models small enough to be trained in a test."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shipped_tasks import shipped

from synthgen.engines.bundled import EMBEDDER, GENERATOR, resolve
from synthgen.tasks.assets import root
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task


@pytest.fixture(scope="session")
def instruction_task() -> Task:
    return shipped("instruction")


@pytest.fixture(scope="session")
def voice_task() -> Task:
    return shipped("voice_intent")


@pytest.fixture(scope="session")
def pairs_task() -> Task:
    """A task with two target fields, one of them a list."""
    text, tags = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    return shipped(
        "instruction",
        name="pairs",
        kind="extraction",
        schema={"type": "object", "properties": {"text": text, "who": text, "tags": tags}},
        input=["text"],
        target=["who", "tags"],
    )


@pytest.fixture(scope="session")
def list_task() -> Task:
    """A task whose one target field is a list."""
    text, tags = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    return shipped(
        "instruction",
        name="tags",
        kind="extraction",
        schema={"type": "object", "properties": {"text": text, "tags": tags}},
        input=["text"],
        target=["tags"],
    )


@pytest.fixture(scope="session")
def dialogue_task() -> Task:
    return shipped("dialogue", checks=[])


@pytest.fixture(scope="session")
def call_task() -> Task:
    return shipped("tool_calls")


@pytest.fixture(scope="session")
def instruction_rows(instruction_task: Task) -> list[dict[str, Any]]:
    return read_samples(instruction_task.seeds, instruction_task, "seed")


@pytest.fixture(scope="session")
def news_rows(news_task: Task) -> list[dict[str, Any]]:
    return read_samples(news_task.seeds, news_task, "seed")


@pytest.fixture(scope="session")
def news_eval(news_task: Task) -> list[dict[str, Any]]:
    assert news_task.eval
    return read_samples(news_task.eval, news_task, "eval")


def seed_texts() -> list[str]:
    """Return the seed files of all shipped tasks."""
    return [path.read_text(encoding="utf-8") for path in sorted((root() / "examples").glob("*/seeds.jsonl"))]


@pytest.fixture(scope="session", autouse=True)
def _trainings_do_not_collect_garbage() -> None:
    """Accelerate collects garbage before each training, which takes half a second in the large heap of a test run."""
    import accelerate.utils.memory

    accelerate.utils.memory.gc = SimpleNamespace(collect=lambda: 0)


@pytest.fixture(scope="session")
def tiny_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, and the bundled generator's kind of tokenizer and chat template.

    Its vocabulary is small, because the logits of 49,000 tokens would take nearly all the time of a training.
    """
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = AutoTokenizer.from_pretrained(resolve(GENERATOR)).train_new_from_iterator(seed_texts(), 2000)
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,  # logits wide enough that an adapter can move them
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encoders with random weights and the bundled embedder's kind of tokenizer, by architecture.

    Their vocabulary is small, because most of the time of a checkpoint would go to 31,000 rows of it.
    """
    from transformers import (
        AutoTokenizer,
        BertConfig,
        BertModel,
        DistilBertConfig,
        DistilBertModel,
        XLMRobertaConfig,
        XLMRobertaModel,
        set_seed,
    )

    tokenizer = AutoTokenizer.from_pretrained(resolve(EMBEDDER)).train_new_from_iterator(seed_texts(), 2000)
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    small = {**sizes, "intermediate_size": 64, "max_position_embeddings": 70, "pad_token_id": 0}
    distil = {"vocab_size": len(tokenizer), "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    set_seed(0)
    models = {
        "bert": BertModel(BertConfig(**small)),
        "xlm-roberta": XLMRobertaModel(XLMRobertaConfig(**small)),
        "distilbert": DistilBertModel(DistilBertConfig(**distil)),
    }
    folders = {}
    for name, model in models.items():
        folders[name] = tmp_path_factory.mktemp(f"tiny-{name}")
        model.save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders
