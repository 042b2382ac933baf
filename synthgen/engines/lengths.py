"""Count the tokens of prompts before they are sent, and find a model's context window.

Other modules shorten prompts that are too long.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from synthgen.records import Message

_A_MESSAGE = 8
"""Most tokens that a chat template adds to a message."""
# The places where OpenAI, vLLM, SGLang, llama.cpp, TGI and Anthropic name the window when they refuse a long prompt.
_NAMED = re.compile(
    r"(?:context|model)(?:'s)? (?:length|window|size)\D{0,12}?(\d{3,})|n_ctx\W{0,4}(\d{3,})|must be <= (\d{3,})"
    r"|> (\d{3,}) maximum",
    re.I,
)
_A_PROMPT = 16
"""Most tokens that a chat template adds to a conversation."""


class Lengths:
    """Count the tokens of a conversation with the model's own tokenizer; without one, estimate them from the
    characters.
    """

    def __init__(self, model: Path | None = None) -> None:
        """Load the tokenizer in the folder `model`; if it has no tokenizer.json, counts are estimates."""
        file = model / "tokenizer.json" if model is not None else None
        self.exact = file is not None and file.is_file()
        self._most: Callable[[str], int] = _guess_most
        self._least: Callable[[str], int] = _guess_least
        if file is not None and self.exact:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(file))
            self._most = self._least = lru_cache(4096)(
                lambda text: len(tokenizer.encode(text, add_special_tokens=False))
            )

    def most(self, messages: Sequence[Message]) -> int:
        """Return an upper bound on the tokens of a prompt."""
        return _A_PROMPT + sum(_A_MESSAGE + self._most(message.content) for message in messages)

    def least(self, messages: Sequence[Message]) -> int:
        """Return a lower bound on the tokens of a prompt."""
        return sum(self._least(message.content) for message in messages)


def _guess_most(text: str) -> int:
    ascii_only = len(text.encode("ascii", "ignore"))
    return ascii_only // 3 + (len(text) - ascii_only) + 1


def _guess_least(text: str) -> int:
    ascii_only = len(text.encode("ascii", "ignore"))
    return ascii_only // 6 + (len(text) - ascii_only) // 3


def named_window(words: str) -> int | None:
    """Return the context window, in tokens, that the refusal of a long prompt names; None if it names none."""
    found = _NAMED.search(words)
    return int(next(filter(None, found.groups()))) if found else None


def window_of(model: Path) -> int | None:
    """Return the context window of the model in a folder, in tokens, as its config.json states it."""
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    for part in (config, config.get("text_config") or {}):
        if isinstance(found := part.get("max_position_embeddings"), int):
            return found
    return None
