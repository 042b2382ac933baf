"""Check that an endpoint can serve a run: write the warm-up requests and check their answers."""

import math
from collections.abc import Sequence

from synthgen.engines.grammar.schema import may_begin
from synthgen.engines.http.endpoint import Endpoint
from synthgen.errors import RetryableError
from synthgen.records import THINKING_ONLY, Completion, Grammar, Message, Request, Sampling


def warm_up_requests(grammars: Sequence[Grammar], adapters: Sequence[str]) -> list[tuple[str, Request]]:
    """Return pairs of a progress message and a request: one for each adapter, then one for each grammar."""
    hello = Request(id="", messages=(Message(role="user", content="Hello"),), sampling=Sampling(max_tokens=1))
    loads = [
        (f"loading adapter {name}", hello.model_copy(update={"id": f"-1/warm-up/{name}", "adapter": name}))
        for name in adapters
    ]
    return loads + [
        (f"compiling grammar {number} of {len(grammars)}", warm_up_request(number, grammar))
        for number, grammar in enumerate(grammars, 1)
    ]


def warm_up_request(number: int, grammar: Grammar) -> Request:
    """Return a request for one token within `grammar`; a choice, which the judge uses, also requests logprobs."""
    logprobs = min(20, max(5, len(grammar.spec))) if grammar.kind == "choice" else None
    return Request(
        id=f"-1/warm-up/{number}",
        messages=(Message(role="user", content="Hello"),),
        grammar=grammar,
        sampling=Sampling(max_tokens=1, logprobs=logprobs),
        thinking=False,
    )


def readable(request: Request, completion: Completion) -> bool:
    """Return True if the answer has the requested logprobs and all of them are numbers.

    Return True also for an answer that was cut off during its thinking, which shows neither.
    """
    if request.sampling.logprobs is None or completion.finish_reason == THINKING_ONLY:
        return True
    first = completion.logprobs[0] if completion.logprobs else {}
    return bool(first) and not any(map(math.isnan, first.values()))


def unfit(endpoint: Endpoint, request: Request, completion: Completion) -> RetryableError | None:
    """Return the error of an endpoint that gives such an answer; None if the answer is as required."""
    if endpoint.dialect.logprobs and not readable(request, completion):
        return no_logprobs(endpoint)
    grammar, dialect = request.grammar, endpoint.dialect
    if completion.finish_reason == THINKING_ONLY:
        return None
    if grammar is None or may_begin(grammar, completion.text) or not dialect.holds(grammar):
        return None
    form = dialect.choice if grammar.kind == "choice" else dialect.schema
    if form != "structured_outputs":  # the filters check answers in other forms on arrival
        return None
    return RetryableError(
        f"{endpoint.url}: the endpoint ignores the grammar (it answered {completion.text[:40]!r} to a request "
        f"with a {grammar.kind}): vLLM before 0.12 and other servers ignore structured_outputs; serve with vLLM 0.12 or "
        "later, or unset engine.dialect.schema, engine.dialect.choice and engine.dialect.preset so that they are detected"
    )


def no_logprobs(endpoint: Endpoint) -> RetryableError:
    return RetryableError(
        f"{endpoint.url}: answers come without logprobs, or with NaN, although they were requested; the judge "
        "needs them: configure the server to return them (logprobs, top_logprobs), or set engine.dialect.logprobs=0, "
        "and the judge counts answers instead (a run that has begun needs a fork for that: synthgen resume RUN --fork NEW "
        "engine.dialect.logprobs=0)"
    )
