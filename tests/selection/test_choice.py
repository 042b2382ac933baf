"""Equal shares of each label, and what the config may say."""

from typing import Any

import numpy as np
import pytest

from synthgen.errors import ConfigError
from synthgen.records import Sample
from synthgen.selection.choice import Embedded, choose, shares
from synthgen.selection.config import METHODS, SelectConfig


def pool(*labels: str, quality: float = 1.0) -> Embedded:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(labels), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    samples = [
        Sample(id=f"{number:032}", data={}, origin="synthetic", label=label, quality=quality)
        for number, label in enumerate(labels)
    ]
    return Embedded(samples, vectors)


def test_shares_are_equal_as_far_as_there_are_samples() -> None:
    assert shares({"a": 2, "b": 50, "c": 50}, 30) == {"a": 2, "b": 14, "c": 14}
    assert shares({"a": 10, "b": 10, "c": 10}, 11) == {"a": 3, "b": 4, "c": 4}
    assert shares({"a": 3, "b": 4}, 99) == {"a": 3, "b": 4}
    assert shares({}, 5) == {}


@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_each_label_gives_its_share_and_the_order_of_arrival_is_kept(method: str) -> None:
    given = pool(*["many"] * 40, *["few"] * 5)
    chosen = choose(SelectConfig(method=method, size=20, deita_similarity=1.0), pool(), given)
    assert [given.samples[row].label for row in chosen] == ["many"] * 15 + ["few"] * 5
    assert chosen == sorted(set(chosen))


def test_other_labels_fill_what_a_label_cannot_give_under_deita() -> None:
    given = pool(*["alike"] * 10, *["other"] * 10)
    given.vectors[:10] = given.vectors[0]
    chosen = choose(SelectConfig(method="deita", size=8, deita_similarity=0.99), pool(), given)
    assert [given.samples[row].label for row in chosen] == ["alike"] + ["other"] * 7


def test_without_classes_labels_do_not_count() -> None:
    given = pool(*["many"] * 40, "few")
    chosen = choose(SelectConfig(method="k_center", size=2, per_class=False), pool(), given)
    assert {given.samples[row].label for row in chosen} == {"many"}


def test_a_quality_power_of_0_ignores_quality() -> None:
    given = pool(*["a"] * 20)
    poor = Embedded([s.model_copy(update={"quality": 0.01 * n}) for n, s in enumerate(given.samples)], given.vectors)
    settings: dict[str, Any] = {"method": "k_center", "size": 5}
    chosen = choose(SelectConfig(**settings), pool(), given)
    assert choose(SelectConfig(**settings, quality_power=0), pool(), poor) == chosen
    assert choose(SelectConfig(**settings), pool(), poor) != chosen


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "best"}, "'best' is not one of none, deita, k_center, facility_location"),
        ({"size": 5}, "set select.method too"),
        ({"method": "deita"}, "set select.size too"),
        ({"method": "deita", "size": 0}, "select.size: must be 1 or more"),
        ({"quality_power": -1}, "select.quality_power"),
        ({"deita_similarity": 0}, "select.deita_similarity"),
    ],
)
def test_an_invalid_setting_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SelectConfig(**settings)
