"""The one repair question: a reply without JSON is shown to the model again, with what is wrong with it.

Only engines that cannot hold a model to a grammar give such replies (finish reason `unparsable`).
"""

from synthgen.errors import FatalRequestError, RetryableError
from synthgen.records import UNPARSABLE, Completion, Engine, Message, Request

_ASK = (
    "That is not the JSON object that was asked for. Write it again: one JSON object, and nothing before or after it."
)
_MAX_CHARS = 4000


async def complete(engine: Engine, request: Request) -> Completion:
    """Ask for a completion, and once more where it holds no JSON. Raises as the engine does for the first question."""
    completion = await engine.complete(request)
    if completion.finish_reason != UNPARSABLE or not completion.text.strip():
        return completion
    said = Message(role="assistant", content=completion.text[:_MAX_CHARS])
    messages = (*request.messages, said, Message(role="user", content=_ASK))
    try:
        return await engine.complete(request.model_copy(update={"id": f"{request.id}/repair", "messages": messages}))
    except (FatalRequestError, RetryableError):
        return completion
