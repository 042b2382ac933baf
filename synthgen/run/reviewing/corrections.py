"""Make samples from people's corrections, after the same checks that seeds must pass."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthgen.errors import UserError
from synthgen.ledger import holder
from synthgen.records import Candidate, Check, Json, Sample, content_id, to_json
from synthgen.run.checks import words
from synthgen.run.prepare import Prepared, rule_checks
from synthgen.tasks.normal import comparable

STRATEGY = "correction"
_WAIT, _PAUSE = 1.0, 0.02
"""Seconds for which another process may hold the run folder, because it writes an answer."""


class Corrector:
    """Make samples from corrected data. The task and its checks are read at the first correction."""

    def __init__(self, folder: Path, samples: Mapping[str, Sample], prepare: Callable[[], Prepared]) -> None:
        self._folder = folder
        self._samples = samples
        self._prepare = prepare
        self._prepared: Prepared | None = None
        self._texts: dict[str, list[Sample]] = {}
        """Seeds and accepted samples by their text in the normal form of all comparisons."""

    def __call__(self, sample_id: str, data: Json, label: str | None) -> Sample:
        """Return the sample with corrected `data`, whose parent is the sample `sample_id`. It has no slot.

        `label` is its label, where the task has labels. If the same correction was made before, return that sample, so
        that both people answer about one sample. Raise ValueError where the data is not a valid sample, or has the text
        of another one.
        """
        if (pid := _holder(self._folder)) is not None:
            raise ValueError(f"process {pid} is working in {self._folder}; correct samples when the run has ended")
        prepared = self._ready()
        task, parent = prepared.task, self._samples[sample_id]
        if task.label_field is not None:
            data = task.labelled(data, label)
        if _written(prepared, data) == _written(prepared, parent.data):
            other = "; choose its label instead" if task.label_field is not None else ""
            raise ValueError(f"nothing was changed{other}")
        if (known := self._known(prepared, sample_id, data)) is not None:
            return known
        self._check(prepared, data, parent)
        made = Sample(
            id=content_id(data), data=data, origin="synthetic", label=task.asked_of(data, parent.label),
            parents=(parent.id,), depth=parent.depth + 1, strategy=STRATEGY, quality=1.0, novelty=parent.novelty,
        )  # fmt: skip
        self._texts.setdefault(comparable(task.text(data)), []).append(made)
        return made

    def _ready(self) -> Prepared:
        if self._prepared is None:
            try:
                self._prepared = self._prepare()
            except UserError as error:
                raise ValueError(f"the correction cannot be checked: {error}") from error
            for sample in (*self._prepared.seeds, *self._samples.values()):
                self._texts.setdefault(comparable(self._prepared.task.text(sample.data)), []).append(sample)
        return self._prepared

    def _known(self, prepared: Prepared, sample_id: str, data: Json) -> Sample | None:
        """Return the sample that the same correction made before. Raise ValueError where another one has the text."""
        for other in self._texts.get(comparable(prepared.task.text(data)), []):
            if sample_id in other.parents and other.strategy == STRATEGY:
                if _written(prepared, other.data) == _written(prepared, data):
                    return other
            elif other.id != sample_id:
                which = "a seed" if other.origin == "seed" else "another sample of the run"
                raise ValueError(f"{which} has this text already; say that this one is not a sample (n)")
        return None

    def _check(self, prepared: Prepared, data: Json, parent: Sample) -> None:
        if problems := prepared.task.problems(data):
            raise ValueError(f"not a valid sample: {'; '.join(problems)}")
        shown: dict[str, Sample] = {}
        candidate = Candidate(
            id=content_id(data), slot=0, item=0, label=prepared.task.asked_of(data, parent.label), text=to_json(data),
            data=data, finish_reason="stop", parents=(), depth=0, strategy=STRATEGY, template="",
        )  # fmt: skip
        if reason := asyncio.run(_refusal(rule_checks(prepared, shown.__getitem__), candidate)):
            raise ValueError(f"not a valid sample: {reason}")


def _holder(folder: Path) -> int | None:
    """Return the process that works in a run folder. One that only writes an answer there is waited for."""
    until = time.monotonic() + _WAIT
    while (pid := holder(folder)) is not None and time.monotonic() < until:
        time.sleep(_PAUSE)
    return pid


def _written(prepared: Prepared, data: Json) -> Json:
    """Return the fields of a sample without its label."""
    return {name: value for name, value in data.items() if name != prepared.task.label_field}


async def _refusal(checks: Sequence[Check], candidate: Candidate) -> str | None:
    """Return the words of the first check that does not pass a candidate; None where all pass."""
    for check in checks:
        found = await check(candidate)
        if found.outcome != "pass":
            reason = found.reason or found.check
            detail = "; ".join(f"{key}: {value}" for key, value in found.details.items())
            return f"{words(found.check, reason) or reason}{f' ({detail})' if detail else ''}"
    return None
