"""Write a folder that `argilla.Dataset.from_disk` reads, and read the records that `Dataset.to_disk` writes (Argilla 2).

Argilla has no question type for relations, so a text question takes them as JSON. Its files identify people by user id.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

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
    SpanQuestion,
)
from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.task import as_text

RECORDS = "records.json"
SETTINGS, DATASET = ".argilla/settings.json", ".argilla/dataset.json"
_ID = 8


def settings(layout: Layout, guide: str, overlap: int) -> Json:
    """Return the settings of a dataset: its fields, questions and guidelines."""
    fields = [
        {"name": _name(one.name), "title": one.field, "required": place == 0, "type": "text",
         "settings": {"type": "text", "use_markdown": False}}
        for place, one in enumerate(layout.shown)
    ]  # fmt: skip
    verdict = {
        "type": "label_selection",
        "options": [{"text": one, "value": one} for one in (GOOD_SAMPLE, NOT_A_SAMPLE)],
    }
    first = [] if layout.labelled else [_question(VERDICT, VERDICT, verdict, required=True)]
    questions = [
        _question(one.name, one.field, _asked(one, layout), required=layout.labelled) for one in layout.controls
    ]
    questions += [
        _question(
            one.name, f"{one.field}, corrected (only if it needs a small change)", _asked(one, layout), required=False
        )
        for one in layout.corrections
    ]
    metadata = [{"name": name, "title": name, "settings": {"type": "terms"}} for name in (SAMPLE, GUIDE)]
    return {
        "guidelines": guide,
        "fields": fields,
        "questions": [*first, *questions],
        "vectors": [],
        "metadata": metadata,
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": overlap},
        "mapping": None,
    }


def dataset(name: str) -> Json:
    return {"name": name, "status": "draft", "allow_extra_metadata": True}


def _name(name: str) -> str:
    """Return a name that Argilla takes: small letters, digits, - and _."""
    return name.lower()


def _question(name: str, title: str, asked: Json, required: bool) -> Json:
    return {"name": _name(name), "title": title, "required": required, "type": asked["type"], "settings": asked}


def _asked(control: Control, layout: Layout) -> Json:
    match control:
        case ChoiceQuestion():
            meanings = zip(control.values, control.meanings, strict=True)
            options = [
                {"value": value, "text": f"{value}: {meaning}" if meaning else value} for value, meaning in meanings
            ]
            return {"type": "multi_label_selection" if control.several else "label_selection", "options": options}
        case SpanQuestion():
            options = [{"value": value, "text": value} for value in control.types]
            inside = next(one.name for one in layout.shown if one.field == control.inside)
            return {"type": "span", "field": _name(inside), "allow_overlapping": True, "options": options}
        case RatingQuestion():
            return {"type": "rating", "options": [{"value": value} for value in range(1, control.most + 1)]}
        case _:
            return {"type": "text", "use_markdown": False}


def record(layout: Layout, sample_id: str, data: Json, shares: Mapping[str, float], guide: str | None) -> Json:
    """Return the record of a sample, with its own values as suggestions."""
    suggestions = {}
    for control in layout.controls:
        if control.field in data:
            suggestions[_name(control.name)] = {"value": _suggested(control, data), "agent": "synthgen"}
    if layout.labelled and shares:
        best = max(shares, key=shares.__getitem__)
        suggestions[_name(layout.controls[0].name)] = {
            "value": best,
            "score": round(shares[best], 4),
            "agent": "synthgen",
        }
    return {
        "id": sample_id,
        "fields": {_name(name): text for name, text in controls.texts(layout, data).items()},
        "metadata": {SAMPLE: sample_id, GUIDE: guide or ""},
        "suggestions": suggestions,
        "responses": {},
        "vectors": {},
    }


def _suggested(control: Control, data: Json) -> Any:
    value = data[control.field]
    match control:
        case ChoiceQuestion():
            return [str(one) for one in value] if control.several else controls.spelt(value)
        case SpanQuestion():
            found = controls.places(control, str(data[control.inside]), value)
            return [{"start": start, "end": end, "label": kind} for start, end, kind in found]
        case RatingQuestion():
            return value
        case _:
            return as_text(value)


class _Response(Struct):
    user_id: str | None = None
    value: Any = None
    status: str | None = None


class _Span(Struct):
    start: int
    end: int
    label: str


def read(layout: Layout, where: str, records: Any, samples: Mapping[str, Json], unnamed: str | None) -> list[Answered]:
    """Return the answers in exported records. People are named by the beginning of their user id, or `unnamed`.

    Raise InputError with the place of what cannot be read.
    """
    if not isinstance(records, list):
        raise InputError(f"{where}: not a list of records; give the {RECORDS} that Dataset.to_disk writes")
    found: list[Answered] = []
    users: set[str] = set()
    for number, one in enumerate(records, start=1):
        place = f"{where}: record {number}"
        about = one.get("metadata") if isinstance(one, dict) else None
        about = about if isinstance(about, dict) else {}
        key = sample_of(place, about.get(SAMPLE), samples)
        given: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for question, responses in shaped(place, one.get("responses") or {}, dict[str, list[_Response]]).items():
            for response in responses:
                if response.status not in ("draft", "discarded"):
                    given[str(response.user_id)][question] = response.value
        users |= given.keys()
        for user, answers in given.items():
            name = unnamed or f"user {user[:_ID]}"
            found.append(_answered(layout, place, key, name, answers, samples[key], guide_of(about)))
    if unnamed and len(users) > 1:
        raise InputError(
            f"{where}: the answers are of {len(users)} people, not of {unnamed} alone; leave --annotator out"
        )
    if not found:
        raise InputError(f"{where}: has no responses; export the dataset with Dataset.to_disk after people answered")
    return found


def _answered(
    layout: Layout, where: str, key: str, name: str, given: Json, before: Json, guide: str | None
) -> Answered:
    written = {one.field: given.get(_name(one.name)) for one in layout.corrections}
    after = {**before, **{field: str(text) for field, text in written.items() if text}}
    if layout.labelled:
        answer = given.get(_name(layout.controls[0].name))
        if answer is None:
            return begun(where, key, name, "no label was chosen")
        return of_label(where, key, name, answer, before, after, None, guide)
    if given.get(VERDICT) is None:
        return begun(where, key, name, "not said whether the sample is good")
    good = given[VERDICT] != NOT_A_SAMPLE
    for control in layout.controls if good else ():
        answer = given.get(_name(control.name))
        if answer is not None:
            after[control.field] = _value(control, where, answer, before)
    return of_unlabelled(where, key, name, good, before, after, None, guide)


def _value(control: Control, where: str, answer: Any, before: Json) -> Any:
    match control:
        case ChoiceQuestion():
            return controls.typed(
                control, shaped(where, answer, list[str]) if control.several else [str(answer)], where
            )
        case SpanQuestion():
            text = str(before[control.inside])
            ordered = sorted(shaped(where, answer, list[_Span]), key=lambda one: (one.start, one.end))
            return [{control.text_key: text[one.start : one.end], control.type_key: one.label} for one in ordered]
        case RatingQuestion():
            return answer
        case _ if isinstance(before.get(control.field), str):
            return str(answer)
        case _:
            return json_value(where, control.field, str(answer), "Argilla")
