"""Aggregate people's answers: one result per sample, the agreement of annotators, and rows to calibrate a judge on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Final, Literal

from synthgen.judge.agreement import cohens_kappa, krippendorffs_alpha
from synthgen.judge.labelled import Rated, enough
from synthgen.records import ADJUDICATION, GOOD, Json, PersonAnswer, Sample, content_id


class NotASample(Enum):
    """Give the constant NOT_A_SAMPLE its own type."""

    NOT_A_SAMPLE = "not a sample"


NOT_A_SAMPLE: Final = NotASample.NOT_A_SAMPLE
Settled = dict[str, float] | Literal[NotASample.NOT_A_SAMPLE]
"""Hold the joint result of all annotators for a sample: the vote share of each label, or NOT_A_SAMPLE."""


def by_sample(answers: Iterable[PersonAnswer]) -> dict[str, list[PersonAnswer]]:
    """Group answers by sample id."""
    found: defaultdict[str, list[PersonAnswer]] = defaultdict(list)
    for answer in answers:
        found[answer.sample_id].append(answer)
    return dict(found)


def ordinary(answers: Iterable[PersonAnswer]) -> list[PersonAnswer]:
    """Return the answers without adjudications, for figures about how far people agree."""
    return [answer for answer in answers if answer.role != ADJUDICATION]


def decisive(given: Sequence[PersonAnswer]) -> list[PersonAnswer]:
    """Return the answers of one sample that decide it: its latest adjudication, or all answers where there is none."""
    found = [answer for answer in given if answer.role == ADJUDICATION]
    return [max(found, key=lambda answer: answer.at)] if found else list(given)


def settled(answers: Iterable[PersonAnswer]) -> dict[str, Settled]:
    """Return the joint result for each answered sample, by id: vote shares, which sum to 1, or NOT_A_SAMPLE.

    An adjudication overrules all other answers.

    The result is NOT_A_SAMPLE when at least half of the annotators say so, because a bad sample harms a student more
    than a missing one. In a task without labels, the only share is that of GOOD.
    """
    return {key: _settled([answer.answer for answer in decisive(given)]) for key, given in by_sample(answers).items()}


def _settled(given: Sequence[str | None]) -> Settled:
    votes = Counter(answer for answer in given if answer is not None)
    if 2 * votes.total() <= len(given):
        return NOT_A_SAMPLE
    return {label: count / votes.total() for label, count in sorted(votes.items())}


def open_disagreements(answers: Iterable[PersonAnswer]) -> list[str]:
    """Return the ids of the samples for which no answer has more than half of the votes, and that nobody adjudicated."""
    return [
        key
        for key, given in by_sample(answers).items()
        if 2 * Counter(answer.answer for answer in decisive(given)).most_common(1)[0][1] <= len(decisive(given))
    ]


@dataclass(frozen=True)
class AgreementSummary:
    """Hold the agreement of annotators on the samples that more than one person answered."""

    shared: int
    """Number of samples that several people answered."""
    differing: int
    """Number of these samples with different answers."""
    open: int
    """Number of these samples without an answer that more than half of the people gave."""
    people: list[str]
    alpha: float | None
    """Krippendorff's alpha; None when all answers are the same."""
    kappa: float | None
    """Cohen's kappa for two people; None for more people, or when all answers are the same."""


def agreement(answers: Sequence[PersonAnswer]) -> AgreementSummary | None:
    """Return the agreement of annotators, without adjudications; None when no sample has answers from two people."""
    open_ones = open_disagreements(answers)
    answers = ordinary(answers)
    shared = [given for given in by_sample(answers).values() if len(given) > 1]
    if not shared:
        return None
    people = sorted({answer.annotator for given in shared for answer in given})
    units = [[answer.answer for answer in given] for given in shared]
    kappa = None
    if len(people) == 2:
        pairs = [{answer.annotator: answer.answer for answer in given} for given in shared]
        kappa = cohens_kappa(*([pair[name] for pair in pairs] for name in people))
    return AgreementSummary(
        shared=len(shared),
        differing=sum(len(set(unit)) > 1 for unit in units),
        open=len(open_ones),
        people=people,
        alpha=krippendorffs_alpha(units),
        kappa=kappa,
    )


