"""Test files of hand-written replies: which request gets which reply, what a judge answers, and faults of the file."""

import math
from pathlib import Path

import pytest

from synthgen.engines.fake.recorded import Replies, read_replies
from synthgen.engines.fake.replay import ReplayConfig, ReplayEngine
from synthgen.errors import FatalRequestError, InputError
from synthgen.records import Grammar, Message, Request

TEXT = Grammar(kind="json_schema", spec={"type": "object", "properties": {"text": {"type": "string"}}})
LABELS = Grammar(kind="choice", spec=("bad", "good"))
FILE = """
{"reply": {"text": "The soup was cold.", "label": "bad"}, "asked": "bad"}
{"reply": {"text": "Warm bread, kind people.", "label": "good"}, "asked": "good", "judged": "bad"}
{"reply": {"text": "Never again, not for free.", "label": "bad"}, "asked": "bad"}
"""


@pytest.fixture
def replies(tmp_path: Path) -> Replies:
    (tmp_path / "replies.jsonl").write_text(FILE, encoding="utf-8")
    return read_replies(tmp_path / "replies.jsonl")


def request(question: str, grammar: Grammar, number: int = 0) -> Request:
    return Request(id=f"{number}/generate", messages=(Message(role="user", content=question),), grammar=grammar)


async def test_a_request_gets_the_next_reply_with_the_value_that_it_asks_for(replies: Replies) -> None:
    engine = ReplayEngine(ReplayConfig(), seed=0, replies=replies)
    given = [(await engine.complete(request(f"Write one. Label: {label}", TEXT))).text for label in ("bad", "good")]
    assert given == ['{"text": "The soup was cold."}', '{"text": "Warm bread, kind people."}']
    again = [(await engine.complete(request("Write one.\nlabel: bad (not happy)", TEXT))).text for _ in range(2)]
    assert again == ['{"text": "Never again, not for free."}', '{"text": "The soup was cold."}']


async def test_a_request_that_no_reply_fits_is_refused(replies: Replies) -> None:
    engine = ReplayEngine(ReplayConfig(), seed=0, replies=replies)
    with pytest.raises(FatalRequestError, match="the recording has no reply to: Label: goodish"):
        await engine.complete(request("Label: goodish", TEXT))


@pytest.mark.parametrize(
    ("question", "options", "best"),
    [
        ("[x] The soup was cold. [x] Label?", ("bad", "good"), "bad"),
        ("[x] Warm bread, kind people. [x] Label?", ("bad", "good"), "bad"),
        ("text: The soup was cold. Grade this.", ("1", "2", "3", "4", "5"), "5"),
        ("text: The soup was cold. Is it about food? Answer yes or no.", ("no", "yes"), "yes"),
    ],
)
def test_a_judge_answers_as_the_file_says(replies: Replies, question: str, options: tuple[str, ...], best: str) -> None:
    answer = replies.answer(question, options)
    assert answer is not None
    assert max(answer, key=lambda option: answer[option]) == best
    assert math.isclose(sum(map(math.exp, answer.values())), 1)


async def test_questions_about_other_texts_are_answered_by_the_scripted_writer(replies: Replies) -> None:
    assert replies.answer("[x] A text of a seed. [x]", ("bad", "good")) is None
    engine = ReplayEngine(ReplayConfig(approve=1), seed=0, replies=replies)
    assert (await engine.complete(request("A seed, so good.", LABELS))).text == "good"


async def test_a_text_is_given_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "replies.jsonl").write_text('{"reply": "{\\"text\\": \\"cut o"}\n', encoding="utf-8")
    engine = ReplayEngine(ReplayConfig(), seed=0, replies=read_replies(tmp_path / "replies.jsonl"))
    assert (await engine.complete(request("Write one.", TEXT))).text == '{"text": "cut o'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no replies; write one a line, such as {"),
        ('{"reply": {}}\n{"reply": ', ":2: "),
        ('{"text": "A sample."}', ":1: needs the key 'reply' with an object or a text"),
        ('{"reply": {}, "label": "bad"}', ":1: unknown key 'label'; a reply has: asked, judged, reply"),
    ],
)
def test_a_fault_of_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "replies.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_replies(tmp_path / "replies.jsonl")
    assert message in str(caught.value)
