"""Write one reply token by token: find the tokens that its grammar allows next, and draw one.

This module works on numpy arrays, one reply at a time; `synthgen.engines.local.model` provides the scores.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthgen.records import Request, Sampling

Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]


class Constraint(Protocol):
    """Define an object that finds the tokens allowed next in one reply."""

    def allowed(self) -> Mask:
        """Return a mask over the model's whole output, shape (vocabulary,)."""
        ...

    def advance(self, token: int) -> None: ...


class Free:
    """Allow any text and the model's own end-of-turn tokens."""

    def __init__(self, allowed: Mask) -> None:
        self._allowed = allowed

    def allowed(self) -> Mask:
        return self._allowed

    def advance(self, token: int) -> None:
        pass


class Regular:
    """Enforce a JSON Schema, regex or choice with the guide inside Outlines' own logits processor.

    That processor's mask is a torch kernel, which a compiler builds for 10 s and which takes 4 to
    20 times as long as this one.
    """

    def __init__(self, index: Any, width: int) -> None:
        from outlines_core import Guide

        self._guide = Guide(index)
        self._bits = np.zeros((width + 31) // 32, dtype=np.int32)
        self._width = width

    def allowed(self) -> Mask:
        self._guide.write_mask_into(self._bits.ctypes.data, self._bits.size, self._bits.itemsize)
        return np.unpackbits(self._bits.view(np.uint8), bitorder="little")[: self._width].view(np.bool_)

    def advance(self, token: int) -> None:
        self._guide.advance(token, return_tokens=False)


class ContextFree:
    """Enforce a context-free grammar through Outlines' logits processor."""

    def __init__(self, processor: Any, width: int) -> None:
        self._processor = copy.copy(processor)  # shares the tokenizer, not the position in the reply
        self._processor.reset()
        self._width = width
        self._last = 0

    def allowed(self) -> Mask:
        scores = self._processor(np.array([[self._last]]), np.zeros((1, self._width), dtype=np.float32))
        allowed: Mask = np.isfinite(scores[0])
        return allowed

    def advance(self, token: int) -> None:
        self._last = token


@dataclass(eq=False)
class ConstrainedReply:
    """Hold one unfinished reply. `drawn` counts the end token; `tokens` does not contain it."""

    request: Request
    prompt: list[int]
    constraint: Constraint
    ends: frozenset[int]
    rng: np.random.Generator
    abandoned: Callable[[], bool]
    allowed: Mask
    banned: tuple[tuple[int, ...], ...] = ()
    """Token sequences that must not be drawn."""
    cached: int = 0
    drawn: int = 0
    finish_reason: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[dict[int, float]] = field(default_factory=list)

    def extend(self, scores: NDArray[np.float32]) -> None:
        """Draw the next token from `scores`, shape (vocabulary,), and detect the end."""
        ids = np.flatnonzero(self.allowed)
        if barred := [
            run[-1] for run in self.banned if self.tokens[len(self.tokens) - len(run) + 1 :] == list(run[:-1])
        ]:
            ids = left if len(left := ids[~np.isin(ids, barred)]) else ids  # the grammar wins if it allows nothing else
        among: Scores = scores[ids].astype(np.float64)
        if not np.isfinite(among.max()):
            raise RuntimeError("the model's output is not a number: set engine.dtype=float32")
        if self.request.sampling.logprobs is not None:
            self.logprobs.append(top_logprobs(ids, among, self.request.sampling.logprobs))
        token = int(ids[draw(among, self.request.sampling, self.rng)])
        self.drawn += 1
        if token in self.ends:
            self.finish_reason = "stop"
            return
        self.tokens.append(token)
        self.constraint.advance(token)
        self.allowed = self.constraint.allowed()
        ends = sum(bool(self.allowed[end]) for end in self.ends)
        may_end = self.request.grammar is not None and ends > 0
        # If the grammar allows only the end token, drawing it would waste a forward pass.
        if may_end and np.count_nonzero(self.allowed) == ends:
            self.finish_reason = "stop"
        elif self.drawn >= self.request.sampling.max_tokens:
            self.finish_reason = "stop" if may_end else "length"


def draw(scores: Scores, sampling: Sampling, rng: np.random.Generator) -> int:
    """Draw a token from `scores` (logits) by temperature, then min_p, then top_p, in vLLM's order."""
    if sampling.temperature <= 0:
        return int(scores.argmax())
    chances = np.exp((scores - scores.max()) / sampling.temperature)
    chances[chances < sampling.min_p] = 0  # the largest is 1
    if sampling.top_p < 1:
        total = chances.sum()
        # Tokens below this add up to less than 1 - top_p, so they need no sorting.
        likely = np.flatnonzero(chances >= (1 - sampling.top_p) * total / len(chances))
        order = likely[np.argsort(-chances[likely], kind="stable")]
        before = np.cumsum(chances[order]) - chances[order]
        nucleus = order[: max(1, np.count_nonzero(before < sampling.top_p * total))]
        kept = np.zeros_like(chances)
        kept[nucleus] = chances[nucleus]
        chances = kept
    mass = np.cumsum(chances)
    return min(int(np.searchsorted(mass, rng.random() * mass[-1], side="right")), len(mass) - 1)


def top_logprobs(ids: NDArray[np.intp], scores: Scores, count: int) -> dict[int, float]:
    normalised = scores - np.logaddexp.reduce(scores)
    top = np.argsort(-normalised, kind="stable")[: max(1, count)]
    return {int(ids[at]): float(normalised[at]) for at in top if np.isfinite(normalised[at])}
