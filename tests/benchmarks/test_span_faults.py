"""Test that sound replies hold all their strings in their text, and that faulty ones do not."""

import pytest

from benchmarks.span_faults import TASKS, Spans
from scripts.check_spans import faults


@pytest.mark.parametrize("task", TASKS)
def test_a_planted_fault_is_a_string_that_is_not_in_the_text_and_a_sound_reply_has_none(task: str) -> None:
    spans = Spans(task, 0)
    for _ in range(50):
        assert faults(spans.sound(), "text", [])[1] == []
        faulty = spans.faulty()
        assert faulty is None or faults(faulty, "text", [])[1]
