"""Calibrate the panel on its grades for rated rows, and derive the gate.

A judge that cannot distinguish good rows from bad ones is left out of the panel. When none is left, the gate is not
binding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthgen.judge import calibration as maths
from synthgen.judge.calibration import LEAST_OF_EACH, CalibrationFigures
from synthgen.judge.grader import Grades
from synthgen.judge.labelled import Rated
from synthgen.judge.panel import AGGREGATES, Gate
from synthgen.records import Json

Means = Mapping[str, float | None]


@dataclass(frozen=True)
class GradedRows:
    """Hold the rated rows that every judge graded and that people called good or bad."""

    good: list[bool]
    means: dict[str, list[float]]
    """Map each judge to its mean grade for each row."""

    @classmethod
    def of(cls, rated: Sequence[Rated], means: Sequence[Means]) -> "GradedRows":
        rows = [(row.good, found) for row, found in zip(rated, means, strict=True) if row.good is not None]
        whole = [
            (good, {name: mean for name, mean in found.items() if mean is not None})
            for good, found in rows
            if None not in found.values()
        ]
        names = means[0] if means else {}
        return cls([good for good, _ in whole], {name: [found[name] for _, found in whole] for name in names})

    @property
    def enough(self) -> bool:
        return LEAST_OF_EACH <= sum(self.good) <= len(self.good) - LEAST_OF_EACH


def study(
    rated: Sequence[Rated], opinions: Sequence[Mapping[str, Grades]], means: Sequence[Means], gate: Gate,
    min_auc: float, seed: int,
) -> tuple[Gate, Json]:  # fmt: skip
    """Return the calibrated gate, and the record for the ledger: figures on rows, judges, panel and threshold.

    `before` measures the mean grades themselves, rescaled from 1..5 to 0..1. `after` measures held-out probabilities:
    each row's calibrator was fitted without that row. Judges and panel are trusted or not by the latter.
    """
    scored = GradedRows.of(rated, means)
    decided = sum(row.good is not None for row in rated)
    record: Json = {
        "rows": len(scored.good),
        "good": sum(scored.good),
        "undecided": len(rated) - decided,
        "unscored": decided - len(scored.good),
        "min_auc": min_auc,
        "trusted": False,
    }
    if not scored.enough:
        return Gate(gate.aggregate, gate.threshold, binding=False), record
    said = {name: maths.held_out(scores, scored.good, seed) for name, scores in scored.means.items()}
    members = {name: _member(scored.means[name], said[name], scored.good, min_auc) for name in scored.means}
    trusted = [name for name, member in members.items() if member["trusted"]]
    together = AGGREGATES[gate.aggregate]
    after = [together(row) for row in zip(*(said[name] for name in trusted or members), strict=True)]
    before = [(together(row) - 1) / 4 for row in zip(*scored.means.values(), strict=True)]
    held_out = CalibrationFigures.of(after, scored.good)
    record |= {
        "members": members,
        "criteria": _criteria(rated, opinions),
        "before": CalibrationFigures.of(before, scored.good).as_json(),
        "after": held_out.as_json(),
    }
    if not trusted or held_out.auc.value < min_auc:
        return Gate(gate.aggregate, gate.threshold, binding=False), record
    cut = maths.best_threshold(after, scored.good)
    record |= {"trusted": True, "threshold": cut, "at_threshold": maths.at_threshold(after, scored.good, cut)}
    calibrators = {name: maths.fit(scored.means[name], scored.good) for name in trusted}
    return Gate(gate.aggregate, 1 + 4 * cut, calibrators), record


def in_words(record: Json, others: str) -> tuple[str, str]:
    """Return the kind of the event and its text.

    `others` names the checks that decide when the rubric judge is not trusted.
    """
    rows = f"{record['rows']} rated rows ({record['good']} good)"
    if "members" not in record:
        why = f"its answers could be read for only {rows}; it needs {LEAST_OF_EACH} good and {LEAST_OF_EACH} bad ones"
        return "judge_untrusted", f"the rubric judge is not trusted: {why}. {others}"
    before, after, least = record["before"], record["after"], f"{record['min_auc']:g}"
    if not record["trusted"]:
        why = f"its held-out AUC on {rows} is {_interval(after['auc'])}; it needs {least}"
        return "judge_untrusted", f"the rubric judge is not trusted: {why}. {others}"
    words = (
        f"the rubric judge is calibrated on {rows}: AUC {_interval(after['auc'])}, calibration error"
        f" {before['ece']:.3f} before and {after['ece']:.3f} after; it accepts from a probability of"
        f" {record['threshold']:.2f} on"
    )
    weak = [name for name, member in record["members"].items() if not member["trusted"]]
    left_out = f"; left out of the panel, with an AUC below {least}: {', '.join(weak)}" if weak else ""
    return "judge_calibrated", words + left_out


def _member(scores: Sequence[float], said: Sequence[float], good: Sequence[bool], min_auc: float) -> Json:
    after = CalibrationFigures.of(said, good)
    return {
        "trusted": after.auc.value >= min_auc,
        "calibrator": maths.fit(scores, good).as_json(),
        "before": CalibrationFigures.of([(score - 1) / 4 for score in scores], good).as_json(),
        "after": after.as_json(),
    }


def _criteria(rated: Sequence[Rated], opinions: Sequence[Mapping[str, Grades]]) -> dict[str, Json | None]:
    """Return the AUC of each criterion's mean grade against people's grades for it, or their rating without grades."""
    found: dict[str, Json | None] = {}
    for criterion in dict.fromkeys(name for opinion in opinions for grades in opinion.values() for name in grades):
        pairs: list[tuple[float, bool]] = []
        for row, opinion in zip(rated, opinions, strict=True):
            grades = [given[criterion] for given in opinion.values() if criterion in given]
            good = row.good_by(criterion)
            if grades and good is not None:
                pairs.append((sum(grades) / len(grades), good))
        ups = sum(good for _, good in pairs)
        told_apart = 2 <= ups <= len(pairs) - 2
        found[criterion] = maths.auc(*zip(*pairs, strict=True))._asdict() if told_apart else None
    return found


def _interval(auc: Json) -> str:
    return f"{auc['value']:.2f} (95 % interval {auc['low']:.2f} to {auc['high']:.2f})"
