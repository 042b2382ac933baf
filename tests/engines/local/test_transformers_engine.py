import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest
import pytest_asyncio

from synthgen.engines import bundled
from synthgen.engines.grammar.schema import choice
from synthgen.engines.local import engine as transformers_engine
from synthgen.engines.local.engine import TransformersConfig, TransformersEngine
from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError, RetryableError
from synthgen.records import Completion, Grammar, Message, Request, Sampling

PREFIX = "You write very short news items for a paper that everybody in town reads at breakfast. " * 3
SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 8, "maxLength": 30},
        "stars": {"enum": [1, 2, 3]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["text", "stars", "tags"],
}
ITEM = Grammar(kind="json_schema", spec=SCHEMA)
CFG = Grammar(kind="cfg", spec='start: "(" start ")" | "x"')


def ask(question: str, grammar: Grammar | None = None, priority: int = 0, **sampling: Any) -> Request:
    messages = (Message(role="system", content=PREFIX), Message(role="user", content=question))
    return Request(id=question, messages=messages, grammar=grammar, sampling=Sampling(**sampling), priority=priority)


# -- with the bundled model --------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[TransformersEngine]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several threads wait for each other where other programs share the CPU
    # float32, so that the shape of a batch hardly shows in the numbers.
    cfg = TransformersConfig(batch_size=4, device="cpu", dtype="float32")
    made = TransformersEngine(cfg, bundled.resolve(bundled.GENERATOR), None, False, seed=0)
    await made.start()
    yield made
    await made.aclose()
    torch.set_num_threads(threads)


real = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.slow
@real
async def test_every_reply_holds_its_schema(engine: TransformersEngine) -> None:
    replies = await asyncio.gather(*(engine.complete(ask(f"Item {n}.", ITEM, max_tokens=80)) for n in range(6)))
    for reply in replies:
        assert reply.finish_reason == "stop"
        jsonschema_rs.validate(SCHEMA, json.loads(reply.text))
    assert len({reply.text for reply in replies}) > 1


@real
@pytest.mark.slow
async def test_a_choice_of_one_token_comes_with_the_chances_of_all(engine: TransformersEngine) -> None:
    digits = ("1", "2", "3", "4", "5")
    reply = await engine.complete(ask("How good is it, 1 to 5?", choice(digits), max_tokens=1, logprobs=9))
    assert reply.text in digits
    assert (reply.finish_reason, reply.completion_tokens, len(reply.logprobs)) == ("stop", 1, 1)
    assert set(reply.logprobs[0]) == set(digits)
    assert sum(math.exp(logprob) for logprob in reply.logprobs[0].values()) == pytest.approx(1)


@real
@pytest.mark.slow
async def test_logprobs_are_those_of_temperature_one(engine: TransformersEngine) -> None:
    question = {"question": "Yes or no?", "grammar": choice(["yes", "no"]), "max_tokens": 1, "logprobs": 9}
    warm, cold = [await engine.complete(ask(**question, temperature=heat)) for heat in (1.0, 0.0)]
    assert cold.logprobs[0] == pytest.approx(warm.logprobs[0], abs=1e-3)
    assert cold.text == max(cold.logprobs[0], key=cold.logprobs[0].__getitem__)


@real
@pytest.mark.slow
async def test_a_reply_cut_at_max_tokens_says_so(engine: TransformersEngine) -> None:
    cut = await engine.complete(ask("Tell me.", Grammar(kind="regex", spec="[a-z ]{90}"), max_tokens=3))
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 3)
    free = await engine.complete(ask("Tell me a long story.", max_tokens=4, temperature=0))
    assert (free.finish_reason, free.completion_tokens) == ("length", 4)


@real
@pytest.mark.slow
async def test_free_text_ends_with_the_turn_and_holds_no_special_token(engine: TransformersEngine) -> None:
    reply = await engine.complete(ask("Say only: OK", max_tokens=100, temperature=0))
    assert reply.finish_reason == "stop"
    assert reply.text
    assert "<|" not in reply.text


@real
@pytest.mark.slow
async def test_requests_of_different_grammars_share_a_batch(engine: TransformersEngine) -> None:
    grammars = [choice(["red", "blue"]), Grammar(kind="regex", spec=r"\d{4}"), CFG, choice(["日本", "🦄"])]
    red, year, nested, script = await asyncio.gather(
        *(engine.complete(ask(grammar.kind, grammar, max_tokens=20)) for grammar in grammars)
    )
    assert red.text in ("red", "blue")
    assert year.text.isdecimal()
    assert len(year.text) == 4
    assert nested.text.count("(") == nested.text.count(")") or nested.finish_reason == "length"
    assert script.text in ("日本", "🦄")


