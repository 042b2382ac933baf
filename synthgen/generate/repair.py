"""Repair a reply without JSON: show it to the model once more, with a description of the fault.

Such replies (finish reason `unparsable`) come only from engines that cannot enforce a grammar.
"""

from synthgen.errors import FatalRequestError, RetryableError
from synthgen.records import UNPARSABLE, Completion, Engine, Message, Request

_ASK = (
    "That is not the JSON object that was asked for. Write it again: one JSON object, and nothing before or after it."
)
_MAX_CHARS = 4000


async def complete(engine: Engine, request: Request) -> Completion:
    """Return a completion. Where it has no JSON, ask once more. Raise the engine's errors about the first request."""
    completion = await engine.complete(request)
    if completion.finish_reason != UNPARSABLE or not completion.text.strip():
        return completion
    said = Message(role="assistant", content=completion.text[:_MAX_CHARS])
    messages = (*request.messages, said, Message(role="user", content=_ASK))
    try:
        return await engine.complete(request.model_copy(update={"id": f"{request.id}/repair", "messages": messages}))
    except (FatalRequestError, RetryableError):
        return completion
