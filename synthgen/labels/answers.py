"""Says what people's answers come to: one answer a sample, how far people agree, and rows to calibrate a judge on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Final, Literal

from synthgen.judge.agreement import cohens_kappa, krippendorffs_alpha
from synthgen.judge.labelled import Rated, enough
from synthgen.records import GOOD, Json, PersonAnswer, Sample, content_id


class NotASample(Enum):
    """Type the constant NOT_A_SAMPLE."""

    NOT_A_SAMPLE = "not a sample"


NOT_A_SAMPLE: Final = NotASample.NOT_A_SAMPLE
Settled = dict[str, float] | Literal[NotASample.NOT_A_SAMPLE]
"""What people say of a sample together: the share of votes of each label, or that it is none."""


def by_sample(answers: Iterable[PersonAnswer]) -> dict[str, list[PersonAnswer]]:
    """Group answers by the sample's id."""
    found: defaultdict[str, list[PersonAnswer]] = defaultdict(list)
    for answer in answers:
        found[answer.sample_id].append(answer)
    return dict(found)


def settled(answers: Iterable[PersonAnswer]) -> dict[str, Settled]:
    """Return what people say of each answered sample, by its id: shares of votes, which sum to 1, or NOT_A_SAMPLE.

    A sample is none when at least half of the people say so: a bad sample costs a student more than a missing one.
    Of a task without labels the only share is that of GOOD.
    """
    return {key: _settled([answer.answer for answer in given]) for key, given in by_sample(answers).items()}


def _settled(given: Sequence[str | None]) -> Settled:
    votes = Counter(answer for answer in given if answer is not None)
    if 2 * votes.total() <= len(given):
        return NOT_A_SAMPLE
    return {label: count / votes.total() for label, count in sorted(votes.items())}


def open_disagreements(answers: Iterable[PersonAnswer]) -> list[str]:
    """Return the ids of the samples about which people differ and no answer has more than half of the votes."""
    return [
        key
        for key, given in by_sample(answers).items()
        if 2 * Counter(answer.answer for answer in given).most_common(1)[0][1] <= len(given)
    ]


@dataclass(frozen=True)
class Agreement:
    """Hold how far people agree on the samples that more than one of them answered."""

    shared: int
    """Samples that several people answered."""
    differing: int
    """Those that did not get the same answer from all."""
    open: int
    """Those without an answer that more than half of the people gave."""
    people: list[str]
    alpha: float | None
    """Krippendorff's alpha; None where all answers are the same one."""
    kappa: float | None
    """Cohen's kappa, for two people; None for more, and where all answers are the same one."""


def agreement(answers: Sequence[PersonAnswer]) -> Agreement | None:
    """Return how far people agree; None where no sample has the answers of two."""
    shared = [given for given in by_sample(answers).values() if len(given) > 1]
    if not shared:
        return None
    people = sorted({answer.annotator for given in shared for answer in given})
    units = [[answer.answer for answer in given] for given in shared]
    kappa = None
    if len(people) == 2:
        pairs = [{answer.annotator: answer.answer for answer in given} for given in shared]
        kappa = cohens_kappa(*([pair[name] for pair in pairs] for name in people))
    return Agreement(
        shared=len(shared),
        differing=sum(len(set(unit)) > 1 for unit in units),
        open=len(open_disagreements(answers)),
        people=people,
        alpha=krippendorffs_alpha(units),
        kappa=kappa,
    )


def in_words(found: Agreement) -> str:
    """Return how far people agree, as a sentence without its full stop."""
    figures = [
        f"Krippendorff's alpha {found.alpha:.2f}" if found.alpha is not None else "one and the same answer to all"
    ]
    figures += [f"Cohen's kappa {found.kappa:.2f}"] if found.kappa is not None else []
    shared = f"{found.shared} sample{'s' if found.shared > 1 else ''} that several people answered"
    return f"{', '.join(found.people)}: {', '.join(figures)} over {shared}; they differ on {found.differing}"


def figures(answers: Sequence[PersonAnswer]) -> Json | None:
    """Return the figures of people's answers for summary.json; None where nobody has answered."""
    if not answers:
        return None
    good, bad = counts(answers)
    found = agreement(answers)
    return {
        "samples": len(by_sample(answers)),
        "labels": good,
        "not_a_sample": bad,
        "people": dict(Counter(answer.annotator for answer in answers)),
        "agreement": found and asdict(found),
        "in_words": found and in_words(found),
    }


def as_answered(
    samples: Iterable[Sample], said: Mapping[str, Settled], label_field: str | None
) -> tuple[list[Sample], list[Sample]]:
    """Part accepted samples into those that stay, with the label that people gave, and those that people call none.

    Where people are split evenly, the sample's own label stays if it is among theirs. Ids stay what they are.
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
            data = {**sample.data, label_field: label}
            kept.append(sample if label == sample.label else sample.model_copy(update={"label": label, "data": data}))
    return kept, dropped


def rated(
    samples: Iterable[Sample],
    answers: Iterable[PersonAnswer],
    label_field: str | None,
    given: Sequence[Rated] = (),
    learnt: Set[str] = frozenset(),
) -> list[Rated]:
    """Return rows to calibrate the rubric judge on: `given` ones, and the samples that people answered.

    A sample is good with the label that people gave it, and bad when they say it is none. Left out are samples whose
    people are split evenly between the two, those whose ids a judge's adapter has `learnt`, and all of them where they
    and `given` together have fewer than LEAST_OF_EACH good or bad rows.
    """
    groups = by_sample(answers)
    known = {row.id for row in given} | learnt
    rows: list[Rated] = []
    for sample in samples:
        votes = [answer.answer for answer in groups.get(sample.id, ())]
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
    """Return how many of the answers are a label (or GOOD), and how many "not a sample"."""
    total = Counter(answer.answer is None for answer in answers)
    return total[False], total[True]


def explained(answer: str | None) -> str:
    """Return an answer in words."""
    return "not a sample" if answer is None else "a good sample" if answer == GOOD else answer
