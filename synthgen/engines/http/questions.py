"""Detect an endpoint's dialect before traffic, with requests for a few tokens each; five if nothing is refused.

A request starts with everything that a run would send. If a refusal names a parameter, the request is sent again
without it. If it names none, parameters are dropped one after another. Grammars are tested by their effect on the
answer, because many servers ignore what they do not know. Switches of a reasoning model's thinking are tested in the
same way.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from synthgen.engines.base import ModelConfig
from synthgen.engines.grammar.schema import choice, may_begin
from synthgen.engines.http.dialect import CHOICES, SCHEMAS, Dialect, blamed, changed, from_known, without
from synthgen.engines.http.endpoint import Endpoint
from synthgen.engines.http.thinking import EFFORTS, SWITCHES, has_thought
from synthgen.errors import FatalRequestError, RetryableError
from synthgen.records import THINKING_ONLY, Completion, Grammar, Json, Message, Request, Sampling

_HELLO = (Message(role="system", content="You answer briefly."), Message(role="user", content="Hello"))
_ODD = choice(["zyxwv-1", "zyxwv-2"])
_ANY_OBJECT = Grammar(
    kind="json_schema",
    spec={
        "type": "object",
        "properties": {"zyxwv": {"type": "boolean"}, "note": {"type": "string"}},
        "required": ["zyxwv"],
        "additionalProperties": False,
    },
)
_TRIES, _SECOND_LOOK = 2, 0.2
_GREETING_TOKENS = 16  # enough to show the beginning of thinking
_EXTRAS = ("priority", "bad_words", "min_p", "top_p", "seed")
_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens", "n_ctx")


async def find_out(
    endpoint: Endpoint, known: Json, grammars: Sequence[Grammar], model: ModelConfig | None = None
) -> str:
    """Detect the endpoint's dialect and set it; settings in `known` are not tested. `model` says whether it should think.

    Return a hint for the user about the endpoint's model; empty in most cases.

    Raise FatalRequestError if no request is answered, and RetryableErrors as `Endpoint.complete` does.
    """
    schema = next((grammar for grammar in grammars if grammar.kind == "json_schema"), _ANY_OBJECT)
    async with endpoint.accepting_any_model():
        finder = _DialectFinder(endpoint, known, model or ModelConfig())
        endpoint.dialect = await finder.run(schema)
    return finder.note


class _DialectFinder:
    def __init__(self, endpoint: Endpoint, known: Json, model: ModelConfig) -> None:
        self._endpoint = endpoint
        self._known = known
        self._model = model
        self._asked = 0
        self.dialect = from_known(known)
        self.note = ""
        self._refusal: FatalRequestError | None = None
        self._greeted = False

    async def run(self, schema: Grammar) -> Dialect:
        greeting = await self._plain()
        await self._extras()
        if "thinks" not in self._known:
            await self._thinking(has_thought(greeting))
        await self._logprobs()
        await self._form("choice", CHOICES, _ODD)
        await self._form("schema", SCHEMAS, schema)
        self._leave_to_vllm()
        await self._budget()
        await self._window()
        return self.dialect

    # -- the requests ------------------------------------------------------------------------------

    async def _plain(self) -> Completion:
        """Test a greeting with a system message, a token limit and temperature 0. Return the answer."""
        wanted = {name: getattr(self.dialect, name) for name in _EXTRAS}
        self.dialect = changed(self.dialect, **dict.fromkeys(_EXTRAS, False))
        request = self._greeting(None)
        answer = await self._ask(request)
        if answer is None:
            answer, self.dialect = await self._simplest(request)
        self.dialect, self._greeted = changed(self.dialect, **wanted), True
        return answer

    async def _simplest(self, request: Request) -> tuple[Completion, Dialect]:
        """Return the first answer that a simpler dialect gets, and that dialect. Raise the last refusal if none does."""
        for dialect in self._simpler("temperature", "system", "token_key"):
            if isinstance(answer := await self._once(request, dialect), Completion):
                return answer, dialect
        assert self._refusal is not None
        raise self._refusal

    async def _thinking(self, seen: bool) -> None:
        """Test the switches of thinking, where the model was `seen` to think or model.thinking sets it."""
        wanted = self._model.asked_to_think
        if seen:
            stopped = await self._first_switch(False, lambda answer: not has_thought(answer))
            self.dialect = stopped or await self._least_thinking()
            return
        if wanted is None:
            return
        started = await self._first_switch(True, has_thought) if wanted else None
        # A model may think without a mark at the beginning, so an accepted switch is used even without a visible effect.
        accepted = started or await self._first_switch(wanted, lambda _: True)
        self.dialect = accepted or changed(self.dialect, thinking="none")
        if wanted and not started:
            self.note = "asked to think (model.thinking=on), but its answer to a greeting shows no thinking"

    async def _first_switch(self, thinking: bool, works: Callable[[Completion], bool]) -> Dialect | None:
        """Return the dialect with the first switch whose answer `works`. Return None if there is none."""
        forms = [self._known["thinking"]] if "thinking" in self._known else list(SWITCHES)
        if not thinking and self._known.get("least_effort", EFFORTS[0]) != EFFORTS[0]:
            forms = [form for form in forms if form != "reasoning_effort"]  # a low effort is still thinking
        for form in forms:
            dialect = changed(self.dialect, thinking=form, thinks="by_default")
            if form == "none":
                continue
            answer = await self._once(self._greeting(thinking), dialect)
            if isinstance(answer, Completion) and works(answer):
                return dialect
        return None

    async def _least_thinking(self) -> Dialect:
        """Return the dialect that asks for the least thinking, for a model whose thinking cannot be switched off."""
        if self._known.get("thinking", "reasoning_effort") == "reasoning_effort":
            for effort in EFFORTS[EFFORTS.index(self._known.get("least_effort", EFFORTS[1])) :]:
                dialect = changed(self.dialect, thinking="reasoning_effort", least_effort=effort, thinks="always")
                if isinstance(await self._once(self._greeting(False), dialect), Completion):
                    return dialect
        return changed(self.dialect, thinking="none", thinks="always")

    async def _budget(self) -> None:
        """Test vLLM's limit on thinking, where the model may think and the endpoint is vLLM."""
        if "thinking_budget" in self._known:
            return
        if self.dialect.thinks != "never" and "structured_outputs" in (self.dialect.schema, self.dialect.choice):
            request = self._greeting(True).model_copy(update={"sampling": Sampling(max_tokens=1, thinking_tokens=1)})
            dialect = changed(self.dialect, thinking_budget=True)
            if isinstance(await self._once(request, dialect), Completion):
                self.dialect = dialect

    async def _extras(self) -> None:
        """Test all the sampling parameters together; if a refusal names none of them, test each alone."""
        request = self._request(seed=1, min_p=0.05, top_p=0.99, bad_words=("zyxwv",))
        if await self._ask(request) is not None:
            return
        wanted = [name for name in _EXTRAS if name not in self._known and getattr(self.dialect, name)]
        bare = changed(self.dialect, **dict.fromkeys(wanted, False))
        taken = [
            name for name in wanted if isinstance(await self._once(request, changed(bare, **{name: True})), Completion)
        ]
        self.dialect = changed(bare, **dict.fromkeys(taken, True))

    async def _logprobs(self) -> None:
        if "logprobs" in self._known or not self.dialect.logprobs:
            return
        answer = await self._ask(self._request(temperature=0.0, logprobs=self.dialect.logprobs))
        if answer is None:
            self.dialect = changed(self.dialect, logprobs=5)
            answer = await self._ask(self._request(temperature=0.0, logprobs=5))
        if answer is not None and answer.finish_reason == THINKING_ONLY:  # it shows no token of an answer
            return
        first = answer.logprobs[0] if answer is not None and answer.logprobs else {}
        if not first or any(map(math.isnan, first.values())):
            self.dialect = changed(self.dialect, logprobs=0)

    async def _form(self, key: str, forms: Sequence[str], grammar: Grammar) -> None:
        """Test each form of a grammar, the best first, until the endpoint accepts one and its answer matches."""
        if key in self._known:
            return
        for form in forms:
            if form == "none" or forms.index(form) < forms.index(getattr(self.dialect, key)):
                continue
            dialect = changed(self.dialect, **{key: form})
            answer = await self._once(self._request(grammar), dialect)
            if isinstance(answer, Completion) and self._has_effect(answer, grammar, dialect):
                self.dialect = dialect
                return
        self.dialect = changed(self.dialect, **{key: "none"})

    def _has_effect(self, answer: Completion, grammar: Grammar, dialect: Dialect) -> bool:
        """Return True if an answer matches a grammar. A form that only requests JSON need not match."""
        if not answer.text.strip() or not dialect.holds(grammar):
            return True
        return may_begin(grammar, answer.text)

    def _leave_to_vllm(self) -> None:
        """Drop the parameters that only vLLM reads, if the endpoint is not vLLM."""
        if "structured_outputs" not in (self.dialect.schema, self.dialect.choice):
            off = {name: False for name in ("bad_words", "priority", "continues") if name not in self._known}
            self.dialect = changed(self.dialect, **off)

    async def _window(self) -> None:
        listed = await self._endpoint.models()
        entry = next((one for one in listed if one.get("id") == self._endpoint.model), None)
        entry = entry or (listed[0] if len(listed) == 1 else {})
        known = {**entry, **(entry["meta"] if isinstance(entry.get("meta"), dict) else {})}
        found = [known[key] for key in _WINDOWS if isinstance(known.get(key), int) and known[key] > 0]
        self.dialect = changed(self.dialect, window=found[0] if found else None)

    # -- sending them ------------------------------------------------------------------------------

    def _request(self, grammar: Grammar | None = None, **sampling: Any) -> Request:
        """Return a request for one token after any thinking, which it asks the model to leave out."""
        self._asked += 1
        room = self._model.thinking_tokens if self._greeted else 0  # only used where the model always thinks
        return Request(
            id=f"-1/dialect/{self._asked}",
            messages=_HELLO,
            grammar=grammar,
            sampling=Sampling(**{"max_tokens": 1, "thinking_tokens": room, **sampling}),
            thinking=False if self._greeted else None,
        )

    def _greeting(self, thinking: bool | None) -> Request:
        request = self._request(temperature=0.0, max_tokens=_GREETING_TOKENS, thinking_tokens=0)
        return request.model_copy(update={"thinking": thinking})

    async def _ask(self, request: Request) -> Completion | None:
        """Send a request, dropping refused parameters until it is answered.

        Return None if a refusal names no such parameter.
        """
        for _ in dataclasses.fields(Dialect):
            answer = await self._once(request, self.dialect)
            if isinstance(answer, Completion):
                return answer
            other = self._without_blamed(str(answer), request)
            if other is None:
                return None
            self.dialect = other
        return None

    async def _once(self, request: Request, dialect: Dialect) -> Completion | FatalRequestError:
        """Send a request once. A server that answered the greeting and fails twice at this request refuses it."""
        for attempt in range(_TRIES):
            try:
                answer = await self._endpoint.attempt(request, dialect)
            except RetryableError as error:
                if (
                    not self._greeted or type(error) is not RetryableError
                ):  # overloaded, unreachable or too slow: not a refusal
                    raise
                answer = FatalRequestError(str(error))
                await asyncio.sleep(_SECOND_LOOK * (attempt + 1 < _TRIES))
                continue
            break
        if not isinstance(answer, Completion):
            self._refusal = answer
        return answer

    def _without_blamed(self, refusal: str, request: Request) -> Dialect | None:
        parameter = blamed(refusal, self._endpoint.request_body(request, self.dialect))
        other = without(self.dialect, parameter, refusal) if parameter else None
        if other is None or any(getattr(other, name) != value for name, value in self._known.items()):
            return None
        return other

    def _simpler(self, *names: str) -> Iterator[Dialect]:
        """Yield the dialect without each of the named parameters alone, then without more and more of them."""
        changes: dict[str, Callable[[Dialect], Dialect]] = {
            "temperature": lambda dialect: changed(dialect, temperature=False),
            "system": lambda dialect: changed(dialect, system=False),
            "token_key": lambda dialect: without(dialect, dialect.token_key) or dialect,
        }
        free = [name for name in names if name not in self._known]
        for name in free:
            yield changes[name](self.dialect)
        dialect = self.dialect
        for name in free:
            dialect = changes[name](dialect)
            yield dialect
