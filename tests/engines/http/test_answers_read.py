"""Answers of servers: what is no text or no number is refused where it is read, because records check no types."""

import pytest

from synthgen.engines.http.dialect import VLLM
from synthgen.engines.http.reading import completion, read_payload
from synthgen.records import Json, Message, Request

REQUEST = Request(id="0/generate", messages=(Message(role="user", content="Hello"),))


def answer(content: object = "Hi", **usage: object) -> Json:
    return {"choices": [{"message": {"content": content}, "finish_reason": "stop"}], "usage": usage}


def test_a_lone_surrogate_is_no_text() -> None:
    assert read_payload(b'{"text": "\\ud83d\\ude00", "logprob": NaN}')["text"] == "😀"
    with pytest.raises(ValueError, match="surrogates"):
        read_payload(b'{"text": "\\ud800"}')


def test_counts_that_a_server_writes_as_text_are_numbers() -> None:
    found = completion(answer(prompt_tokens="12", completion_tokens=3.0), REQUEST, VLLM, "there", 0.1)
    assert (found.prompt_tokens, found.completion_tokens) == (12, 3)
    assert type(found.completion_tokens) is int


@pytest.mark.parametrize(
    "reply", [answer(content=["Hi"]), answer(content={"text": "Hi"}), answer(prompt_tokens="many")]
)
def test_an_answer_of_another_form_is_refused(reply: Json) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        completion(reply, REQUEST, VLLM, "there", 0.1)
