"""Augment texts without a model: swap, delete and insert words.

After EDA (Wei and Zou, 2019), but without a thesaurus: inserted and replacing words come from the same label's seeds.
Scripts without spaces between words are changed character by character.
"""

import random
import re
from collections.abc import Sequence

from benchmarks.gain.data import Data
from synthgen.records import Json

SHARE = 0.1  # share of a text's words, as in the paper
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


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
    vocabulary = [word for other in others for word in split(other)[0]] or words
    times = max(1, round(SHARE * len(words)))
    operation = rng.choice((_swap, _delete, _insert, _replace))
    for _ in range(times):
        words = operation(words, vocabulary, rng)
    return glue.join(words)


def split(text: str) -> tuple[list[str], str]:
    """Return the words and their separator; single characters if most of the text is in a script without spaces."""
    solid = "".join(text.split())
    if solid and len(_UNSPACED.findall(solid)) > len(solid) / 2:
        return list(text), ""
    return text.split(), " "


def _swap(words: list[str], _: Sequence[str], rng: random.Random) -> list[str]:
    words = words.copy()
    one, other = rng.randrange(len(words)), rng.randrange(len(words))
    words[one], words[other] = words[other], words[one]
    return words


def _delete(words: list[str], _: Sequence[str], rng: random.Random) -> list[str]:
    gone = rng.randrange(len(words))
    return [word for place, word in enumerate(words) if place != gone] or words


def _insert(words: list[str], vocabulary: Sequence[str], rng: random.Random) -> list[str]:
    place = rng.randint(0, len(words))
    return [*words[:place], rng.choice(vocabulary), *words[place:]]


def _replace(words: list[str], vocabulary: Sequence[str], rng: random.Random) -> list[str]:
    place = rng.randrange(len(words))
    return [*words[:place], rng.choice(vocabulary), *words[place + 1 :]]


def _texts(row: Json, data: Data) -> list[str]:
    return [name for name in data.task.input if isinstance(row.get(name), str)]
