"""Augment texts without a model: swap, delete and insert words.

After EDA (Wei and Zou, 2019), but without a thesaurus: inserted and replacing words come from the same label's seeds.
Scripts without spaces between words are changed character by character.
"""

import random
from collections.abc import Sequence

from benchmarks.gain.data import Data
from synthgen.generate.edits import Material, delete, free_words, insert, join, replace, split, swap
from synthgen.records import Json

SHARE = 0.1  # share of a text's words, as in the paper


def augmented(seeds: Sequence[Json], count: int, data: Data, rng: random.Random) -> list[Json]:
    """Return `count` changed copies of the seeds, taking the labels in turns."""
    by_label = {label: [row for row in seeds if data.label(row) == label] for label in data.task.labels}
    labels = [label for label, rows in by_label.items() if rows]
    rows = []
    for number in range(count):
        own = by_label[labels[number % len(labels)]]
        seed = own[number // len(labels) % len(own)]
        changed = {
            name: changed_text(seed[name], [row.get(name, "") for row in own], rng) for name in _texts(seed, data)
        }
        rows.append({**seed, **changed})
    return rows


def changed_text(text: str, others: Sequence[str], rng: random.Random) -> str:
    """Return the text after one of EDA's four operations, on a tenth of its words and at least one."""
    words, glue = split(text)
    if not words:
        return text
    vocabulary = [word for other in others for word in free_words(other)] or words
    times = max(1, round(SHARE * len(words)))
    operation = rng.choice((swap, delete, insert, replace))
    for _ in range(times):
        words = operation(words, Material(vocabulary), rng)
    return join(words, glue)


def _texts(row: Json, data: Data) -> list[str]:
    return [name for name in data.task.input if isinstance(row.get(name), str)]
