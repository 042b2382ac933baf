"""Compute the quality figures of the run's judge from the ledger: calibration, canaries, the panel's agreement.

The figures go into summary.json; this module also lays them out for the page.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from synthgen.judge.agreement import cohens_kappa, fleiss_kappa, krippendorffs_alpha
from synthgen.judge.canaries import GOOD, fooled, in_words, wrong_kinds
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report import plain

CANARIES = {
    "empty": "no text",
    "off_task": "off the task",
    "injection": "orders the best grade",
    GOOD: "known good (seeds)",
}

_CURE = (
    "Use a larger model as judge (judge.panel='[{url: URL, model: NAME}]'), train this one on rated samples (synthgen "
    "adapt judge), or turn the rubric off (judge.rubric.enabled=false)."
)
_SOURCES = ("intent", "head", "label_check")


@dataclass(frozen=True)
class Dot:
    """Hold a point of the reliability curve, in percent of the plot's width and height."""

    x: float
    y: float
    size: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Hold a reliability curve of actual over predicted shares. A perfect judge lies on the diagonal."""

    name: str
    figures: str
    dots: list[Dot]


def judging(ledger: Reader, verdicts: str) -> Json:
    """Return those of `calibration`, `canaries`, `panel` and `label_sources` that the run has.

    `verdicts` is SQL that selects each check's last verdicts.
    """
    found = {
        "calibration": ledger.meta("calibration"),
        "canaries": _canaries(ledger),
        "panel": _panel(ledger, verdicts),
        "label_sources": _label_sources(ledger, verdicts),
    }
    return {name: _rounded(part) for name, part in found.items() if part}


def sentences(judge: Json) -> list[str]:
    """Return the warnings about the judge; none if nothing speaks against it."""
    found = []
    calibration = judge.get("calibration")
    if calibration and not calibration["trusted"]:
        auc = (calibration.get("after") or {}).get("auc")
        why = f"an AUC of {auc['value']:.2f} on" if auc else "too few readable answers for"
        found.append(f"The rubric judge is not trusted ({why} the rated samples), so it rejected and weighted nothing.")
    canaries = judge.get("canaries") or {}
    if wrong := set(canaries.get("wrong") or ()):
        found.append(f"Canaries: {in_words(wrong)}.")
    if off := switched_off(canaries):
        found.append(off)
    return found


def switched_off(canaries: Json) -> str | None:
    """Return a sentence with the number of rounds in which the rubric judge was off, the reason and the cure; None if
    it was never off."""
    off, rounds = canaries.get("fooled_rounds"), canaries.get("rounds")
    if not off:
        return None
    when = "for this run" if off == rounds else f"in {plain.count(off)} of {plain.count(rounds)} rounds"
    there = f"in each of its {plain.count(rounds)} rounds" if off == rounds and off > 1 else "there"
    return (
        f"The rubric judge was off {when} and rejected nothing: {there} it passed every canary that it must reject, so "
        f"its grades say nothing. {_CURE}"
    )


def plots(calibration: Json | None) -> list[Plot]:
    """Return the reliability curves before and after calibration; none if the judge was not calibrated."""
    if not calibration or "before" not in calibration:
        return []
    return [_plot(name, calibration[name], calibration["rows"]) for name in ("before", "after")]


def _plot(name: str, figures: Json, rows: int) -> Plot:
    auc = figures["auc"]
    text = f"AUC {auc['value']:.2f} ({auc['low']:.2f} to {auc['high']:.2f}), calibration error {figures['ece']:.3f}"
    dots = [
        Dot(
            x=round(100 * point["said"], 2),
            y=round(100 - 100 * point["was"], 2),
            size=round(3 + 6 * (point["n"] / rows) ** 0.5, 1),
            text=f"predicted {plain.percent(point['said'])}, actual {plain.percent(point['was'])}, "
            f"{plain.count(point['n'])} rows",
        )
        for point in figures["curve"]
    ]
    return Plot(name, text, dots)


def _canaries(ledger: Reader) -> Json | None:
    """Return the outcomes of each kind of canary over all rounds, and the kinds that the judge ever got wrong."""
    sql = "SELECT value FROM meta WHERE key LIKE 'canaries/%' ORDER BY CAST(SUBSTR(key, 10) AS INTEGER)"
    rounds = [json.loads(value) for (value,) in ledger.rows(sql)]
    if not rounds:
        return None
    wrong: Counter[str] = Counter(kind for asked in rounds for kind in wrong_kinds(asked["answers"]))
    by_kind: dict[str, list[Json]] = {}
    for asked in rounds:
        for given in asked["answers"]:
            by_kind.setdefault(given["kind"], []).append(given)
    return {
        "rounds": len(rounds),
        "wrong": sorted(wrong),
        "fooled_rounds": sum(fooled(asked["answers"]) for asked in rounds),
        "kinds": {kind: {**_kind(by_kind[kind]), "wrong_rounds": wrong[kind]} for kind in CANARIES if kind in by_kind},
    }


def _kind(answers: Sequence[Json]) -> Json:
    scores = [given["score"] for given in answers if given["score"] is not None]
    return {
        "n": len(answers),
        "passed": sum(given["passed"] is True for given in answers),
        "unscored": len(answers) - len(scores),
        "mean_score": sum(scores) / len(scores) if scores else None,
    }


def _panel(ledger: Reader, verdicts: str) -> Json | None:
    """Return the agreement of the panel's members on grades, and on the half of the scale of the grades."""
    sql = f"SELECT details FROM ({verdicts}) WHERE \"check\" = 'rubric' ORDER BY slot, item"
    found = [json.loads(details).get("members") for (details,) in ledger.rows(sql)]
    graded = [members for members in found if members]
    if not graded:
        return None
    names = list(dict.fromkeys(name for members in graded for name in members))
    whole = [members for members in graded if len(members) == len(names)]
    grades = {name: [members[name] for members in graded if name in members] for name in names}
    return {
        "members": {name: sum(given) / len(given) for name, given in grades.items()},
        "compared": len(whole),
        "alpha_interval": krippendorffs_alpha([list(members.values()) for members in graded], "interval"),
        "alpha_ordinal": krippendorffs_alpha([[round(x) for x in members.values()] for members in graded], "ordinal"),
        "fleiss_kappa": fleiss_kappa([[members[name] > 3 for name in names] for members in whole]),
    }


