"""Make samples from people's corrections, after the same checks that seeds must pass."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthgen.errors import UserError
from synthgen.ledger import holder
from synthgen.records import Candidate, Check, Json, Sample, content_id, to_json
from synthgen.run.checks import words
from synthgen.run.prepare import Prepared, rule_checks

STRATEGY = "correction"


class Corrector:
    """Make samples from corrected data. The task and its checks are read at the first correction."""

    def __init__(self, folder: Path, samples: Mapping[str, Sample], prepare: Callable[[], Prepared]) -> None:
        self._folder = folder
        self._samples = samples
        self._prepare = prepare
        self._prepared: Prepared | None = None

    def __call__(self, sample_id: str, data: Json) -> Sample:
        """Return the sample with corrected `data`, whose parent is the sample `sample_id`. It has no slot.

        Raise ValueError where the data is not a valid sample, or is one that the run has already.
        """
        if (pid := holder(self._folder)) is not None:
            raise ValueError(f"process {pid} is working in {self._folder}; correct samples when the run has ended")
        parent = self._samples[sample_id]
        key = content_id(data)
        if key == sample_id:
            raise ValueError("nothing was changed")
        known = self._samples.get(key)
        if known is not None and sample_id not in known.parents:
            raise ValueError("the run already has a sample with these fields; say that this one is not a sample (n)")
        try:
            self._prepared = self._prepared or self._prepare()
        except UserError as error:
            raise ValueError(f"the correction cannot be checked: {error}") from error
        self._check(data, parent)
        return Sample(
            id=key, data=data, origin="synthetic", label=self._prepared.task.asked_of(data, parent.label),
            parents=(parent.id,), depth=parent.depth + 1, strategy=STRATEGY, quality=1.0, novelty=parent.novelty,
        )  # fmt: skip

    def _check(self, data: Json, parent: Sample) -> None:
        prepared = self._prepared
        assert prepared is not None
        if problems := prepared.task.problems(data):
            raise ValueError(f"not a valid sample: {'; '.join(problems)}")
        shown: dict[str, Sample] = {}
        candidate = Candidate(
            id=content_id(data), slot=0, item=0, label=prepared.task.asked_of(data, parent.label), text=to_json(data),
            data=data, finish_reason="stop", parents=(), depth=0, strategy=STRATEGY, template="",
        )  # fmt: skip
        if reason := asyncio.run(_refusal(rule_checks(prepared, shown.__getitem__), candidate)):
            raise ValueError(f"not a valid sample: {reason}")


async def _refusal(checks: Sequence[Check], candidate: Candidate) -> str | None:
    """Return the words of the first check that does not pass a candidate; None where all pass."""
    for check in checks:
        found = await check(candidate)
        if found.outcome != "pass":
            reason = found.reason or found.check
            detail = "; ".join(f"{key}: {value}" for key, value in found.details.items())
            return f"{words(found.check, reason) or reason}{f' ({detail})' if detail else ''}"
    return None
