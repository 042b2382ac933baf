"""Measure the diversity of a set of texts, vectors or labels with pure functions. The Vendi score is in `moments`.

Do not compare these figures between sets of very different size. As a set grows, distinct-n falls, and self-BLEU,
self-repetition and nearest-neighbour similarity rise.
"""

import math
import random
import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from synthgen.tasks.normal import folded
from synthgen.tasks.scripts import UNSPACED

Vectors = npt.NDArray[np.float32]

MAX_ROWS = 2_000
LONG_RUN = 5
"""Count a sequence of this many words as self-repetition when it occurs in two texts."""
_CHUNK = 4_096
_LARGEST = 2**62
_BLEU_ORDER = 4
_BLEU_NOTHING = 0.1  # replaces a count of zero, as in NLTK's smoothing method 1

_Codes = npt.NDArray[np.int64]
_ASCII_WORDS = re.compile(r"\w+(?:'\w+)*")


def words(text: str) -> list[str]:
    """Return the words of a text in the form `folded`.

    In scripts without spaces, such as Chinese, Japanese or Thai, each character is a word.
    """
    if text.isascii():  # same result as the pattern below, in a third of the time
        return _ASCII_WORDS.findall(text.lower())
    return _word_pattern().findall(folded(text))


def distinct_n(texts: Iterable[str], n: int) -> float | None:
    """Return the number of distinct word n-grams over all word n-grams, 0 to 1; None if no text has n words.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    codes, _ = _grams(texts, n)
    return len(np.unique(codes)) / len(codes) if len(codes) else None


def self_repetition(texts: Iterable[str], n: int = LONG_RUN) -> float | None:
    """Return the share of texts that have n words in a row in common with another text, among texts of n or more words.

    Return None when fewer than two texts are that long. Adapted from Salkar et al. 2022, "Self-Repetition in
    Abstractive Neural Summarizers", which counts the other texts and takes a logarithm.
    """
    codes, owners = _grams(texts, n)
    long = len(np.unique(owners))
    if long < 2:
        return None
    rows = int(owners[-1]) + 1
    runs = np.unique(codes, return_inverse=True)[1]
    run, owner = np.divmod(np.unique(runs * rows + owners), rows)  # a run counts once per text
    return len(np.unique(owner[np.bincount(run)[run] > 1])) / long


def self_bleu(texts: Iterable[str]) -> float | None:
    """Return the mean BLEU-4 of each text against all the others, 0 to 1. Higher means that the texts are more alike.

    Return None when fewer than two texts have a word. Follows Zhu et al. 2018, "Texygen", which uses NLTK's sentence
    BLEU with smoothing method 1. The time is proportional to the number of words: the largest count of an n-gram in
    the other texts is its largest count in all texts, or the second largest when the largest is the text's own.
    """
    documents = [found for text in texts if (found := words(text))]
    if len(documents) < 2:
        return None
    counted = [[_count(document, n) for n in range(1, _BLEU_ORDER + 1)] for document in documents]
    most: dict[tuple[str, ...], tuple[int, int, int]] = {}  # the largest count, its text, the second largest
    for row, orders in enumerate(counted):
        for gram, count in (pair for grams in orders for pair in grams.items()):
            first, owner, second = most.get(gram, (0, -1, 0))
            most[gram] = (count, row, first) if count > first else (first, owner, max(second, count))
    lengths = Counter(map(len, documents))
    scores = [_bleu(row, orders, most, lengths) for row, orders in enumerate(counted)]
    return sum(scores) / len(scores)


def compression_ratio(texts: Iterable[str]) -> float | None:
    """Return the number of UTF-8 bytes over the number of zlib-compressed bytes; None without texts.

    Higher means more repetitive. Shaib et al. 2024, "Standardizing the Measurement of Text Diversity". zlib looks back
    32 KiB, so it does not find repetition over a longer distance.
    """
    packer = zlib.compressobj(level=6)
    plain = packed = 0
    for text in texts:
        data = text.encode("utf-8", "replace") + b"\n"
        plain += len(data)
        packed += len(packer.compress(data))
    packed += len(packer.flush())
    return plain / packed if plain else None


def label_balance(labels: Iterable[str] | Mapping[str, int], classes: Sequence[str]) -> float | None:
    """Return the count of the rarest label over the mean count: 1 is balanced, 0 means that a label has no samples.

    Return None without labels, or with fewer than two classes.
    """
    counts = Counter(labels)
    known = counts.keys() | set(classes)
    if not counts.total() or len(known) < 2:
        return None
    return min(counts[label] for label in known) * len(known) / counts.total()


def label_entropy(labels: Iterable[str] | Mapping[str, int], classes: Sequence[str]) -> float | None:
    """Return the entropy of labels, or of label counts, over its maximum for `classes`: 1 is balanced, 0 is one label.

    A class without samples counts as empty. A single missing label hardly lowers the value. Return None without
    labels, or with fewer than two classes.
    """
    counts = Counter(labels)
    total = counts.total()
    known = len(counts.keys() | set(classes))
    if not total or known < 2:
        return None
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    return max(0.0, entropy / math.log(known))


def sampled_rows(count: int, seed: int, limit: int = MAX_ROWS) -> npt.NDArray[np.int64]:
    """Return all row numbers below `count`, sorted. When there are more than `limit`, draw `limit` of them with `seed`."""
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    return np.asarray(sorted(random.Random(seed).sample(range(count), limit)), dtype=np.int64)


def nearest_similarity(
    queries: Vectors, corpus: Vectors, own: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float32]:
    """Return the cosine of each query to its nearest corpus row, shape (q,).

    Takes unit rows of shapes (q, dim) and (n, dim). `own` holds, for each query, the index of its own row in the
    corpus, which is skipped. A query without any other row gets NaN.
    """
    best = np.full(len(queries), -np.inf, dtype=np.float32)
    for start in range(0, len(corpus) if len(queries) else 0, _CHUNK):
        scores = queries @ corpus[start : start + _CHUNK].T
        if own is not None:
            here = np.flatnonzero((own >= start) & (own < start + scores.shape[1]))
            scores[here, own[here] - start] = -np.inf
        np.maximum(best, scores.max(axis=1), out=best)
    best[np.isneginf(best)] = np.nan
    return best


def _grams(texts: Iterable[str], n: int) -> tuple[_Codes, _Codes]:
    """Return a number for every word n-gram, equal for equal n-grams, and the index of the text that contains it."""
    line, owners, vocabulary = _numbered(tuple(texts))
    starts = np.flatnonzero(owners[: max(0, len(line) - n + 1)] == owners[n - 1 :])  # no n-gram spans two texts
    codes, below = line[starts], vocabulary
    for step in range(1, n):
        if below * vocabulary > _LARGEST:  # renumber, so that the product does not overflow
            distinct, codes = np.unique(codes, return_inverse=True)
            below = len(distinct)
        codes, below = codes * vocabulary + line[starts + step], below * vocabulary
    return codes, owners[starts]


@lru_cache(1)  # several figures of the same texts are asked for in a row
def _numbered(texts: tuple[str, ...]) -> tuple[_Codes, _Codes, int]:
    """Return the numbers of all words in a line, the index of each word's text, and the number of different words."""
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__  # each new word gets the next number
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        found = words(text)
        ids += map(vocabulary.__getitem__, found)
        lengths.append(len(found))
    return np.asarray(ids, dtype=np.int64), np.repeat(np.arange(len(lengths)), lengths), len(vocabulary)


