"""Rows that a language model finds far less likely than the others are removed."""

from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.prepare import perplexity


class Counting:
    """Stands in for the model: the perplexity of a text is its number of x and 10."""

    def __init__(self, *_: Any) -> None: ...

    def __call__(self, texts: list[str]) -> list[float]:
        return [10.0 + text.count("x") for text in texts]


def test_rows_far_above_the_median_are_removed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perplexity, "Perplexity", Counting)
    rows = [f"usual {n}" + "x" * (n % 3) for n in range(30)]
    done = run([*rows, "x" * 500], "perplexity")
    assert done.texts == rows and done.removed[0]["note"] == "perplexity 510"
    assert done.summary["steps"]["perplexity"]["median"] == 11.0
    assert run(["a", "xxxxxx"], {"perplexity": {"spread": None, "most": 12}}).texts == ["a"]
    assert run(["a", "x" * 900], "perplexity").reasons == []  # too few rows to know the usual one


def test_settings_that_do_nothing_are_refused(run: Any) -> None:
    with pytest.raises(ConfigError, match="spread, most: both are null"):
        run(["a"], {"perplexity": {"spread": None}})


@pytest.mark.slow
@pytest.mark.thorough
def test_the_bundled_model_finds_shuffled_words_less_likely() -> None:
    from synthgen.engines.local.perplexity import Perplexity

    model = Perplexity("bundled:smollm2-135m-instruct", 32)
    right, shuffled, empty = model(["The lamp went out during the storm.", "storm the out during lamp went The.", ""])
    assert 1.0 == empty < right < shuffled
    (alone,) = model(["The lamp went out during the storm."])
    assert alone == pytest.approx(right, rel=0.05)  # padding changes nothing but rounding
