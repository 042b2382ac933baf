"""Estimate the reliability of each label source, and combine the answers of all sources on a text.

The label sources are the prompt, whose answer is the requested label, and the label check. Each has an error matrix,
estimated as in Dawid and Skene (Applied Statistics 28, 1979). A text classifier is one more annotator, as in Raykar et
al. (JMLR 11, 2010). `synthgen.labels.model` fits the classifier.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from synthgen.numerics.regression import Floats, softmax

Ints = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_LEAST = 1e-9
_SHARPNESS = (0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)
"""Candidate values of the sharpness, the factor on the classifier's logits."""
_RATES = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.995)
"""Candidate values of the rate at which the prompt's label is right."""
_RATE_PRIOR = (9.0, 2.0)
"""Parameters of the beta prior on that rate. Its mode is 0.9, and it weighs as much as about ten texts."""
_UNASKED_SHARPNESS, _UNASKED_RATE = 2.0, 0.9
"""Sharpness and rate where no label of any text was requested."""
_SHARPNESS_SPREAD = 0.5
"""Standard deviation of the prior on the log of the sharpness, whose mean is 0."""
_SHRINKAGE = 5.0
"""Number of pseudo-texts per label that shrink a row of an error matrix towards the average row."""
_CHECK_RATE, _CHECK_TEXTS = 0.6, 10.0
"""Prior rate of right answers by the label check, and the number of texts that this prior counts as."""
_RELIABILITY_SPREAD = 0.3
"""Standard deviation of the prior on a reliability, around the mean of the label model without the label check."""
_SLACK = 0.1
"""Share of texts without any label that the estimate may show by chance."""
_CONFIRMED = 0.7
"""Treat a label check as competent when it confirms at least this share of labels."""
_AGREED_TEXTS = 10.0
"""Number of texts that a competent check's share counts as, where the bias is estimated from agreement alone."""
_BIAS_SCALE, _BIAS_POWER, _MOST_BIAS = 0.03, 8.0, 0.5
"""Scale and power of the bias, which grows as fewer labels are confirmed, and its upper bound. At 0.5, the samples of a
label count as at most two rows."""
_MOST_DOUBT, _BLIND_DOUBT = 0.75, 0.4
"""Upper bounds of the doubt: in general, and for texts on which anchors and prompt disagree when the label check
recognises hardly any label."""
_UNDOUBTED, _DOUBTED = 0.05, 0.1
"""The bias up to which there is no doubt, because even a good generator may appear to have it, and the range of bias over
which the doubt then grows to its maximum."""
_LEAST_ASKED = 10
"""Minimum number of label check answers for an estimate, both on texts where prompt and anchors agree and where they
disagree."""


class Intent(NamedTuple):
    """Hold the error model of the prompt's label.

    `rate` is the share of right labels. `confusion` (labels, labels) holds, for each true label, the distribution of
    wrongly requested labels. Its diagonal is 0 and each row sums to 1.
    """

    rate: float
    confusion: Floats

    @property
    def matrix(self) -> Floats:
        """Return P(the column's label is requested | the row's label is true), shape (labels, labels)."""
        found = (1 - self.rate) * self.confusion
        np.fill_diagonal(found, self.rate)
        return found

    def likelihood(self, intents: Ints) -> Floats:
        """Return the likelihood of requested labels under each true label (texts, labels); ones where none was requested."""
        return np.where((intents >= 0)[:, None], self.matrix[:, intents].T, 1.0)


def requested(intents: Ints, labels: int) -> Floats:
    """Return the requested labels as one-hot rows (texts, labels); zeros where none was requested (-1)."""
    return np.eye(labels)[intents] * (intents >= 0)[:, None]


def confusion(posterior: Floats, named: Floats) -> Floats:
    """Estimate the distribution of wrong labels for each true label, shrunk towards uniform; shape (labels, labels)."""
    labels = posterior.shape[1]
    counts = posterior.T @ named
    even = np.full((labels, labels), 1.0 / (labels - 1))
    np.fill_diagonal(counts, 0.0)
    np.fill_diagonal(even, 0.0)
    found = counts + _SHRINKAGE * even
    return np.asarray(found / found.sum(1, keepdims=True), dtype=np.float64)


def error_matrix(posterior: Floats, named: Floats) -> Floats:
    """Estimate P(source answers the column's label | the row's label is true), shape (labels, labels).

    Takes the texts about which the source was asked. Rows are shrunk towards a common rate of right answers, which is
    itself shrunk towards 0.6.
    """
    labels = posterior.shape[1]
    counts = posterior.T @ named
    rate = (np.trace(counts) + _CHECK_TEXTS * _CHECK_RATE) / (counts.sum() + _CHECK_TEXTS)
    prior = np.full((labels, labels), (1 - rate) / (labels - 1))
    np.fill_diagonal(prior, rate)
    found = counts + _SHRINKAGE * prior
    return np.asarray(found / found.sum(1, keepdims=True), dtype=np.float64)


def calibrate(logits: Floats, intents: Ints, confused: Floats, others: Floats) -> tuple[float, Intent, float]:
    """Choose sharpness and rate that maximise the posterior, given the requested labels.

    `logits` (texts, labels) come from a classifier that was not fitted to the texts. `others` (texts, labels) holds the
    likelihood of the answers of all other sources. An intent of -1 means that no label was requested; such texts do not
    count. Return the sharpness, the prompt's error model, and the mean log
    likelihood per text in nats.
    """
    known = intents >= 0
    if not known.any():
        return _UNASKED_SHARPNESS, Intent(_UNASKED_RATE, confused), 0.0
    logits, intents, others = logits[known], intents[known], others[known]
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
    """Return the likelihood of a source's answer under each true label; ones where the source was not asked."""
    return np.where(named.sum(1, keepdims=True) > 0, named @ matrix.T, 1.0)