def _count(document: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(document[i : i + n]) for i in range(len(document) - n + 1))


def _bleu(
    row: int,
    orders: Sequence[Counter[tuple[str, ...]]],
    most: dict[tuple[str, ...], tuple[int, int, int]],
    lengths: Counter[int],
) -> float:
    """Return the BLEU of the text `row`, whose n-grams are `orders`, against all the others."""
    logs = []
    for grams in orders:
        matched = sum(min(count, _elsewhere(most[gram], row)) for gram, count in grams.items())
        if grams is orders[0] and not matched:
            return 0.0  # no common word; smoothing applies to longer n-grams only
        logs.append(math.log((matched or _BLEU_NOTHING) / max(1, grams.total())))
    own = orders[0].total()
    others = [length for length, count in lengths.items() if count > (length == own)]
    closest = min(others, key=lambda length: (abs(length - own), length))
    brevity = 1.0 if own > closest else math.exp(1 - closest / own)
    return brevity * math.exp(sum(logs) / len(logs))


def _elsewhere(found: tuple[int, int, int], row: int) -> int:
    """Return the largest count of an n-gram in a text other than `row`."""
    first, owner, second = found
    return second if owner == row else first


@cache
def _word_pattern() -> re.Pattern[str]:
    """Return a pattern for one character of a script without spaces, with its marks, or a run of other word characters.

    `\\w` alone would split words at vowel signs, because Python's `re` has no class for combining marks.
    """
    marks = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char)[0] == "M")
    letter = f"(?![{UNSPACED}])[\\w{marks}\u200c\u200d]"
    return re.compile(f"[{UNSPACED}][{marks}]*|(?:{letter})+(?:['’](?:{letter})+)*")
