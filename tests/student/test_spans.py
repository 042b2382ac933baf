"""Targets that stand in the input: found there, tagged word by word, and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.student.spans import NoSpansError, Span, SpanTargets, to_spans, to_tags, why_not_spans


@pytest.fixture(scope="module")
def person(pairs_task):
    return SpanTargets(pairs_task)


def words_of(text):
    """First and past-the-last character of every word between spaces."""
    found, start = [], 0
    for word in text.split(" "):
        found.append((start, start + len(word)))
        start += len(word) + 1
    return found


def typed_task(pairs_task):
    """A task whose one target is a list of texts with types, as data sets of named entities have them."""
    from dataclasses import replace

    entity = {"type": "object", "properties": {"text": {"type": "string"}, "type": {"enum": ["PER", "LOC"]}}}
    properties = {"text": {"type": "string"}, "entities": {"type": "array", "items": entity}}
    return replace(pairs_task, schema={"type": "object", "properties": properties}, target=("entities",))


def test_a_string_and_a_list_of_strings_are_found_where_they_stand(person):
    row = {"text": "Ann met Bo and Cy", "who": "Ann", "tags": ["Bo", "Cy"]}
    assert person.locate(row) == [Span(0, 3, "who"), Span(8, 10, "tags"), Span(15, 17, "tags")]
    assert person.tags == ["O", "B-who", "I-who", "B-tags", "I-tags"]
    assert person.fields_of(row["text"], person.locate(row)) == {"who": "Ann", "tags": ["Bo", "Cy"]}


def test_typed_spans_are_tagged_by_their_type(pairs_task):
    spans = SpanTargets(typed_task(pairs_task))
    row = {"text": "Ann is in Rome", "entities": [{"text": "Ann", "type": "PER"}, {"text": "Rome", "type": "LOC"}]}
    assert spans.types == ["entities.PER", "entities.LOC"]
    assert spans.fields_of(row["text"], spans.locate(row)) == {"entities": row["entities"]}


def test_the_longer_span_is_placed_first_and_repeats_take_the_next_place(person):
    row = {"text": "York, New York, York", "who": None, "tags": ["York", "New York", "York"]}
    assert [(span.start, span.end) for span in person.locate(row)] == [(0, 4), (6, 14), (16, 20)]


def test_a_span_is_rather_a_whole_word_than_a_part_of_one(person):
    assert person.locate({"text": "Annabel met Ann", "who": "Ann", "tags": []}) == [Span(12, 15, "who")]
    assert person.locate({"text": "Annabel", "who": "Ann", "tags": []}) == [Span(0, 3, "who")]


def test_what_does_not_stand_in_the_input_is_named(person, pairs_task):
    row = {"text": "Ann met Bo", "who": "ann", "tags": []}
    with pytest.raises(NoSpansError, match="who: 'ann' does not occur in the input 'Ann met Bo'"):
        person.locate(row)
    assert "who: 'ann'" in why_not_spans(pairs_task, [row])


@pytest.mark.parametrize("schema", [{"type": "number"}, {"enum": ["a", "b"]}, {"type": "string", "enum": ["a"]}])
def test_targets_of_other_shapes_are_not_spans(schema, pairs_task):
    from dataclasses import replace

    properties = {"text": {"type": "string"}, "who": schema}
    task = replace(pairs_task, schema={"type": "object", "properties": properties}, target=("who",))
    assert why_not_spans(task, []).startswith("target who is neither a string")


def test_an_inside_tag_without_a_beginning_begins_a_span():
    words = words_of("Ann Lee met Bo")
    assert to_spans(words, ["I-who", "I-who", "O", "B-who"]) == [Span(0, 7, "who"), Span(12, 14, "who")]


@given(
    st.lists(st.sampled_from(["ann", "bo", "cy", "dee"]), min_size=1, max_size=8),
    st.data(),
)
def test_tags_and_spans_convert_back_and_forth(names, data):
    words = words_of(" ".join(names))
    ends = sorted(data.draw(st.sets(st.integers(0, len(words)), max_size=4)))
    spans = [
        Span(words[first][0], words[last - 1][1], data.draw(st.sampled_from(["who", "where"])))
        for first, last in zip(ends[::2], ends[1::2], strict=False)
    ]
    assert to_spans(words, to_tags(words, spans)) == spans
