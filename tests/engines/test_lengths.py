"""Windows that refusals name."""

import pytest

from synthgen.engines.lengths import named_window


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "the request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
        '{"type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}',
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        "prompt is too long: 5000 tokens > 4096 maximum",
    ],
)
def test_the_window_is_read_from_the_refusals_of_servers(words: str) -> None:
    assert named_window(words) == 4096


@pytest.mark.parametrize("words", ["Please reduce the length of the messages.", "answered 400: prompt is too long"])
def test_a_refusal_that_names_no_window_teaches_none(words: str) -> None:
    assert named_window(words) is None
