"""Build grammars in Outlines' terms, convert them for each engine, and compile them before the run.

`Grammar` (in records) is an Outlines type as data, because the import of Outlines takes two seconds, too long for
`--help` and the tests. `to_outlines` returns the type itself, `to_vllm` the request field. `preflight` compiles every
grammar in a child process with a time and a memory limit, with the library that the engine will use, because a compile
that grows without limit inside an engine cannot be stopped. `synthgen.engines.grammar.backends` chooses vLLM's backend.
"""

import functools
import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Grammar, Json
from synthgen.tasks.schemas import rebuilt, types

_CHARS_PER_TOKEN = 3
_OPEN = {"additionalProperties", "unevaluatedProperties", "allOf", "anyOf", "oneOf", "if", "$ref"}
_PATIENCE, _STARTING = 5, 60
"""The compiler's wall-clock limit is this many times its CPU time limit, plus this many seconds."""
_COMPILED: set[tuple[str, str | None, str, float, float]] = set()
"""Arguments of the `preflight` calls that have compiled a grammar in this process."""
SAID = "synthgen: "  # marks the line of the child process that the user gets


def sample_grammar(schema: Json, items: int, max_tokens: int) -> Grammar:
    """Return the grammar of one reply: a sample, or an array of `items` samples, bounded to fit `max_tokens`."""
    one = bounded_sample(schema, items, max_tokens)
    if items == 1:
        return Grammar(kind="json_schema", spec=one)
    array = {"type": "array", "items": one, "minItems": items, "maxItems": items}
    wrapped = {"type": "object", "properties": {"items": array}, "required": ["items"], "additionalProperties": False}
    return Grammar(kind="json_schema", spec=wrapped)


def bounded_sample(schema: Json, items: int, max_tokens: int) -> Json:
    """Return the schema of one sample with bounds so that `items` of them fit into `max_tokens`."""
    return bounded(schema, most_chars(items, max_tokens))


