"""Provide functions for strategies of several requests: turns of a chat, and replies that are parts of a sample."""

from collections.abc import Iterable, Sequence

from synthgen.errors import ConfigError
from synthgen.generate.copies import not_again, written_freely
from synthgen.generate.object_requests import ObjectRequest
from synthgen.generate.prompting import Prompting
from synthgen.records import Completion, Json, Message, Sample
from synthgen.tasks.task import Task


def taken(data: Json, names: Iterable[str]) -> Json:
    """Return the named fields of a sample, as far as it has them."""
    return {name: data[name] for name in names if name in data}


def turns(*texts: tuple[str, str]) -> list[Message]:
    """Return a question and an answer as two turns, for each pair of texts."""
    return [
        message
        for asked, said in texts
        for message in (Message(role="user", content=asked), Message(role="assistant", content=said))
    ]


def usable(part: ObjectRequest, completion: Completion) -> Json | None:
    """Return the object in a reply; None where there is none, or it lacks a required field."""
    found = part.read(completion)
    return found if found is not None and all(name in found for name in part.schema.get("required", ())) else None


def barred(prompting: Prompting, task: Task, shown: Sequence[Sample]) -> tuple[str, ...]:
    """Return the sequences of words that a reply must not copy from the samples shown."""
    words = prompting.limits.copied_words
    return () if words is None else not_again(shown, written_freely(task.free_schema), words)


def refuse_labels(name: str, task: Task) -> None:
    """Raise ConfigError for a task that asks each slot for a label or another value."""
    if task.asked:
        raise ConfigError(
            f"generate.strategies.{name}: task '{task.name}' asks each slot for a label or a value of task.assign, which "
            f"this strategy cannot; use another strategy, such as fewshot"
        )


def refuse_missing(key: str, names: Iterable[str], task: Task) -> None:
    """Raise ConfigError where the config names fields that the model does not write."""
    for name in names:
        if name not in task.free_fields:
            raise ConfigError(f"{key}: task '{task.name}' has no field '{name}'; it has {', '.join(task.free_fields)}")
