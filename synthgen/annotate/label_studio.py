"""Write tasks for Label Studio with their labelling config, and read annotations, in Label Studio's JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from msgspec import Struct

from synthgen.annotate import controls
from synthgen.annotate.answered import (
    GUIDE,
    SAMPLE,
    Answered,
    begun,
    guide_of,
    json_value,
    of_label,
    of_unlabelled,
    sample_of,
    seconds,
    shaped,
)
from synthgen.annotate.controls import (
    GOOD_SAMPLE,
    NOT_A_SAMPLE,
    VERDICT,
    ChoiceQuestion,
    Control,
    Layout,
    RatingQuestion,
    RelationQuestion,
    SpanQuestion,
)
from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.task import as_text

CONFIG, TASKS = "label_config.xml", "tasks.json"
PEOPLE = "annotators"
_KEYS = "1234567890"


# -- the labelling config -------------------------------------------------------------------------


def config(layout: Layout) -> str:
    """Return the labelling config (XML): a text for each shown field, and a control for each question."""
    lines = ["<View>"]
    for one in layout.shown:
        lines += [f"  <Header value={quoteattr(one.field)}/>"] if len(layout.shown) > 1 else []
        lines.append(f"  <Text name={quoteattr(_object(one.name))} value={quoteattr('$' + one.name)}/>")
    if not layout.labelled:
        to = quoteattr(_of(layout))
        lines += [
            f'  <Choices name="{VERDICT}" toName={to} choice="single" required="true" showInLine="true">',
            f'    <Choice value="{GOOD_SAMPLE}" hotkey="y"/>',
            f'    <Choice value="{NOT_A_SAMPLE}" hotkey="n"/>',
            "  </Choices>",
        ]
    for control in layout.controls:
        lines += _control(control, layout)
    for area in layout.corrections:
        lines.append(f"  <Header value={quoteattr(f'{area.field}, corrected (only if it needs a small change)')}/>")
        lines.append(_area(quoteattr(area.name), quoteattr(_of(layout, area.field)), 2))
    return "\n".join([*lines, "</View>"]) + "\n"


def _object(name: str) -> str:
    """Return the name of the tag that shows a field. The field's own name is the name of the control that asks for it."""
    return f"{name}_shown"


def _of(layout: Layout, field: str | None = None) -> str:
    """Return the name of the tag that shows `field`, or the first field."""
    names = {one.field: one.name for one in layout.shown}
    return _object(names[field] if field is not None else layout.shown[0].name)


def _control(control: Control, layout: Layout) -> list[str]:
    name = quoteattr(control.name)
    to = quoteattr(_of(layout, control.inside if isinstance(control, SpanQuestion) else None))
    title = [] if layout.labelled else [f"  <Header value={quoteattr(control.field)}/>"]
    match control:
        case ChoiceQuestion():
            kind = "multiple" if control.several else "single"
            required = ' required="true"' if layout.labelled else ""
            lines = [f'  <Choices name={name} toName={to} choice="{kind}"{required} showInLine="true">']
            for place, (value, meaning) in enumerate(zip(control.values, control.meanings, strict=True)):
                key = _KEYS[place] if place < len(_KEYS) else ""
                hotkey = f' hotkey="{"n" if value == NOT_A_SAMPLE else key}"' if layout.labelled and key else ""
                hint = f" hint={quoteattr(meaning)}" if meaning else ""
                lines.append(f"    <Choice value={quoteattr(value)}{hint}{hotkey}/>")
            return [*title, *lines, "  </Choices>"]
        case SpanQuestion():
            lines = [f"  <Labels name={name} toName={to}>"]
            for place, value in enumerate(control.types):
                lines.append(
                    f'    <Label value={quoteattr(value)} background="{controls.COLOURS[place % len(controls.COLOURS)]}"/>'
                )
            return [*title, *lines, "  </Labels>"]
        case RelationQuestion():
            relations = [f"    <Relation value={quoteattr(value)}/>" for value in control.types]
            return [*title, "  <Relations>", *relations, "  </Relations>"]
        case RatingQuestion():
            return [*title, f'  <Rating name={name} toName={to} maxRating="{control.most}"/>']
        case _:
            return [*title, _area(name, to, 4)]


