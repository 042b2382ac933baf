"""Turn a question and its answer into the tokens of a chat, truncated so that an answer is never lost.

It depends on the tokenizer and its chat template, and on no model or task.
"""

from collections.abc import Sequence
from typing import Any

from synthgen.records import Json


class Chat:
    """Build chats of one user turn and one assistant turn, of at most `max_length` tokens."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length

    def pair(self, user: str, assistant: str) -> Json:
        """Return a conversational prompt-completion row for TRL, with the user's turn truncated to fit."""
        return {
            "prompt": _turn("user", self._fitting(user, assistant)),
            "completion": _turn("assistant", assistant),
        }

    def prompt(self, user: str) -> list[int]:
        """Return the token ids of the prompt, up to where the answer starts."""
        return self._ids(_turn("user", self._fitting(user, "")), prompt=True)

    def encode(self, user: str, assistant: str) -> tuple[list[int], int]:
        """Return the token ids of both turns up to the end-of-turn token, and the index where the answer starts."""
        pair = self.pair(user, assistant)
        ids = self._ids(pair["prompt"] + pair["completion"])
        start = _common(ids, self._ids(pair["prompt"], prompt=True))
        ids = ids[: self.max_length]
        if self.tokenizer.eos_token_id in ids[start:]:
            ids = ids[: len(ids) - ids[::-1].index(self.tokenizer.eos_token_id)]
        return ids, start

    def pad(self, rows: Sequence[list[int]], side: str) -> Any:
        return self.tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt", padding_side=side)

    def _fitting(self, user: str, assistant: str) -> str:
        """Truncate `user` at its end until the chat fits, but leave it at least a quarter of the tokens."""
        turns = _turn("user", user) + _turn("assistant", assistant)
        excess = len(self._ids(turns)) - self.max_length
        if excess <= 0:
            return user
        ids = self.tokenizer(user, add_special_tokens=False)["input_ids"]
        return str(self.tokenizer.decode(ids[: max(self.max_length // 4, len(ids) - excess)]))

    def _ids(self, turns: list[Json], prompt: bool = False) -> list[int]:
        return list(
            self.tokenizer.apply_chat_template(turns, add_generation_prompt=prompt, tokenize=True, return_dict=False)
        )


def _turn(role: str, content: str) -> list[Json]:
    return [{"role": role, "content": content}]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix, where TRL too starts the completion."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