def in_words(found: AgreementSummary) -> str:
    """Describe the agreement of annotators in a sentence, without the full stop."""
    figures = [
        f"Krippendorff's alpha {found.alpha:.2f}" if found.alpha is not None else "the same answer to every sample"
    ]
    figures += [f"Cohen's kappa {found.kappa:.2f}"] if found.kappa is not None else []
    shared = f"{found.shared} sample{'s' if found.shared > 1 else ''} that several people answered"
    return f"{', '.join(found.people)}: {', '.join(figures)} over {shared}; they differ on {found.differing}"


def figures(answers: Sequence[PersonAnswer]) -> Json | None:
    """Return the figures on people's answers for summary.json; None when nobody has answered."""
    if not answers:
        return None
    good, bad = counts(answers)
    found = agreement(answers)
    return {
        "samples": len(by_sample(answers)),
        "labels": good,
        "not_a_sample": bad,
        "people": dict(Counter(answer.annotator for answer in ordinary(answers))),
        "adjudicated": len({answer.sample_id for answer in answers if answer.role == ADJUDICATION}),
        "guides": dict(Counter(answer.guide for answer in answers if answer.guide)),
        "agreement": found and asdict(found),
        "in_words": found and in_words(found),
    }


def as_answered(
    samples: Iterable[Sample], said: Mapping[str, Settled], label_field: str | None
) -> tuple[list[Sample], list[Sample]]:
    """Split accepted samples into kept ones, with the label that people gave, and those that people call not a sample.

    When several labels have the most votes, the sample's own label wins if it is one of them. Ids do not change.
    """
    kept: list[Sample] = []
    dropped: list[Sample] = []
    for sample in samples:
        found = said.get(sample.id)
        if found is NOT_A_SAMPLE:
            dropped.append(sample)
        elif found is None or label_field is None:
            kept.append(sample)
        else:
            label = max(found, key=lambda name: (found[name], name == sample.label))
            graded = isinstance(sample.data.get(label_field), int)  # a grade stays a number
            data = {**sample.data, label_field: int(label) if graded else label}
            kept.append(sample if label == sample.label else sample.model_copy(update={"label": label, "data": data}))
    return kept, dropped


def rated(
    samples: Iterable[Sample],
    answers: Iterable[PersonAnswer],
    label_field: str | None,
    given: Sequence[Rated] = (),
    learnt: Set[str] = frozenset(),
) -> list[Rated]:
    """Return rows to calibrate the rubric judge on: the `given` rows, and the samples that people answered.

    A sample with a label from people is a good row, with that label. A sample that people call not a sample is a bad
    row. Leave out samples with equal votes for both, and samples in `learnt`, on which a judge's adapter was trained.
    Return the `given` rows alone when all rows together have fewer than LEAST_OF_EACH good or bad ones.
    """
    groups = by_sample(answers)
    known = {row.id for row in given} | learnt
    rows: list[Rated] = []
    for sample in samples:
        votes = [answer.answer for answer in decisive(groups.get(sample.id, []))]
        bad = votes.count(None)
        if not votes or 2 * bad == len(votes):
            continue
        kept, _ = as_answered([sample], {sample.id: _settled(votes)}, label_field)
        data: Json = kept[0].data if kept else sample.data
        row = Rated(content_id(data), data, not bad * 2 > len(votes), {})
        if row.id not in known:
            rows.append(row)
    together = [*given, *rows]
    return together if enough(together) else [*given]


def counts(answers: Iterable[PersonAnswer]) -> tuple[int, int]:
    """Return the number of answers that are a label (or GOOD), and the number that are "not a sample"."""
    total = Counter(answer.answer is None for answer in answers)
    return total[False], total[True]


def explained(answer: str | None) -> str:
    """Return an answer in words."""
    return "not a sample" if answer is None else "a good sample" if answer == GOOD else answer
