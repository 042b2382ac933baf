"""Endings of texts: which are cut off, which are whole, and what the seeds say about it."""

import json
from pathlib import Path

import pytest

from synthgen.filters.endings import Endings

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def english() -> Endings:
    return Endings("en", [])


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("The New York Times' ", "'"),
        ("Banks were hit by the international financial crisis, the ", "the"),
        ("The coach said that after the break,", ","),
        ("He left the club because of the manager's", "manager's"),
        ("The players' union (", "("),
        ('The minister said "', '"'),
        ("Add this song to my", "my"),
        ("I want to fly to Boston and", "and"),
        ("Can you tell me if I am", "am"),
        ("what will the weather be in", "in"),
        ("Please transfer the money to", "to"),
        ("Why was my payment decli", "decli"),
        ("There is a problem with my accou", "accou"),
        ("Book a table at a restaura", "restaura"),
        ("Sorting rows of a QTableVie", "QTableVie"),
        ("The match was called off in Manch", "Manch"),
    ],
)
def test_an_ending_that_needs_a_continuation_is_found(text: str, end: str, english: Endings) -> None:
    assert english.open_end(text) == end


@pytest.mark.parametrize(
    "text",
    [
        "which city are you in",
        "what is this for",
        "where do I log in",
        "where does the money come from",
        "turn the kitchen lights on",
        "I can't log in",
        "is there a cinema close by",
        "book a table for my friend and I",
        "wake me at six am",
        "reply as soon as you can",
        "remind me in a while",
        "show me tickets for June or May",
        "eat breakfast at Tiffany's",
        "a novel called 'The Last of the'",
        "the players' match ended in a draw",
        "see you tomorrow :(",
        "play some Helianthus",
        "vote for plan A",
        "take me to LA",
        "What is it made of?",
        'He said: "I will."',
        "refund",
        "call 555-0100",
        "open example.com/inf",
    ],
)
def test_a_whole_text_is_left_alone(text: str, english: Endings) -> None:
    assert english.open_end(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "我想订一张去北京的机票，",
        "央行周二宣布：",
        "包括苹果、",
        "他说：“",
        "这首歌叫《",
        "我不去，因为",
        "我不去，因為",
        "东西不错，而且",
        "客服很",
        "面条和",
        "快递把",
        "他说“明天再去",
        "我在看《活着",
        "安いし、または",
        "อาหารอร่อยและ",
    ],
)
def test_a_chinese_text_that_ends_in_an_open_mark_or_conjunction_is_cut_off(text: str) -> None:
    assert Endings("zh-CN", []).open_end(text) is not None


@pytest.mark.parametrize("text", ["今天天气怎么样", "央行下调了利率。", "价格温和", "他不在", "是的……"])
def test_a_whole_chinese_or_japanese_text_is_left_alone(text: str) -> None:
    assert Endings("zh-CN", []).open_end(text) is None


@pytest.mark.parametrize(
    ("language", "whole", "cut"),
    [
        ("de", "mach bitte das Licht an", "Ich brauche eine neue Überweisu"),
        ("de", "kam doch erst gestern an", "Seit dem Gewitter ist der Fernse"),
        ("de", "brauch sie für die Steuer", "Ich warte auf den Techni"),
        ("de", "Das Bild ruckelt, tagsüber geht's", "Der Vertrag läuft und"),
        ("ar", "الخدمة جيدة جدا", "أرسلت لهم رسالة ولكن"),
        ("ar", "لم يصل الطلب بعد", "الخدمة ممتازة،"),
        ("fr", "quel temps fait-il à Paris", "je voudrais réserver une"),
        ("es", "pon música para dormir", "quiero cambiar mi contrase"),
    ],
)
def test_other_languages_have_their_own_words(language: str, whole: str, cut: str) -> None:
    endings = Endings(language, [])
    assert endings.open_end(whole) is None
    assert endings.open_end(cut) is not None


def test_a_word_of_the_seeds_or_labels_is_whole_and_its_beginning_is_not() -> None:
    told = Endings("en", ["fill out the frobnicator form", "a form for frobnicators"], ["withdrawal of cash"])
    assert told.open_end("I have a new frobnicator") is None
    assert told.open_end("I have a new frobnica") == "frobnica"
    assert told.open_end("tell me about my withdrawa") == "withdrawa"


def test_a_word_that_ends_a_seed_is_never_taken_for_a_part_of_a_word() -> None:
    assert Endings("en", []).open_end("I want to pay with my doc") == "doc"
    assert Endings("en", ["send me the doc"]).open_end("I want to pay with my doc") is None


def test_full_stops_in_all_seeds_count_against_a_text_without_one_but_not_alone() -> None:
    stopped = Endings("en", [f"This is seed number {number}." for number in range(20)])
    plain = Endings("en", [f"this is seed number {number}" for number in range(20)])
    assert (plain.open_end("we slept in a cabin"), stopped.open_end("we slept in a cabin")) == (None, "cabin")
    assert stopped.open_end("please fill in the form") is None
    assert stopped.open_end("the weather is lovely today") is None


def test_parts_of_words_are_not_looked_for_where_the_seeds_themselves_would_fail() -> None:
    code = ["return res", "del tmp, buf", "print val", "yield obj, idx", "exit proc"]
    assert Endings("en", []).open_end("assert val") == "val"
    assert Endings("en", code).open_end("assert val") is None
    assert Endings("en", code).open_end("take all of the") == "the"


@pytest.mark.parametrize("task", ["news_topic", "voice_intent", "instruction"])
def test_held_out_rows_of_the_examples_are_whole(task: str) -> None:
    seeds, rows = ([json.loads(line) for line in (EXAMPLES / task / name).read_text().splitlines()]
                   for name in ("seeds.jsonl", "eval.jsonl"))  # fmt: skip
    for field in seeds[0].keys() - {"label"}:
        endings = Endings("en", [row[field] for row in seeds])
        found = [row[field] for row in rows if endings.open_end(row[field])]
        assert len(found) <= len(rows) // 50, found
