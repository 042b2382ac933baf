"""Corrections on the page of a review session."""

from collections.abc import Callable, Sequence

import pytest

from synthgen.labels.choose import chooser
from synthgen.labels.inbox import Change
from synthgen.labels.questions import Asking, Form, ReviewTerms, ShownSample
from synthgen.labels.web import Page
from synthgen.records import Correction, Json, PersonAnswer, Sample, content_id

DATA: Json = {"text": "Anna is in Rome.", "entities": [{"text": "Rome", "type": "place"}]}


def page(put: Callable[[Sequence[Change]], None]) -> tuple[Page, Asking]:
    def correct(key: str, data: Json, _: str | None) -> Sample:
        if data == DATA:
            raise ValueError("nothing was changed")
        return Sample(id=content_id(data), data=data, origin="synthetic", parents=(key,))

    shown = {"one": ShownSample([("text", DATA["text"])], {}, DATA)}
    plan = ReviewTerms(assigned=["one"], guide="abc", correct=correct)
    asking = Asking(Form("t", "en", {}), shown, chooser(["one"], {}, {}, 0), [], "anna", 1, put, plan=plan)
    return Page(asking, 8000), asking


def test_fields_that_were_edited_on_the_page_make_a_correction() -> None:
    written: list[Change] = []
    served, asking = page(written.extend)
    edit = served._state()["question"]["edit"]
    assert edit == {"text": "Anna is in Rome.", "entities": '[{"text": "Rome", "type": "place"}]'}
    with pytest.raises(ValueError, match="nothing was changed"):
        served._do({"do": "correct", "fields": edit})
    with pytest.raises(ValueError, match="entities: not JSON"):
        served._do({"do": "correct", "fields": {"entities": "[oops"}})
    with pytest.raises(ValueError, match="no field 'other'"):
        served._do({"do": "correct", "fields": {"other": "x"}})
    assert written == []
    served._do({"do": "correct", "fields": {**edit, "text": "Anna is in Rome today."}})
    made, new, old = written
    assert isinstance(made, Correction) and made.sample.data == {**DATA, "text": "Anna is in Rome today."}
    assert isinstance(new, PersonAnswer) and isinstance(old, PersonAnswer)
    assert (new.answer, new.guide, old.sample_id, old.answer) == ("good", "abc", "one", None)
    assert asking.current is None and asking.given == 1


def test_a_correction_on_the_page_needs_the_label_of_a_task_with_labels() -> None:
    written: list[Change] = []

    def correct(key: str, data: Json, label: str | None) -> Sample:
        return Sample(id=content_id(data), data={**data, "label": label}, origin="synthetic", parents=(key,))

    data: Json = {"text": "One line.\r\nAnother.", "label": "a"}
    plan = ReviewTerms(assigned=["one"], correct=correct)
    form = Form("t", "en", {"a": "", "b": ""}, label_field="label")
    shown = {"one": ShownSample([("text", data["text"])], {}, data)}
    asking = Asking(form, shown, chooser(["one"], {}, {}, 0), [], "anna", 1, written.extend, plan=plan)
    served = Page(asking, 8000)
    question = served._state()["question"]
    assert (question["edit"], question["labelled"]) == ({"text": data["text"]}, True)
    with pytest.raises(ValueError, match="needs its label"):
        served._do({"do": "correct", "fields": {"text": "Mended."}})
    with pytest.raises(ValueError, match="no field 'label'"):
        served._do({"do": "correct", "fields": {"label": "b"}, "answer": "b"})
    served._do({"do": "correct", "fields": {"text": "One line.\nAnother."}, "answer": "b"})
    assert isinstance(written[0], Correction) and written[0].sample.data["text"] == data["text"], "as browsers write it"
    assert [one.answer for one in written[1:] if isinstance(one, PersonAnswer)] == ["b", None]


def test_a_session_of_label_offers_no_corrections() -> None:
    shown = {"one": ShownSample([("text", DATA["text"])], {}, DATA)}
    asking = Asking(Form("t", "en", {}), shown, chooser(["one"], {}, {}, 0), [], "anna", 1, lambda _: None)
    assert Page(asking, 8000)._state()["question"]["edit"] is None
    with pytest.raises(ValueError, match="use synthgen review"):
        asking.correct({})
