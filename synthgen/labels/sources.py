"""Estimate how reliable each source of labels is, and combine what the sources say about a text.

A source names labels: the prompt (the label that was asked for), the label check. Each one has an error
matrix, estimated as in Dawid and Skene (Applied Statistics 28, 1979) with a text classifier as one more annotator, as in
Raykar et al. (JMLR 11, 2010). Fitting the classifier is left to `synthgen.labels.model`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synthgen.numerics.regression import Floats, softmax

Ints = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_LEAST = 1e-9
_SHARPNESS = (0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
"""Factors by which the classifier's logits may be multiplied."""
_RATES = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.995)
"""Shares of right labels that the prompt may have."""
_RATE_PRIOR = (9.0, 2.0)
"""Beta prior of that share: 0.9 at its peak, worth about ten texts."""
_SHARPNESS_SPREAD = 0.5
"""Standard deviation of the log of the sharpness around 1, before any text is seen."""
_SHRINKAGE = 5.0
"""Texts of each label by which a row of an error matrix is drawn to the average row."""
_CHECK_RATE, _CHECK_TEXTS = 0.6, 10.0
"""Share of right answers that the label check is taken to have, as if so many texts had shown it."""
_RELIABILITY_SPREAD = 0.3
"""Standard deviation of a reliability around what the mixture says, before the label check is heard."""
_SLACK = 0.1
"""Share of texts of no label that the estimate may show by chance."""
_CONFIRMED = 0.7
"""Share of confirmed labels from which a label check is taken for competent."""
_BIAS_SCALE, _BIAS_POWER, _MOST_BIAS = 0.03, 8.0, 0.5
"""Scale and power by which the bias grows where less is confirmed, and its bound: at 0.5 a label has two rows at most."""
_MOST_DOUBT, _BLIND_DOUBT = 0.75, 0.4
"""The largest doubt; where anchors and prompt disagree, the largest one if the label check knows hardly any label."""
_UNDOUBTED, _DOUBTED = 0.05, 0.1
"""The bias up to which there is no doubt, for a good generator may seem to have it, and from there to the largest one."""
_LEAST_ASKED = 10
"""Answers of the label check that an estimate takes, of texts on which prompt and anchors agree, and disagree."""


class Intent(NamedTuple):
    """Say how the prompt's label relates to the true one: `rate` is the share of right labels, `confusion` (labels, labels)
    tells for each true label which other ones were asked for; its diagonal is 0 and each row adds up to 1."""

    rate: float
    confusion: Floats

    @property
    def matrix(self) -> Floats:
        """Return P(asked for the column's label | the row's is true), shape (labels, labels)."""
        found = (1 - self.rate) * self.confusion
        np.fill_diagonal(found, self.rate)
        return found


def confusion(posterior: Floats, named: Floats) -> Floats:
    """Estimate which wrong labels are named for each true one, shrunk towards all alike; shape (labels, labels)."""
    labels = posterior.shape[1]
    counts = posterior.T @ named
    even = np.full((labels, labels), 1.0 / (labels - 1))
    np.fill_diagonal(counts, 0.0)
    np.fill_diagonal(even, 0.0)
    found = counts + _SHRINKAGE * even
    return np.asarray(found / found.sum(1, keepdims=True), dtype=np.float64)


def error_matrix(posterior: Floats, named: Floats) -> Floats:
    """Estimate P(source names the column's label | the row's is true) from the texts that the source was asked about.

    Rows are shrunk towards one shared share of right answers, which is shrunk towards 0.6. Shape (labels, labels).
    """
    labels = posterior.shape[1]
    counts = posterior.T @ named
    rate = (np.trace(counts) + _CHECK_TEXTS * _CHECK_RATE) / (counts.sum() + _CHECK_TEXTS)
    prior = np.full((labels, labels), (1 - rate) / (labels - 1))
    np.fill_diagonal(prior, rate)
    found = counts + _SHRINKAGE * prior
    return np.asarray(found / found.sum(1, keepdims=True), dtype=np.float64)


def calibrate(logits: Floats, intents: Ints, confused: Floats, others: Floats) -> tuple[float, Intent, float]:
    """Choose sharpness and rate by maximum likelihood of the labels that were asked for.

    `logits` (texts, labels) are a classifier's that did not see the texts, `others` (texts, labels) the likelihood of what
    all other sources said. Returns the sharpness, the prompt's error model, and the mean log likelihood a text in nats.
    """
    index = np.arange(len(intents))
    wrong = confused[:, intents].T
    rates = np.asarray(_RATES)
    a, b = _RATE_PRIOR
    prior = (a - 1) * np.log(rates) + (b - 1) * np.log(1 - rates)
    best = (-np.inf, 1.0, 0.0, 0.0)
    for sharpness in _SHARPNESS:
        shares = softmax(logits * sharpness) * others
        shares /= np.maximum(shares.sum(1, keepdims=True), _LEAST)
        right, other = shares[index, intents], (shares * wrong).sum(1)
        per_rate = np.log(np.outer(right, rates) + np.outer(other, 1 - rates) + _LEAST).sum(0)
        total = per_rate + prior - 0.5 * (np.log(sharpness) / _SHARPNESS_SPREAD) ** 2
        top = int(total.argmax())
        if total[top] > best[0]:
            best = (float(total[top]), sharpness, float(rates[top]), float(per_rate[top]) / max(1, len(intents)))
    return best[1], Intent(best[2], confused), best[3]


