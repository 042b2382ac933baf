"""Contrast: samples of other labels are changed until they have the label asked for."""

from collections import Counter
from collections.abc import Callable

import pytest
from rewriters import Slots, accepted, make

from synthgen.errors import ConfigError
from synthgen.records import PAIR, REWRITES, Sample
from synthgen.tasks.task import Task


def test_each_slot_changes_a_sample_of_another_label(news_task: Task, news_seeds: list[Sample]) -> None:
    samples = [*news_seeds, *(accepted(slot, "world") for slot in range(40))]
    slots = Slots(news_task, make(news_task, "contrast"), samples, "sport", size=64)
    labels = Counter(slots.parent(planned).label for planned in slots.planned)
    assert labels.keys() == {"business", "science", "world"}
    assert all(planned.given == {REWRITES: planned.parents[0], PAIR: planned.parents[0]} for planned in slots.planned)
    assert {slots.parent(planned).origin for planned in slots.planned} == {"seed", "synthetic"}


def test_the_prompt_names_both_labels(news_task: Task, news_seeds: list[Sample]) -> None:
    slots = Slots(news_task, make(news_task, "contrast"), news_seeds, "sport")
    made, (request,) = slots.ask('{"text": "Shares in the league fell."}')
    parent = slots.parent(slots.planned[0])
    assert request.messages[1].content.endswith(f"Label: {parent.label}")
    assert "as few words" in request.messages[3].content
    assert news_task.label_texts["sport"] in request.messages[3].content
    assert made.data == {"text": "Shares in the league fell.", "label": "sport"}


@pytest.mark.parametrize("name", ["entities", "instruction", "dialogue"])
def test_a_task_without_labels_is_refused(name: str, shipped: Callable[[str], Task]) -> None:
    with pytest.raises(
        ConfigError, match=r"generate\.strategies\.contrast: changes the label of samples, and those of"
    ):
        make(shipped(name), "contrast")
