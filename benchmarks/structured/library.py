"""Measure the cost of a backend's own code, outside a server: CPU seconds, which other work on the machine changes little."""

import json
import os
import statistics
import time
from types import SimpleNamespace
from typing import Any

from benchmarks.structured.asks import Asks
from synthgen.engines import bundled
from synthgen.engines.grammar.backends import server_options
from synthgen.records import Json

PASSES = 5


def library_figures(backend: str, model: str, asks: Asks) -> Json:
    """Return the CPU seconds of compiling each schema anew, and the CPU milliseconds per token of the task's seeds as replies.

    For each token the mask is filled and the token accepted, in one thread. vLLM does the same for each running request
    between two steps of the model.
    """
    from transformers import AutoTokenizer

    os.environ.setdefault("VLLM_REGEX_COMPILATION_TIMEOUT_S", "0")  # a run sets the same for its server
    tokenizer = AutoTokenizer.from_pretrained(bundled.resolve(model))
    specs = {"": asks.task.grammar.spec, "wide.": asks.wide.grammar.spec, "long.": asks.long.spec}
    figures: Json = {}
    for prefix, spec in specs.items():
        made = vllm_backend(backend, tokenizer)
        began = time.process_time()
        made(json.dumps(spec))
        figures[f"{prefix}compile_cpu_s"] = time.process_time() - began
    made = vllm_backend(backend, tokenizer)
    replies = [tokenizer.encode(text) for text in asks.written]
    figures["ms_per_token"] = statistics.median(one_pass(made, specs[""], replies) for _ in range(PASSES))
    return figures


def one_pass(made: Any, spec: Any, replies: list[list[int]]) -> float:
    took: list[float] = []
    for tokens in replies:
        grammar, mask = made(json.dumps(spec))
        for token in tokens:
            began = time.thread_time()
            grammar.fill_bitmask(mask, 0)
            if not grammar.accept_tokens("", [token]):
                raise SystemExit(f"a seed is not a reply that the grammar allows: {tokens}")
            took.append(time.thread_time() - began)
    return 1000 * statistics.fmean(took)


def vllm_backend(name: str, tokenizer: Any) -> Any:
    """Compile a schema as vLLM does: into a grammar with its state, and a mask to fill."""
    from vllm.v1.structured_output.backend_guidance import GuidanceBackend
    from vllm.v1.structured_output.backend_outlines import OutlinesBackend
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions
    from vllm.v1.structured_output.backend_xgrammar import XgrammarBackend

    made: Any = {"outlines": OutlinesBackend, "xgrammar": XgrammarBackend, "guidance": GuidanceBackend}[name]
    settings = {"disable_additional_properties": False, "disable_any_whitespace": False} | server_options(name)
    config = SimpleNamespace(
        structured_outputs_config=SimpleNamespace(**settings), model_config=None, speculative_config=None
    )
    backend = made(config, tokenizer, len(tokenizer))
    mask = backend.allocate_token_bitmask(1)
    return lambda schema: (backend.compile_grammar(StructuredOutputOptions.JSON, schema), mask)
