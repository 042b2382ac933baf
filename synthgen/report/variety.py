"""Compute the diversity of a run's accepted samples from its ledger, for the whole run and for every round."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from synthgen.diversity import metrics, moments
from synthgen.diversity.metrics import Vectors
from synthgen.diversity.rounds import SLOTS, Round, Rounds, by_slot
from synthgen.ledger import Reader
from synthgen.records import INHERITED, Json, Sample
from synthgen.report.borrowing import borrowing
from synthgen.report.view import TaskView, rounded

MAX_ROUNDS = 120
"""Most rounds in a report. A longer run's rounds are merged until there are at most this many."""
BLEU_ROWS = 500
"""Most accepted samples, drawn with a fixed seed, for the self-BLEU of the whole run."""
_SEED = 0


def variety(ledger: Reader, task: TaskView, samples: Sequence[Sample]) -> Json:
    """Return the diversity figures of the run, its `rounds` and its `alarms`; empty if nothing was accepted."""
    accepted = [sample for sample in samples if sample.origin == "synthetic"]
    if not accepted:
        return {}
    vectors = ledger.embeddings()
    seeds = _stack(vectors, [sample for sample in samples if sample.origin == "seed"])
    depths = Counter(sample.depth for sample in accepted)
    labels = [sample.label for sample in accepted if sample.label is not None]
    return {
        **_of_texts([task.text(sample.data) for sample in accepted]),
        **_of_vectors(_stack(vectors, accepted), seeds),
        "label_balance": rounded(metrics.label_balance(labels, task.asked)),
        "label_entropy": rounded(metrics.label_entropy(labels, task.asked)),
        "mean_depth": _mean_depth(accepted),
        "max_depth": max(depths),
        "depths": {str(depth): depths[depth] for depth in sorted(depths)},
        "borrowed": borrowing(task, samples, vectors),
        "rounds": _rounds(ledger, task, samples, vectors, seeds),
        "alarms": ledger.alarms(),
    }


def _of_texts(texts: Sequence[str]) -> Json:
    drawn = [texts[row] for row in metrics.sampled_rows(len(texts), _SEED, BLEU_ROWS)]
    return {
        **{f"distinct_{n}": rounded(metrics.distinct_n(texts, n)) for n in (1, 2, 3)},
        "self_bleu": rounded(metrics.self_bleu(drawn)),
        "self_bleu_rows": len(drawn),
        "self_repetition": rounded(metrics.self_repetition(texts)),
        "compression_ratio": rounded(metrics.compression_ratio(texts)),
    }


def _of_vectors(accepted: Vectors, seeds: Vectors) -> Json:
    """Return spectrum and centroid figures of all accepted samples, and cosines to the nearest other sample and seed.

    The cosines are means over at most `metrics.MAX_ROWS` accepted samples, drawn with a fixed seed; `neighbour_rows`
    is their number. The nearest ones are searched among all samples and all seeds.
    """
    running = moments.Moments(accepted.shape[1])
    running.add(accepted)
    rows = metrics.sampled_rows(len(accepted), _SEED)
    everything = np.concatenate([accepted, seeds]) if len(seeds) else accepted
    return {
        "vendi": rounded(running.vendi()),
        "mean_similarity": rounded(running.mean_similarity()),
        "mean_nearest_neighbour": _mean(metrics.nearest_similarity(accepted[rows], everything, rows)),
        "mean_seed_distance": _mean(1 - metrics.nearest_similarity(accepted[rows], seeds)),
        "centroid_distance": rounded(moments.centroid_distance(accepted, seeds)),
        "neighbour_rows": len(rows),
    }


def _rounds(
    ledger: Reader, task: TaskView, samples: Sequence[Sample], vectors: Mapping[str, Vectors], seeds: Vectors
) -> list[Json]:
    """Return every round's figures in order. The last round may be shorter."""
    settled = list(ledger.settled())
    if not settled:
        return []
    slots = ((ledger.meta("config") or {}).get("run") or {}).get("round_slots") or SLOTS
    together = -(-(settled[-1][0] + 1) // (slots * MAX_ROUNDS))
    cut = Rounds(slots * together)
    closed = [cut.settled(*slot) for slot in by_slot(settled, samples, vectors)]
    running = _Running(task, [sample.label for sample in samples if sample.slot == INHERITED])
    return [
        {**_of_round(each, task, seeds), **running.add(each)} for each in (*closed, cut.close()) if each is not None
    ]


def _of_round(found: Round, task: TaskView, seeds: Vectors) -> Json:
    texts = [task.text(sample.data) for sample, _ in found.rows]
    labels = [sample.label for sample, _ in found.rows if sample.label is not None]
    vectors = _rows(found.rows)
    own = [sample for sample, _ in found.accepted]
    return {
        "first": found.first,
        "last": found.last,
        "candidates": found.candidates,
        "accepted": len(own),
        "acceptance": rounded(len(own) / found.candidates) if found.candidates else None,
        "rows": len(found.rows),
        **{f"distinct_{n}": rounded(metrics.distinct_n(texts, n)) for n in (1, 2, 3)},
        "self_bleu": rounded(metrics.self_bleu(texts)),
        "self_repetition": rounded(metrics.self_repetition(texts)),
        "compression_ratio": rounded(metrics.compression_ratio(texts)),
        "vendi": rounded(moments.vendi_score(vectors)),
        "mean_similarity": rounded(moments.mean_similarity(vectors)),
        "seed_distance": _mean(1 - metrics.nearest_similarity(vectors, seeds)),
        "centroid_distance": rounded(moments.centroid_distance(vectors, seeds)),
        "label_entropy": rounded(metrics.label_entropy(labels, task.asked)),
        "mean_depth": _mean_depth(own),
        "max_depth": max((sample.depth for sample in own), default=None),
    }


class _Running:
    """Accumulate the accepted samples from the first round on, with the labels of `inherited` samples."""

    def __init__(self, task: TaskView, inherited: Sequence[str | None]) -> None:
        self._task = task
        self._labels = Counter(label for label in inherited if label is not None)
        self._moments: moments.Moments | None = None

    def add(self, found: Round) -> Json:
        self._labels.update(sample.label for sample, _ in found.accepted if sample.label is not None)
        if found.accepted:
            vectors = _rows(found.accepted)
            self._moments = self._moments or moments.Moments(vectors.shape[1])
            self._moments.add(vectors)
        return {
            "vendi_so_far": rounded(self._moments.vendi()) if self._moments else None,
            "label_balance_so_far": rounded(metrics.label_balance(self._labels, self._task.asked)),
            "label_entropy_so_far": rounded(metrics.label_entropy(self._labels, self._task.asked)),
        }


def _rows(found: Sequence[tuple[Sample, Vectors]]) -> Vectors:
    return np.stack([vector for _, vector in found]) if found else _nothing()


def _stack(vectors: Mapping[str, Vectors], samples: Sequence[Sample]) -> Vectors:
    """Return the vectors of the samples that have one, shape (n, dim)."""
    found = [vectors[sample.id] for sample in samples if sample.id in vectors]
    return np.stack(found) if found else _nothing()


def _nothing() -> Vectors:
    return np.empty((0, 0), dtype=np.float32)


def _mean(values: Vectors) -> float | None:
    return None if np.isnan(values).all() else rounded(float(np.nanmean(values, dtype=np.float64)))


def _mean_depth(samples: Sequence[Sample]) -> float | None:
    return rounded(sum(sample.depth for sample in samples) / len(samples)) if samples else None
