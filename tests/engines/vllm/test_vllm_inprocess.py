"""vLLM in this process, with a fake where AsyncLLM would be: what it is asked, what is read, how it ends."""

import asyncio
import math
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthgen.engines.adapters import Adapter
from synthgen.engines.base import LearnedLimits
from synthgen.engines.grammar.schema import choice
from synthgen.engines.vllm import engine_child, supervisor
from synthgen.engines.vllm import inprocess as vllm_inprocess
from synthgen.engines.vllm.engine_log import LogTail
from synthgen.engines.vllm.inprocess import VllmInprocess, VllmInprocessConfig
from synthgen.engines.vllm.library import CoreStatistics, Vllm
from synthgen.engines.vllm.supervisor import Supervisor
from synthgen.errors import ConfigError, EngineDeadError, EngineDiedError, EngineGoneError, RetryableError
from synthgen.errors import FatalRequestError as Fatal
from synthgen.records import Message, Request, Sampling


class RefusedError(Exception):
    """Stands for what vLLM raises for a request it does not take."""


class CoreDeadError(Exception):
    """Stands for what vLLM raises when its engine core is gone."""


class FailedError(Exception):
    """Stands for what vLLM raises when a request went wrong."""


class Tokenizer:
    """A token a word."""

    def __init__(self) -> None:
        self.templated = 0

    def apply_chat_template(self, messages: list[dict[str, str]], **settings: Any) -> list[int]:
        continues = {"continue_final_message": True} if settings.get("continue_final_message") else {}
        assert settings == {"add_generation_prompt": not continues, "tokenize": True, "return_dict": False, **continues}
        if continues:
            return [0]
        self.templated += 1
        if messages[0]["role"] == "assistant":
            raise ValueError("conversation roles must alternate")
        return [len(word) for message in messages for word in message["content"].split()]

    def decode(self, tokens: list[int]) -> str:
        return f"<{tokens[0]}>"


class FakeLLM:
    """AsyncLLM as far as the engine knows it; `answer` says what a request comes to."""

    def __init__(self) -> None:
        self.errored = False
        self.tokenizer = Tokenizer()
        self.asked: list[tuple[Any, Any, str, int]] = []
        self.adapters: list[Any] = []
        self.aborted: list[str] = []
        self.shut = False
        self.answer: Callable[[str], Any] = lambda _: output("yes")

    def get_tokenizer(self) -> Tokenizer:
        return self.tokenizer

    async def generate(
        self, prompt: Any, params: Any, request_id: str, *, lora_request: Any, priority: int
    ) -> AsyncIterator[Any]:
        self.adapters.append(lora_request)
        self.asked.append((prompt, params, request_id, priority))
        try:
            answer = self.answer(request_id)
            if answer is None:
                await asyncio.Event().wait()
            if isinstance(answer, Exception):
                raise answer
            yield answer
        except asyncio.CancelledError:
            self.aborted.append(request_id)
            raise

    def shutdown(self, timeout: float) -> None:
        assert timeout > 0
        self.shut = True


def output(
    text: str, finish: str = "stop", logprobs: list[dict[int, Any]] | None = None, cached: int | None = 2
) -> Any:
    one = SimpleNamespace(text=text, finish_reason=finish, token_ids=[1] * len(text.split()), logprobs=logprobs)
    return SimpleNamespace(outputs=[one], num_cached_tokens=cached)


def entry(logprob: float, token: str | None) -> Any:
    return SimpleNamespace(logprob=logprob, decoded_token=token)


def engine(
    llm: FakeLLM, tmp_path: Path, defaults: dict[str, Any] | None = None, adapters: Sequence[Adapter] = (), **knobs: Any
) -> VllmInprocess:
    (tmp_path / "engine.log").write_text("RuntimeError: the GPU fell off\n")
    tail = LogTail(tmp_path / "no.log")
    tail.path = tmp_path / "engine.log"

    def params(keywords: dict[str, Any], logprobs: int | None, grammar: dict[str, Any] | None) -> Any:
        return keywords | {"logprobs": logprobs, "structured_outputs": grammar}

    vllm = Vllm(
        llm, params, defaults or {}, (RefusedError,), (CoreDeadError,), (FailedError,), tail, _lora, [CoreStatistics()]
    )
    return VllmInprocess(VllmInprocessConfig(in_flight=200, **knobs), vllm, adapters)


def _lora(name: str, number: int, folder: str) -> tuple[str, int, str]:
    """Stands for what vLLM is asked for an adapter with."""
    return name, number, folder


