"""Format figures and outcomes as plain text, without HTML or Markdown.

All text that a reader sees goes through `clean`, because it is untrusted.
"""

from typing import Any

from synthgen.numerics.dollars import dollars, of_budget
from synthgen.records import Json
from synthgen.run.checks import reasons
from synthgen.safety.untrusted import clean, one_line

__all__ = ["clean", "of_budget", "one_line"]  # the templates use only this module

REASONS = reasons() | {
    "unknown": "no reason was recorded",
    # of checks that older versions had
    "lexical_duplicate": "has nearly the same letters as an earlier sample",
    "low_worth": "adds too little to its label, given its own quality",
}

INCIDENTS = {
    "engine_restart": "times the engine was restarted",
    "engine_memory": "starts with fewer requests at once, because memory ran out",
    "engine_port": "starts on another port, because the first was taken",
    "replica_lost": "replicas that were not started again",
    "endpoint_down": "times an endpoint was down and got no requests until it answered",
    "batch_expired": "batches that the host did not complete in time",
    "batch_failed": "batches that the host refused",
    "batch_lost": "batches that the host does not know any more",
    "quarantined": "prompts set aside, because they crashed the engine",
}

STOPS = {
    "target": "reached its target",
    "disk": "stopped because the disk refused a write",
    "min_free_gigabytes": "stopped because the disk was nearly full",
    "candidates": "stopped at its budget of candidates",
    "output_tokens": "stopped at its budget of output tokens",
    "minutes": "stopped at its budget of minutes",
    "budget_usd": "stopped at its budget of US dollars",
    "ask_after": "stopped so that a person can label some of its samples",
    "thinking_only": "stopped because the model only thinks: set model.thinking=off or raise model.thinking_tokens",
    "unfilled_labels": "stopped because it cannot fill all labels",
    "texts": "stopped because every text of task.texts is used",
    "templates": "stopped because every sentence that task.templates allows is used",
    "canaries": "stopped because its judge was wrong about samples whose verdict is known",
    "collapse": "stopped because its accepted samples had become too similar to each other",
    "drift": "stopped because its accepted samples had drifted away from the seeds",
    "engine": "ended because the engine failed",
    "signal": "was interrupted",
    None: "did not finish: it is still running, or was killed",
}


def shorten(text: str, limit: int) -> str:
    """Return the first `limit` characters, and the number of characters left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def count(value: float | None) -> str:
    """Format a count as 12,345; a dash for an unknown count."""
    return "–" if value is None else f"{value:,.0f}"


def figure(value: float | None, digits: int = 3) -> str:
    """Format a figure as 0.123; a dash for an unknown figure."""
    return "–" if value is None else f"{value:,.{digits}f}"


def rate(value: float | None) -> str:
    """Format a value with three significant digits and no exponent; a dash for an unknown value."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Format a share as 12.3 %; a dash for an unknown share."""
    return "–" if value is None else f"{100 * value:.1f} %"


def duration(seconds: float | None) -> str:
    """Format seconds as 4.2 s, 3 min 20 s or 7 h 05 min; a dash for an unknown duration."""
    if seconds is None:
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def batches(found: Json) -> str:
    """Describe the batches that wait at their host: `1 batch with 555 requests at the host, the oldest for 3 h 05 min`."""
    number, requests = found["batches"], found["requests"]
    name = "batch" if number == 1 else "batches"
    done = f", {count(found['done'])} done" if found["done"] else ""
    age = f"{'the oldest ' if number > 1 else ''}for {duration(found['seconds'])}"
    return f"{count(number)} {name} with {count(requests)} requests at the host{done}, {age}"


def money(usd: float | None) -> str:
    """Format US dollars as $1,234.50, or as $0.0123 below a dollar; a dash for an unknown amount."""
    return "–" if usd is None else dollars(usd)


def outcome(summary: Json) -> str:
    """Describe how the run ended, as a predicate: `reached its target`."""
    stopped_by = summary["stopped_by"]
    return STOPS.get(stopped_by) or f"was ended early by its stop rule '{one_line(str(stopped_by))}'"


def reached(summary: Json) -> str:
    """Return `480 of 500 samples`, or `480 samples` without a target, and the number taken over from another run."""
    accepted, target, inherited = summary["counts"]["accepted"], summary["target"], summary["counts"]["inherited"]
    reached = f"{count(accepted)} of {count(target)} samples" if target else f"{count(accepted)} samples"
    return f"{reached} ({count(inherited)} taken over from another run)" if inherited else reached


def meanings(rejected: dict[str, int]) -> list[str]:
    """Return lines such as `no_span: has a string that ...` for the reasons that `top_reasons` names."""
    top = sorted(rejected, key=lambda reason: (-rejected[reason], reason))[:3]
    return [f"{one_line(reason)}: {REASONS[reason]}" for reason in top if reason in REASONS]


def top_reasons(rejected: dict[str, int]) -> str:
    """Return the three most frequent reasons with their counts, and the total of the others."""
    top = sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    named = ", ".join(f"{count(n)} {one_line(reason)}" for reason, n in top[:3])
    rest = sum(n for _, n in top[3:])
    return f"{named}, {count(rest)} for other reasons" if rest else named


def selected(selection: Json) -> str:
    """Return `100 of 480 accepted samples (deita)`."""
    return f"{count(selection['selected'])} of {count(selection['from'])} accepted samples ({selection['method']})"


def metric_name(name: str | None) -> str:
    return one_line(name or "score").replace("_", " ").replace("f1", "F1")


