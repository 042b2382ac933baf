"""Load causal language models for training, describe their LoRA adapters, and compute the losses of answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.errors import ConfigError
from synthgen.student import training
from synthgen.student.config import AdaptConfig, GeneratorConfig
from synthgen.student.named import PreferenceConfig
from synthgen.student.scores import Floats

WHOLE, SPREAD, UNPLACED = "whole", "spread", "unplaced"
_LOSS_BATCH = 8

Encoded = tuple[list[int], int]
"""Token ids of a conversation with its answer, and where the answer starts."""


def load(
    folder: Path, key: str, revision: str | None = None, trust_remote_code: bool = False, where: str = WHOLE
) -> tuple[Any, Any]:
    """Return model and tokenizer. Raise ConfigError, naming the config's `key`, for a model without a chat template.

    `where` is WHOLE for a model on one device, SPREAD for one on all GPUs of this machine, and UNPLACED for one in
    memory, which the trainer divides among workers.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, **source)
    if not tokenizer.chat_template:
        raise ConfigError(f"{key}: {folder} has no chat template; name an instruct model")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # On a GPU the model keeps its own precision. On a CPU bfloat16 is slow.
    dtype = "auto" if training.device() == "cuda" else "float32"
    source |= {"dtype": dtype, "use_safetensors": True}
    if where == SPREAD and training.device() == "cuda":
        return AutoModelForCausalLM.from_pretrained(folder, device_map="auto", **source), tokenizer
    model: Any = AutoModelForCausalLM.from_pretrained(folder, **source)
    return model if where == UNPLACED else model.to(training.device()), tokenizer


def lora(cfg: GeneratorConfig | PreferenceConfig | AdaptConfig) -> Any:
    """Return PEFT's settings for the adapter that `cfg` describes."""
    from peft import LoraConfig

    targets = list(cfg.target_modules)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=cfg.rank,
        lora_alpha=cfg.alpha,
        lora_dropout=cfg.dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
    )


def losses(model: Any, tokenizer: Any, encoded: Sequence[Encoded]) -> tuple[Floats, Floats]:
    """Return the summed loss of each answer's tokens, and their number."""
    masks = [[place >= start for place in range(len(ids))] for ids, start in encoded]
    return masked_losses(model, tokenizer, [(ids, mask) for (ids, _), mask in zip(encoded, masks, strict=True)])


def masked_losses(model: Any, tokenizer: Any, rows: Sequence[tuple[list[int], list[bool]]]) -> tuple[Floats, Floats]:
    """Return the summed loss of each row's marked tokens, and their number. The first token has no loss."""
    import torch

    found, tokens = np.zeros(len(rows)), np.zeros(len(rows))
    model.eval()
    for batch in training.batches([len(ids) for ids, _ in rows], _LOSS_BATCH):
        inputs = padded(tokenizer, [rows[index][0] for index in batch], "right").to(model.device)
        with torch.no_grad():  # inference_mode does not fit to sharded weights
            logits = model(**inputs).logits
        for place, index in enumerate(batch):
            marked = [number for number, learnt in enumerate(rows[index][1]) if learnt and number]
            before = [number - 1 for number in marked]
            loss = torch.nn.functional.cross_entropy(
                logits[place, before].float(), inputs["input_ids"][place, marked], reduction="sum"
            )
            found[index], tokens[index] = loss.item(), len(marked)
    return found, tokens


def next_logprobs(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], wanted: Sequence[Sequence[int]]
) -> list[Floats]:
    """Return for each prompt the log-probabilities of its `wanted` next tokens, normalised over these tokens."""
    import torch

    found: list[Floats] = [np.zeros(0)] * len(prompts)
    model.eval()
    for batch in training.batches([len(ids) for ids in prompts], _LOSS_BATCH):
        inputs = padded(tokenizer, [prompts[index] for index in batch], "left").to(model.device)
        places = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = model(**inputs, position_ids=places, logits_to_keep=1).logits[:, -1].float()
        for row, index in zip(logits, batch, strict=True):
            found[index] = torch.log_softmax(row[list(wanted[index])], 0).cpu().numpy().astype(np.float64)
    return found


def padded(tokenizer: Any, rows: Sequence[list[int]], side: str) -> Any:
    """Return the tensors of token ids and mask, padded to the longest row on the `side` "left" or "right"."""
    return tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt", padding_side=side)
