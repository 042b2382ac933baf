"""Request an object that is not a whole sample, such as some of a sample's fields, by its JSON Schema."""

from collections.abc import Callable, Sequence

from synthgen.engines.grammar.schema import bounded_sample, sample_grammar
from synthgen.generate.sentences import Cut
from synthgen.generate.settings import PromptingConfig
from synthgen.records import Completion, Json, Message, PlannedSlot, Request, parse_json


class ObjectRequest:
    """Make requests for an object of `schema`, and read it. `step` makes a request of a slot; see `Prompting.step`."""

    def __init__(self, schema: Json, limits: PromptingConfig, step: Callable[..., Request]) -> None:
        self._step = step
        self.schema = bounded_sample(schema, 1, limits.max_tokens)
        self.grammar = sample_grammar(schema, 1, limits.max_tokens)
        self._cut = Cut(self.schema) if limits.whole_sentences else None

    def request(
        self,
        planned: PlannedSlot,
        name: str,
        messages: Sequence[Message],
        bad_words: tuple[str, ...] = (),
        **sampling: float | int | None,
    ) -> Request:
        """Return the request called `name` of a slot, with these sampling parameters instead of the config's."""
        return self._step(planned, name, messages, self.grammar, bad_words, **sampling)

    def read(self, completion: Completion) -> Json | None:
        """Return the object in a reply; None where there is none. Values are checked when the sample is whole."""
        try:
            found = parse_json(completion.text)
        except ValueError:
            return None
        if not isinstance(found, dict):
            return None
        return found if self._cut is None else self._cut.back(found)
