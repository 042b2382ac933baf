"""Show the state of a review and the agreement of its people, as lines and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from synthgen.annotate import adjudicate, batches, reliability
from synthgen.annotate.agreement import Agreement, Figure, measure
from synthgen.annotate.batches import Batch
from synthgen.annotate.in_force import in_force
from synthgen.ledger import Reader
from synthgen.records import ADJUDICATION, Json, PersonAnswer
from synthgen.run.continuation import relative
from synthgen.run.reviewing.closing import command, deciding, plural


def state(folder: Path, reader: Reader) -> Json:
    """Return the state of a run's review."""
    made, answers = batches.read(folder), reader.people_answers()
    disputed = adjudicate.disputed(answers)
    return {
        "guide": in_force(folder),
        "batches": [
            {"number": one.number, "method": one.method, "samples": len(one.assigned), "guide": one.guide}
            for one in made
        ],
        "people": {name: _of_person(made, name, answers) for name in _people(made)},
        "disagreements": len(disputed),
        "majorities": len(adjudicate.by_majority(answers, None, 0.0)[0]),
        "adjudicated": len({one.sample_id for one in answers if one.role == ADJUDICATION}),
    }


def _of_person(made: Sequence[Batch], name: str, answers: Sequence[PersonAnswer]) -> Json:
    assigned = batches.assignments(made, name)
    return {"assigned": len(assigned), "answered": len(assigned) - len(batches.left(made, name, answers))}


def _people(made: Sequence[Batch]) -> list[str]:
    return list(dict.fromkeys(name for batch in made for name in batch.people))


def state_lines(folder: Path, found: Json) -> list[str]:
    """Return the state in words; the last line is the next command."""
    if not found["batches"]:
        first = command(folder, "--sample", "uncertain", "--count", "20", "--annotators", "anna,ben")
        return [f"no batch yet in {relative(folder)}; assign one to people:", first]
    lines = [f"guide {found['guide'] or 'none'}"]
    lines += [f"batch {one['number']}: {plural(one['samples'], 'sample')}, {one['method']}" for one in found["batches"]]
    for name, one in found["people"].items():
        lines.append(f"{name}: {one['answered']} of {one['assigned']} answered")
    if found["disagreements"] or found["adjudicated"]:
        lines.append(f"disagreements: {found['disagreements']} open, {found['adjudicated']} adjudicated")
    behind = [name for name, one in found["people"].items() if one["answered"] < one["assigned"]]
    if behind:
        return [*lines, "answer the rest:", command(folder, "--annotator", behind[0])]
    if found["disagreements"]:
        return [*lines, "decide the disagreements:", deciding(folder, found["majorities"])]
    return [*lines, "see how far people agree:", command(folder, "--agreement")]


def agreement(reader: Reader) -> tuple[Json, list[str]]:
    """Return the agreement of a run's people as JSON and as lines. Both say why a figure is undefined."""
    answers = reader.people_answers()
    labels = list((reader.meta("task") or {}).get("labels") or {})
    found = measure(answers, labels, (reader.meta("run") or {}).get("seed") or 0)
    if found is None:
        why = "no sample has answers of two people yet"
        return {"shared": 0, "people": sorted({one.annotator for one in answers}), "undefined": why}, [why]
    people = reliability.estimate(answers)
    record: Json = {**asdict(found), "reliability": [asdict(one) for one in people]}
    return record, [*_lines(found), *_reliable(people)]


def _lines(found: Agreement) -> list[str]:
    lines = [f"{', '.join(found.people)}: {plural(found.shared, 'sample')} with answers of several people"]
    rows = [
        ("equal answers", found.percent, True),
        ("Krippendorff's alpha", found.alpha, False),
        (f"Fleiss' kappa ({plural(found.fleiss_samples, 'sample')})", found.fleiss, False),
    ]
    width = max(len(name) for name, *_ in rows)
    lines += [f"  {name:<{width}}  {_shown(figure, percent)}" for name, figure, percent in rows]
    lines.append("pairs of people: samples, equal answers, Cohen's kappa")
    names = [" and ".join(pair.people) for pair in found.pairs]
    for name, pair in zip(names, found.pairs, strict=True):
        told = f"{_shown(pair.percent, True)}  {_shown(pair.kappa)}" if pair.shared else "no shared sample"
        lines.append(f"  {name:<{max(map(len, names))}}  {pair.shared:>4}  {told}")
    lines.append("labels: answers, pairs of answers that agree on it, alpha against all others")
    for one in found.labels:
        wide = max(len(each.label) for each in found.labels)
        lines.append(f"  {one.label:<{wide}}  {one.answers:>4}  {_shown(one.percent, True)}  {_shown(one.alpha)}")
    return lines


def _reliable(people: Sequence[reliability.Reliability]) -> list[str]:
    if not people:
        return []
    lines = ["reliability (Dawid-Skene): estimated right answers, most common confusion"]
    wide = max(len(one.person) for one in people)
    for one in people:
        confused = f"  {one.confused}" if one.confused else ""
        lines.append(f"  {one.person:<{wide}}  {100 * one.right:.0f} % of {one.answers}{confused}")
    if len(people) == 2:
        lines.append("  two people alone cannot tell who of them is right; a third one makes this estimate meaningful")
    return lines


def _shown(figure: Figure, percent: bool = False) -> str:
    if figure.value is None:
        return f"undefined ({(figure.undefined or '').partition(',')[0]})"
    scale, digits, unit = (100, 0, " %") if percent else (1, 2, "")
    text = f"{scale * figure.value:.{digits}f}{unit}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({scale * figure.low:.{digits}f} to {scale * figure.high:.{digits}f})"
