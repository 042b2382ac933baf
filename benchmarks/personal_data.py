"""Measure how much of the planted personal data is found, and how much of what is found was planted.

    python benchmarks/personal_data.py --out personal_data.json

The texts are tests/prepare/personal_data.txt, in English and Chinese. A piece counts as found (recall) when something of
its kind covers it whole. Something found counts as right (precision) when it lies on a planted piece of its kind and is
at most three characters longer. `--missed` prints every error. `--texts tests/prepare/unseen_names.txt` has names in texts
that were written after the rules. The last line is the time of a search, which a run makes for every candidate.

`--presidio` measures Presidio alone in place of the project's patterns, with the analyzer of `--analyzer FILE`, or its
patterns without a model. `--reserved` has it accept addresses in domains that no registry has, as those of the texts.
"""

import argparse
import json
import re
import timeit
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from synthgen.safety.personal import KINDS, Found, find, joined

TEXTS = Path(__file__).parents[1] / "tests" / "prepare" / "personal_data.txt"
_MARK = re.compile(r"\{(\w+):([^{}]*)\}")
_HAN = re.compile("[\u4e00-\u9fff]")
_SURPLUS = 3


def read(file: Path = TEXTS) -> list[tuple[str, list[Found]]]:
    """Return each text of the file with the pieces that are planted in it."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [_unmarked(line) for line in lines if line and not line.startswith("#")]


def _unmarked(line: str) -> tuple[str, list[Found]]:
    text, planted, end = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[end : mark.start()]
        planted.append(Found(mark[1], len(text), len(text) + len(mark[2]), mark[2]))
        text, end = text + mark[2], mark.end()
    return text + line[end:], planted


Finder = Callable[[str], list[Found]]


def patterns(text: str) -> list[Found]:
    return find(text, KINDS)


def measure(
    rows: Iterable[tuple[str, list[Found]]], finder: Finder = patterns
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return the figures of each kind, with names parted by language, and one line for each error."""
    planted, covered, found_count, right = (Counter[str]() for _ in range(4))
    errors = []
    for text, pieces in rows:
        found = finder(text)
        for piece in pieces:
            key = _key(piece)
            planted[key] += 1
            if any(each.kind == piece.kind and each.start <= piece.start and each.end >= piece.end for each in found):
                covered[key] += 1
            else:
                errors.append(f"missed {piece.kind} '{piece.text}' in: {text}")
        for each in found:
            key = _key(each)
            found_count[key] += 1
            if any(_is_on(each, piece) for piece in pieces):
                right[key] += 1
            else:
                errors.append(f"wrong {each.kind} '{each.text}' in: {text}")
    figures = {
        key: {
            "planted": planted[key],
            "recall": round(covered[key] / planted[key], 3),
            "found": found_count[key],
            "precision": round(right[key] / found_count[key], 3) if found_count[key] else 0.0,
        }
        for key in planted
    }
    return figures, errors


def _key(piece: Found) -> str:
    return (
        f"{piece.kind}.{'zh' if _HAN.search(piece.text) else 'en'}" if piece.kind in ("name", "address") else piece.kind
    )


def _is_on(found: Found, piece: Found) -> bool:
    overlap = min(found.end, piece.end) - max(found.start, piece.start)
    return found.kind == piece.kind and overlap > 0 and len(found.text) - overlap <= _SURPLUS


_FIGURES = "Prices rose by 12.5% in 2024, and 3,400 lamps were sold at 19.99 each between 10 and 12 in our main shop"
_CHINESE = "昨天下午3点我们在城西新开的书店里坐了2小时，店员送来2杯热茶，共36元，2024年5月3日的事情都还记得很清楚。"
COSTS = {
    "words": "Please send the blue lamp back to the store, because the switch on its side does not work any longer",
    "figures": _FIGURES,
    "chinese": _CHINESE,
    "long": " ".join([_FIGURES] * 20),
    "long_chinese": _CHINESE * 20,
    "found": "Mail jane@lamp.example or call +44 7700 900123 today, because the lamp of our office is broken again",
}
"""Texts for the time of a search: about 100 characters of English or 60 of Chinese, and 20 times as many."""


def cost(text: str, finder: Finder = find, number: int = 100) -> float:
    """Return the microseconds of a search, the least of 20 rounds."""
    finder(text)
    return min(timeit.repeat(lambda: finder(text), number=number, repeat=20)) / number * 1e6


def presidio(analyzer: Path | None, reserved: bool) -> Finder:
    """Return a finder that asks Presidio for the kinds that it has."""
    from synthgen.safety.personal.presidio import ENTITIES, Presidio

    asked = Presidio(list(ENTITIES), analyzer)
    if reserved:
        from presidio_analyzer.predefined_recognizers import EmailRecognizer

        EmailRecognizer.validate_result = lambda *_: None
    return lambda text: joined(text, [], asked(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=TEXTS, help="file of texts with planted data")
    parser.add_argument("--presidio", action="store_true")
    parser.add_argument("--analyzer", type=Path, help="YAML file of Presidio's analyzer")
    parser.add_argument("--reserved", action="store_true")
    parser.add_argument("--missed", action="store_true")
    options = parser.parse_args()
    rows = read(options.texts)
    other = presidio(options.analyzer, options.reserved) if options.presidio else None
    figures, errors = measure(rows, other or patterns)
    print(f"{len(rows)} texts\n{'kind':<12}{'planted':>8}{'recall':>8}{'found':>8}{'precision':>11}")
    for kind, each in figures.items():
        print(f"{kind:<12}{each['planted']:>8}{each['recall']:>8.3f}{each['found']:>8}{each['precision']:>11.3f}")
    costs = {f"us.{name}": round(cost(text, other, 2) if other else cost(text), 1) for name, text in COSTS.items()}
    print("microseconds a text: " + ", ".join(f"{name.partition('.')[2]} {each}" for name, each in costs.items()))
    if options.missed:
        print("\n".join(errors))
    flat = {f"{kind}.{name}": value for kind, each in figures.items() for name, value in each.items()}
    options.out.write_text(json.dumps({"texts": len(rows), **flat, **costs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
