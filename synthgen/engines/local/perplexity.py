"""Compute the perplexity of texts under a causal language model in this process."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from synthgen.engines import bundled
from synthgen.engines.local.model import best_dtype, device_of
from synthgen.errors import ConfigError

_ONE_BATCH = 1024
"""Most tokens, padding included, that are computed at once."""


class Perplexity:
    """Hold a model. The first `tokens` tokens of a text are read. Raise ConfigError for a model that cannot be loaded."""

    def __init__(self, name: str, tokens: int, say: Callable[[str], None] = lambda _: None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        path = bundled.resolve(name, say)
        device = device_of("auto")
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=best_dtype(device), use_safetensors=True)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ConfigError(f"model: transformers cannot load '{name}': {error}") from error
        self._model = model.to(device).eval()
        self._device, self._tokens, self._torch = device, tokens, torch
        self._first = self._tokenizer.bos_token_id
        if self._first is None:
            self._first = self._tokenizer.eos_token_id

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return the perplexity of each text; 1.0 for a text without tokens.

        Texts of like length are computed together. Each begins with the model's first token, so that the first word
        counts too.
        """
        encoded = self._tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=self._tokens)
        ids = [[self._first, *row] for row in encoded["input_ids"]]
        found = [1.0] * len(ids)
        batch: list[int] = []
        for place in sorted(range(len(ids)), key=lambda at: len(ids[at])):
            if batch and (len(batch) + 1) * len(ids[place]) > _ONE_BATCH:
                self._compute(batch, ids, found)
                batch = []
            if len(ids[place]) > 1:
                batch.append(place)
        if batch:
            self._compute(batch, ids, found)
        return found

    def _compute(self, batch: Sequence[int], ids: Sequence[Sequence[int]], found: list[float]) -> None:
        torch, longest = self._torch, len(ids[batch[-1]])
        padded = torch.full((len(batch), longest), self._first, dtype=torch.long)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, place in enumerate(batch):
            padded[row, : len(ids[place])] = torch.tensor(ids[place])
            mask[row, : len(ids[place])] = 1
        padded, mask = padded.to(self._device), mask.to(self._device)
        with torch.inference_mode():
            logits = self._model(input_ids=padded, attention_mask=mask, use_cache=False).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), padded[:, 1:], reduction="none")
        kept = mask[:, 1:].float()
        means = (losses * kept).sum(1) / kept.sum(1)
        for place, mean in zip(batch, means.tolist(), strict=True):
            found[place] = math.exp(mean)
