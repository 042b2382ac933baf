"""Compute a batch for the transformers engine: from prompts to constrained draws.

This supports decoder-only models with an attention cache, on one device, text only. All of it runs in one thread, the
engine's. The common prefix of a batch's prompts is computed once; nothing is kept between batches.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from synthgen.engines.grammar.constrained import ConstrainedReply, Constraint, ContextFree, Free, Regular
from synthgen.engines.grammar.schema import special_ids, to_outlines, vocabulary, whole
from synthgen.engines.http.thinking import template_variables
from synthgen.errors import ConfigError, FatalRequestError
from synthgen.records import Completion, Grammar, Request

_BANS_KEPT = 256
_GRAMMARS_KEPT = 32  # a compiled schema is about 100 MB
_SHARED_MIN = 32  # a shorter common prefix is not worth a forward pass of its own


class LocalModel:
    """Hold a model, its tokenizer and compiled grammars. Raise ConfigError if it cannot be used."""

    def __init__(
        self,
        name: str,
        revision: str | None,
        trust_remote_code: bool,
        device: str,
        dtype: str,
        seed: int,
        adapters: Mapping[str, str] | None = None,
        thinking: bool | None = None,
    ) -> None:
        """Load the model and its adapters.

        If `thinking` is False, its chat template gets the variable that switches thinking off.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a run has its own progress display
        self._device = device_of(device)
        weights = best_dtype(self._device) if dtype == "auto" else getattr(torch, dtype)
        source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name, **source)
            # safetensors files contain only numbers; the older format is a pickle, which can run code
            model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=weights, use_safetensors=True, **source)
            for adapter, folder in (adapters or {}).items():
                model.load_adapter(folder, adapter_name=adapter)
            self._model: Any = model.to(device=self._device, dtype=weights).eval()
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ConfigError(f"model.name: transformers cannot load '{name}': {error}") from error
        end = self._tokenizer.eos_token_id
        if self._tokenizer.chat_template is None or end is None:
            raise ConfigError(f"model.name: '{name}' has no chat template or no end token; name an instruct model")
        self._name = name
        self._template = {} if thinking is None else template_variables(thinking)
        self._adapters = frozenset(adapters or ())
        self._rng = np.random.default_rng(seed)
        self._context = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._width = int(self._model.get_output_embeddings().weight.shape[0])
        more = self._model.generation_config.eos_token_id
        self._ends = frozenset({end, *([] if more is None else more if isinstance(more, list) else [more])})
        text = set(self._tokenizer.get_vocab().values()) - special_ids(self._tokenizer) | self._ends
        self._free = Free(np.isin(np.arange(self._width), list(text)))
        self._vocabulary: Any = None
        self._compiled = functools.lru_cache(_GRAMMARS_KEPT)(self._compile)
        self._banned = functools.lru_cache(_BANS_KEPT)(self._tokens_of)

    def row(self, request: Request, abandoned: Callable[[], bool]) -> ConstrainedReply:
        """Prepare a reply. Raise FatalRequestError for messages or a grammar that the model cannot use."""
        if request.adapter is not None and request.adapter not in self._adapters:
            raise FatalRequestError(f"no adapter is named '{request.adapter}'")
        sampling = request.sampling
        prompt = self._prompt(request)
        if self._context is not None and len(prompt) + sampling.max_tokens > self._context:
            raise FatalRequestError(
                f"{len(prompt)} prompt tokens and max_tokens={sampling.max_tokens} "
                f"exceed the model's context of {self._context} tokens"
            )
        rng = self._rng if sampling.seed is None else np.random.default_rng(sampling.seed)
        constraint = self._free if request.grammar is None else self._constraint(request.grammar)
        banned = self._banned(sampling.bad_words)
        return ConstrainedReply(request, prompt, constraint, self._ends, rng, abandoned, constraint.allowed(), banned)

    def generate(self, rows: list[ConstrainedReply]) -> Iterator[ConstrainedReply]:
        """Yield each row when it is done; drop abandoned rows.

        All rows must name the same adapter, or none.
        """
        import torch

        if not rows:
            return
        self._switch(rows[0].request.adapter)
        with torch.inference_mode():
            cache, mask, logits = self._prefill(rows)
            while True:
                for row, scores in zip(rows, logits.float().cpu().numpy(), strict=True):
                    row.extend(scores)
                yield from (row for row in rows if row.finish_reason)
                going = [at for at, row in enumerate(rows) if not (row.finish_reason or row.abandoned())]
                if not going:
                    return
                if len(going) < len(rows):
                    rows = [rows[at] for at in going]
                    kept = torch.tensor(going, device=self._device)
                    cache.batch_select_indices(kept)
                    mask = mask[kept]
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                last = torch.tensor([[row.tokens[-1]] for row in rows], device=self._device)
                logits = self._forward(last, mask, cache)

    def completion(self, row: ConstrainedReply, seconds: float) -> Completion:
        return Completion(
            text=self._tokenizer.decode(row.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            finish_reason=row.finish_reason,
            logprobs=tuple(map(self._by_text, row.logprobs)),
            prompt_tokens=len(row.prompt),
            cached_tokens=row.cached,
            completion_tokens=row.drawn,
            engine=self._name,
            seconds=seconds,
        )

    def _by_text(self, logprobs: dict[int, float]) -> dict[str, float]:
        """Add up the probabilities of tokens that spell the same text."""
        out: dict[str, float] = {}
        for token, logprob in logprobs.items():
            text = str(self._tokenizer.decode([token]))
            out[text] = float(np.logaddexp(out.get(text, -np.inf), logprob))
        return out

    def _switch(self, adapter: str | None) -> None:
        if adapter is not None:
            self._model.enable_adapters()
            self._model.set_adapter(adapter)
        elif self._adapters:
            self._model.disable_adapters()

    def _prompt(self, request: Request) -> list[int]:
        from jinja2 import TemplateError

        turns = [message.model_dump() for message in request.messages]
        try:
            encoded = self._tokenizer.apply_chat_template(
                turns,
                add_generation_prompt=not request.continues,
                continue_final_message=request.continues,
                return_dict=True,
                **self._template,
            )
        except (TemplateError, ValueError) as error:
            raise FatalRequestError(f"the model's chat template refuses the messages: {error}") from error
        return list(encoded["input_ids"])

    def _tokens_of(self, words: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
        """Return each text's tokens, at the start of a text and after a space, as vLLM reads `bad_words`."""
        found: list[tuple[int, ...]] = []
        for text in words:
            first, inside = (
                tuple(self._tokenizer.encode(f"{gap}{text}", add_special_tokens=False)) for gap in ("", " ")
            )
            found.append(first)
            if len(inside) == len(first) and inside[0] != first[0]:
                found.append(inside)
        return tuple(found)

    def _prefill(self, rows: list[ConstrainedReply]) -> tuple[Any, Any, Any]:
        """Return the prompts' cache, mask of shape (rows, tokens) and next logits of shape (rows, vocabulary).

        The prefix that all prompts share is computed once; the rest is padded on the left.
        """
        import torch
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        cache = DynamicCache(config=self._model.config)
        shared = _shared_prefix([row.prompt for row in rows])
        # Padding after the prefix would use up a sliding window.
        if shared < _SHARED_MIN or any(type(layer) is not DynamicLayer for layer in cache.layers):
            shared = 0
        if shared:
            head = torch.tensor([rows[0].prompt[:shared]], device=self._device)
            self._forward(head, torch.ones_like(head), cache)
            cache.batch_repeat_interleave(len(rows))
            for row in rows[1:]:
                row.cached = shared
        width = max(len(row.prompt) for row in rows) - shared
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), shared + width, dtype=torch.long)
        mask[:, :shared] = 1
        for at, row in enumerate(rows):
            tail = row.prompt[shared:]
            ids[at, width - len(tail) :] = torch.tensor(tail)
            mask[at, shared + width - len(tail) :] = 1
        mask = mask.to(self._device)
        return cache, mask, self._forward(ids.to(self._device), mask, cache)

    def _forward(self, ids: Any, mask: Any, cache: Any) -> Any:
        """Return the logits of the last position, shape (rows, vocabulary); `ids` are the last columns of `mask`."""
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]

    def _constraint(self, grammar: Grammar) -> Constraint:
        try:
            # The cache key is JSON, because the order of a schema's properties is the order of generation.
            new: Callable[[], Constraint] = self._compiled(msgspec.json.encode(grammar))
        except (ValueError, ImportError) as error:
            raise FatalRequestError(f"the {grammar.kind} grammar cannot be compiled: {error}") from error
        return new()

    def _compile(self, grammar: bytes) -> Callable[[], Constraint]:
        from outlines.types import CFG
        from outlines.types.dsl import to_regex

        term = to_outlines(msgspec.json.decode(grammar, type=Grammar))
        if isinstance(term, CFG):
            return functools.partial(ContextFree, self._cfg_processor(term.definition), self._width)
        from outlines_core import Index

        if self._vocabulary is None:
            self._vocabulary = vocabulary(self._tokenizer)
        return functools.partial(Regular, Index(whole(to_regex(term)), self._vocabulary), self._width)

    def _cfg_processor(self, definition: str) -> Any:
        """Return Outlines' processor of a Lark or EBNF grammar on numpy arrays. Needs llguidance."""
        import outlines
        from llguidance import LLMatcher
        from outlines.backends.llguidance import LLGuidanceBackend

        backend = LLGuidanceBackend(outlines.from_transformers(self._model, self._tokenizer))
        backend.tensor_library_name = "numpy"
        processor = backend.get_cfg_logits_processor(definition)
        if wrong := LLMatcher.validate_grammar(processor.grammar, processor.llg_tokenizer):
            raise ValueError(wrong)
        return processor


def _shared_prefix(prompts: list[list[int]]) -> int:
    """Return how many leading tokens all prompts share, leaving at least one token of each prompt."""
    if len(prompts) < 2:
        return 0
    first, last = min(prompts), max(prompts)  # these two differ earliest
    longest = min(len(prompt) for prompt in prompts) - 1
    return next((at for at in range(longest) if first[at] != last[at]), longest)


def device_of(name: str) -> Any:
    import torch

    present = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return present or torch.device("cpu")
    device = torch.device(name)
    if device.type != "cpu" and (present is None or present.type != device.type):
        raise ConfigError(f"engine.device: this machine has no '{name}'; use auto or {present or 'cpu'}")
    return device


def best_dtype(device: Any) -> Any:
    """Return bfloat16 if the device computes in it, else float32: a CPU without it converts the weights for every
    product.
    """
    import torch

    match device.type:
        case "cpu":
            known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
            good = any("bf16" in name and has for name, has in known.items())
        case "cuda":
            good = torch.cuda.is_bf16_supported(including_emulation=False)
        case _:
            good = True
    return torch.bfloat16 if good else torch.float32
