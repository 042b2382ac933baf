"""Detect an endpoint's dialect before traffic, with requests for one token each; five if nothing is refused.

A request starts with everything that a run would send. If a refusal names a parameter, the request is sent again
without it. If it names none, parameters are dropped one after another. Grammars are tested by their effect on the
answer, because many servers ignore what they do not know.
"""

import asyncio
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

from synthgen.engines.grammar.schema import choice, may_begin
from synthgen.engines.http.dialect import CHOICES, SCHEMAS, Dialect, blamed, changed, from_known, without
from synthgen.engines.http.endpoint import Endpoint
from synthgen.errors import FatalRequestError, RetryableError
from synthgen.records import Completion, Grammar, Json, Message, Request, Sampling

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
_EXTRAS = ("priority", "bad_words", "min_p", "top_p", "seed")
_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens", "n_ctx")


async def find_out(endpoint: Endpoint, known: Json, grammars: Sequence[Grammar]) -> None:
    """Detect the endpoint's dialect and set it; settings in `known` are not tested.

    Raise FatalRequestError if no request is answered, and RetryableErrors as `Endpoint.complete` does.
    """
    schema = next((grammar for grammar in grammars if grammar.kind == "json_schema"), _ANY_OBJECT)
    async with endpoint.meeting():
        endpoint.dialect = await _DialectFinder(endpoint, known).run(schema)


class _DialectFinder:
    def __init__(self, endpoint: Endpoint, known: Json) -> None:
        self._endpoint = endpoint
        self._known = known
        self._asked = 0
        self.dialect = from_known(known)
        self._refusal: FatalRequestError | None = None
        self._greeted = False

    async def run(self, schema: Grammar) -> Dialect:
        await self._plain()
        await self._extras()
        await self._logprobs()
        await self._form("choice", CHOICES, _ODD)
        await self._form("schema", SCHEMAS, schema)
        self._leave_to_vllm()
        await self._window()
        return self.dialect

    # -- the requests ------------------------------------------------------------------------------

    async def _plain(self) -> None:
        """Test a greeting with a system message, a token limit and temperature 0."""
        wanted = {name: getattr(self.dialect, name) for name in _EXTRAS}
        self.dialect = changed(self.dialect, **dict.fromkeys(_EXTRAS, False))
        request = self._request(temperature=0.0)
        if await self._ask(request) is None:
            self.dialect = await self._simplest(request)
        self.dialect, self._greeted = changed(self.dialect, **wanted), True

    async def _simplest(self, request: Request) -> Dialect:
        """Return the first of the simpler dialects that gets an answer. Raise the last refusal if none does."""
        for dialect in self._simpler("temperature", "system", "token_key"):
            if isinstance(await self._once(request, dialect), Completion):
                return dialect
        assert self._refusal is not None
        raise self._refusal

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
        return may_begin(grammar, answer.text.lstrip())

    def _leave_to_vllm(self) -> None:
        """Drop the parameters that only vLLM reads, if the endpoint is not vLLM."""
        if "structured_outputs" not in (self.dialect.schema, self.dialect.choice):
            off = {name: False for name in ("bad_words", "priority") if name not in self._known}
            self.dialect = changed(self.dialect, **off)

    async def _window(self) -> None:
        listed = await self._endpoint.models()
        entry = next((one for one in listed if one.get("id") == self._endpoint.model), None)
        entry = entry or (listed[0] if len(listed) == 1 else {})
        known = {**entry, **(entry["meta"] if isinstance(entry.get("meta"), dict) else {})}
        found = [known[key] for key in _WINDOWS if isinstance(known.get(key), int) and known[key] > 0]
        self.dialect = changed(self.dialect, window=found[0] if found else None)

    # -- sending them ------------------------------------------------------------------------------

    def _request(self, grammar: Grammar | None = None, **sampling: object) -> Request:
        self._asked += 1
        return Request(
            id=f"-1/dialect/{self._asked}",
            messages=_HELLO,
            grammar=grammar,
            sampling=Sampling.model_validate({"max_tokens": 1, **sampling}),
        )

    async def _ask(self, request: Request) -> Completion | None:
        """Send a request, dropping refused parameters until it is answered; None if a refusal names no such parameter."""
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
        parameter = blamed(refusal, self._endpoint.spell(request, self.dialect))
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
