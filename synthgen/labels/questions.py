"""Run a labelling session with one person: choose the next question, save answers, and undo them.

Leave display to `terminal` and `web`. An answer is in the ledger when `answer` returns.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from synthgen.labels.answers import by_sample, explained, open_disagreements
from synthgen.labels.choose import Chooser
from synthgen.labels.inbox import Change
from synthgen.records import GOOD, Correction, Json, PersonAnswer, Sample, Withdrawal

KEYS = 9
"""Number of labels that can have their own key."""
_SHARED = 4
"""Ask once in this many questions about a sample that another person has answered, so that agreement can be measured."""


@dataclass(frozen=True)
class Form:
    """Hold the settings that all questions of a task have in common."""

    task: str
    language: str
    labels: Mapping[str, str]
    """Map each label to its meaning; empty when the question is only whether a sample is good."""
    command: str = "label"
    """Verb that asks the questions."""
    label_field: str | None = None
    """Field of a sample that holds its label; None when there are no labels."""


@dataclass(frozen=True)
class ShownSample:
    """Hold a sample in the form that is shown to a person."""

    fields: Sequence[tuple[str, str]]
    """Name and text of each field."""
    shares: Mapping[str, float]
    """Map each label to its probability."""
    data: Json = field(default_factory=dict)
    """The sample itself, for corrections."""


@dataclass(frozen=True)
class ReviewTerms:
    """Hold the settings of a review's session that a session of `synthgen label` does not have."""

    assigned: Sequence[str] | None = None
    """The samples to ask about, in order; None to choose them by active learning."""
    guide: str | None = None
    """Hash of the guide in force, which each answer carries."""
    role: str | None = None
    """Role of the answers: ADJUDICATION, or None. Earlier answers are shown to an adjudicator."""
    correct: Callable[[str, Json, str | None], Sample] | None = None
    """Makes a sample from an existing one, by id, its corrected data, and its label where the task has labels. Raises
    ValueError where they are no sample. None where samples cannot be corrected."""


@dataclass(frozen=True)
class Question:
    """Hold one sample to ask about."""

    sample_id: str
    fields: Sequence[tuple[str, str]]
    labels: Sequence[str]
    """Labels in the order of display: the task's order when each has a key, else the most likely first."""
    said: Sequence[str]
    """Earlier answers by people, in words. Shown only when a disagreement is to be resolved, else empty."""
    data: Json = field(default_factory=dict)
    """The fields that a person may correct: all but the label, which is the answer."""


@dataclass(frozen=True)
class _Step:
    """Hold an answered question, and the earlier answer of the same person."""

    sample_id: str
    answer: str | None
    before: PersonAnswer | None
    skipped: bool = False
    made: str | None = None
    """Id of the sample that a correction made."""
    was_there: bool = False
    """True when somebody had made that sample before, by the same correction."""


