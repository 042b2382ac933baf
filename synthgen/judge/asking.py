"""Ask an engine constrained questions about untrusted texts."""

from collections.abc import Sequence
from functools import cache

from synthgen.errors import FatalRequestError, RetryableError
from synthgen.judge.reading import option_probabilities
from synthgen.records import Completion, Engine, Grammar, Message, Reason, Request, Sampling, content_id

UNSCORED = Reason("unscored", "the judge's answer could not be read")


class Questions:
    """Ask each question until its answer can be read, at most `attempts` times. `adapter` names the judge's LoRA adapter."""

    def __init__(self, engine: Engine, attempts: int, adapter: str | None = None) -> None:
        self._engine = engine
        self._attempts = attempts
        self._adapter = adapter

    async def ask(
        self, request_id: str, messages: tuple[Message, ...], grammar: Grammar, options: Sequence[str], tokens: int
    ) -> tuple[dict[str, float] | None, Completion | None]:
        """Return the distribution over `options` and the completion that gave it; (None, last completion) if unreadable."""
        sampling = _sampling(tokens, min(20, max(5, len(options))))
        completion: Completion | None = None
        for attempt in range(self._attempts):
            name = request_id if attempt == 0 else f"{request_id}/again{attempt}"
            try:
                completion = await self._engine.complete(
                    Request(id=name, messages=messages, grammar=grammar, sampling=sampling, adapter=self._adapter)
                )
            except (FatalRequestError, RetryableError):  # the engine has made its own retries already
                return None, None
            if (probabilities := option_probabilities(completion, options)) is not None:
                return probabilities, completion
        return None, completion


def fence(text: str, salt: int) -> str:
    """Return a marker to put around an untrusted text. The author of the text cannot have guessed it."""
    return content_id([salt, text])[:8]


@cache
def _sampling(tokens: int, logprobs: int) -> Sampling:
    return Sampling(temperature=0.0, max_tokens=tokens, logprobs=logprobs)
