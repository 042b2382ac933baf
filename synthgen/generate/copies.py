"""What a reply may not repeat of the demonstrations in its prompt, for an engine to leave out while it writes.

A small model that is shown four texts writes one of them down again in every fourth reply; the tokens are spent by the
time a check can see it.
"""

import re
from collections.abc import Sequence
from itertools import islice, zip_longest

from synthgen.records import Json, Sample
from synthgen.tasks.scripts import UNSPACED

# Two characters of a script without spaces count as a word.
_MOST = 64  # vLLM refuses a request with more than 128 (VLLM_MAX_NUM_BAD_WORDS), and makes up to two of each
_WORD = re.compile(f"[{UNSPACED}]{{1,2}}|[^\\s{UNSPACED}]+")


def written_freely(schema: Json) -> tuple[str, ...]:
    """Return the top-level fields of the schema that hold free text."""
    return tuple(
        name
        for name, part in schema["properties"].items()
        if part.get("type") == "string" and not part.keys() & {"enum", "const", "pattern", "format"}
    )


def runs(text: str, words: int) -> list[str]:
    """Return runs of so many words, starting at every second word; none for a shorter text."""
    spans = [match.span() for match in _WORD.finditer(text)]
    return [text[spans[at][0] : spans[at + words - 1][1]] for at in range(0, len(spans) - words + 1, 2)]


def not_again(shown: Sequence[Sample], fields: Sequence[str], words: int) -> tuple[str, ...]:
    """The runs of `words` words in these fields of the samples, each once: the first of every text, then the second, and so
    on, as many as vLLM takes."""
    texts = (sample.data.get(name) for sample in shown for name in fields)
    turns = zip_longest(*(runs(text, words) for text in texts if isinstance(text, str)))
    return tuple(islice(dict.fromkeys(run for turn in turns for run in turn if run is not None), _MOST))
