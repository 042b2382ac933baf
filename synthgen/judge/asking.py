"""Ask an engine constrained questions about untrusted texts."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import cache

from synthgen.errors import FatalRequestError, RetryableError, TooLongError
from synthgen.judge.reading import named, option_probabilities
from synthgen.records import (
    ONLY_THOUGHT,
    THINKING_ONLY,
    TOO_LONG,
    UNSCORED,
    Completion,
    Engine,
    Grammar,
    Message,
    Request,
    Sampling,
)

_FIRST = "-1"
"""Place in the ids of requests before the first slot, such as the label check's question about a text without content."""

_SENTENCE = 32
"""Token limit after an answer without a readable option, because the engine may answer in a whole sentence."""


class Questions:
    """Ask each question until its answer can be read, at most `attempts` times. `adapter` names the judge's LoRA adapter.

    When the engine gives no logprobs, `votes` answers are counted instead. This gives coarser probabilities. The model is
    asked not to think; where it does nevertheless, it may take `thinking_tokens` for that.
    """

    def __init__(
        self, engine: Engine, attempts: int, adapter: str | None = None, votes: int = 1, thinking_tokens: int = 0
    ) -> None:
        self._engine = engine
        self._attempts = attempts
        self._adapter = adapter
        self._votes = votes
        self._thinking_tokens = thinking_tokens
        self._too_long: set[str] = set()
        """Ids of the questions that were refused as too long and not answered since."""
        self.on_too_long: Callable[[TooLongError], Awaitable[None]] | None = None
        """Learns from a question that was refused as too long. The question may then be shorter, and is asked again."""
        self._only_thought: set[str] = set()

    def unanswered(self, slot: int, item: int) -> str:
        """Return the reason why a candidate has no score."""
        place = f"{slot}.{item}"
        if {place, _FIRST} & set(map(_place, self._too_long)):
            return TOO_LONG.code
        return ONLY_THOUGHT.code if place in self._only_thought else UNSCORED.code

    async def ask(
        self, request_id: str, messages: tuple[Message, ...], grammar: Grammar, options: Sequence[str], tokens: int
    ) -> tuple[dict[str, float] | None, Completion | None]:
        """Return the distribution over `options` and the completion that gave it; (None, last completion) if unreadable."""
        completion: Completion | None = None
        for attempt in range(self._attempts):
            name = request_id if attempt == 0 else f"{request_id}/again{attempt}"
            sampling = _sampling(tokens, min(20, max(5, len(options))), self._thinking_tokens)
            completion = await self._once(name, messages, grammar, sampling)
            if completion is None:
                return None, None
            if completion.finish_reason == THINKING_ONLY:
                self._only_thought.add(_place(name))
            if (probabilities := option_probabilities(completion, options)) is not None:
                return probabilities, completion
            if (vote := named(completion.text, options)) is not None and not _is_nan(completion):
                return await self._count(vote, name, messages, grammar, options, sampling), completion
            if completion.text.strip() and not any(option.startswith(completion.text) for option in options):
                # An engine that does not apply the grammar puts its answer into a sentence.
                tokens = max(tokens, _SENTENCE)
        return None, completion

    async def _once(
        self, name: str, messages: tuple[Message, ...], grammar: Grammar, sampling: Sampling
    ) -> Completion | None:
        """Return the completion; None when the engine refused the request, or failed after its own retries."""
        request = Request(
            id=name, messages=messages, grammar=grammar, sampling=sampling, adapter=self._adapter, thinking=False
        )
        try:
            completion = await self._engine.complete(request)
            self._too_long.discard(name)
            return completion
        except TooLongError as error:
            self._too_long.add(name)
            if self.on_too_long is not None:
                await self.on_too_long(error)
            return None
        except (FatalRequestError, RetryableError):
            return None

    async def _count(
        self,
        first: str,
        name: str,
        messages: tuple[Message, ...],
        grammar: Grammar,
        options: Sequence[str],
        sampling: Sampling,
    ) -> dict[str, float]:
        """Return the vote share of each option, from the first answer and further ones sampled at temperature 1."""
        drawn = sampling.model_copy(update={"temperature": 1.0})
        asked = (self._once(f"{name}/vote{vote}", messages, grammar, drawn) for vote in range(1, self._votes))
        found = [named(one.text, options) for one in await asyncio.gather(*asked) if one is not None]
        votes = [first, *(vote for vote in found if vote is not None)]
        return {option: votes.count(option) / len(votes) for option in options}


def _is_nan(completion: Completion) -> bool:
    return any(math.isnan(logprob) for place in completion.logprobs for logprob in place.values())


def _place(request_id: str) -> str:
    return request_id.partition("/")[0]


@cache
def _sampling(tokens: int, logprobs: int, thinking_tokens: int) -> Sampling:
    return Sampling(temperature=0.0, max_tokens=tokens, logprobs=logprobs, thinking_tokens=thinking_tokens)
