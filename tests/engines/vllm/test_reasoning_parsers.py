"""Test what synthgen relies on in vLLM's own code where a model thinks and a grammar holds its answer."""

from types import SimpleNamespace
from typing import Any

import pytest

from synthgen.engines.grammar.schema import choice
from synthgen.engines.http.body import BodyWriter
from synthgen.engines.http.dialect import VLLM, changed
from synthgen.engines.http.reading import completion
from synthgen.records import Message, Request, Sampling

pytestmark = pytest.mark.slow
WORDS = ["[UNK]", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "hm", "sport", "art"]
THINKS = changed(VLLM, thinks="by_default", thinking_budget=True)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    tokenizers, transformers = pytest.importorskip("tokenizers"), pytest.importorskip("transformers")
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: n for n, word in enumerate(WORDS)}, "[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain)


def sent(thinking: bool | None) -> dict[str, Any]:
    """Return the body of a judge's question with this `thinking`, as vLLM's server gets it."""
    asked = Request(
        id="0.0/label", messages=(Message(role="user", content="Which?"),), grammar=choice(["art", "sport"]),
        sampling=Sampling(max_tokens=1, logprobs=5, thinking_tokens=64), thinking=thinking,
    )  # fmt: skip
    import orjson

    return dict(orjson.loads(orjson.dumps(BodyWriter("m", {}).body(asked, THINKS))))


def parser(name: str, tokenizer: Any, body: dict[str, Any]) -> Any:
    reasoning = pytest.importorskip("vllm.reasoning")
    made = reasoning.ReasoningParserManager.get_reasoning_parser(name)
    return made(tokenizer, chat_template_kwargs=body.get("chat_template_kwargs"))


def is_held(name: str, tokenizer: Any, thinking: bool | None, prompt: str, written: str) -> bool:
    """Return True where vLLM applies the grammar to the token after `written`."""
    manager = pytest.importorskip("vllm.v1.structured_output").StructuredOutputManager
    one = object.__new__(manager)
    one.enable_in_reasoning, one.tokenizer = False, tokenizer
    before = parser(name, tokenizer, sent(thinking))
    tokens = tokenizer.encode(prompt, add_special_tokens=False)
    new = tokenizer.encode(written, add_special_tokens=False)
    state = SimpleNamespace(
        reasoner=before, reasoning_ended=before.is_reasoning_end(tokens), reasoning_parser_kwargs={}
    )
    one.reasoner_cls = type(before)
    asked = SimpleNamespace(
        structured_output_request=state,
        prompt_token_ids=tokens,
        all_token_ids=[*tokens, *new],
        use_structured_output=True,
    )
    bounds = one._get_constraint_bounds(asked, new, spec_tokens_committed=True)
    return bool(bounds.constraint_start <= len(new))


def test_vllms_server_takes_the_switch_and_the_limit_on_thinking() -> None:
    protocol = pytest.importorskip("vllm.entrypoints.openai.chat_completion.protocol")
    asked = protocol.ChatCompletionRequest(**sent(True))
    assert (asked.thinking_token_budget, asked.max_tokens) == (64, 65)
    assert asked.chat_template_kwargs["enable_thinking"] is True
    assert asked.structured_outputs.choice == ["art", "sport"]
    unasked = protocol.ChatCompletionRequest(**sent(False))
    assert (unasked.thinking_token_budget, unasked.max_tokens) == (None, 1)
    assert unasked.chat_template_kwargs["enable_thinking"] is False


@pytest.mark.parametrize("name", ["qwen3", "deepseek_r1"])
def test_the_grammar_begins_after_the_thinking(name: str, tokenizer: Any) -> None:
    assert not is_held(name, tokenizer, True, "<|im_start|>", "<think> hm")
    assert is_held(name, tokenizer, True, "<|im_start|>", "<think> hm </think>")


@pytest.mark.parametrize("name", ["qwen3", "deepseek_r1"])
def test_the_grammar_begins_at_once_where_the_template_closes_the_thinking(name: str, tokenizer: Any) -> None:
    assert is_held(name, tokenizer, False, "<|im_start|> <think> </think>", "")


@pytest.mark.parametrize(
    ("name", "thinking", "written", "found"),
    [
        ("qwen3", True, "<think>hm</think>sport", ("hm", "sport", "stop")),
        ("qwen3", False, "sport", ("", "sport", "stop")),
        ("deepseek_r1", True, "<think>hm</think>sport", ("hm", "sport", "stop")),
        ("deepseek_r1", False, "sport", ("", "sport", "stop")),  # this parser calls the answer thinking
        ("qwen3", True, "<think>hm", ("hm", "", "thinking_only")),
    ],
)
def test_answers_are_read_as_vllms_parser_splits_them(
    name: str, thinking: bool, written: str, found: tuple[str, str, str], tokenizer: Any
) -> None:
    protocol = pytest.importorskip("vllm.entrypoints.openai.chat_completion.protocol")
    body = sent(thinking)
    split = parser(name, tokenizer, body)
    thought, content = split.extract_reasoning(written, protocol.ChatCompletionRequest(**body))
    message = {"role": "assistant", "content": content, "reasoning": thought}
    finish = "length" if "</think>" not in written and thinking else "stop"
    reply = {"choices": [{"message": message, "finish_reason": finish, "logprobs": None}]}
    asked = Request(id="0.0/label", messages=(), grammar=choice(["art", "sport"]))
    read = completion(reply, asked, THINKS, "vllm", 0.0)
    assert (read.thinking.strip(), read.text, read.finish_reason) == found
