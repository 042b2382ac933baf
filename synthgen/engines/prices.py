"""Compute the cost of requests from prices per million tokens."""

from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.records import Completion, Request

_CHARS_PER_TOKEN = 3.0  # few, so that an estimate is rather too high


@dataclass
class PricesConfig:
    prompt: float | None = None
    """US dollars per million prompt tokens; null where the price is not known."""
    cached: float | None = None
    """US dollars per million prompt tokens that the server had cached; null for the price of other prompt tokens."""
    completion: float | None = None
    """US dollars per million generated tokens; null where the price is not known."""

    def check(self, key: str) -> None:
        """Raise ConfigError, naming keys under `key`, for a negative price or where one price lacks the other."""
        for name, value in vars(self).items():
            if value is not None and value < 0:
                raise ConfigError(f"{key}.{name}: must be 0 or more US dollars per million tokens, got {value}")
        if (self.prompt is None) != (self.completion is None) or (self.cached is not None and self.prompt is None):
            raise ConfigError(
                f"{key}: give prompt and completion, in US dollars per million tokens, such as "
                f"{key}={{prompt: 0.15, completion: 0.6}}; 0 for tokens that cost nothing"
            )

    @property
    def known(self) -> bool:
        return self.prompt is not None

    def usd(self, prompt: float, cached: float, completion: float) -> float:
        """Return the price of a request in US dollars; `prompt` counts the `cached` tokens too."""
        full, output = self.prompt or 0.0, self.completion or 0.0
        reduced = full if self.cached is None else self.cached
        return ((prompt - cached) * full + cached * reduced + completion * output) / 1e6

    def most(self, request: Request) -> float:
        """Return the price of a request with its longest answer; its prompt is counted by characters."""
        thinking = 0 if request.thinking is False else request.sampling.thinking_tokens
        return self.usd(_tokens(request), 0, request.sampling.max_tokens + thinking)

    def of(self, request: Request, completion: Completion) -> float:
        """Return the price of an answered request; tokens that the server did not count are counted by characters."""
        return self.usd(
            completion.prompt_tokens or _tokens(request),
            completion.cached_tokens,
            completion.completion_tokens or len(completion.text) / _CHARS_PER_TOKEN,
        )


def _tokens(request: Request) -> float:
    return sum(len(message.content) for message in request.messages) / _CHARS_PER_TOKEN
