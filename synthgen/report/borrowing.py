"""Measure how much accepted samples copy from their prompts: label words, names in seeds, and the parents' text."""

from collections.abc import Mapping, Sequence

import numpy as np

from synthgen.diversity import metrics
from synthgen.diversity.borrowed import LabelWords, SeedNames
from synthgen.diversity.metrics import Vectors
from synthgen.records import REWRITES, Json, Sample
from synthgen.report import plain
from synthgen.report.view import TaskView, rounded

NEAR = 0.25
"""Cosine distance below which a sample is near a parent. A parent is a sample that its prompt showed."""
_TOO_MANY = 0.2
"""Least excess over the seeds' share of label words at which the closing lines warn."""
_FEW_SEEDS = 10


def borrowing(task: TaskView, samples: Sequence[Sample], vectors: Mapping[str, Vectors]) -> Json:
    """Return the figures of all accepted samples and, for comparison, those of the seeds.

    `label_words` is the share of accepted samples that contain a word of their own label's name; null without labels.
    `seed_names` is the share of samples with a name that occurs in exactly one seed. `seed_names_natural` is the share
    of seeds with a name that occurs in exactly one other seed. `parent_distance` is the median cosine distance of a
    sample to its nearest parent. `near_parent` is the share of samples nearer than `near_parent_bound`. For seeds, the
    distance to the nearest other seed is used. The parent that a sample rewrites is left out: names may be taken from it,
    and no distance to it counts.
    """
    accepted = [sample for sample in samples if sample.origin == "synthetic"]
    seeds = [sample for sample in samples if sample.origin == "seed"]
    label_words = LabelWords(task.labels)
    names = SeedNames([task.text(seed.data) for seed in seeds], label_words)
    texts = {sample.id: task.text(sample.data) for sample in samples}
    distances = _to_parents(accepted, vectors)
    own = _to_each_other(seeds, vectors)
    return {
        "label_words": _saying(task, label_words, accepted),
        "label_words_seeds": _saying(task, label_words, seeds),
        "seed_names": _share([bool(_borrowed(names, texts, sample)) for sample in accepted]),
        "seed_names_natural": rounded(names.natural) if seeds else None,
        "parent_distance": _median(distances),
        "parent_distance_seeds": _median(own),
        "near_parent": _share([distance < NEAR for distance in distances]),
        "near_parent_seeds": _share([distance < NEAR for distance in own]),
        "near_parent_bound": NEAR,
    }


def sentence(summary: Json) -> str | None:
    """Return a warning if accepted samples contain their label's words much more often than seeds do, else None."""
    found = summary["diversity"].get("borrowed") or {}
    said, natural = found.get("label_words"), found.get("label_words_seeds")
    if said is None or natural is None or summary["counts"]["seeds"] < _FEW_SEEDS or said < natural + _TOO_MANY:
        return None
    return (
        f"{plain.percent(said)} of the samples contain a word of their label's name, but {plain.percent(natural)} of "
        "the seeds: a student may learn the word alone; describe the labels in task.labels without their names, or add seeds that name them"
    )


def _saying(task: TaskView, label_words: LabelWords, samples: Sequence[Sample]) -> float | None:
    labelled = [sample for sample in samples if sample.label is not None]
    return _share([label_words.says(task.text(sample.data), sample.label) for sample in labelled])


def _borrowed(names: SeedNames, texts: Mapping[str, str], sample: Sample) -> frozenset[str]:
    """Return the names that a sample took from seeds, except from the sample that it rewrites."""
    rewritten = texts.get(sample.given.get(REWRITES, ""), "")
    return names.taken(texts[sample.id]) - names.taken(rewritten)


def _to_parents(accepted: Sequence[Sample], vectors: Mapping[str, Vectors]) -> list[float]:
    """Return the cosine distance of each sample to its nearest parent, for samples that have a vector."""
    found = []
    for sample in accepted:
        parents = [vectors[parent] for parent in sample.demonstrations if parent in vectors]
        if parents and sample.id in vectors:
            found.append(1.0 - float((np.stack(parents) @ vectors[sample.id]).max()))
    return found


def _to_each_other(seeds: Sequence[Sample], vectors: Mapping[str, Vectors]) -> list[float]:
    """Return the cosine distance of each seed to the nearest other seed, for at most `metrics.MAX_ROWS` seeds."""
    found = [vectors[seed.id] for seed in seeds if seed.id in vectors]
    if len(found) < 2:
        return []
    rows = metrics.sampled_rows(len(found), 0)
    all_seeds = np.stack(found)
    return [1.0 - float(cosine) for cosine in metrics.nearest_similarity(all_seeds[rows], all_seeds, rows)]


def _share(found: Sequence[bool]) -> float | None:
    return rounded(sum(found) / len(found)) if found else None


def _median(found: Sequence[float]) -> float | None:
    return rounded(float(np.median(found))) if found else None
