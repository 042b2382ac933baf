"""Read synonyms from the database files of WordNet, or from a text file with a group of synonyms in each line."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from synthgen.errors import InputError

_PARTS = ("noun", "verb", "adj", "adv")
_COMMON = 3.0  # least frequency on wordfreq's Zipf scale, from 0 to 8; rarer synonyms read oddly
_FUNCTION = 6.0  # more frequent words are mostly function words, such as `be` and `out`, whose senses are many
_CODE = re.compile(r"[A-Z][a-z][0-9]{2}[A-Z][0-9]{2}([=#@])")

Synonyms = Callable[[str], Sequence[str]]
"""Returns the synonyms of a word in lower case, in a fixed order."""


def read_thesaurus(path: Path, language: str) -> Synonyms:
    """Return the synonyms of a thesaurus. Raise InputError where there is none.

    A folder holds WordNet's files `index.noun`, `data.noun` and so on. In a file, each line holds words that mean the
    same, separated by commas or spaces. A line may begin with a code of the Chinese thesaurus Cilin; only groups whose
    code ends in `=` are synonyms.
    """
    where = f"generate.augment_text.thesaurus: {path}"
    try:
        found = _wordnet(path) if path.is_dir() else _lines(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            f"{where}: cannot be read as a thesaurus: {getattr(error, 'strerror', None) or error}; give a folder with "
            "WordNet's files data.noun, index.noun and so on, or a text file with a group of synonyms in each line"
        ) from error
    return _common(found, language)


def _common(found: Synonyms, language: str) -> Synonyms:
    """Leave out synonyms that are rare in the language, where its frequencies are known."""
    import wordfreq

    known = language.split("-")[0] in wordfreq.available_languages()

    @lru_cache(4096)
    def synonyms(word: str) -> tuple[str, ...]:
        if known and wordfreq.zipf_frequency(word, language) >= _FUNCTION:
            return ()
        return tuple(
            other
            for other in dict.fromkeys(found(word))
            if other.lower() != word and (not known or wordfreq.zipf_frequency(other, language) >= _COMMON)
        )

    return synonyms


def _lines(text: str) -> Synonyms:
    groups: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        words = re.split(r"\s*,\s*", line.strip()) if "," in line else line.split()
        if words and (code := _CODE.fullmatch(words[0])):
            words = words[1:] if code.group(1) == "=" else []
        for word in words:
            groups[word.lower()] += [other for other in words if other and other != word]
    return lambda word: groups.get(word, ())


def _wordnet(folder: Path) -> Synonyms:
    """Return the words of a word's most frequent sense, in the part of speech for which most senses are attested."""
    index: dict[str, tuple[int, str, int]] = {}
    data = {}
    for part in _PARTS:
        data[part] = (folder / f"data.{part}").read_bytes()
        for line in (folder / f"index.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue  # the licence
            fields = line.split()
            senses = int(fields[2])
            attested, first = int(fields[-senses - 1]), int(fields[-senses])
            if fields[0] not in index or attested > index[fields[0]][0]:
                index[fields[0]] = attested, part, first

    def synonyms(word: str) -> Sequence[str]:
        if word not in index:
            return ()
        _, part, offset = index[word]
        fields = data[part][offset : data[part].index(b"\n", offset)].decode("utf-8").split()
        words = [re.sub(r"\(\w+\)$", "", name) for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
        return [name for name in words if "_" not in name]

    return synonyms
