"""What several voices on a text's label come to together.

A base voice gives each text a distribution over the labels; every other one names labels, and is believed as far as
it was seen to be right: its reliability says how often it names which label when another one is true. That is one step
of expectation and one of maximisation of Dawid and Skene's model (Applied Statistics 28, 1979), with the base voice in
the place of their uniform beginning. More steps let the voices that agree by chance take over; see docs/decisions.md.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from synthgen.regression import softmax

Floats = npt.NDArray[np.float64]
_FAITH = 3.0
"""Texts of each label that a voice is taken to have been right about, before anything is seen of it."""
_DOUBT = 3.5
"""Texts of each label that it is taken to have named any label at all for."""
_SHARE = 1 / 3
"""Power of what a voice says, beside the base: they hang on the same words, and err on the same texts."""
_LEAST = 1e-9


def reliability(believed: Floats, named: Floats) -> Floats:
    """A voice's confusion matrix (labels, labels): of texts of the row's label, the share it names the column's for.

    `believed` (texts, labels) are the probabilities that others give, `named` (texts, labels) what the voice says; a
    row of zeros is a text that it was not asked about.
    """
    labels = believed.shape[1]
    counts = believed.T @ named + _FAITH * np.eye(labels) + _DOUBT / labels
    return np.asarray(counts / counts.sum(1, keepdims=True), dtype=np.float64)


def together(base: Floats, named: Mapping[str, Floats], matrices: Mapping[str, Floats]) -> Floats:
    """The label probabilities (texts, labels) of all voices: `base` times how well each label explains what was named.

    A voice counts a third of what it would if it erred by itself; see docs/decisions.md.
    """
    logits = np.log(base + _LEAST)
    for voice, said in named.items():
        explained = said @ matrices[voice].T
        logits += np.where(said.sum(1, keepdims=True) > 0, _SHARE * np.log(explained + _LEAST), 0.0)
    return softmax(logits)