def request(text: str = "how are you", **fields: Any) -> Request:
    return Request(id=fields.pop("id", "1/0"), messages=(Message(role="user", content=text),), **fields)


@pytest.fixture
def llm() -> FakeLLM:
    return FakeLLM()


# -- what is asked ---------------------------------------------------------------------------------


async def test_a_request_is_asked_as_the_server_would_be(llm: FakeLLM, tmp_path: Path) -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_tokens=9, seed=5, logprobs=3, bad_words=("a b",))
    await engine(llm, tmp_path).complete(request(grammar=choice(["yes", "no"]), sampling=sampling, priority=4))
    assert llm.asked == [
        (
            {"prompt_token_ids": [3, 3, 3]},
            {
                "temperature": 0.7,
                "top_p": 0.9,
                "max_tokens": 9,
                "logprobs": 3,
                "bad_words": ["a b"],
                "structured_outputs": {"choice": ["yes", "no"]},
            },
            "1/0",
            4,
        )
    ]


async def test_the_models_own_sampling_holds_where_the_request_says_nothing(llm: FakeLLM, tmp_path: Path) -> None:
    defaults = {"top_k": 20, "temperature": 0.6}
    await engine(llm, tmp_path, defaults).complete(request(sampling=Sampling(temperature=1.0)))
    params = llm.asked[0][1]
    assert (params["top_k"], params["temperature"]) == (20, 1.0)


async def test_an_unfinished_turn_is_continued(llm: FakeLLM, tmp_path: Path) -> None:
    await engine(llm, tmp_path).complete(request("", continues=True))
    assert llm.asked[0][0] == {"prompt_token_ids": [0]}


async def test_seeds_are_sent_only_where_configured(llm: FakeLLM, tmp_path: Path) -> None:
    await engine(llm, tmp_path, request_seeds=True).complete(request(sampling=Sampling(seed=5)))
    assert llm.asked[0][1]["seed"] == 5


async def test_a_prompt_that_many_requests_share_is_tokenised_once(llm: FakeLLM, tmp_path: Path) -> None:
    made, first = engine(llm, tmp_path), request()
    await made.complete(first)
    await made.complete(first.model_copy(update={"id": "2/0"}))
    await made.complete(request())
    assert llm.tokenizer.templated == 2


# -- what is read ----------------------------------------------------------------------------------


