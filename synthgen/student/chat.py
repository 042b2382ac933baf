"""Turn the turns of a chat into tokens, with a mask of the tokens that are learnt.

It depends on the tokenizer and its chat template, and on no model or task. A chat that is too long is shortened at its
beginning, so that its last answer is never lost.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jinja2.exceptions import TemplateError

from synthgen.errors import ConfigError
from synthgen.student.turns import ASSISTANT, SYSTEM, USER, Turn

Masked = tuple[list[int], list[bool]]
"""Token ids, and for each True if the loss is on it."""


class Chat:
    """Build chats of at most `max_length` tokens.

    Raise ConfigError, naming the config's `key` of the model, for a tokenizer that cannot locate its tokens in the text,
    and for turns that its chat template refuses.
    """

    def __init__(self, tokenizer: Any, max_length: int, key: str = "student.generator.model") -> None:
        if not tokenizer.is_fast:
            raise ConfigError(
                f"{key}: it has no fast tokenizer, which is needed to locate the answers in a chat; "
                "choose a model with one"
            )
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._key = key
        self._takes_system = self._shows_system()
        self.end: int | None = self._end_of_turn()
        """The token that ends the assistant's turn; None if the template has none."""

    def encode(self, turns: Sequence[Turn]) -> Masked:
        """Return the tokens up to the last one that is learnt, and the mask.

        The loss is on the learnt turns and on the token that ends each of them. Where the template has no such token,
        the last turn ends with EOS.
        """
        turns = self._fitting(self._placed(turns))
        text = self._text(turns)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
        learnt = [False] * len(ids)
        for index, turn in enumerate(turns):
            if turn.learnt:
                self._mark(learnt, ids, offsets, text, *self._span(turns, index, text))
        length = len(learnt) - learnt[::-1].index(True) if any(learnt) else len(learnt)
        ids, learnt = ids[:length], learnt[:length]
        if self.end is None and turns[-1].learnt:
            ids, learnt = [*ids, self.tokenizer.eos_token_id], [*learnt, True]
        return ids[: self.max_length], learnt[: self.max_length]

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """Return the token ids of turns that await an answer, up to where the answer starts."""
        turns = self._fitting(self._placed(turns))
        return self._ids(self._text(turns, prompt=True))

    def _placed(self, turns: Sequence[Turn]) -> list[Turn]:
        """Return the turns as the template takes them: without a system turn, its text begins the first user turn."""
        turns = list(turns)
        if turns[0].role != SYSTEM or (self._takes_system and len(turns) > 1):
            return turns
        system, *rest = turns
        if rest and rest[0].role == USER:
            return [replace(rest[0], text=f"{system.text}\n\n{rest[0].text}"), *rest[1:]]
        return [Turn(USER, system.text), *rest]

    def _fitting(self, turns: list[Turn]) -> list[Turn]:
        """Shorten the chat until it fits: leave out the oldest turns, then truncate the last turn before the answer.

        That turn keeps at least a quarter of the tokens.
        """
        while self._excess(turns) > 0 and (dropped := _without_oldest(turns)):
            turns = dropped
        excess, index = self._excess(turns), _last_question(turns)
        if excess <= 0 or index is None:
            return turns
        ids = self.tokenizer(turns[index].text, add_special_tokens=False)["input_ids"]
        text = self.tokenizer.decode(ids[: max(self.max_length // 4, len(ids) - excess)])
        return [*turns[:index], replace(turns[index], text=str(text)), *turns[index + 1 :]]

    def _excess(self, turns: Sequence[Turn]) -> int:
        return len(self._ids(self._text(turns, prompt=turns[-1].role != ASSISTANT))) - self.max_length

    def _span(self, turns: Sequence[Turn], index: int, text: str) -> tuple[int, int]:
        """Return where the assistant's turn begins and ends in the text, from the end of the generation prompt on."""
        start = _common(text, self._text(turns[:index], prompt=True)) if index else 0
        content = turns[index].text.strip()
        found = text.find(content, start)
        if found >= 0:
            return start, found + len(content)
        return start, _common(text, self._text(turns[: index + 1]))  # the template rewrites the turn

    def _mark(
        self,
        learnt: list[bool],
        ids: Sequence[int],
        offsets: Sequence[tuple[int, int]],
        text: str,
        start: int,
        end: int,
    ) -> None:
        """Mark the tokens from `start` to `end`, and those up to the end-of-turn token if only white space precedes it."""
        after: list[int] = []
        for place, (first, last) in enumerate(offsets):
            if start <= first < end or first < start < last:
                learnt[place] = True
            elif first >= end:
                after.append(place)
                if ids[place] == self.end:
                    for each in after:
                        learnt[each] = True
                    return
                if text[first:last].strip():
                    return

    def _end_of_turn(self) -> int | None:
        """Return the first special token behind an answer."""
        text = self._text([Turn(USER, "question"), Turn(ASSISTANT, "answer")])
        special = {*self.tokenizer.all_special_ids, self.tokenizer.eos_token_id}
        special |= {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}
        behind = self._ids(text[text.rindex("answer") + len("answer") :])
        return next((number for number in behind if number in special), None)

    def _shows_system(self) -> bool:
        """Return True if the template has a system turn; without one it refuses the turn or leaves it out."""
        try:
            return "persona" in self._render([Turn(SYSTEM, "persona"), Turn(USER, "question")], prompt=False)
        except TemplateError:
            return False

    def _text(self, turns: Sequence[Turn], prompt: bool = False) -> str:
        try:
            return self._render(turns, prompt)
        except TemplateError as error:
            roles = ", ".join(turn.role for turn in turns)
            raise ConfigError(
                f"{self._key}: its chat template refuses a chat with the turns {roles}: {error}; "
                "choose another model, or let the dialogues of the task begin with the user and alternate"
            ) from error

    def _render(self, turns: Sequence[Turn], prompt: bool) -> str:
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        return str(self.tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _last_question(turns: Sequence[Turn]) -> int | None:
    """Return the index of the last turn that is not the assistant's."""
    return next((index for index in reversed(range(len(turns))) if turns[index].role != ASSISTANT), None)


def _without_oldest(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns without the oldest question and its answer; an empty list if only the last question is left."""
    first = 1 if turns[0].role == SYSTEM else 0
    following = next((index for index in range(first + 1, len(turns)) if turns[index].role == USER), None)
    return [] if following is None else [*turns[:first], *turns[following:]]


def _common(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
