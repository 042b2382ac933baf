"""How varied a set of texts, vectors and labels is. Pure functions; reports call them at the end.

None of these figures is comparable between sets of very different size: distinct-n falls and
nearest-neighbour similarity rises as a set grows.
"""

import math
import random
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

MAX_ROWS = 2_000
_CHUNK = 4_096

# Scripts written without spaces: every character counts as a word. Hangul has spaces.
_UNSPACED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana and iteration marks
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)


def words(text: str) -> list[str]:
    """Case-folded words; in Chinese, Japanese, Thai and kin every character is one."""
    return _word_pattern().findall(unicodedata.normalize("NFC", text).casefold())


def distinct_n(texts: Iterable[str], n: int) -> float | None:
    """Distinct word n-grams over all word n-grams, 0 to 1; None if no text has n words.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    vocabulary: dict[str, int] = {}
    grams: list[npt.NDArray[np.int64]] = []
    for text in texts:
        ids = [vocabulary.setdefault(word, len(vocabulary)) for word in words(text)]
        if len(ids) >= n:
            row = np.asarray(ids, dtype=np.int64)
            grams.append(np.stack([row[i : len(row) - n + 1 + i] for i in range(n)], axis=1))
    if not grams:
        return None
    columns = np.concatenate(grams)
    codes = columns[:, 0]
    for column in columns.T[1:]:  # renumbered at every step, so that the product stays small
        codes = np.unique(codes * len(vocabulary) + column, return_inverse=True)[1]
    return len(np.unique(codes)) / len(codes)


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


def label_balance(labels: Iterable[str], classes: Sequence[str]) -> float | None:
    """Entropy of the labels over its maximum for `classes`: 1 is even, 0 is one label only.

    A class without a sample counts as empty. None without labels, or with fewer than two classes.
    """
    counts = Counter(labels)
    total = counts.total()
    known = len(counts.keys() | set(classes))
    if not total or known < 2:
        return None
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    return max(0.0, entropy / math.log(known))


def sampled_rows(count: int, seed: int, limit: int = MAX_ROWS) -> npt.NDArray[np.int64]:
    """All row numbers below `count`, or `limit` of them drawn with `seed`; sorted."""
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
    for start in range(0, len(corpus), _CHUNK):
        scores = queries @ corpus[start : start + _CHUNK].T
        if own is not None:
            here = np.flatnonzero((own >= start) & (own < start + scores.shape[1]))
            scores[here, own[here] - start] = -np.inf
        np.maximum(best, scores.max(axis=1), out=best)
    best[np.isneginf(best)] = np.nan
    return best


@cache
def _word_pattern() -> re.Pattern[str]:
    """One unspaced character with its marks, or a run of other word characters and marks.

    `\\w` alone would break words at vowel signs: Python's `re` has no class for marks.
    """
    marks = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char)[0] == "M")
    letter = f"(?![{_UNSPACED}])[\\w{marks}\u200c\u200d]"
    return re.compile(f"[{_UNSPACED}][{marks}]*|(?:{letter})+(?:['’](?:{letter})+)*")
