"""List the word sequences of the demonstrations that an engine must not write in its reply.

A small model that is shown four texts copies one of them in every fourth reply. A check can reject the copy only after
its tokens are spent, so the engine should not write it at all.
"""

import re
from collections.abc import Sequence
from itertools import islice, zip_longest

from synthgen.records import Json, Sample
from synthgen.tasks.scripts import UNSPACED

# Two characters of a script without spaces count as a word.
_MOST = 64  # vLLM refuses a request with more than 128 bad words (VLLM_MAX_NUM_BAD_WORDS) and turns each into up to two
_WORD = re.compile(f"[{UNSPACED}]{{1,2}}|[^\\s{UNSPACED}]+")


def written_freely(schema: Json) -> tuple[str, ...]:
    """Return the top-level fields of the schema that hold free text."""
    return tuple(
        name
        for name, part in schema["properties"].items()
        if part.get("type") == "string" and not part.keys() & {"enum", "const", "pattern", "format"}
    )


def runs(text: str, words: int) -> list[str]:
    """Return the sequences of `words` words that start at every second word; none for a shorter text."""
    spans = [match.span() for match in _WORD.finditer(text)]
    return [text[spans[at][0] : spans[at + words - 1][1]] for at in range(0, len(spans) - words + 1, 2)]


def not_again(shown: Sequence[Sample], fields: Sequence[str], words: int) -> tuple[str, ...]:
    """Return the different sequences of `words` words in these fields of the samples, as many as vLLM accepts.

    Take the first sequence of every text, then the second of every text, and so on.
    """
    texts = (sample.data.get(name) for sample in shown for name in fields)
    turns = zip_longest(*(runs(text, words) for text in texts if isinstance(text, str)))
    return tuple(islice(dict.fromkeys(run for turn in turns for run in turn if run is not None), _MOST))
