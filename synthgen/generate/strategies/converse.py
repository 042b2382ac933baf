"""Play a dialogue turn by turn: the model speaks as the user, who wants something, and as the assistant.

The task's check `turns` names the field of the dialogue, and the roles that begin and end it. Fields before it are
written first, such as a persona, and fields after it last, such as the call of a tool.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import ASSIGNED, Prompting, compact
from synthgen.generate.settings import check_shown
from synthgen.generate.steps import barred, taken, turns, usable
from synthgen.generate.strategy import Asking, Requests
from synthgen.records import Completion, Json, Message, PlannedSlot, Sample
from synthgen.tasks.task import Task

_GOAL, _DONE = "goal", "done"
_GOAL_SCHEMA = {"type": "string", "minLength": 5, "maxLength": 120}
_MOST_TURNS = 8
"""Most turns where neither the schema nor the check has a limit."""


@dataclass
class ConverseConfig:
    demonstrations: int = 2
    """Number of samples shown in each prompt."""
    goals: list[str] = field(default_factory=list)
    """Goals of the user, such as [cancel an order]. Each group draws one. If empty, the model writes a goal for each
    dialogue."""
    turns: int | None = None
    """Most turns of a dialogue; null for the limit of the task. Each dialogue has a limit of its own, drawn up to this."""
    user_model: str | None = None
    """Name of a model of engine.models that plays the user; null for the model that plays the assistant."""

    def __post_init__(self) -> None:
        check_shown("generate.converse", self.demonstrations, 0)
        if self.turns is not None and self.turns < 1:
            raise ConfigError(f"generate.converse.turns: must be 1 or more, got {self.turns}")
        if not all(isinstance(goal, str) and goal.strip() for goal in self.goals):
            raise ConfigError("generate.converse.goals: must be a list of texts, none of them empty")


@dataclass(frozen=True)
class _Dialogue:
    """Hold the place and form of a task's dialogue."""

    name: str
    """Field with the list of turns."""
    role: str
    text: str
    """Keys of a turn: who speaks, and what is said."""
    speakers: tuple[str, str]
    """The role that begins, which is the user's, and the other one."""
    lengths: tuple[int, ...]
    """Allowed numbers of turns, ascending."""
    said: Json
    """JSON Schema of what is said in one turn."""