@real
@pytest.mark.slow
async def test_a_batch_gives_the_same_answers_as_single_requests(engine: TransformersEngine) -> None:
    questions = ["Short?", "A question that is a good deal longer than the others are, isn't it?", "And then?"]
    requests = [ask(text, choice(["yes", "no", "perhaps"]), max_tokens=1, logprobs=9) for text in questions]
    alone = [await engine.complete(request) for request in requests]
    together = await asyncio.gather(*(engine.complete(request) for request in requests))
    assert [reply.cached_tokens for reply in alone] == [0, 0, 0]
    assert [reply.cached_tokens > 32 for reply in together] == [False, True, True]
    for one, same in zip(alone, together, strict=True):
        assert same.prompt_tokens == one.prompt_tokens
        assert same.logprobs[0] == pytest.approx(one.logprobs[0], abs=1e-3)


@real
@pytest.mark.slow
async def test_a_row_continues_when_its_neighbours_are_done(engine: TransformersEngine) -> None:
    def requests(count: int) -> list[Request]:
        shorts = [ask(f"Short {n}.", Grammar(kind="regex", spec="[a-z]"), max_tokens=12) for n in range(count)]
        return [*shorts, ask("Greek letters.", Grammar(kind="regex", spec="[a-z ]{40}"), max_tokens=12, temperature=0)]

    alone = await engine.complete(requests(0)[0])
    *_, beside = await asyncio.gather(*(engine.complete(request) for request in requests(3)))
    assert (beside.text, beside.completion_tokens) == (alone.text, alone.completion_tokens)
    assert beside.completion_tokens > 1


@real
@pytest.mark.slow
async def test_a_seed_fixes_the_reply_whatever_it_is_batched_with(engine: TransformersEngine) -> None:
    word = Grammar(kind="regex", spec="[a-z]{6}")
    mine = ask("A word.", word, max_tokens=8, seed=5)
    alone = await engine.complete(mine)
    *_, beside = await asyncio.gather(*(engine.complete(r) for r in (*[ask("A word.", word, max_tokens=8)] * 2, mine)))
    others = await asyncio.gather(*(engine.complete(ask("A word.", word, max_tokens=8, seed=n)) for n in range(4)))
    assert alone.text == beside.text
    assert len({reply.text for reply in others}) > 1


@real
@pytest.mark.slow
async def test_a_bad_request_is_refused_and_the_others_are_answered(engine: TransformersEngine) -> None:
    answers: list[Any] = await asyncio.gather(
        engine.complete(ask("word " * 9000, max_tokens=4)),
        engine.complete(ask("Look around.", Grammar(kind="regex", spec="(?=a)b"), max_tokens=4)),
        engine.complete(ask("Nonsense.", Grammar(kind="cfg", spec="this is no grammar"), max_tokens=4)),
        engine.complete(ask("Fine.", choice(["yes"]), max_tokens=4)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [FatalRequestError] * 3 + [Completion]
    assert "context of 8192" in str(answers[0])
    assert "regex grammar cannot be compiled" in str(answers[1])
    assert "cfg grammar cannot be compiled" in str(answers[2])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "said"),
    [({"model": "/no/such/folder"}, "model.name: transformers cannot load"), ({"device": "xpu:7"}, "engine.device")],
)
async def test_a_model_that_cannot_be_loaded_is_a_config_error_at_start(changes: dict[str, str], said: str) -> None:
    cfg = TransformersConfig(device=changes.get("device", "cpu"))
    engine = TransformersEngine(cfg, changes.get("model", "any"), None, False, seed=0)
    with pytest.raises(ConfigError, match=said):
        await engine.start()
    with pytest.raises(EngineDeadError, match=said):
        await engine.complete(ask("Anybody?"))
    await engine.aclose()


# -- batches, failures and the end, with a model that does as it is told -----------------------------


@dataclass(eq=False)
class StubRow:
    request: Request
    abandoned: Callable[[], bool]


class StubModel:
    """Answers with the request's id; `fails(batch size)` may return what to raise instead."""

    def __init__(self, fails: Callable[[int], Exception | None] = lambda _: None, seconds: float = 0.0) -> None:
        self.batches: list[list[str]] = []
        self._fails = fails
        self._seconds = seconds

    def row(self, request: Request, abandoned: Callable[[], bool]) -> Any:
        return StubRow(request, abandoned)

    def generate(self, rows: list[Any]) -> Iterator[Any]:
        self.batches.append([row.request.id for row in rows])
        if failure := self._fails(len(rows)):
            raise failure
        for row in rows:
            until = time.monotonic() + self._seconds
            while time.monotonic() < until and not row.abandoned():
                time.sleep(0.005)
            if not row.abandoned():
                yield row

    def completion(self, row: Any, seconds: float) -> Completion:
        return Completion(text=row.request.id, finish_reason="stop", seconds=seconds)


Build = Callable[..., TransformersEngine]


@pytest_asyncio.fixture
async def build(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Build]:
    built = []

    def make(model: StubModel, **knobs: Any) -> TransformersEngine:
        monkeypatch.setattr(transformers_engine, "LocalModel", lambda *_: model)
        built.append(TransformersEngine(TransformersConfig(**knobs), "stub", None, False, seed=0))
        return built[-1]

    yield make
    for engine in built:
        await engine.aclose()