async def test_an_answer_is_text_reason_and_token_counts(llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: output("fine and you", "length")
    answer = await engine(llm, tmp_path).complete(request())
    assert (answer.text, answer.finish_reason) == ("fine and you", "length")
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (3, 2, 3)
    assert answer.logprobs == ()


async def test_logprobs_are_the_servers_top_logprobs(llm: FakeLLM, tmp_path: Path) -> None:
    """The token drawn comes first and counts; what is nameless is decoded; tokens of one text share; -inf is -9999."""
    drawn = {
        7: entry(-3.0, "b"),
        1: entry(-0.1, "a"),
        2: entry(-math.inf, None),
        3: entry(-0.1, "a"),
        4: entry(-5, "z"),
    }
    llm.answer = lambda _: output("b", logprobs=[drawn])
    answer = await engine(llm, tmp_path).complete(request(sampling=Sampling(logprobs=4)))
    assert len(answer.logprobs) == 1
    assert answer.logprobs[0] == pytest.approx({"b": -3.0, "a": -0.1 + math.log(2), "<2>": -9999.0})


async def test_a_logprob_that_is_no_number_stays_none(llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: output("b", logprobs=[{7: entry(math.nan, "b")}])
    answer = await engine(llm, tmp_path).complete(request(sampling=Sampling(logprobs=1)))
    assert math.isnan(answer.logprobs[0]["b"])


# -- what goes wrong -------------------------------------------------------------------------------


async def test_a_request_that_vllm_refuses_is_not_asked_again(llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: RefusedError("the prompt (length 9000) exceeds the maximum model length")
    with pytest.raises(Fatal, match="exceeds the maximum model length"):
        await engine(llm, tmp_path).complete(request())


async def test_messages_that_the_chat_template_refuses_are_fatal(llm: FakeLLM, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="1/0: cannot be turned into a prompt: conversation roles must alternate"):
        await engine(llm, tmp_path).complete(Request(id="1/0", messages=(Message(role="assistant", content="x"),)))


@pytest.mark.parametrize("answer", [FailedError("a batch failed"), output("half a sen", "abort"), output("", "error")])
async def test_a_failed_request_is_retryable(answer: Any, llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: answer
    with pytest.raises(RetryableError):
        await engine(llm, tmp_path).complete(request())


async def test_a_request_that_takes_too_long_is_aborted(llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: None
    with pytest.raises(RetryableError, match=r"no answer in 0.02 s"):
        await engine(llm, tmp_path, timeout=0.02).complete(request())
    assert llm.aborted == ["1/0"]


async def test_an_engine_that_reports_its_death_is_dead(llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: CoreDeadError("see the stack trace above")
    made = engine(llm, tmp_path)
    with pytest.raises(EngineDeadError, match="the GPU fell off") as first:
        await made.complete(request())
    with pytest.raises(EngineGoneError):  # never had it
        await made.complete(request())
    assert not isinstance(first.value, EngineGoneError)


async def watched(llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **knobs: Any) -> VllmInprocess:
    """An engine that is looked after every few milliseconds."""
    monkeypatch.setattr(vllm_inprocess, "_LOOK_SECONDS", 0.01)
    made = engine(llm, tmp_path, **knobs)
    made._watcher = asyncio.create_task(made._watch())
    return made


async def test_a_death_without_a_report_ends_every_wait(
    llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm.answer = lambda _: None
    made = await watched(llm, tmp_path, monkeypatch)
    waiting = [asyncio.create_task(made.complete(request(id=f"{number}/0"))) for number in range(3)]
    await asyncio.sleep(0.02)
    llm.errored = True
    for failure in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5):
        assert type(failure) is EngineDeadError
        assert "the GPU fell off" in str(failure)


async def test_an_engine_with_work_and_no_progress_is_killed(
    llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm.answer = lambda _: None
    made = await watched(llm, tmp_path, monkeypatch, stall_seconds=0.08)
    stuck = subprocess.Popen(["sleep", "60"], start_new_session=True)
    made._vllm.groups = [stuck.pid]
    with pytest.raises(EngineDeadError, match=r"made no token for 0.08 s"):
        await asyncio.wait_for(made.complete(request()), 5)
    assert await asyncio.to_thread(stuck.wait, 5) == -9


async def test_an_idle_engine_is_left_alone(llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await watched(llm, tmp_path, monkeypatch, stall_seconds=0.04)
    await asyncio.sleep(0.15)
    assert (await made.complete(request())).text == "yes"
    await made.aclose()


async def test_closing_ends_what_is_under_way_and_vllm(llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: None
    made = engine(llm, tmp_path)
    waiting = asyncio.create_task(made.complete(request()))
    await asyncio.sleep(0)
    await made.aclose()
    with pytest.raises(EngineGoneError, match="was stopped"):
        await waiting
    assert llm.shut


async def test_a_supervisor_starts_a_dead_engine_again(
    llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_WAIT", 0.01)
    llm.answer = lambda _: CoreDeadError("gone")

    async def start() -> VllmInprocess:
        return engine(FakeLLM(), tmp_path)

    supervised = Supervisor(engine(llm, tmp_path), start, 2, lambda *_: None)
    with pytest.raises(EngineDiedError):
        await supervised.complete(request())
    assert (await supervised.complete(request())).text == "yes"
    assert llm.shut


# -- how much is under way -------------------------------------------------------------------------


async def test_the_limit_follows_what_the_engine_says_of_its_load(
    llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, heard = await watched(llm, tmp_path, monkeypatch), []
    made.on_limit(heard.append)
    cache = SimpleNamespace(queries=10, hits=5)
    scheduler = SimpleNamespace(num_running_reqs=64, num_waiting_reqs=0, kv_cache_usage=0.1, prefix_cache_stats=cache)
    made._vllm.meters[0].record(scheduler, None)
    await asyncio.sleep(0.3)
    await made.aclose()
    assert heard[:2] == [64, 128]


def test_the_load_meter_keeps_the_newest_gauges_and_sums_the_counters() -> None:
    meter = CoreStatistics()
    for running in (3, 7):
        cache = SimpleNamespace(queries=10, hits=4)
        scheduler = SimpleNamespace(
            num_running_reqs=running, num_waiting_reqs=1, num_skipped_waiting_reqs=1, kv_cache_usage=0.5,
            prefix_cache_stats=cache,
        )  # fmt: skip
        meter.record(
            scheduler, SimpleNamespace(num_preempted_reqs=1, num_prompt_tokens=20, num_generation_tokens=3), None, 0
        )
    load = meter.load
    assert (load.running, load.waiting, load.kv_usage) == (7, 2, 0.5)
    assert (load.preemptions, load.tokens, load.cache_queries, load.cache_hits) == (2, 46, 20, 8)


# -- the start -------------------------------------------------------------------------------------


async def test_every_grammar_is_asked_for_once_before_traffic(llm: FakeLLM, tmp_path: Path) -> None:
    llm.answer = lambda _: output("1", logprobs=[{1: entry(-0.5, "1")}])
    said: list[str] = []
    await engine(llm, tmp_path).warm_up([choice(["1", "2"]), choice(["a", "b"])], said.append)
    assert [params["structured_outputs"] for _, params, _, _ in llm.asked] == [
        {"choice": ["1", "2"]},
        {"choice": ["a", "b"]},
    ]
    assert said[-1] == "compiling grammar 2 of 2"


async def test_an_adapter_is_asked_for_by_its_name_and_loaded_before_traffic(llm: FakeLLM, tmp_path: Path) -> None:
    adapters = [Adapter("one", Path("/a")), Adapter("two", Path("/b"))]
    made = engine(llm, tmp_path, adapters=adapters)
    await made.warm_up([], lambda _: None, ["one", "two"])
    assert llm.adapters == [("one", 1, "/a"), ("two", 2, "/b")]
    await made.complete(request(adapter="two"))
    await made.complete(request())
    assert llm.adapters[2:] == [("two", 2, "/b"), None]


async def test_an_engine_without_logprobs_is_found_before_traffic(llm: FakeLLM, tmp_path: Path) -> None:
    with pytest.raises(EngineDeadError, match="without logprobs"):
        await engine(llm, tmp_path).warm_up([choice(["1", "2"])], lambda _: None)


async def test_without_vllm_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_inprocess, "vllm_build", lambda: None)
    with pytest.raises(ConfigError, match=r'pip install "synthgen\[gpu\]" or "synthgen\[cpu\]"'):
        await VllmInprocess.start(
            VllmInprocessConfig(), "m", {}, 0, tmp_path, LearnedLimits(), lambda _: None, lambda *_: None
        )


async def test_out_of_memory_the_batch_is_halved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[Any] = []

    class Launch:
        def __init__(self, _model: str, flags: dict[str, Any], *_: Any) -> None:
            launched.append(flags["max-num-seqs"])

        async def run(self, _say: Callable[[str], None]) -> Vllm:
            raise EngineDeadError("vLLM did not start")

        def missing_resource(self) -> str:
            return "memory"

    monkeypatch.setattr(vllm_inprocess, "Launch", Launch)
    monkeypatch.setattr(vllm_inprocess, "vllm_build", lambda: "gpu")
    told: list[str] = []
    cfg = VllmInprocessConfig(flags={"max-num-seqs": 64})
    with pytest.raises(EngineDeadError):
        await VllmInprocess.start(
            cfg, "m", {}, 0, tmp_path, LearnedLimits(), lambda _: None, lambda kind, _: told.append(kind)
        )
    assert launched == [64, 32]
    assert told == ["engine_memory"]


def _say(words: str) -> None:
    print(words, os.getsid(0) == os.getpid(), flush=True)
    time.sleep(60)


def test_a_process_of_the_engine_prints_to_the_log_and_leads_its_own_session(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    command = [sys.executable, "-IS", engine_child.__file__, str(log), sys.executable, "-c"]
    code = "import os, sys; print(os.getsid(0) == os.getpid(), os.environ['VLLM_CONFIGURE_LOGGING'], file=sys.stderr)"
    done = subprocess.run([*command, code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert log.read_text() == "True 1\n"


def test_patches_of_multiprocessing_are_undone(tmp_path: Path) -> None:
    from synthgen.engines.vllm.engine_log import masked_into
    from synthgen.engines.vllm.library import _children_print_to

    before = multiprocessing.spawn.get_executable()
    with masked_into(tmp_path / "engine.log") as (pipe, pump), _children_print_to(pipe):
        child = multiprocessing.get_context("spawn").Process(target=_say, args=("from the engine's process",))
        child.start()
        deadline = time.monotonic() + 30
        while b"\n" not in (tmp_path / "engine.log").read_bytes() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert multiprocessing.spawn.get_executable() == before
    child.kill()
    child.join()
    pump.join(5)
    assert (tmp_path / "engine.log").read_text() == "from the engine's process True\n"