class Converse:
    """Ask for the fields before the dialogue and the goal, for each turn in order, and for the fields behind it."""

    name = "converse"

    def __init__(self, cfg: ConverseConfig, prompting: Prompting, models: Sequence[str] = ()) -> None:
        task = prompting.task
        self._form = form = _dialogue(task, cfg.turns)
        if cfg.user_model is not None and cfg.user_model not in models:
            raise ConfigError(
                f"generate.converse.user_model: '{cfg.user_model}' is not a model of engine.models; they are "
                f"{', '.join(models) or 'not set'}"
            )
        self._cfg = cfg
        self._prompting = prompting
        place = task.free_fields.index(form.name)
        self._before, self._behind = task.free_fields[:place], task.free_fields[place + 1 :]
        begins = prompting.schema_of(self._before)
        if not cfg.goals:
            begins["properties"] = {**begins["properties"], _GOAL: _GOAL_SCHEMA}
            begins["required"] = [*begins["required"], _GOAL]
        self._opening = prompting.part(begins) if begins["properties"] else None
        self._user = prompting.part(_said(form.said, done=True))
        self._assistant = prompting.part(_said(form.said))
        self._closing = prompting.part(prompting.schema_of(self._behind)) if self._behind else None
        parts = [self._opening, self._user, self._assistant, self._closing]
        self.grammars = tuple(part.grammar for part in parts if part is not None)
        more = sum(part is not None for part in (self._opening, self._closing))
        self.requests = Requests(more + sum(form.lengths) / len(form.lengths), more + form.lengths[-1])

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self._cfg.demonstrations, group.label, group.horizon)
        given: Json = {_GOAL: rng.choice(self._cfg.goals)} if self._cfg.goals else {}
        slots = self._prompting.slots(group, self.name, shown, given)
        return [
            slot.model_copy(update={"given": {**given, "most_turns": rng.choice(self._form.lengths)}}) for slot in slots
        ]

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        prompting, form = self._prompting, self._form
        bad_words = barred(prompting, prompting.task, shown)
        begun: Json = {}
        if self._opening is not None:
            reply: Completion = yield self._opening.request(planned, "opening", self._open(planned, shown), bad_words)
            if (opened := usable(self._opening, reply)) is None:
                return [self._broken(planned, shown, reply)]
            begun = opened
        goal = str(planned.given.get(_GOAL) or begun.pop(_GOAL, ""))
        most, said, ended = int(planned.given["most_turns"]), list[Json](), "most_turns"
        heads = [self._head(planned, block, shown, begun, goal) for block in ("user_system", "assistant_system")]
        while len(said) < most:
            speaker = len(said) % 2
            part = (self._user, self._assistant)[speaker]
            request = part.request(
                planned, f"turn{len(said)}", [*heads[speaker], *self._so_far(said, speaker)], bad_words
            )
            if speaker == 0 and self._cfg.user_model is not None:
                request = request.model_copy(update={"model": self._cfg.user_model})
            reply = yield request
            if (turn := usable(part, reply)) is None:
                return [self._broken(planned, shown, reply)]
            said.append(turn)
            if self._ends(said):
                ended = _DONE
                break
        listed = [{form.role: form.speakers[number % 2], form.text: turn["text"]} for number, turn in enumerate(said)]
        data = {**begun, form.name: listed}
        if self._closing is not None:
            reply = yield self._closing.request(planned, "closing", self._close(planned, shown, data))
            if (closed := usable(self._closing, reply)) is None:
                return [self._broken(planned, shown, reply)]
            data |= closed
        data = taken(data, prompting.task.free_fields)
        return [prompting.candidate(planned, shown, data, given={_GOAL: goal, "ended": ended}, template=self.name)]

    def _ends(self, said: Sequence[Json]) -> bool:
        """Return True if the user has said that the goal is reached, and the dialogue may end here."""
        return len(said) in self._form.lengths and any(turn.get(_DONE) for turn in said[-2:])

    def _broken(self, planned: PlannedSlot, shown: Sequence[Sample], reply: Completion) -> Any:
        return self._prompting.candidate(planned, shown, None, reply, template=self.name)

    def _open(self, planned: PlannedSlot, shown: Sequence[Sample]) -> list[Message]:
        ask = self._render("ask", goal=planned.given.get(_GOAL, ""), wanted=self._wanted(planned))
        return [
            Message(role="system", content=self._render("system", examples=self._examples(shown))),
            Message(role="user", content=ask),
        ]

    def _head(self, planned: PlannedSlot, block: str, shown: Sequence[Sample], begun: Json, goal: str) -> list[Message]:
        """Return the turns before the dialogue, as the user or the assistant reads them."""
        content = self._render(
            block, examples=self._examples(shown), begun=begun, goal=goal, wanted=self._wanted(planned)
        )
        return [Message(role="system", content=content)]

    def _so_far(self, said: Sequence[Json], speaker: int) -> list[Message]:
        """Return the dialogue so far as its next speaker sees it: the own turns are the assistant's of the chat."""
        seen = [
            Message(role="assistant", content=compact(turn))
            if number % 2 == speaker
            else Message(role="user", content=str(turn["text"]))
            for number, turn in enumerate(said)
        ]
        return seen if speaker else [Message(role="user", content=self._render("begin")), *seen]

    def _close(self, planned: PlannedSlot, shown: Sequence[Sample], data: Json) -> list[Message]:
        shown_turns = turns(
            *((self._render("close", dialogue=self._lines(one.data), wanted=self._wanted_by(one)),
               compact(taken(one.data, self._behind))) for one in shown)
        )  # fmt: skip
        ask = self._render("close", dialogue=self._lines(data), wanted=self._wanted(planned))
        return [
            Message(role="system", content=self._render("close_system")),
            *shown_turns,
            Message(role="user", content=ask),
        ]

    def _examples(self, shown: Sequence[Sample]) -> list[str]:
        return ["\n".join(self._lines(sample.data)) for sample in shown]

    def _lines(self, data: Json) -> list[str]:
        """Return a sample as lines: the fields before the dialogue, then each turn."""
        form = self._form
        before = [f"{name}: {data[name]}" for name in self._before if name in data]
        return before + [f"{turn.get(form.role)}: {turn.get(form.text)}" for turn in data.get(form.name, ())]

    def _wanted(self, planned: PlannedSlot) -> str:
        return self._value_asked(planned.label)

    def _wanted_by(self, sample: Sample) -> str:
        return self._value_asked(self._prompting.task.asked_of(sample.data, sample.label))

    def _value_asked(self, label: str | None) -> str:
        """Return a sentence with the label or value that a slot asks for; empty where it asks for none."""
        wished = self._prompting.task.assigned.wishes.get(label or "")
        return self._prompting.prompts.render(ASSIGNED, "ask", wanted=wished) if wished else label or ""

    def _render(self, block: str, **variables: object) -> str:
        return self._prompting.prompts.render(self.name, block, task=self._prompting.task, **variables)


def _said(text: Json, done: bool = False) -> Json:
    """Return the schema of one turn; the user also says whether the goal is reached."""
    properties: Json = {"text": text, **({_DONE: {"type": "boolean"}} if done else {})}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _dialogue(task: Task, most: int | None) -> _Dialogue:
    """Return the form of a task's dialogue. Raise ConfigError where the task has none that two roles can play."""
    check: Json = next((dict(one) for one in task.checks if dict(one).get("kind") == "turns"), {})
    name = str(check.get("field", "")).removesuffix("[]")
    part = task.schema["properties"].get(name, {})
    role, text = check.get("role", "role"), check.get("text", "text")
    fields = part.get("items", {}).get("properties", {})
    roles = fields.get(role, {}).get("enum", [])
    where = "generate.strategies.converse"
    if name not in task.free_fields or set(fields) != {role, text} or len(roles) != 2:
        raise ConfigError(
            f"{where}: task '{task.name}' has no dialogue of two roles; it needs a field with a list of turns, each with a "
            "role (an enum of two) and a text, and the check {kind: turns, field: ...}, as conf/task/dialogue.yaml has"
        )
    first = check.get("first") or ("user" if "user" in roles else roles[0])
    speakers = (first, next(one for one in roles if one != first))
    low = max(1, check.get("min", 1), part.get("minItems", 1))
    limits = (check.get("max"), part.get("maxItems"), most)
    high = min((limit for limit in limits if limit is not None), default=_MOST_TURNS)
    last = check.get("last") or ""
    lengths = tuple(n for n in range(low, high + 1) if not last or speakers[(n - 1) % 2] == last)
    if not lengths:
        raise ConfigError(
            f"generate.converse.turns: task '{task.name}' has no dialogue of at most {high} turns: it has {low} or more and "
            f"begins with {first}" + (f" and ends with {last}" if last else "")
        )
    return _Dialogue(name, role, text, speakers, lengths, fields[text])
