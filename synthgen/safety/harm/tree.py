"""Search a text for many words at once, by patterns that follow a prefix tree of the words.

Python's re tries the alternatives of `a|b|c` one by one at each place of a text. In a tree, only the words with the right
beginning are tried.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Edges = Callable[[str], tuple[str, str]]
"""Returns the zero-width patterns that must match before and after a word."""


class WordTree:
    """Search a text for whole words. `edges` returns the patterns that must match before and after a word.

    Words with the same pattern before them share one regular expression.
    """

    def __init__(self, words: Iterable[str], edges: Edges) -> None:
        trees: dict[str, dict[str, dict[str, Any]]] = {}
        for word in filter(None, words):
            before, behind = edges(word)
            node = trees.setdefault(before, {}).setdefault(behind, {})
            for char in word:
                node = node.setdefault(char, {})
            node[""] = {}
        self._patterns = [
            re.compile(before + f"(?:{'|'.join(_pattern(tree) + behind for behind, tree in ways.items())})")
            for before, ways in trees.items()
        ]

    def search(self, text: str) -> re.Match[str] | None:
        """Return a word of the text, not always the first one, or None."""
        return next((hit for pattern in self._patterns if (hit := pattern.search(text))), None)


def _pattern(tree: Mapping[str, Any]) -> str:
    """Return the pattern of all words in a tree, the longest first."""
    ways = [re.escape(char) + _pattern(below) for char, below in tree.items() if char]
    if not ways:
        return ""
    whole = ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"
    return f"(?:{whole})?" if "" in tree else whole
