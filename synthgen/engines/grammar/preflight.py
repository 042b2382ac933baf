"""Compile grammars as an engine's backend does, with limits on memory and CPU time.

`synthgen.engines.grammar.schema.preflight` runs this module as a child process:

    python -m synthgen.engines.grammar.preflight TOKENIZER BYTES BACKEND SECONDS < [[kind, spec], ...]

An error that a user can correct is one marked line on stderr.
"""

import json
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from synthgen.engines.grammar.schema import SAID, regex_of, vocabulary
from synthgen.records import to_json

Compile = Callable[[str, Any], None]
"""Compiles a grammar, given its kind and spec; raises ValueError or RuntimeError with the library's message."""


def main(tokenizer: str, limit: int, backend: str, seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process
    loaded = _load_tokenizer(tokenizer) if tokenizer else None
    compilers: dict[str, Compile] = {}
    for kind, spec in json.load(sys.stdin):
        # Outlines has no context-free grammars; for those, the transformers engine uses guidance.
        name = "guidance" if kind == "cfg" and backend == "outlines" else backend
        if name not in compilers:
            compilers[name] = _compiler(name, loaded)
        try:
            compilers[name](kind, spec)
        except (ValueError, RuntimeError) as error:
            hint = " (no look-around, no back-references)" if "NFA" in str(error) else ""
            where = "task.schema" if kind == "json_schema" else "the grammar"
            _say_and_exit(f"{where}: {name} cannot compile the {kind} {to_json(spec)[:200]}: {error}{hint}")


def _compiler(name: str, tokenizer: Any) -> Compile:
    try:
        return _COMPILERS[name](tokenizer)
    except ImportError as error:
        _say_and_exit(f"engine.backend: {name} is not installed here ({error}); it comes with vLLM")
    except (ValueError, RuntimeError) as error:
        _say_and_exit(
            f"engine.backend: {name} cannot read the model's tokenizer ({error}); try engine.backend=outlines"
        )


def _outlines(tokenizer: Any) -> Compile:
    from outlines_core import Index

    known = vocabulary(tokenizer)
    return lambda kind, spec: Index(regex_of(kind, spec), known) and None


def _xgrammar(tokenizer: Any) -> Compile:
    import xgrammar

    if tokenizer is None:
        known = xgrammar.TokenizerInfo([bytes([byte]) for byte in range(256)] + [b"</s>"], stop_token_ids=[256])
    else:
        known = xgrammar.TokenizerInfo.from_huggingface(tokenizer)
    compiler = xgrammar.GrammarCompiler(known)

    def compile_one(kind: str, spec: Any) -> None:
        match kind:
            case "json_schema":
                compiler.compile_json_schema(json.dumps(spec), any_whitespace=False, separators=(",", ":"))
            case "choice":
                compiler.compile_grammar("root ::= " + " | ".join(json.dumps(option) for option in spec))
            case "regex":
                compiler.compile_regex(spec)
            case "cfg" if "::=" in spec:  # vLLM uses the same test for the dialect
                compiler.compile_grammar(spec)
            case "cfg":
                compiler.compile_lark(spec)

    return compile_one


def _guidance(tokenizer: Any) -> Compile:
    from llguidance import LLMatcher, LLTokenizer, grammar_from

    if tokenizer is None:
        known = LLTokenizer("byte")
    else:
        from llguidance.hf import from_tokenizer

        known = from_tokenizer(tokenizer)

    def compile_one(kind: str, spec: Any) -> None:
        match kind:
            case "json_schema":
                grammar = LLMatcher.grammar_from_json_schema(spec, defaults={"whitespace_flexible": False})
            case "choice":
                grammar = grammar_from("choice", json.dumps(spec))
            case _:
                grammar = grammar_from("regex" if kind == "regex" else "grammar", spec)
        if wrong := LLMatcher.validate_grammar(grammar, known):
            raise ValueError(wrong)

    return compile_one


_COMPILERS: dict[str, Callable[[Any], Compile]] = {"outlines": _outlines, "xgrammar": _xgrammar, "guidance": _guidance}


def _load_tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        _say_and_exit(f"model.name: '{name}' has no tokenizer that can be loaded: {error}")


def _say_and_exit(words: str) -> NoReturn:
    sys.exit(SAID + " ".join(words.split()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