class Asking:
    """Hold the questions of one person's session. Ask `current` until it is None."""

    def __init__(
        self,
        form: Form,
        samples: Mapping[str, ShownSample],
        chooser: Chooser,
        answers: Sequence[PersonAnswer],
        annotator: str,
        count: int,
        put: Callable[[Sequence[Change]], None],
        disagreements: bool = False,
        plan: ReviewTerms | None = None,
    ) -> None:
        self.form = form
        self.annotator = annotator
        self.count = count
        self.skipped = 0
        self._samples = samples
        self._chooser = chooser
        self._put = put
        self._plan = plan or ReviewTerms()
        self._disagreements = disagreements
        self._shows_answers = disagreements or self._plan.role is not None
        self._steps: list[_Step] = []
        self._ahead: list[str] = []
        """Samples to ask about before a new one is chosen; the last of the list comes first."""
        known = by_sample(answer for answer in answers if answer.sample_id in samples)
        self._known = known
        self._own = {one.sample_id: one for given in known.values() for one in given if one.annotator == annotator}
        self._own = {key: one for key, one in self._own.items() if one.role == self._plan.role}
        self._earlier = sorted(self._own, key=lambda key: self._own[key].at)
        chooser.take(known)
        self._of_others = [key for key in known if key not in self._own]
        self._answered = Counter(answer.answer for given in known.values() for answer in given if answer.answer)
        if disagreements:
            self._ahead = [key for key in open_disagreements(answers) if key in samples][::-1]
            self.count = min(count, len(self._ahead))
        if self._plan.assigned is not None:
            self._ahead = [key for key in self._plan.assigned if key in samples][::-1]
            self.count = min(count, len(self._ahead))
        self._current = self._next()

    # -- state of the session -----------------------------------------------------------------------

    @property
    def given(self) -> int:
        """Return the number of answers in this session."""
        return len(self._steps) - self.skipped

    @property
    def correctable(self) -> bool:
        """Tell whether the person may correct samples."""
        return self._plan.correct is not None

    @property
    def undoable(self) -> bool:
        """Tell whether there is something to undo."""
        return bool(self._steps or self._earlier)

    @property
    def current(self) -> Question | None:
        """Return the sample to ask about; None when the session is over."""
        if self._current is None:
            return None
        shown = self._samples[self._current]
        labels = list(self.form.labels)
        if len(labels) > KEYS:
            labels.sort(key=lambda label: -shown.shares.get(label, 0.0))
        said = [f"{one.annotator}: {explained(one.answer)}" for one in self._known.get(self._current, ())]
        data = {name: value for name, value in shown.data.items() if name != self.form.label_field}
        return Question(self._current, shown.fields, labels, said if self._shows_answers else [], data)

    # -- commands of the person ----------------------------------------------------------------------

    def answer(self, answer: str | None) -> None:
        """Write the answer to the current question to the ledger and move on. None means "not a sample".

        Raise ValueError when the answer is not valid for this task.
        """
        if answer is not None and answer not in (self.form.labels or (GOOD,)):
            raise ValueError(f"'{answer}' is not a valid answer; choose a label that is offered")
        key = self._asked()
        self._put([self._given(key, answer)])
        self._steps.append(_Step(key, answer, self._own.get(key)))
        self._answered.update([answer] if answer else [])
        self._current = self._next()

    def correct(self, data: Json, label: str | None = None) -> None:
        """Replace the current sample by one with corrected `data`, and move on.

        `label` is the label of the corrected sample, where the task has labels; `data` need not have it. The old sample
        gets the answer "not a sample", and the new one, whose parent it is, the answer `label`, or GOOD. Raise ValueError
        when `data` is not a valid sample, or when samples cannot be corrected here.
        """
        key = self._asked()
        if self._plan.correct is None:
            raise ValueError("samples cannot be corrected here; use synthgen review")
        if self.form.labels and label not in self.form.labels:
            raise ValueError("a corrected sample needs its label; choose one that is offered")
        answer = label if self.form.labels else GOOD
        made = self._plan.correct(key, data, label if self.form.labels else None)
        new = self._given(made.id, answer)._replace(role=None)
        self._put([Correction(made), new, self._given(key, None)])
        self._answered.update([answer] if answer else [])
        self._steps.append(_Step(key, answer, self._own.get(key), made=made.id, was_there=made.id in self._samples))
        self._current = self._next()

    def skip(self) -> None:
        """Move on without an answer. A later session can ask about the sample again."""
        self._steps.append(_Step(self._asked(), None, None, skipped=True))
        self.skipped += 1
        self._current = self._next()

    def undo(self) -> bool:
        """Withdraw the last answer, or return to the last skipped sample. Return False when there is nothing to undo.

        At the beginning of a session, withdraw the person's last answer of an earlier session.
        """
        if not self._steps:
            if not self._earlier:
                return False
            key = self._earlier.pop()
            self._steps.append(_Step(key, self._own.pop(key).answer, None))
        last = self._steps[-1]
        if last.skipped:
            self.skipped -= 1
        else:
            undone: Change = last.before or Withdrawal(last.sample_id, self.annotator)
            self._put([undone, *self._unmade(last)])
            self._answered.subtract([last.answer] if last.answer else [])
        self._steps.pop()
        if self._current is not None:
            self._ahead.append(self._current)
        self._current = last.sample_id
        return True

    def _unmade(self, step: _Step) -> list[Change]:
        """Return the changes that undo the answer to a corrected sample.

        If the correction created the sample, mark it as not a sample.
        """
        if step.made is None:
            return []
        if step.was_there:
            return [self._own.get(step.made) or Withdrawal(step.made, self.annotator)]
        return [self._given(step.made, None)._replace(role=None)]

    # -- choice of the next sample --------------------------------------------------------------------

    def _given(self, key: str, answer: str | None) -> PersonAnswer:
        return PersonAnswer(key, self.annotator, answer, time.time(), self._plan.guide, self._plan.role)

    def _asked(self) -> str:
        if self._current is None:
            raise ValueError("there is no question left")
        return self._current

    def _next(self) -> str | None:
        if self.given >= self.count:
            return None
        if self._ahead:
            return self._ahead.pop()
        if self._disagreements or self._plan.assigned is not None:
            return None
        if self._of_others and len(self._steps) % _SHARED == _SHARED - 1:
            return self._of_others.pop(0)
        found = self._chooser.next(self._answered)
        if found is None:
            return self._of_others.pop(0) if self._of_others else None
        self._chooser.take([found])
        return found


def edited(data: Json, name: str, text: str) -> Json:
    """Return a copy of `data` with the field `name` read from `text`: a string as it is, any other value as JSON.

    Raise ValueError when the text is not JSON.
    """
    if isinstance(data.get(name), str):
        return {**data, name: text}
    try:
        return {**data, name: json.loads(text)}
    except ValueError as error:
        raise ValueError(f"{name}: not JSON ({error}); write the value as it is shown") from error