def combine(shares: Floats, *likelihoods: Floats) -> Floats:
    """Return the posterior label probabilities (texts, labels), given a prior and the likelihoods of the sources."""
    logits = np.log(shares + _LEAST)
    for each in likelihoods:
        logits = logits + np.log(each + _LEAST)
    return softmax(logits)


class Disagreement(NamedTuple):
    """Hold estimates on texts whose label by the anchors (seeds and label meanings) differs from the prompt's label.

    For a text that belongs to no label, classifier and prompt both give the requested label. An independent source
    reveals such texts: the label check confirms the prompt less often on them than on other texts.
    """

    right: float
    """Share of these texts on which the prompt is right."""
    neither: float
    """Share of these texts on which neither prompt nor anchors are right."""
    confirmed: float
    """Share of the other texts, on which anchors and prompt agree, whose label the label check confirms."""

    odds: float
    """Log of the factor by which to multiply the odds of the prompt's label on these texts."""

    @property
    def bias(self) -> float:
        """Return the degree to which the generator's errors are systematic, from 0 to 0.5.

        It is estimated from the labels that the label check does not confirm. More samples with systematic errors add
        little information: n samples of a label count as n / (1 + bias n) rows, which is at most 1 / bias.
        """
        return _bias(max(0.0, self.neither - _SLACK), self.confirmed)

    def doubts(self, other: Mask) -> Floats:
        """Return for each text the share of its probabilities that must come from the anchors alone, from 0 to 0.75.

        A classifier that is fitted to a biased generator's texts learns its errors and becomes overconfident. `other`
        marks the texts on which anchors and prompt disagree. There, the label check has already been used. It is more
        informative than the anchors, unless it recognises hardly any label.
        """
        biased = min(1.0, max(0.0, self.bias - _UNDOUBTED) / _DOUBTED)
        blind = self.confirmed < _CONFIRMED / 2
        return np.where(other, _BLIND_DOUBT if blind else 0.0, _MOST_DOUBT) * biased

    def apply(self, posterior: Floats, intents: Ints, anchors: Floats) -> Floats:
        """Correct the label probabilities of texts on which anchors and prompt disagree.

        The prompt's label gets its estimated share of the mass on average. The share that belongs to neither follows the
        softened probabilities of the anchors.
        """
        vague = np.sqrt(anchors)
        vague = vague / vague.sum(1, keepdims=True)
        shifted = _multiplied(posterior, intents, self.odds)
        return np.asarray((1 - self.neither) * shifted + self.neither * vague, dtype=np.float64)


def agreed_bias(intents: Ints, anchored: Ints, checked: Floats) -> float | None:
    """Estimate the bias from the texts alone on which the anchors' label `anchored` is the prompt's.

    This needs no texts on which they disagree, of which a short run has few. The share of labels that the label check
    confirms is shrunk towards that of a competent check. None with too few answers.
    """
    same = (checked.sum(1) > 0) & (anchored == intents)
    if same.sum() < _LEAST_ASKED:
        return None
    hits = float((checked.argmax(1) == intents)[same].sum())
    return _bias(0.0, (hits + _CONFIRMED * _AGREED_TEXTS) / (float(same.sum()) + _AGREED_TEXTS))


def _bias(stray: float, confirmed: float) -> float:
    """Return the bias for a share of texts that belong to no label, and a share of labels that the check confirms."""
    trust = max((1.0 - stray) * min(1.0, confirmed / _CONFIRMED), 0.01)
    return float(min(_BIAS_SCALE * (trust**-_BIAS_POWER - 1.0), _MOST_BIAS))


def disagreement(posterior: Floats, intents: Ints, anchored: Ints, checked: Floats) -> Disagreement | None:
    """Estimate which label is right when the anchors' label `anchored` is not the prompt's; None with too few answers.

    `checked` (texts, labels) holds the label check's answers, with zeros where it was not asked. Texts without a
    requested label (-1) do not count.
    """
    labels = posterior.shape[1]
    known = intents >= 0
    posterior, intents, anchored, checked = posterior[known], intents[known], anchored[known], checked[known]
    asked, agree = checked.sum(1) > 0, anchored == intents
    answers = checked.argmax(1)
    same, other = asked & agree, asked & ~agree
    if min(same.sum(), other.sum()) < _LEAST_ASKED:
        return None
    sure = float((answers == intents)[same].mean())
    chance = (1 - sure) / (labels - 1)
    if sure - chance < 0.1:  # the check is no better than chance, so keep the estimates of the other sources
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
    """Find the log factor on the odds of one label per text, `columns`, for which its mean probability is `mean`."""
    index, low, high = np.arange(len(columns)), -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        if _multiplied(posterior, columns, middle)[index, columns].mean() < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _multiplied(posterior: Floats, columns: Ints, odds: float) -> Floats:
    """Multiply the odds of one label per text, `columns`, by the exponential of `odds`."""
    shares = posterior.copy()
    shares[np.arange(len(columns)), columns] *= np.exp(odds)
    return np.asarray(shares / shares.sum(1, keepdims=True), dtype=np.float64)
