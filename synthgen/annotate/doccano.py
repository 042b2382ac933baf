"""Write JSON Lines for doccano, and read its exports: one file per person, named after the person.

A task with labels is a text classification, one with spans a sequence labelling (with relations where it has some), and
any other a sequence to sequence project, whose text is the target, or the targets as JSON.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from synthgen.annotate.answered import (
    GUIDE,
    SAMPLE,
    Answered,
    guide_of,
    json_lines,
    json_value,
    of_label,
    of_unlabelled,
    sample_of,
    shaped,
)
from synthgen.annotate.controls import (
    COLOURS,
    NOT_A_SAMPLE,
    Layout,
    RelationQuestion,
    SpanQuestion,
    TextQuestion,
    places,
    texts,
)
from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.task import as_text

ROWS, LABELS, RELATIONS = "samples.jsonl", "labels.json", "relation_labels.json"
_ALL = "all"  # doccano's name for the file of a project whose annotations are shared


def label_files(layout: Layout) -> dict[str, Sequence[str]]:
    """Return the labels to import into doccano, by file name."""
    spans, relations = _spans(layout), _relations(layout)
    if layout.labelled:
        return {LABELS: layout.controls[0].values}  # type: ignore[union-attr]  # a choice
    if spans is None:
        return {}
    return {LABELS: [*spans.types, NOT_A_SAMPLE], **({RELATIONS: relations.types} if relations else {})}


def as_labels(names: Sequence[str]) -> list[Json]:
    """Return labels as doccano imports them. The first nine get a key."""
    return [
        {
            "text": name,
            "suffixKey": "n" if name == NOT_A_SAMPLE else str(place + 1) if place < 9 else None,
            "backgroundColor": COLOURS[place % len(COLOURS)],
            "textColor": "#ffffff",
        }
        for place, name in enumerate(names)
    ]


def row(layout: Layout, sample_id: str, data: Json, guide: str | None) -> Json:
    """Return the row of a sample, with its own values as annotations to start from."""
    about = {SAMPLE: sample_id, GUIDE: guide or ""}
    shown = texts(layout, data)
    spans, relations = _spans(layout), _relations(layout)
    if layout.labelled:
        return {"text": _joined(shown), "label": [str(data[layout.controls[0].field])], **about}
    if spans is None:
        return {"text": _joined(shown), "label": [_target(layout, data)], **about}
    text = str(data[spans.inside])
    found = places(spans, text, data[spans.field])
    more = {name: one for name, one in shown.items() if name != spans.inside}
    if relations is None:
        return {"text": text, "label": [list(one) for one in found], **more, **about}
    entities = [
        {"id": number, "start_offset": start, "end_offset": end, "label": kind}
        for number, (start, end, kind) in enumerate(found)
    ]
    first = {text[start:end]: number for number, (start, end, _) in reversed(list(enumerate(found)))}
    links = [
        {"id": number, "from_id": first[one[relations.head_key]], "to_id": first[one[relations.tail_key]],
         "type": one[relations.type_key]}
        for number, one in enumerate(data[relations.field])
        if {one[relations.head_key], one[relations.tail_key]} <= first.keys()
    ]  # fmt: skip
    return {"text": text, "entities": entities, "relations": links, **more, **about}


def _joined(shown: Mapping[str, str]) -> str:
    if len(shown) == 1:
        return next(iter(shown.values()))
    return "\n".join(f"{name}: {text}" for name, text in shown.items())


def _target(layout: Layout, data: Json) -> str:
    if len(layout.controls) == 1:
        return as_text(data[layout.controls[0].field])
    return json.dumps({one.field: data.get(one.field) for one in layout.controls}, ensure_ascii=False)


def _spans(layout: Layout) -> SpanQuestion | None:
    return next((one for one in layout.controls if isinstance(one, SpanQuestion)), None)


def _relations(layout: Layout) -> RelationQuestion | None:
    return next((one for one in layout.controls if isinstance(one, RelationQuestion)), None)


def files(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, the person and the text of each exported file: of a file, a folder, or doccano's zip archive."""
    if path.is_dir():
        for one in sorted(path.glob("*.jsonl")):
            yield str(one), one.stem, one.read_text(encoding="utf-8")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".jsonl"):
                    yield f"{path}/{name}", Path(name).stem, archive.read(name).decode("utf-8")
    else:
        yield str(path), path.stem, path.read_text(encoding="utf-8")


class _Entity(Struct):
    id: int
    start_offset: int
    end_offset: int
    label: str


class _Relation(Struct):
    from_id: int
    to_id: int
    type: str


