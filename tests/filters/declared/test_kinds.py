"""Test what a task may declare, and the message for every way to get it wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import KINDS, declared_checks
from synthgen.report.plain import REASONS
from synthgen.tasks.task import Task

SPANS = {"kind": "spans", "field": "entities[].text", "in": "text"}


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("spans", "task.checks[0]: 'spans' is not a check; write one as {kind: spans"),
        ({"field": "text"}, "task.checks[0]: the key 'kind' is missing; add kind: turns or pattern or "),
        (SPANS | {"kind": "span"}, "task.checks[0].kind: there is no check 'span'; did you mean spans?"),
        (SPANS | {"feild": "text"}, "task.checks[0].feild: a check of kind spans has no such key; did you mean field?"),
        ({"kind": "spans", "field": "tags[]"}, "task.checks[0]: a check of kind spans needs the key 'in'; add it"),
        (SPANS | {"in": 3}, "task.checks[0].in: must be of type str or list of str, got 3"),
        (
            SPANS | {"field": "entity[].text"},
            "task.checks[0].field: 'entity[].text' is not a field of task.schema; did you mean entities[].text?",
        ),
        (
            SPANS | {"field": "entities"},
            "task.checks[0].field: 'entities' is not text but of type array; write entities[].text or entities[].type",
        ),
        (
            SPANS | {"in": "size"},
            "task.checks[0].in: 'size' is not text but of type integer; the text fields are text",
        ),
        (SPANS | {"in": "entities[].text"}, "task.checks[0].in: 'entities[].text' is the same as `field`"),
        (
            {"kind": "language", "field": "text", "language": "klingon"},
            "task.checks[0].language: 'klingon' is not a language tag; write one such as en, de or zh-Hant",
        ),
        (
            {"kind": "language", "field": "text", "language": "tlh"},
            "task.checks[0].language: 'tlh' is not a language that py3langid knows",
        ),
    ],
)
def test_a_wrong_declaration_is_named_by_its_key_with_a_cure(
    declaring: Callable[..., Task], check: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        declared_checks(declaring(check))
    assert message in str(caught.value)


def test_checks_that_are_no_list_are_refused(declaring: Callable[..., Task]) -> None:
    with pytest.raises(ConfigError, match=r"task\.checks: must be a list; write each check in a line of its own"):
        declaring(checks=SPANS)


def test_a_task_without_checks_has_the_definition_that_older_ledgers_hold(declaring: Callable[..., Task]) -> None:
    assert "checks" not in declaring().definition()
    assert declaring(SPANS).definition()["checks"] == [SPANS]


def test_every_reason_is_known_to_the_reports_in_words() -> None:
    reasons = {reason: words for kind in KINDS for reason, words in kind.reasons.items()}
    assert len(reasons) >= len(KINDS)
    assert all(words in REASONS[reason] for reason, words in reasons.items())
