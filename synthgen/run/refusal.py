"""What to do about an engine that refuses its work: which key to change, and whether a resume can be of use."""

import re

from synthgen.errors import EngineDeadError, EngineRefusesError
from synthgen.ledger import Reader

REFUSED = "refused"
"""The key under which a ledger says that the engine refused everything."""
_STATUS = re.compile(r"answered (400|401|403|404|405|413|415|422)\b")
_CURES = (
    (
        r"context.length|context.window|context.size|model length|too long|too many tokens|reduce the length",
        "prompts are longer than the model's window: lower generate.max_tokens or generate.fewshot.demonstrations, or set "
        "model.max_len to the window, so that prompts are kept within it",
    ),
    (r"answered 40[13]", "the server wants another key: set the environment variable that engine.api_key_env names"),
    (r"answered 404|another model|does not exist", "give the name that the server knows the model under as engine.model, and its address as engine.urls"),
    (r"max_completion_tokens|response_format|structured_outputs|guided|json_schema|grammar|system (role|message)|priority|bad_words|logprobs", "change what is sent with engine.dialect.*"),
    (r"min_p", "set generate.min_p=0"),
    (r"top_p", "set generate.top_p=1"),
    (r"temperature", "set generate.temperature to what the server takes"),
    (r"max_tokens", "lower generate.max_tokens"),
)  # fmt: skip


def refused(error: EngineDeadError) -> bool:
    """Return True where a server was there and refused what it was asked."""
    lines = [line for line in str(error).splitlines() if "answered" in line]
    return isinstance(error, EngineRefusesError) or (bool(lines) and all(map(_STATUS.search, lines)))


def cure(words: str) -> str:
    """Return which key to change, as far as the refusal says what was wrong."""
    for pattern, advice in _CURES:
        if re.search(pattern, words, re.I):
            return advice
    return "change the key that is named there: engine.*, model.* and generate.* say what is sent"


def is_empty(reader: Reader) -> bool:
    """Return True for a run that has nothing to go on with: no answer of an engine, and no sample but seeds."""
    answered = reader.one("SELECT EXISTS(SELECT 1 FROM requests WHERE state = 'answered')")
    return not answered and not reader.one("SELECT EXISTS(SELECT 1 FROM samples WHERE origin = 'synthetic')")