def _area(name: str, to: str, rows: int) -> str:
    return f'  <TextArea name={name} toName={to} rows="{rows}" editable="true" maxSubmissions="1"/>'


# -- tasks ----------------------------------------------------------------------------------------


def task(
    layout: Layout, sample_id: str, data: Json, shares: Mapping[str, float], people: Sequence[str],
    guide: str | None, model: str,
) -> Json:  # fmt: skip
    """Return a task with the sample's own values as a pre-annotation, and the run's probability of its label."""
    shown: Json = {**controls.texts(layout, data), SAMPLE: sample_id, GUIDE: guide or "", PEOPLE: ", ".join(people)}
    prediction: Json = {"model_version": model, "result": list(_results(layout, data))}
    if layout.labelled and shares:
        best = max(shares, key=shares.__getitem__)
        control = layout.controls[0]
        prediction = {**prediction, "score": round(shares[best], 4), "result": [_choices(control.name, layout, [best])]}
    return {"data": shown, "predictions": [prediction]}


def _results(layout: Layout, data: Json) -> Iterator[Json]:
    spans: dict[str, list[tuple[str, str]]] = {}
    for control in layout.controls:
        value = data.get(control.field)
        if value is None:
            continue
        match control:
            case ChoiceQuestion():
                chosen = value if control.several else [value]
                yield _choices(control.name, layout, [controls.spelt(one) for one in chosen])
            case SpanQuestion():
                text = str(data.get(control.inside, ""))
                spans[control.field] = []
                for number, (start, end, part) in enumerate(controls.places(control, text, value)):
                    key = f"{control.name}-{number}"
                    spans[control.field].append((key, text[start:end]))
                    found = {"start": start, "end": end, "text": text[start:end], "labels": [part]}
                    yield {"id": key, **_result(control.name, layout, "labels", found, control.inside)}
            case RelationQuestion():
                for one in value:
                    ends = [
                        _first(spans.get(control.spans, []), one[key]) for key in (control.head_key, control.tail_key)
                    ]
                    if None not in ends:
                        kind = {"type": "relation", "direction": "right", "labels": [str(one[control.type_key])]}
                        yield {"from_id": ends[0], "to_id": ends[1], **kind}
            case RatingQuestion():
                yield _result(control.name, layout, "rating", {"rating": value})
            case _:
                yield _result(control.name, layout, "textarea", {"text": [as_text(value)]})


def _first(spans: Sequence[tuple[str, str]], text: object) -> str | None:
    return next((key for key, one in spans if one == text), None)


def _choices(name: str, layout: Layout, chosen: Sequence[str]) -> Json:
    return _result(name, layout, "choices", {"choices": list(chosen)})


def _result(name: str, layout: Layout, kind: str, value: Json, field: str | None = None) -> Json:
    return {"from_name": name, "to_name": _of(layout, field), "type": kind, "value": value}


# -- annotations ----------------------------------------------------------------------------------


class _Value(Struct):
    choices: list[str] | None = None
    text: str | list[str] | None = None
    rating: int | None = None
    labels: list[str] | None = None
    start: int = 0
    end: int = 0


class _Result(Struct):
    type: str | None = None
    value: _Value | None = None
    id: str | None = None
    from_name: str = ""
    from_id: str | None = None
    to_id: str | None = None
    labels: list[str] | None = None


class _Annotation(Struct):
    result: list[_Result] | None = None
    completed_by: int | str | Json | None = None


class _Task(Struct):
    """Hold the parts of an exported task that are read, to check their types."""

    annotations: list[_Annotation] | None = None


