"""Candidates with personal data are counted, or rejected on request."""

from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.personal import PersonalData
from synthgen.filters.rules import FiltersConfig
from synthgen.records import Candidate


def candidate(text: str) -> Candidate:
    data = {"text": text, "label": "world"}
    return Candidate(
        id="1", slot=0, item=0, text=text, data=data, finish_reason="stop", parents=(), depth=1, strategy="fewshot", template="t"
    )  # fmt: skip


@pytest.mark.parametrize(("mode", "outcome"), [("report", "pass"), ("reject", "reject")])
async def test_personal_data_is_counted_or_rejected(news_task: Any, mode: str, outcome: str) -> None:
    check = PersonalData(news_task, FiltersConfig(personal_data=mode))
    verdict = await check(candidate("Write to ann@news.example or call +44 7700 900123."))
    assert (verdict.outcome, verdict.score, verdict.details) == (outcome, 2.0, {"kinds": {"email": 1, "phone": 1}})
    assert (await check(candidate("Prices rose by 12.5% in 2024."))).score == 0


def test_an_unknown_treatment_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"filters.personal_data: must be report, reject or off, got 'drop'"):
        FiltersConfig(personal_data="drop")
