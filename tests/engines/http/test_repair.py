"""Read JSON out of answers: repairs keep to the text, and never make up what is cut off or missing."""

import json
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.engines.http import repair
from synthgen.engines.http.dialect import Dialect
from synthgen.engines.http.reading import completion
from synthgen.engines.http.repair import find_json
from synthgen.records import Completion, Grammar, Json, Message, Request, Sampling

SCHEMA: Json = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def read(text: str, finish: str = "stop") -> Completion:
    """Return the Completion of a reply with this text, which should be JSON."""
    asked = Request(
        id="0/generate",
        messages=(Message(role="user", content="Write one."),),
        grammar=Grammar(kind="json_schema", spec=SCHEMA),
        sampling=Sampling(max_tokens=50),
    )
    reply = {"choices": [{"message": {"content": text}, "finish_reason": finish}]}
    return completion(reply, asked, Dialect(schema="none"), "stub", 0.1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"text": "a",}', {"text": "a"}),
        ('{"text": "a",, "n": 2}', {"text": "a", "n": 2}),
        ('{"text": "a"\n"n": 2}', {"text": "a", "n": 2}),
        ("{'text': \"it's\", 'ok': True, 'note': None}", {"text": "it's", "ok": True, "note": None}),
        ('{text: "a", n: -1.50, m: 1e3}', {"text": "a", "n": -1.5, "m": 1000.0}),
        ("{“text”: “a”}", {"text": "a"}),
        ('{"text": "a line\nand another"}', {"text": "a line\nand another"}),
        ('{"text": "She said "no", and left", "n": 1}', {"text": 'She said "no", and left', "n": 1}),
        ('{"text": "the {odd "bracket", here",}', {"text": 'the {odd "bracket", here'}),
        ('{"text": "see http://x.org/ # 1",}', {"text": "see http://x.org/ # 1"}),
        ('{"text": "a", // the text\n "n": 1, /* the number */\n}', {"text": "a", "n": 1}),
        ('{"text": "caf\\u00e9 \\"x\\"\\né",}', {"text": 'café "x"\né'}),
        ('{"text": "no "x"\\nand \\\\ or \\d",}', {"text": 'no "x"\nand \\ or \\d'}),
        ('{"text": "日本「語」", }', {"text": "日本「語」"}),
        ("[{'text': 'a'}, {'text': 'b'},]", [{"text": "a"}, {"text": "b"}]),
    ],
)
def test_small_faults_are_repaired(text: str, value: Any) -> None:
    assert find_json(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('See [1].\n{"text": "a", "m": {"x": 1},}\nMore {soon}.', {"text": "a", "m": {"x": 1}}),
        ('Not {"text": "bad"} but\n```json\n{"text": "good",}\n```', {"text": "good"}),
        ('{"text": "a",} or {"text": "b",}', {"text": "a"}),
        ('{{"text": "a"}}', {"text": "a"}),
        ('["not this"] {"text": "a"}', {"text": "a"}),
    ],
)
def test_one_object_is_found_among_other_text(text: str, value: Any) -> None:
    assert find_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A news item: shares fell.",
        "Use {name} for the name.",
        "The form is {text: a news item}.",
        'It has "text": "a" in it [1].',
        "the set {x | x > 1}",
        '{"text": ...}',
        '{"text": }',
        '{"text"}',
        '{"n": NaN}',
        '{"n": 99999999999999999999999,}',
        '{"text": "\\ud83d",}',
    ],
)
def test_prose_and_placeholders_hold_no_json(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON in it"):
        find_json(text)
    assert read(text).finish_reason == "unparsable"


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "The plan',
        '{"text": "The plan"',
        '{"text": "The plan}',
        '{"text": "The plan, "n": 1}',
        '{"text": "a", "label": "b}',
        '{"text": "a", "tags": ["b", "c"',
        '{"items": [{"text": "a"}, {"text": "b"}',
        '{"text": "a, "meta": {"text": "b"}}',
        "{'text': 'the boys', and girls'', 'n': 1}",
        '```json\n{"text": "The plan\n```',
    ],
)
def test_cut_off_or_ambiguous_strings_are_not_completed(text: str) -> None:
    assert read(text).finish_reason == "unparsable"


@pytest.mark.parametrize(
    "text", ['{"text": "The pl', '{"text": "The plan",}', 'Sure: {"text": "The plan"} I hope that']
)
def test_a_reply_that_ran_out_of_tokens_stays_cut_off(text: str) -> None:
    answer = read(text, "length")
    assert (answer.text, answer.finish_reason) == (text, "length")


def test_deep_nesting_is_no_json() -> None:
    deep = sys.getrecursionlimit() + 100
    for text in ("[" * deep, '{"a":' * deep, '{"a":' * deep + "1," + "}" * deep):
        assert read(text).finish_reason == "unparsable"


def test_valid_json_is_never_given_to_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "json_repair", raising=False)
    monkeypatch.setattr(repair, "_repaired", None)  # a call would raise
    assert read('{"text": "a"}').text == '{"text": "a"}'
    assert read('Here: {"text": "a"}').text == '{"text":"a"}'
    assert "json_repair" not in sys.modules


VALUES = st.dictionaries(
    st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    st.one_of(st.text(), st.integers(-(2**40), 2**40), st.booleans(), st.none(), st.lists(st.text(max_size=8), max_size=3)),
    min_size=1,
    max_size=4,
)  # fmt: skip


@given(VALUES)
def test_a_repair_gives_what_was_meant_or_nothing(value: Json) -> None:
    written = json.dumps(value, ensure_ascii=False)
    try:
        found = find_json(f"{written[:-1]},}}")
    except ValueError:
        return
    assert orjson.dumps(found) == orjson.dumps(value)


@given(VALUES, st.data())
def test_no_beginning_of_an_object_is_read_as_an_object(value: Json, data: st.DataObject) -> None:
    written = json.dumps(value, ensure_ascii=False)
    cut = written[: data.draw(st.integers(0, len(written) - 1))]
    with pytest.raises(ValueError, match="no JSON in it"):
        find_json(cut)
