"""How varied a set of texts, vectors and labels is. Pure functions; the Vendi score is in `moments`.

None of these figures is comparable between sets of very different size: distinct-n falls, and
self-BLEU, self-repetition and nearest-neighbour similarity rise, as a set grows.
"""

import math
import random
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from synthgen.tasks.scripts import UNSPACED

Vectors = npt.NDArray[np.float32]

MAX_ROWS = 2_000
LONG_RUN = 5
"""Words that a run must have for its return in another text to count as self-repetition."""
_CHUNK = 4_096
_LARGEST = 2**62
_BLEU_ORDER = 4
_BLEU_NOTHING = 0.1  # stands for a count of zero, as in NLTK's smoothing method 1

_Codes = npt.NDArray[np.int64]
_ASCII_WORDS = re.compile(r"\w+(?:'\w+)*")


def words(text: str) -> list[str]:
    """Case-folded words; in Chinese, Japanese, Thai and kin every character is one."""
    if text.isascii():  # what the pattern below finds, in a third of the time
        return _ASCII_WORDS.findall(text.lower())
    return _word_pattern().findall(unicodedata.normalize("NFC", text).casefold())


def distinct_n(texts: Iterable[str], n: int) -> float | None:
    """Distinct word n-grams over all word n-grams, 0 to 1; None if no text has n words.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    codes, _ = _grams(texts, n)
    return len(np.unique(codes)) / len(codes) if len(codes) else None


def self_repetition(texts: Iterable[str], n: int = LONG_RUN) -> float | None:
    """Return the share of texts of n words or more that share a run of n words with another text.

    After Salkar et al. 2022, "Self-Repetition in Abstractive Neural Summarizers"; theirs counts the
    others and takes a logarithm. None where fewer than two texts are that long.
    """
    codes, owners = _grams(texts, n)
    long = len(np.unique(owners))
    if long < 2:
        return None
    rows = int(owners[-1]) + 1
    runs = np.unique(codes, return_inverse=True)[1]
    run, owner = np.divmod(np.unique(runs * rows + owners), rows)  # a run counts once a text
    return len(np.unique(owner[np.bincount(run)[run] > 1])) / long


def self_bleu(texts: Iterable[str]) -> float | None:
    """Mean BLEU-4 of each text against all the others, 0 to 1; higher is more alike.

    Zhu et al. 2018, "Texygen", which takes NLTK's sentence BLEU with smoothing method 1. Takes time in
    proportion to the words: an n-gram's largest count in the other texts is the largest of all, or the
    second where the largest is the text's own. None where fewer than two texts have a word.
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
    """UTF-8 bytes over their zlib-compressed bytes; higher is more repetitive. None if empty.

    Shaib et al. 2024, "Standardizing the Measurement of Text Diversity". zlib looks back 32 KiB,
    so repetition further apart than that is not seen.
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
    """Return the rarest label's count over an even share: 1 is even, 0 means a label without samples.

    None without labels, or with fewer than two classes.
    """
    counts = Counter(labels)
    known = counts.keys() | set(classes)
    if not counts.total() or len(known) < 2:
        return None
    return min(counts[label] for label in known) * len(known) / counts.total()


def label_entropy(labels: Iterable[str] | Mapping[str, int], classes: Sequence[str]) -> float | None:
    """Entropy of the labels, or of their counts, over its maximum for `classes`: 1 is even, 0 is one label only.

    Hardly falls for a single label that is missing. A class without a sample counts as empty. None without labels, or
    with fewer than two classes.
    """
    counts = Counter(labels)
    total = counts.total()
    known = len(counts.keys() | set(classes))
    if not total or known < 2:
        return None
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    return max(0.0, entropy / math.log(known))


def sampled_rows(count: int, seed: int, limit: int = MAX_ROWS) -> npt.NDArray[np.int64]:
    """Return all row numbers below `count`, or `limit` of them drawn with `seed`; sorted."""
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    return np.asarray(sorted(random.Random(seed).sample(range(count), limit)), dtype=np.int64)


def nearest_similarity(
    queries: Vectors, corpus: Vectors, own: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float32]:
    """Cosine of each query's nearest corpus row; shapes (q, dim) and (n, dim), unit rows, to (q,).

    `own` has, for each query, its own row in the corpus, which is passed over. A query with
    nothing to compare with gets NaN.
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
    """Return every word n-gram as a number, equal for equal ones, and the text that holds it."""
    vocabulary: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        found = words(text)
        ids += [vocabulary.setdefault(word, len(vocabulary)) for word in found]
        lengths.append(len(found))
    line = np.asarray(ids, dtype=np.int64)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.flatnonzero(owners[: max(0, len(line) - n + 1)] == owners[n - 1 :])  # none spans two texts
    codes, below = line[starts], len(vocabulary)
    for step in range(1, n):
        if below * len(vocabulary) > _LARGEST:  # numbered anew, so that the product stays small
            distinct, codes = np.unique(codes, return_inverse=True)
            below = len(distinct)
        codes, below = codes * len(vocabulary) + line[starts + step], below * len(vocabulary)
    return codes, owners[starts]


def _count(document: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(document[i : i + n]) for i in range(len(document) - n + 1))


def _bleu(
    row: int,
    orders: Sequence[Counter[tuple[str, ...]]],
    most: dict[tuple[str, ...], tuple[int, int, int]],
    lengths: Counter[int],
) -> float:
    """BLEU of the text `row`, whose n-grams are `orders`, against all the others."""
    logs = []
    for grams in orders:
        matched = sum(min(count, _elsewhere(most[gram], row)) for gram, count in grams.items())
        if grams is orders[0] and not matched:
            return 0.0  # no word in common: smoothing is for the longer ones
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
    """Return a pattern for one unspaced character with its marks, or a run of other word characters.

    `\\w` alone would break words at vowel signs: Python's `re` has no class for marks.
    """
    marks = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char)[0] == "M")
    letter = f"(?![{UNSPACED}])[\\w{marks}\u200c\u200d]"
    return re.compile(f"[{UNSPACED}][{marks}]*|(?:{letter})+(?:['’](?:{letter})+)*")