def _label_sources(ledger: Reader, verdicts: str) -> Json | None:
    """Return the outcomes of labels decided from several label sources, and the sources' agreement beyond chance."""
    sql = (
        "SELECT c.label, t.outcome, t.details, l.details"
        f" FROM ({verdicts}) t JOIN candidates c USING (slot, item)"
        f" LEFT JOIN ({verdicts}) l ON l.slot = t.slot AND l.item = t.item AND l.\"check\" = 'label'"
        " WHERE t.\"check\" = 'trust' ORDER BY t.slot, t.item"
    )
    outcomes: Counter[str] = Counter()
    named: list[dict[str, str]] = []
    for intent, outcome, trusted, asked in ledger.rows(sql):
        details = json.loads(trusted)
        outcomes["dropped" if outcome != "pass" else "kept" if details["label"] == intent else "relabelled"] += 1
        answer = json.loads(asked).get("answer") if asked else None
        named.append({"intent": intent, "head": details["head"], **({"label_check": answer} if answer else {})})
    if not named:
        return None
    whole = [sources for sources in named if len(sources) == len(_SOURCES)]
    return {
        **{outcome: outcomes[outcome] for outcome in ("kept", "relabelled", "dropped")},
        "cohens_kappa": {f"{a}, {b}": _cohen(named, a, b) for a, b in combinations(_SOURCES, 2)},
        "fleiss_kappa": fleiss_kappa([list(sources.values()) for sources in whole]),
        "krippendorffs_alpha": krippendorffs_alpha([list(sources.values()) for sources in named]),
    }


def _cohen(named: Sequence[dict[str, str]], first: str, second: str) -> float | None:
    pairs = [(sources[first], sources[second]) for sources in named if first in sources and second in sources]
    return cohens_kappa([one for one, _ in pairs], [other for _, other in pairs])


def _rounded(value: Any) -> Any:
    """Round all figures to six significant digits, so that they print the same on every machine."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case list():
            return [_rounded(part) for part in value]
        case dict():
            return {name: _rounded(part) for name, part in value.items()}
        case _:
            return value
