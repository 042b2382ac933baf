"""Run a labelling session with one person: choose the next question, save answers, and undo them.

Leave display to `terminal` and `web`. An answer is in the ledger when `answer` returns.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from synthgen.labels.answers import by_sample, explained, open_disagreements
from synthgen.labels.choose import Chooser
from synthgen.labels.inbox import Change
from synthgen.records import GOOD, PersonAnswer, Withdrawal

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


@dataclass(frozen=True)
class Shown:
    """Hold a sample in the form that is shown to a person."""

    fields: Sequence[tuple[str, str]]
    """Name and text of each field."""
    shares: Mapping[str, float]
    """Map each label to its probability."""


@dataclass(frozen=True)
class Question:
    """Hold one sample to ask about."""

    sample_id: str
    fields: Sequence[tuple[str, str]]
    labels: Sequence[str]
    """Labels in the order of display: the task's order when each has a key, else the most likely first."""
    said: Sequence[str]
    """Earlier answers by people, in words. Shown only when a disagreement is to be resolved, else empty."""


@dataclass(frozen=True)
class _Step:
    """Hold an answered question, and the earlier answer of the same person."""

    sample_id: str
    answer: str | None
    before: PersonAnswer | None
    skipped: bool = False


class Asking:
    """Hold the questions of one person's session. Ask `current` until it is None."""

    def __init__(
        self,
        form: Form,
        samples: Mapping[str, Shown],
        chooser: Chooser,
        answers: Sequence[PersonAnswer],
        annotator: str,
        count: int,
        put: Callable[[Sequence[Change]], None],
        disagreements: bool = False,
    ) -> None:
        self.form = form
        self.annotator = annotator
        self.count = count
        self.skipped = 0
        self._samples = samples
        self._chooser = chooser
        self._put = put
        self._disagreements = disagreements
        self._steps: list[_Step] = []
        self._ahead: list[str] = []
        """Samples to ask about before a new one is chosen; the last of the list comes first."""
        known = by_sample(answer for answer in answers if answer.sample_id in samples)
        self._known = known
        self._own = {one.sample_id: one for given in known.values() for one in given if one.annotator == annotator}
        self._earlier = sorted(self._own, key=lambda key: self._own[key].at)
        chooser.take(known)
        self._of_others = [key for key in known if key not in self._own]
        self._answered = Counter(answer.answer for given in known.values() for answer in given if answer.answer)
        if disagreements:
            self._ahead = [key for key in open_disagreements(answers) if key in samples][::-1]
            self.count = min(count, len(self._ahead))
        self._current = self._next()

    # -- state of the session -----------------------------------------------------------------------

    @property
    def given(self) -> int:
        """Return the number of answers in this session."""
        return len(self._steps) - self.skipped

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
        return Question(self._current, shown.fields, labels, said if self._disagreements else [])

    # -- commands of the person ----------------------------------------------------------------------

    def answer(self, answer: str | None) -> None:
        """Write the answer to the current question to the ledger and move on. None means "not a sample".

        Raise ValueError when the answer is not valid for this task.
        """
        if answer is not None and answer not in (self.form.labels or (GOOD,)):
            raise ValueError(f"'{answer}' is not a valid answer; choose a label that is offered")
        key = self._asked()
        self._put([PersonAnswer(key, self.annotator, answer, time.time())])
        self._steps.append(_Step(key, answer, self._own.get(key)))
        self._answered.update([answer] if answer else [])
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
            self._put([last.before or Withdrawal(last.sample_id, self.annotator)])
            self._answered.subtract([last.answer] if last.answer else [])
        self._steps.pop()
        if self._current is not None:
            self._ahead.append(self._current)
        self._current = last.sample_id
        return True

    # -- choice of the next sample --------------------------------------------------------------------

    def _asked(self) -> str:
        if self._current is None:
            raise ValueError("there is no question left")
        return self._current

    def _next(self) -> str | None:
        if self.given >= self.count:
            return None
        if self._ahead:
            return self._ahead.pop()
        if self._disagreements:
            return None
        if self._of_others and len(self._steps) % _SHARED == _SHARED - 1:
            return self._of_others.pop(0)
        found = self._chooser.next(self._answered)
        if found is None:
            return self._of_others.pop(0) if self._of_others else None
        self._chooser.take([found])
        return found
