"""An engine that is told what to answer, request by request, and a judge over it."""

import math
import re
from collections.abc import Callable, Mapping

from synthgen.records import Completion, Request

Weights = Mapping[str, float]
UNREADABLE = Completion(text="", finish_reason="stop")
NAN = Completion(text="sport", finish_reason="stop", logprobs=({"sport": math.nan},))


def answer(weights: Weights, text: str = "") -> Completion:
    logs = {token: math.log(share) if share > 0 else -math.inf for token, share in weights.items()}
    return Completion(text=text or max(weights, key=weights.__getitem__), finish_reason="stop", logprobs=(logs,))


def grade(mean: float) -> Completion:
    """An answer whose expected grade is `mean`."""
    low = min(4, math.floor(mean))
    return answer({str(low): low + 1 - mean, str(low + 1): mean - low})


Say = Callable[[Request], Completion | Weights | Exception]


class Told:
    """Answers by request id, or by a function of the request; raises what is an error, and keeps what it was asked."""

    name = "told"

    def __init__(self, said: Mapping[str, Completion | Weights | Exception] | Say) -> None:
        self.asked: list[Request] = []
        self.said = said

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        said = self.said(request) if callable(self.said) else self.said.get(request.id, UNREADABLE)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Completion) else answer(said)

    async def aclose(self) -> None:
        pass

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.asked]


def fenced(request: Request) -> str:
    """The sample in a judge's question: what stands between the marks."""
    match = re.search(r"\[(\w{8})\]\n(.*)\n\[\1\]", request.messages[-1].content, re.S)
    assert match is not None
    return match[2]