async def answers_of(engine: TransformersEngine, *requests: Request) -> list[Any]:
    return await asyncio.gather(*(engine.complete(request) for request in requests), return_exceptions=True)


@pytest.mark.asyncio
async def test_requests_go_by_priority_then_in_order_of_arrival(build: Build) -> None:
    model = StubModel()
    engine = build(model, batch_size=2)
    await answers_of(engine, ask("a", priority=1), ask("b", priority=1), ask("c"), ask("d", priority=1), ask("e"))
    assert model.batches == [["c", "e"], ["a", "b"], ["d"]]


@pytest.mark.asyncio
async def test_only_requests_that_may_grow_as_long_share_a_batch(build: Build) -> None:
    model = StubModel()
    await answers_of(build(model), ask("long", max_tokens=90), ask("one", max_tokens=1), ask("late", max_tokens=90))
    assert model.batches == [["long", "late"], ["one"]]


@pytest.mark.asyncio
async def test_only_requests_for_the_same_adapter_share_a_batch(build: Build) -> None:
    model = StubModel()
    requests = [ask(str(number)).model_copy(update={"adapter": name}) for number, name in enumerate("aba")]
    await answers_of(build(model), *requests)
    assert model.batches == [["0", "2"], ["1"]]


async def test_an_answer_does_not_wait_for_the_rest_of_its_batch(build: Build) -> None:
    engine = build(StubModel(seconds=0.3))
    first = asyncio.create_task(engine.complete(ask("first")))
    last = asyncio.create_task(engine.complete(ask("last")))
    assert (await first).text == "first"
    assert not last.done()
    assert (await last).seconds > 0.5


@pytest.mark.asyncio
async def test_out_of_memory_is_retryable_and_halves_the_batches_to_come(build: Build) -> None:
    import torch

    model = StubModel(lambda size: torch.OutOfMemoryError("CUDA out of memory") if size > 2 else None)
    engine = build(model, batch_size=4)
    requests = [ask(name) for name in "abcd"]
    refused = await answers_of(engine, *requests)
    assert [type(answer) for answer in refused] == [RetryableError] * 4
    assert "with 4 requests in a batch; continuing with at most 2" in str(refused[0])
    assert [answer.text for answer in await answers_of(engine, *requests)] == list("abcd")
    assert [len(batch) for batch in model.batches] == [4, 2, 2]


@pytest.mark.asyncio
async def test_a_failed_batch_is_retryable_and_the_engine_lives_on(build: Build) -> None:
    failures = iter([RuntimeError("shape mismatch\nstack")])
    engine = build(StubModel(lambda _: next(failures, None)))
    with pytest.raises(RetryableError, match=r"the batch failed: shape mismatch$"):
        await engine.complete(ask("a"))
    assert (await engine.complete(ask("a"))).text == "a"


@pytest.mark.asyncio
async def test_a_failed_device_ends_the_engine(build: Build) -> None:
    import torch

    engine = build(StubModel(lambda _: torch.AcceleratorError("illegal memory access")), batch_size=1)
    assert [type(answer) for answer in await answers_of(engine, ask("a"), ask("b"))] == [EngineDeadError] * 2
    with pytest.raises(EngineDeadError, match="illegal memory access"):
        await engine.complete(ask("c"))


@pytest.mark.asyncio
async def test_a_bug_is_raised_unchanged(build: Build) -> None:
    with pytest.raises(KeyError):
        await build(StubModel(lambda _: KeyError("oops"))).complete(ask("a"))


@pytest.mark.asyncio
async def test_a_request_past_its_time_is_retryable_and_leaves_its_batch(build: Build) -> None:
    engine = build(StubModel(seconds=30), timeout=0.2)
    with pytest.raises(RetryableError, match=r"no answer in 0\.2 s"):
        await engine.complete(ask("slow"))


@pytest.mark.asyncio
async def test_closing_fails_what_waits_and_what_comes_later(build: Build) -> None:
    engine = build(StubModel(seconds=30), batch_size=1)
    waiting = [asyncio.create_task(engine.complete(ask(name))) for name in "ab"]
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await engine.aclose()
    assert time.monotonic() - began < 5
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [EngineDeadError] * 2
    with pytest.raises(EngineDeadError, match="the engine is closed"):
        await engine.complete(ask("c"))
    await engine.aclose()


# -- config ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("batch_size", 0),
        ("batch_wait", -1.0),
        ("device", "gpu"),
        ("dtype", "int8"),
        ("in_flight", 0),
        ("timeout", 0),
        ("attempts", 0),
        ("grammar_seconds", 0),
    ],
)
def test_a_setting_out_of_range_is_named(knob: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^engine\.{knob}"):
        TransformersConfig(**{knob: value})