def is_share(student: Json) -> bool:
    """Return True if the metric is from 0 to 1 and 1 is best, such as accuracy, F1, exact match or ROUGE."""
    values = [arm[key] for arm in arms(student).values() for key in ("mean", "low", "high") if arm.get(key) is not None]
    return student.get("higher_is_better") is not False and all(0 <= value <= 1 for value in values)


def arms(student: Json) -> dict[str, Json]:
    """Return the scored arms by name: `seeds_only`, `described` if there are label rows, and `synthetic`."""
    found = {name: student.get(name) or {} for name in ("seeds_only", "described", "synthetic")}
    return {name: arm for name, arm in found.items() if arm.get("mean") is not None}


def verdict(student: Json | None) -> str:
    """Return `gain`, `loss`, `none` (no difference is shown) or `absent` (not measured).

    If the student was also scored with label rows, the samples must gain over these, because label rows cost nothing.
    Without seeds, label rows are all that the samples can gain over.
    """
    if not student or "synthetic" not in (found := arms(student)):
        return "absent"
    if "seeds_only" not in found and not (is_seedless(student) and "described" in found):
        return "absent"
    low, high = _bounds(student)
    if low is not None and low > 0:
        return "gain"
    return "loss" if high is not None and high < 0 else "none"


def is_seedless(student: Json) -> bool:
    """Return True for a student of a run without seeds."""
    return student.get("seed_rows") == 0


def student_sentence(student: Json | None) -> str:
    """Return a sentence about the student's result, whether it is a gain or a loss."""
    if not student:
        return "The dataset's worth was not measured: no student was trained."
    kind = verdict(student)
    if kind == "absent":
        seedless = is_seedless(student)
        baseline = "described" if seedless else "seeds_only"
        limited = cut_short(student) and baseline in student["cut_short"]["untrained"]
        why = "student.max_minutes left no time for" if limited else "the student was not scored beside"
        if seedless and not student.get("label_rows"):
            return "The dataset's worth was not measured: the task has no seeds, so there is no seeds-only student to compare with."
        return f"The dataset's worth was not measured: {why} a {'label-names' if seedless else 'seeds'}-only student."
    share = is_share(student)
    means = {name: score(arm["mean"], share) for name, arm in arms(student).items()}
    before = [
        f"{means[name]} {words}, " for name, words in
        (("seeds_only", "on the seeds alone"), ("described", f"with label names{' alone' * is_seedless(student)}"))
        if name in means
    ]  # fmt: skip
    rows = f", {count(student['eval_rows'])} eval rows" if student["eval_rows"] else ""
    ending = "; the interval includes zero" if kind == "none" and _bounds(student)[0] is not None else ""
    return (
        f"{finding(student)}: {metric_name(student['metric'])} {''.join(before)}"
        f"{means['synthetic']} with the synthetic data ({_gain(student, share)}{rows}){ending}."
    )


def cut_short(student: Json | None) -> str | None:
    """Return a sentence about the effects of `student.max_minutes` on the student, or None if there are none."""
    short = (student or {}).get("cut_short")
    return short["sentence"] if short else None


def finding(student: Json) -> str:
    """Return the result of the comparison with the students without the samples in words."""
    over = " over label names" if student.get("gain_over_described") else ""
    return {
        "gain": "The synthetic data helped",
        "loss": "The synthetic data made the student worse",
        "none": f"No gain{over} was shown",
    }[verdict(student)]


def score(value: float | None, share: bool) -> str:
    """Format a metric value: as a percentage if the metric is a share, else with three decimals."""
    return percent(value) if share else figure(value)


def signed(value: float, share: bool) -> str:
    """Format a difference of metric values: in percentage points if the metric is a share."""
    return f"{100 * value:+.1f}" if share else f"{value:+.3f}"


def interval_name(student: Json) -> str:
    """Return `95 % interval`, or `interval` if the confidence level is not known."""
    confidence = student.get("confidence")
    return f"{100 * confidence:.3g} % interval" if confidence else "interval"


def _gain(student: Json, share: bool) -> str:
    """Return `gain +4.7 points, 95 % interval +1.2 to +8.1`. Above 0 is better for every metric."""
    over = {"gain": "gain", "gain_over_described": "gain over label names"}
    found = [_figure(words, student[name], student, share) for name, words in over.items() if student.get(name)]
    return "; ".join(text for text in found if text) or "the gain has no figure"


def _figure(words: str, gain: Json, student: Json, share: bool) -> str:
    if gain.get("mean") is None:
        return ""
    text = f"{words} {signed(gain['mean'], share)}{' points' if share else ''}"
    low, high = gain.get("low"), gain.get("high")
    if low is None or high is None:
        return text
    return f"{text}, {interval_name(student)} {signed(low, share)} to {signed(high, share)}"


def _bounds(student: Json) -> tuple[float | None, float | None]:
    """Return the interval of the decisive gain, with its sign changed if needed so that above 0 is better."""
    gain = student.get("gain_over_described") or student.get("gain") or {}
    return gain.get("low"), gain.get("high")


def plain_value(value: Any) -> str:
    """Format a value of unknown kind for a table cell."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return one_line(value if isinstance(value, str) else str(value))


def replicas(tokens: dict[str, Json]) -> list[str]:
    """Return a sentence about each replica's requests and prefix cache."""
    return [
        f"{name}: {count(one['requests'])} requests, {percent(one['cached_share'])} of the prompt tokens were cached"
        for name, one in tokens.items()
    ]
