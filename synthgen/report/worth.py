"""Put a run's results into words: the student's arms and gains, the quality of the labels, the use of more answers.

No model is fitted here. The figures are those of `student` and `label_model` in `summary.json`.
"""

from synthgen.records import Json
from synthgen.report import plain
from synthgen.selection import left_out

_BEHIND = {"seeds_only": "on the seeds alone", "described": "with label names", "synthetic": "with the samples too"}
_OVER = {"gain": "over the seeds", "gain_over_described": "over seeds and label names"}


def lines(summary: Json, command: str) -> list[tuple[str, str]]:
    """Return (heading, sentence) for every known result. `command` is the command that labels the run."""
    trained, model = summary["student"], summary["label_model"]
    said = [
        ("student", student(trained)),
        ("gain", gain(trained)),
        ("limit", plain.cut_short(trained)),
        ("left out", left_out.sentence(trained)),
        *(("labels", sentence) for sentence in labels(model)),
        ("weights", weights(model, trained)),
        ("next", answers(model, command)),
    ]
    return [(what, sentence) for what, sentence in said if sentence]


def student(found: Json | None) -> str:
    """Return `accuracy 71.2 % on the seeds alone (66.0 to 76.1), ...`, or the reason why it was not measured."""
    if not found or plain.verdict(found) == "absent":
        return plain.student_sentence(found)
    share = plain.is_share(found)
    behind = _BEHIND | ({"described": "with label names alone"} if plain.is_seedless(found) else {})
    parts = [
        f"{plain.score(arm['mean'], share)} {behind[name]}{_within(arm, share)}"
        for name, arm in plain.arms(found).items()
    ]
    return f"{plain.metric_name(found['metric'])} {', '.join(parts)}"


def gain(found: Json | None) -> str | None:
    """Return `The synthetic data helped: +8.6 points over the seeds (+4.9 to +12.4), ...`; None if not compared."""
    if not found or plain.verdict(found) == "absent":
        return None
    share = plain.is_share(found)
    compared = {"gain_over_described": "over label names alone"} if plain.is_seedless(found) else _OVER
    first = next(iter(compared))
    parts = [
        f"{plain.signed(each['mean'], share)}{' points' * (share and name == first)} {over}{_within(each, share, True)}"
        for name, over in compared.items()
        if (each := found.get(name) or {}).get("mean") is not None
    ]
    rows = f"; {plain.count(found['eval_rows'])} eval rows, {plain.interval_name(found)}s" if found["eval_rows"] else ""
    return f"{plain.finding(found)}: {', '.join(parts)}{rows}" if parts else plain.finding(found)


def labels(model: Json | None) -> list[str]:
    """Return the label model's estimate of right labels, and the quality of that estimate on people's answers."""
    if not model:
        return []
    changed = model["not_as_asked"]
    other = f"; {_samples(changed)} got another label than the one asked for" if changed else ""
    asked = model["asked_right"]  # None where all texts were real ones, of which no label was asked for
    were = "" if asked is None else f"; of the labels that were asked for {_percent(asked)} were{other}"
    found = [f"an estimated {_percent(model['expected_right'])} are right{were}"]
    if people := model["people"]:
        found.append(
            f"without people's answers the label model gives their label to {_percent(people['right'])} of the "
            f"{_samples(people['answered'])} that they answered (calibration error {people['ece']:.2f})"
        )
    return found


def weights(model: Json | None, trained: Json | None) -> str | None:
    """Return the weight of samples in the student's training and its reason, or None if no student was trained."""
    if not model or not trained:
        return None
    chosen, answered = model["weights"], plain.count((model["people"] or {}).get("answered", 0))
    people = f"people's {answered} answers"
    judges = {"people": people if plain.is_seedless(trained) else f"seeds and {people}", "seeds": "the seeds"}
    if not chosen["factor"] and (judge := judges.get(chosen["chosen_by"])):
        which = "samples that nobody answered" if chosen["chosen_by"] == "people" else "samples"
        return f"{which} were left out: they made the student worse on {judge}"
    confirmed = (model["disagreement"] or {}).get("confirmed")
    known = "label meanings" if plain.is_seedless(trained) else "seeds"
    why = {
        "people": f"chosen by {judges['people']}",
        "config": "set by labels.weight",
        "default": "no independent source tells how many labels are right",
        "agreement": f"the label check does not confirm enough of the labels that the {known} support",
    }.get(
        chosen["chosen_by"], f"the label check agrees with {_percent(confirmed)} of the labels that the {known} support"
    )
    seed = (
        f" and a seed {trained['seed_repeat']}" if trained.get("seed_repeat") and not plain.is_seedless(trained) else ""
    )
    return f"in training a sample weighs at most {chosen.get('most', chosen['factor']):.2f}{seed}: {why}"


def answers(model: Json | None, command: str) -> str | None:
    """Return the estimated effect of a person's next answers, with the command to give them; None if it is unknown."""
    coming = model and model["next_answers"]
    if not coming:
        return None
    count, corrected = plain.count(coming["answers"]), round(coming["corrected"])
    what = f"about {corrected} wrong {'label' if corrected == 1 else 'labels'}" if corrected else "hardly any label"
    return f"{count} answers of a person would correct {what}, by estimate: {command} --count {count}"


def _within(found: Json, share: bool, signed: bool = False) -> str:
    """Return ` (66.0 to 76.1)`, or an empty string without an interval."""
    low, high = found.get("low"), found.get("high")
    if low is None or high is None:
        return ""
    low, high = (plain.signed(end, share) if signed else plain.figure(100 * end, 1) if share else plain.figure(end)
                 for end in (low, high))  # fmt: skip
    return f" ({low} to {high})"


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{plain.count(count)} samples"


def _percent(share: float | None) -> str:
    """Return `93 %`. A share just below 1 is never shown as `100 %`."""
    if share is None:
        return "an unknown share"
    return f"{round(100 * share) if share == 1 else min(99, round(100 * share))} %"
