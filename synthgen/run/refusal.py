"""Explain an engine that refuses requests: say which key to change, and whether a resume makes sense."""

import re
from pathlib import Path

from synthgen.errors import EngineDeadError, EngineRefusesError
from synthgen.ledger import Reader
from synthgen.records import THINKING_ONLY
from synthgen.run.shares import shard_folders

REFUSED = "refused"
"""Ledger key that records that the engine refused every request."""
_STATUS = re.compile(r"answered (400|401|403|404|405|413|415|422)\b")
_UNFIT = re.compile(r"ignores the grammar|answers come without logprobs|another model answers")
_OPENING = re.compile(r".*no endpoint answers:")
_CURES = (
    (
        r"context.length|context.window|context.size|model length|too long|too many tokens|reduce the length",
        "prompts are longer than the model's window: lower generate.max_tokens or generate.fewshot.demonstrations, or "
        "set model.max_len to the window, so that prompts are kept within it",
    ),
    (r"answered 40[13]", "the server refused the API key: set the right key in the environment variable that engine.api_key_env names (judge.engine.api_key_env for the judge's own endpoints)"),
    (r"answered 404|another model|does not exist", "set engine.model to the server's name of the model, and engine.urls to its address, which usually ends in /v1"),
    (r"max_completion_tokens|response_format|structured_outputs|guided|json_schema|grammar|system (role|message)|priority|bad_words|logprobs", "change the form of the requests with engine.dialect.*"),
    (r"min_p", "set generate.min_p=0"),
    (r"top_p", "set generate.top_p=1"),
    (r"temperature", "set generate.temperature to a value that the server accepts"),
    (r"max_tokens", "lower generate.max_tokens"),
)  # fmt: skip


def refused(error: EngineDeadError, empty: bool = False) -> bool:
    """Return True where a server was reached and refused the requests.

    In a run that is still `empty`, a server that answers in a form that the run cannot use counts too. Later, such
    answers are a fault of the server, which may pass.
    """
    if isinstance(error, EngineRefusesError):
        return True
    lines = [line for line in str(error).splitlines() if "answer" in line and not _OPENING.fullmatch(line)]
    return bool(lines) and all(_STATUS.search(line) or (empty and _UNFIT.search(line)) for line in lines)


def cure(words: str) -> str:
    """Return advice on the key to change, from the words of the refusal."""
    for pattern, advice in _CURES:
        if re.search(pattern, words, re.I):
            return advice
    return "change the key that the message is about: engine.*, model.* and generate.* determine the requests"


def in_environment(words: str) -> bool:
    """Return True for a refusal whose cure is outside of the config, so that the same run can continue: that of the API
    key."""
    return bool(re.search(r"answered 40[13]\b", words))


def is_empty(reader: Reader) -> bool:
    """Return True for a run with nothing to continue from: no answer for a slot, and no samples except seeds.

    Answers about canaries, which the judge may get before the first slot, do not count. A run with shards is empty if
    all its shards are.
    """
    for place in shard_folders(reader.path.parent):
        with Reader(place / "ledger.sqlite") as shard:
            if not is_empty(shard):
                return False
    answered = reader.one("SELECT EXISTS(SELECT 1 FROM requests WHERE state = 'answered' AND slot >= 0)")
    return not answered and not reader.one("SELECT EXISTS(SELECT 1 FROM samples WHERE origin = 'synthetic')")


def mostly_thought(path: Path) -> bool:
    """Return True where most rejected candidates of the ledger at `path` are thinking without an answer."""
    with Reader(path) as reader:
        sql = "SELECT SUM(reason = ?) * 2 > COUNT(*) FROM candidates WHERE outcome = 'rejected'"
        return bool(reader.one(sql, (THINKING_ONLY,)))
