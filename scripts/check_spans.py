"""Count strings in the dataset of an extraction run that do not stand in their text. Exit with 1 if there is one.

    python scripts/check_spans.py runs/NAME/dataset/train.jsonl
    python scripts/check_spans.py --text passage --strings answer FILE ...

This script imports nothing of synthgen, so that a fault in a check of the run cannot hide here too. It reads every
string under `--strings` (by default: the keys `text`, `trigger`, `head`, `tail` of all objects in lists) and searches it
in the field `--text`, character by character. Where an object has `start` and `end`, the text between them must be the
string.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEYS = ("text", "trigger", "head", "tail")


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a list, at any depth."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from objects(part)


def strings(row: dict[str, Any], text: str, named: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each string that must stand in the text, with the object that holds it."""
    if named:
        yield from ((row[name], row) for name in named if row.get(name))
        return
    for name, value in row.items():
        if name != text:
            for one in objects(value):
                yield from ((one[key], one) for key in KEYS if isinstance(one.get(key), str))


def faults(row: dict[str, Any], text: str, named: list[str]) -> tuple[int, list[str]]:
    """Return the number of strings of a row, and a description of each that does not stand in its text."""
    whole, count, found = row[text], 0, []
    for value, owner in strings(row, text, named):
        count += 1
        if value not in whole:
            found.append(f"{value!r} is not in {whole!r}")
        elif owner.get("text", value) == value and "start" in owner and whole[owner["start"] : owner["end"]] != value:
            found.append(f"{value!r} is not at {owner['start']} to {owner['end']} of {whole!r}")
    return count, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="datasets of extraction runs, as JSON Lines")
    parser.add_argument("--text", default="text", help="field with the text (default: text)")
    parser.add_argument("--strings", nargs="*", default=[], help="fields with one string each, such as answer")
    flags = parser.parse_args()
    bad = 0
    for path in flags.files:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        results = [faults(row, flags.text, flags.strings) for row in rows]
        found = [text for _, texts in results for text in texts]
        for text in found[:10]:
            print(f"{path}: {text}")
        bad += len(found)
        total = sum(count for count, _ in results)
        print(f"{path}: {len(rows)} samples, {total} strings, {len(found)} not in their text")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
