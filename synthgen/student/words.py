"""Split texts into words as a tokenizer does, so that a token classifier can give each word a tag."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Json

UNTAGGED = -100
"""The label of a token that the loss ignores."""


@dataclass(frozen=True)
class TokenizedText:
    """Hold a tokenized text; `tokens` has the index of the first token of every word that is not cut off."""

    words: list[tuple[int, int]]
    """Start and end (exclusive) of every word in characters, including words that are cut off."""
    tokens: list[int]
    inputs: Json

    def labels(self, tags: Sequence[int]) -> list[int]:
        """Return a label for every token: the tag of a word for its first token, and UNTAGGED for all others."""
        found = [UNTAGGED] * len(self.inputs["input_ids"])
        for token, tag in zip(self.tokens, tags, strict=False):  # words that are cut off have no token
            found[token] = tag
        return found


def read(tokenizer: Any, texts: Sequence[str]) -> list[TokenizedText]:
    """Return the words and tokens of every text, truncated to the tokenizer's `model_max_length`."""
    whole = tokenizer(list(texts), return_offsets_mapping=True, truncation=False, verbose=False)
    cut = tokenizer(list(texts), truncation=True)
    return [_text(whole, cut, index) for index in range(len(texts))]


def check_fast(tokenizer: Any, path: str) -> None:
    """Raise ConfigError for a tokenizer that cannot return the positions of its tokens in a text."""
    if not tokenizer.is_fast:
        raise ConfigError(
            f"student.tagger.model: {path} has no fast tokenizer, which is needed to locate words in the text; "
            "choose a model with one"
        )


def _text(whole: Any, cut: Any, index: int) -> TokenizedText:
    words: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(whole.word_ids(index), whole["offset_mapping"][index], strict=True):
        if word is not None:
            words[word] = (words.get(word, (start, end))[0], end)
    tokens: dict[int, int] = {}
    for token, word in enumerate(cut.word_ids(index)):
        if word is not None:
            tokens.setdefault(word, token)
    return TokenizedText(list(words.values()), list(tokens.values()), {name: cut[name][index] for name in cut})