def read(
    layout: Layout, where: str, tasks: Any, samples: Mapping[str, Json], people: Mapping[int, str], unnamed: str | None
) -> list[Answered]:
    """Return the answers in exported tasks, without cancelled annotations.

    `people` has the name of each user's number, from the API. Other users have the e-mail address that an annotation
    gives, or `unnamed`, or `user N`. Raise InputError with the place of what cannot be read.
    """
    if not isinstance(tasks, list):
        raise InputError(f"{where}: not a list of tasks; export the project as JSON")
    found: list[Answered] = []
    for number, one in enumerate(tasks):
        place = f"{where}: task {number + 1}"
        data = one.get("data") if isinstance(one, dict) else None
        if not isinstance(data, dict):
            raise InputError(f"{place}: has no data; export the project as JSON, not as JSON-MIN")
        key = sample_of(place, data.get(SAMPLE), samples)
        shaped(place, one, _Task)
        for annotation in one.get("annotations") or ():
            if annotation.get("was_cancelled") or not annotation.get("result"):
                continue
            name = _person(annotation.get("completed_by"), people, unnamed)
            guide = guide_of(data)
            at = seconds(annotation.get("updated_at") or annotation.get("created_at"))
            found.append(_answered(layout, place, key, name, annotation["result"], samples[key], at, guide))
    return found


def _person(by: Any, people: Mapping[int, str], unnamed: str | None) -> str:
    if isinstance(by, dict):
        return str(by.get("email") or by.get("username") or f"user {by.get('id')}")
    return people.get(by) or unnamed or f"user {by}"


def _answered(
    layout: Layout, where: str, key: str, name: str, result: Sequence[Json], before: Json, at: float | None,
    guide: str | None,
) -> Answered:  # fmt: skip
    given = {one["from_name"]: one.get("value") for one in result if "from_name" in one and one.get("type") != "labels"}
    after = {**before, **{one.field: text for one in layout.corrections if (text := _written(given.get(one.name)))}}
    if layout.labelled:
        chosen = (given.get(layout.controls[0].name) or {}).get("choices") or []
        if not chosen:
            return begun(where, key, name, "no label was chosen")
        return of_label(where, key, name, chosen[0], before, after, at, guide)
    verdict = (given.get(VERDICT) or {}).get("choices") or []
    if not verdict:
        return begun(where, key, name, "not said whether the sample is good")
    good = verdict != [NOT_A_SAMPLE]
    for control in layout.controls if good else ():
        after[control.field] = _value(control, where, given.get(control.name), result, before)
    return of_unlabelled(where, key, name, good, before, after, at, guide)


def _value(control: Control, where: str, given: Json | None, result: Sequence[Json], before: Json) -> Any:
    """Return the value of a field as annotated; the sample's own where nothing was given."""
    match control:
        case SpanQuestion():
            return _spans(control, where, str(before[control.inside]), result)
        case RelationQuestion():
            texts = {one.get("id"): (one.get("value") or {}).get("text") for one in result}
            ends = (control.head_key, control.tail_key)
            return [
                {ends[0]: texts[one["from_id"]], control.type_key: label, ends[1]: texts[one["to_id"]]}
                for one in result
                if one.get("type") == "relation" and {one.get("from_id"), one.get("to_id")} <= texts.keys()
                for label in (one.get("labels") or ())[:1]
            ]
        case _ if given is None:
            return before.get(control.field)
        case ChoiceQuestion():
            return controls.typed(control, given.get("choices") or [], where)
        case RatingQuestion():
            return given.get("rating")
        case _:
            text = _written(given)
            return json_value(where, control.field, text, "Label Studio") if control.as_json else text


def _written(given: Json | None) -> str:
    """Return the text of a text area; empty where nothing was written."""
    lines = (given or {}).get("text") or []
    return lines if isinstance(lines, str) else "\n".join(lines)


def _spans(control: SpanQuestion, where: str, text: str, result: Sequence[Json]) -> list[Json]:
    """Return the annotated spans in the order of the text.

    Trust the annotation's text more than its offsets, because browsers count some characters as two.
    """
    found = []
    for one in result:
        value = one.get("value") or {}
        if one.get("type") == "labels" and one.get("from_name") == control.name and value.get("labels"):
            if not {"start", "end"} <= value.keys():
                raise InputError(f"{where}: a span of {control.field} has no start and end; export the project again")
            part = str(value.get("text") or "")
            part = part if part and part in text else text[int(value["start"]) : int(value["end"])]
            found.append((int(value["start"]), {control.text_key: part, control.type_key: value["labels"][0]}))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]