def read(layout: Layout, path: Path, samples: Mapping[str, Json], unnamed: str | None) -> list[Answered]:
    """Return the answers in doccano's exported files. A person's name is that of their file, or `unnamed` if given.

    Raise InputError with the place of what cannot be read.
    """
    found: list[Answered] = []
    for name, stem, text in files(path):
        person = unnamed or stem
        if person == _ALL:
            raise InputError(f"{name}: does not say who answered; name the person: --annotator NAME")
        for where, one in json_lines(name, text):
            about = {**one, **(one.get("meta") or {})} if isinstance(one.get("meta"), dict) else one
            key = sample_of(where, about.get(SAMPLE), samples)
            answer = _answered(layout, where, key, person, one, samples[key], guide_of(about))
            found += [answer] if answer is not None else []
    if not found:
        raise InputError(f"{path}: has no answers; export the project's finished samples as JSONL")
    return found


def _answered(
    layout: Layout, where: str, key: str, person: str, given: Json, before: Json, guide: str | None
) -> Answered | None:
    marks = given.get("label", given.get("labels"))
    marks = shaped(where, marks, list[str | int | tuple[int, int, str]] | None)
    if layout.labelled:
        if not marks:
            return None
        if len(marks) > 1:
            raise InputError(f"{where}: has {len(marks)} labels, but a sample has one; correct it in doccano")
        return of_label(where, key, person, marks[0], before, _retyped(layout, where, given, before), None, guide)
    spans, relations = _spans(layout), _relations(layout)
    after = dict(before) if spans else _retyped(layout, where, given, before)
    if spans is None:
        if not marks:
            return None
        good = str(marks[0]) != NOT_A_SAMPLE
        after = {**after, **_written(layout, where, str(marks[0]))} if good else after
        return of_unlabelled(where, key, person, good, before, after, None, guide)
    text = str(before[spans.inside])
    if _plain(given.get("text", text)) != _plain(text):
        raise InputError(
            f"{where}: the text was changed in doccano, so that the places of its spans are those of another text; restore it"
        )
    entities = shaped(where, given.get("entities"), list[_Entity] | None)
    if entities is None:
        entities = [
            _Entity(number, *mark) for number, mark in enumerate(shaped(where, marks or [], list[tuple[int, int, str]]))
        ]
    good = all(one.label != NOT_A_SAMPLE for one in entities)
    said = {one.id: text[one.start_offset : one.end_offset] for one in entities}
    if good:
        ordered = sorted(entities, key=lambda one: (one.start_offset, one.end_offset))
        after[spans.field] = [{spans.text_key: said[one.id], spans.type_key: one.label} for one in ordered]
    if good and relations is not None:
        ends = (relations.head_key, relations.tail_key)
        joined = shaped(where, given.get("relations") or [], list[_Relation])
        if not {end for one in joined for end in (one.from_id, one.to_id)} <= said.keys():
            raise InputError(f"{where}: a relation joins an entity that is not there; export it again")
        after[relations.field] = [
            {ends[0]: said[one.from_id], relations.type_key: one.type, ends[1]: said[one.to_id]} for one in joined
        ]
    return of_unlabelled(where, key, person, good, before, after, None, guide)


def _retyped(layout: Layout, where: str, given: Json, before: Json) -> Json:
    """Return the sample with its text from doccano. Raise InputError where a text of several fields changed."""
    shown = texts(layout, before)
    if _plain(text := given.get("text", _joined(shown))) == _plain(_joined(shown)):
        return dict(before)
    if len(shown) > 1 or not layout.corrections:
        raise InputError(
            f"{where}: the text was changed in doccano, and it joins several fields; restore it, and correct the sample with"
            " synthgen review"
        )
    return {**before, layout.corrections[0].field: str(text)}


def _plain(text: object) -> str:
    """Return a text in a form for comparison: tools change line breaks, and blanks at the ends."""
    return str(text).replace("\r\n", "\n").strip()


def _written(layout: Layout, where: str, text: str) -> Json:
    """Return the target fields of a text that was written in doccano."""
    first = layout.controls[0]
    if len(layout.controls) == 1 and isinstance(first, TextQuestion) and not first.as_json:
        return {first.field: text}
    found = json_value(where, "the target", text, "doccano")
    if len(layout.controls) == 1:
        return {first.field: found}
    if not isinstance(found, dict) or set(found) != {one.field for one in layout.controls}:
        raise InputError(f"{where}: the target needs the fields {', '.join(one.field for one in layout.controls)}")
    return found
