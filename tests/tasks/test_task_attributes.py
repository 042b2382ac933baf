"""The attributes of a task: a list of values, weights, a meaning, and what is said about anything else."""

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.errors import ConfigError
from synthgen.tasks.assets import root
from synthgen.tasks.attributes import read_attributes
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig


@pytest.fixture
def news() -> Callable[..., Task]:
    def make(**changes: Any) -> Task:
        fields: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
        return load_task(TaskConfig(**(fields | changes)))

    return make


def test_a_list_gives_every_value_the_same_share() -> None:
    (tone,) = read_attributes({"tone": ["formal", "casual"]})
    assert (tone.name, tone.values, tone.shares, tone.meaning) == ("tone", ("formal", "casual"), (0.5, 0.5), "")


def test_a_mapping_gives_weights_that_need_not_sum_to_one() -> None:
    (tone,) = read_attributes({"tone": {"formal": 3, "casual": 1}})
    assert (tone.values, tone.shares) == (("formal", "casual"), (0.75, 0.25))


@pytest.mark.parametrize("values", [["formal", "casual"], {"formal": 3, "casual": 1}])
def test_an_attribute_may_have_a_meaning(values: Any) -> None:
    (tone,) = read_attributes({"tone": {"meaning": "how the writer sounds", "values": values}})
    assert (tone.values, tone.meaning) == (("formal", "casual"), "how the writer sounds")


def test_numbers_are_values_too() -> None:
    sentences, price = read_attributes({"sentences": [1, 2], "price": {0.5: 1, 2: 1}})
    assert (sentences.values, price.values) == (("1", "2"), ("0.5", "2"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tone": "formal"}, "task.attributes.tone: 'formal' is neither a list of values nor a mapping"),
        ({"tone": None}, "task.attributes.tone: None is neither a list of values nor a mapping"),
        ({"tone": ["formal"]}, "task.attributes.tone: an attribute needs two or more values; add one"),
        ({"tone": []}, "task.attributes.tone: an attribute needs two or more values; add one"),
        ({"tone": ["formal", "formal"]}, "task.attributes.tone: the value 'formal' is listed twice; remove one"),
        ({"size": [1, "1"]}, "task.attributes.size: the value '1' is listed twice"),
        ({"polite": [True, False]}, r"task.attributes.polite\[0\]: the value is true, not a text, .* put it in quotes"),
        ({"polite": {True: 1, False: 1}}, "task.attributes.polite: the value is true, not a text"),
        ({"tone": [["formal"], "casual"]}, r"task.attributes.tone\[0\]: the value \['formal'\] is neither a text nor a number"),
        ({"tone": ["", "casual"]}, r"task.attributes.tone\[0\]: the value '' must be one line"),
        ({"tone": ["a\nb", "casual"]}, r"task.attributes.tone\[0\]: the value 'a\\nb' must be one line"),
        ({"size": [float("nan"), 1]}, r"task.attributes.size\[0\]: the value nan is neither"),
        ({"tone": {"formal": 0, "casual": 1}}, "task.attributes.tone.formal: the weight 0 is not a number above 0"),
        ({"tone": {"formal": "3", "casual": 1}}, "task.attributes.tone.formal: the weight '3' is not a number above 0"),
        ({"tone": {"formal": float("inf"), "casual": 1}}, "task.attributes.tone.formal: the weight inf"),
        ({"tone": {"values": ["a", "b"], "weights": [1, 2]}}, "task.attributes.tone: there is no key 'weights'"),
        ({"tone": {"values": ["a"]}}, "task.attributes.tone.values: an attribute needs two or more values"),
        ({" ": ["a", "b"]}, "task.attributes: the name '' must be one line"),
        ({f"a{n}": ["a", "b"] for n in range(21)}, "task.attributes: has 21 attributes, and at most 20 are possible"),
    ],
)  # fmt: skip
def test_a_bad_shape_is_named_with_key_cause_and_cure(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_attributes(given)


def test_a_weight_may_be_for_a_value_with_the_name_values() -> None:
    (kind,) = read_attributes({"kind": {"values": 1, "norms": 3}})
    assert kind.values == ("values", "norms")


def test_only_a_task_with_attributes_has_them_in_its_definition(news: Callable[..., Task]) -> None:
    assert "attributes" not in news().definition()
    (tone,) = news(attributes={"tone": {"formal": 3, "casual": 1}}).definition()["attributes"]
    assert tone == {"name": "tone", "values": ["formal", "casual"], "shares": [0.75, 0.25], "meaning": ""}
