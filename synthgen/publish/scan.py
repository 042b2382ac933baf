"""Look for personal data, secrets and local paths in files that are to be published."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synthgen.publish.parcel import content_of
from synthgen.safety import secrets
from synthgen.safety.personal import FORMATTED, FREE, find, masked
from synthgen.safety.untrusted import one_line

SECRET, PATH = "secret", "path"
ALWAYS = (*FORMATTED, SECRET, PATH)
"""The kinds that are always looked for: those with a fixed form."""
ON_REQUEST = FREE
KINDS = (*ALWAYS, *ON_REQUEST)
_SHOWN = 5
"""Places of each kind that are listed."""
_TEXTS = (".json", ".jsonl", ".csv", ".md", ".txt", ".yaml")
_OF_A_MODEL = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "added_tokens.json", "special_tokens_map.json",
               "vocab.txt", "merges.txt", "model.safetensors.index.json")  # fmt: skip
"""Files of a pretrained model, whose strings are its vocabulary."""
_LOCAL = re.compile(r"(?<![\w:/.])/(?:home|Users|root)/[^\s\"',;)]+")


class Finding(NamedTuple):
    """Hold a finding: its kind, its place as `file:line: field`, and itself with its characters hidden."""

    kind: str
    place: str
    shown: str


def scan(files: Mapping[str, bytes | Path], kinds: Collection[str] = ALWAYS) -> list[Finding]:
    """Return what is found in the text files, in the order of the files. A Parquet file is scanned as its rows."""
    found = []
    variables = secrets.environment_secrets()
    for name, data in files.items():
        for place, text in _texts(name, data):
            found += [Finding(kind, place, shown) for kind, shown in _in_text(text, kinds, variables)]
    return found


def summary(findings: Sequence[Finding]) -> list[str]:
    """Return the findings as lines: for each kind its count and its first places."""
    lines = []
    for kind, count in Counter(each.kind for each in findings).items():
        places = [f"  {each.place}: {each.shown}" for each in findings if each.kind == kind]
        more = [f"  ... and {count - _SHOWN} more"] if count > _SHOWN else []
        lines += [f"{kind}: {count} found", *places[:_SHOWN], *more]
    return lines


def _in_text(text: str, kinds: Collection[str], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    personal = [kind for kind in kinds if kind in (*FORMATTED, *FREE)]
    for found in find(text, personal):
        yield found.kind, one_line(masked(found.text))
    if SECRET in kinds:
        if (shape := secrets.shape(text)) is not None:
            yield SECRET, shape
        for name, value in variables.items():
            if value in text:
                yield SECRET, f"the value of the environment variable {name}"
    if PATH in kinds:
        for match in _LOCAL.finditer(text):
            yield PATH, one_line(match.group())


def _texts(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    """Yield the texts of a file with their places."""
    if Path(name).name in _OF_A_MODEL:
        return
    if name.endswith(".parquet"):
        yield from _of_parquet(name, data)
    elif name.endswith(".jsonl"):
        for number, line in enumerate(content_of(data).split(b"\n"), start=1):
            if line:
                yield from _inside(json.loads(line), f"{name}:{number}: ")
    elif name.endswith(".json"):
        yield from _inside(json.loads(content_of(data)), f"{name}: ")
    elif name.endswith(_TEXTS):
        for number, text in enumerate(content_of(data).decode("utf-8", "replace").split("\n"), start=1):
            yield f"{name}:{number}", text


def _of_parquet(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, row in enumerate(pq.read_table(pa.BufferReader(content_of(data))).to_pylist(), start=1):
        yield from _inside(row, f"{name}:{number}: ")


def _inside(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the strings and keys of a JSON value."""
    match value:
        case str():
            yield place.rstrip(": "), value
        case list():
            for number, part in enumerate(value):
                yield from _inside(part, f"{place}[{number}]")
        case dict():
            for key, part in value.items():
                yield from _inside(part, place + (key if place.endswith(": ") else f".{key}"))