def likelihood(named: Floats, matrix: Floats) -> Floats:
    """Return how likely what a source named is under each true label; ones where the source said nothing."""
    return np.where(named.sum(1, keepdims=True) > 0, named @ matrix.T, 1.0)


def combine(shares: Floats, *likelihoods: Floats) -> Floats:
    """Return the label probabilities (texts, labels) of a prior and of what the sources said."""
    logits = np.log(shares + _LEAST)
    for each in likelihoods:
        logits = logits + np.log(each + _LEAST)
    return softmax(logits)


class Disagreement(NamedTuple):
    """Say what is true of texts to which the anchors (seeds and label meanings) give another label than the prompt did.

    Texts that belong to no label are taken for what the prompt asked for by classifier and prompt alike. An independent
    source shows it: the label check confirms the prompt less often on these texts than on the others.
    """

    right: float
    """Share on which the prompt is right."""
    neither: float
    """Share on which neither is."""
    confirmed: float
    """Share of the other texts, on which anchors and prompt agree, whose label the check confirms."""

    odds: float
    """Log of the factor by which the odds of the prompt's label are to be multiplied on such texts."""

    @property
    def bias(self) -> float:
        """Return how far the generator's errors are alike, from 0 to 0.5, by what the label check does not confirm.

        More samples with such errors are no more evidence: n of a label count as n / (1 + bias n) rows, 1 / bias at most.
        """
        competent = min(1.0, self.confirmed / _CONFIRMED)
        stray = max(0.0, self.neither - _SLACK)
        trust = max((1.0 - stray) * competent, 0.01)
        return float(min(_BIAS_SCALE * (trust**-_BIAS_POWER - 1.0), _MOST_BIAS))

    def doubts(self, other: Mask) -> Floats:
        """Return for each text the share of a label's probability that comes from the anchors alone, from 0 to 0.75.

        A classifier that is fitted to a biased generator's texts learns its errors, and is sure of them. `other` says on
        which texts the anchors and the prompt disagree. There the check has been counted, which tells more than the anchors,
        unless it knows hardly any label.
        """
        biased = min(1.0, max(0.0, self.bias - _UNDOUBTED) / _DOUBTED)
        blind = self.confirmed < _CONFIRMED / 2
        return np.where(other, _BLIND_DOUBT if blind else 0.0, _MOST_DOUBT) * biased

    def apply(self, posterior: Floats, intents: Ints, anchors: Floats) -> Floats:
        """Correct the label probabilities of such texts: the prompt's label gets its share of the mass on average, and
        what belongs to neither follows the anchors' softened probabilities."""
        vague = np.sqrt(anchors)
        vague = vague / vague.sum(1, keepdims=True)
        shifted = _multiplied(posterior, intents, self.odds)
        return np.asarray((1 - self.neither) * shifted + self.neither * vague, dtype=np.float64)


def disagreement(posterior: Floats, intents: Ints, anchored: Ints, checked: Floats) -> Disagreement | None:
    """Estimate what is true where the anchors' label `anchored` is not the prompt's; None where too little was asked.

    `checked` (texts, labels) holds the label check's answers, zeros where it was not asked.
    """
    labels = posterior.shape[1]
    asked, agree = checked.sum(1) > 0, anchored == intents
    answers = checked.argmax(1)
    same, other = asked & agree, asked & ~agree
    if min(same.sum(), other.sum()) < _LEAST_ASKED:
        return None
    sure = float((answers == intents)[same].mean())
    chance = (1 - sure) / (labels - 1)
    if sure - chance < 0.1:  # the check says nothing, and what the other sources say stands
        expected = float(posterior[np.flatnonzero(~agree), intents[~agree]].mean())
        return Disagreement(expected, 0.0, sure, 0.0)

    def share(named: Ints) -> tuple[float, float]:
        hits = float((answers == named)[other].mean())
        found = (hits - chance) / (sure - chance)
        spread = np.sqrt((hits * (1 - hits) + 0.25 / other.sum()) / other.sum()) / (sure - chance)
        return found, float(spread)

    def shrunk(named: Ints) -> float:
        found, spread = share(named)
        expected = float(posterior[np.flatnonzero(~agree), named[~agree]].mean())
        weight = _RELIABILITY_SPREAD**2 / (_RELIABILITY_SPREAD**2 + spread**2)
        return min(max(weight * found + (1 - weight) * expected, 0.0), 1.0)

    right, anchor = shrunk(intents), shrunk(anchored)
    total = right + anchor
    neither = max(0.0, 1.0 - total)
    wanted = min(max(right / max(total, _LEAST), 0.02), 0.98)
    return Disagreement(right / max(total, 1.0), neither, sure, _odds(posterior[~agree], intents[~agree], wanted))


def _odds(posterior: Floats, columns: Ints, mean: float) -> float:
    """Find the log factor on the odds of one label a text, `columns`, that makes its mean probability `mean`."""
    index, low, high = np.arange(len(columns)), -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        if _multiplied(posterior, columns, middle)[index, columns].mean() < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _multiplied(posterior: Floats, columns: Ints, odds: float) -> Floats:
    """Multiply the odds of one label a text by the exponential of `odds`."""
    shares = posterior.copy()
    shares[np.arange(len(columns)), columns] *= np.exp(odds)
    return np.asarray(shares / shares.sum(1, keepdims=True), dtype=np.float64)