def most_chars(items: int, max_tokens: int) -> int:
    """Return about how many characters one of `items` samples may have within `max_tokens`."""
    return max(16, max_tokens * _CHARS_PER_TOKEN // items)


def bounded(schema: Json, max_chars: int) -> Json:
    """Return a copy that all backends read in the same way, with an upper bound on every string and array.

    An unbounded string lets a weak model write until `max_tokens` cuts the JSON in half. Objects are closed, as
    Outlines closes them anyway, and `oneOf` becomes `anyOf`: the check on arrival finds values that fit two branches.
    """

    def change(part: Json) -> Json:
        out = {"anyOf" if keyword == "oneOf" and "anyOf" not in part else keyword: part[keyword] for keyword in part}
        if "string" in types(out) and not {"maxLength", "enum", "const", "pattern", "format"} & out.keys():
            out["maxLength"] = max(max_chars, out.get("minLength", 0))
        if "array" in types(out) and "maxItems" not in out:
            out["maxItems"] = max(8, out.get("minItems", 0))
        if "properties" in out and not _OPEN & out.keys():
            out["additionalProperties"] = False
        return out

    return rebuilt(schema, change)


def choice(options: Iterable[str]) -> Grammar:
    return Grammar(kind="choice", spec=tuple(options))


def may_begin(grammar: Grammar, text: str) -> bool:
    """Return True if a text in `grammar` may begin with `text`, as far as is known without compiling.

    White space before a choice and its case do not count, because some servers change them.
    """
    text = text.rstrip("\ufffd")  # a token may end within a character
    match grammar.kind:
        case "choice":
            return any(str(option).casefold().startswith(text.lstrip().casefold()) for option in grammar.spec)
        case "json_schema" if isinstance(grammar.spec, dict) and grammar.spec.get("type") == "object":
            return text.lstrip()[:1] in ("", "{")
    return True


def to_vllm(grammar: Grammar) -> Json:
    """Return the value of vLLM's `structured_outputs` request field (vLLM 0.12 and later)."""
    field = {"json_schema": "json", "regex": "regex", "choice": "choice", "cfg": "grammar"}[grammar.kind]
    return {field: list(grammar.spec) if grammar.kind == "choice" else grammar.spec}


def to_response_format(grammar: Grammar, strictly: bool = False) -> Json | None:
    """Return OpenAI's `response_format`, which supports only JSON Schema; `strictly` selects OpenAI's strict form."""
    if grammar.kind != "json_schema":
        return None
    schema = strict(grammar.spec) if strictly and isinstance(grammar.spec, dict) else grammar.spec
    return {"type": "json_schema", "json_schema": {"name": "sample", "schema": schema, "strict": True}}


_NOT_STRICT = {"minLength", "maxLength", "uniqueItems", "contains", "minProperties", "maxProperties", "default"}


def strict(schema: Json) -> Json:
    """Return a schema in the form of OpenAI's strict structured outputs.

    Every property is required, optional ones may be null, objects are closed, and unsupported keywords are removed; the
    check on arrival still uses them.
    """

    def change(part: Json) -> Json:
        out = {keyword: value for keyword, value in part.items() if keyword not in _NOT_STRICT}
        if "properties" in out:
            wanted = out.get("required", ())
            out["properties"] = {
                name: value if name in wanted else {"anyOf": [value, {"type": "null"}]}
                for name, value in out["properties"].items()
            }
            out["required"] = list(out["properties"])
            out["additionalProperties"] = False
        return out

    return rebuilt(schema, change)


def without_absent(value: Any, schema: Json) -> Any:
    """Return a value without the nulls that stand for absent optional fields in an answer to a `strict` schema."""
    if isinstance(value, list):
        items = schema.get("items")
        return [without_absent(part, items) for part in value] if isinstance(items, dict) else value
    if not isinstance(value, dict):
        return value
    parts, wanted = schema.get("properties", {}), schema.get("required", ())
    return {
        name: without_absent(part, parts[name]) if isinstance(parts.get(name), dict) else part
        for name, part in value.items()
        if part is not None or name in wanted or name not in parts
    }


def to_outlines(grammar: Grammar) -> Any:
    """Return the Outlines type that `grammar` stands for."""
    from outlines.types import CFG, Choice, JsonSchema, Regex

    match grammar.kind:
        case "json_schema":
            return JsonSchema(json.dumps(grammar.spec))
        case "regex":
            return Regex(str(grammar.spec))
        case "choice":
            return Choice(list(grammar.spec))
        case "cfg":
            return CFG(str(grammar.spec))


def preflight(
    grammars: Iterable[Grammar], tokenizer: str | None, seconds: float, gigabytes: float, backend: str = "outlines"
) -> None:
    """Compile each grammar in a child process for `tokenizer`'s vocabulary, or for bytes if it is None.

    `backend` is the library that the engine compiles with; Outlines leaves context-free grammars to guidance. `seconds`
    is CPU time, so that a busy machine does not make a schema look too large. Grammars that this process has compiled
    before, as in a sweep, are not compiled again.

    Raise ConfigError with the compiler's message, or with the exceeded limit.
    """
    payload = json.dumps([(grammar.kind, grammar.spec) for grammar in grammars])
    asked = (payload, tokenizer, backend, seconds, gigabytes)
    if asked in _COMPILED:
        return
    command = [
        sys.executable,
        "-m",
        "synthgen.engines.grammar.preflight",
        tokenizer or "",
        str(int(gigabytes * 2**30)),
        backend,
        str(seconds),
    ]
    patience = _PATIENCE * seconds + _STARTING
    before = _child_seconds()
    try:
        done = subprocess.run(
            command,
            input=payload,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"task.schema: its grammar is not compiled after {patience:g} s, in which the compiler got "
            f"{_child_seconds() - before:.1f} s of processor time: the machine is busy, or the folder with the model's tokenizer is slow; "
            "try again when the machine is less busy, or raise engine.grammar_seconds"
        ) from error
    if done.returncode == 0:
        _COMPILED.add(asked)
        return
    if done.returncode == -signal.SIGPROF:
        raise ConfigError(
            f"task.schema: its grammar is not compiled after {seconds:g} s of processor time; "
            "lower maxLength / maxItems, drop large patterns, or raise engine.grammar_seconds"
        )
    last = (done.stderr.strip().splitlines() or ["killed"])[-1]
    if last.startswith(SAID):
        raise ConfigError(last.removeprefix(SAID))
    if done.returncode < 0 or "MemoryError" in last:
        raise ConfigError(
            f"task.schema: its grammar is not compiled within {gigabytes:g} GB; "
            "lower maxLength / maxItems, drop large patterns, or raise engine.grammar_gigabytes"
        )
    raise ConfigError(f"task.schema: the child process that compiles its grammar failed: {last}")


def _child_seconds() -> float:
    """Return the CPU seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def regex_of(kind: str, spec: Any) -> str:
    """Return the regular expression that Outlines compiles for a grammar."""
    from outlines_core import json_schema

    if kind == "json_schema":
        return str(json_schema.build_regex_from_schema(json.dumps(spec)))
    return str(spec) if kind == "regex" else "(" + "|".join(re.escape(option) for option in spec) + ")"


def whole(regex: str) -> str:
    """Anchor `regex` at its end.

    Otherwise an Index stops at the first match: of "new" and "new york" it would write only "new".
    """
    return f"(?:{regex})$"


def vocabulary(tokenizer: Any) -> Any:
    """Return the bytes of every token of a Hugging Face tokenizer except special ones; one token per byte for None.

    Outlines' own vocabulary treats tokens as text. A token that is part of a character becomes U+FFFD there, so that a
    label outside the vocabulary's alphabet cannot be written, and special tokens count as strings.
    """
    from outlines_core import Vocabulary

    if tokenizer is None:
        return Vocabulary(256, {bytes([byte]): [byte] for byte in range(256)})
    special = special_ids(tokenizer)
    tokens: dict[bytes, list[int]] = {}
    for token, number in tokenizer.get_vocab().items():
        if number not in special and (spelled := _token_bytes(tokenizer, token)):
            tokens.setdefault(spelled, []).append(number)
    return Vocabulary(tokenizer.eos_token_id, tokens)


def special_ids(tokenizer: Any) -> set[int]:
    """Return the tokens that are not text: end of turn, padding and others that the tokenizer marks as special."""
    marked = {number for number, added in tokenizer.added_tokens_decoder.items() if added.special}
    return marked | set(tokenizer.all_special_ids)


def _token_bytes(tokenizer: Any, token: str) -> bytes:
    """Return a token's bytes. It is decoded after an "a", because some decoders strip a text's leading space."""
    text = str(tokenizer.convert_tokens_to_string(["a", token]))[1:]
    if "\ufffd" not in text:
        return text.encode("utf-8", "surrogatepass")
    if match := re.fullmatch(r"<0x([0-9A-F]{2})>", token):  # byte fallback of SentencePiece
        return bytes.fromhex(match.group(1))
    alphabet = _byte_alphabet()
    if all(char in alphabet for char in token):  # byte-level BPE
        return bytes(alphabet[char] for char in token)
    return text.encode()


@functools.cache
def _byte_alphabet() -> dict[str, int]:
    """Return the 256 bytes by their spelling in byte-level BPE (GPT-2).

    Printable Latin-1 characters stand for themselves, the other bytes for characters from U+0100 on.
    """
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + place): byte for place, byte in enumerate(others)}
