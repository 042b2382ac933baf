"""Test the checks `distinct`, `copied` and `equal_after`: texts that must differ from another, or equal it."""

from collections.abc import Callable

import pytest

from synthgen.filters.declared.equal_after import squad_form
from synthgen.records import Verdict

DISTINCT = {"kind": "distinct", "field": "rejected", "from": "chosen"}
COPIED = {"kind": "copied", "field": "summary", "from": "text"}
TEXT = (
    "The council met on Monday evening. After a debate of three hours it decided to close the old swimming pool, because "
    "repairs would cost more than a new one."
)
ZH_TEXT = "市议会周一晚上开会。经过三个小时的讨论，会议决定关闭旧游泳池，因为修理的费用比新建还高。"


@pytest.mark.parametrize(
    ("chosen", "rejected", "passes"),
    [
        ("Call the doctor.", "Wait and see.", True),
        ("Call the doctor.", "call the doctor!", False),
        ("Call 3 doctors.", "Call 4 doctors.", True),
        ("请打电话给医生。", "请打电话给医生", False),
        ("请打电话给医生。", "请写信给医生。", True),
        ("ＷＬＡＮ 打开。", "wlan 打开", False),
    ],
)
def test_two_texts_differ_in_more_than_form(
    verdict: Callable[..., Verdict], chosen: str, rejected: str, passes: bool
) -> None:
    assert (verdict(DISTINCT, chosen=chosen, rejected=rejected).outcome == "pass") is passes


def test_the_strings_of_a_list_differ_from_each_other(verdict: Callable[..., Verdict]) -> None:
    check = {"kind": "distinct", "field": "options[]"}
    assert verdict(check, options=["red", "blue"]).outcome == "pass"
    assert verdict(check, options=["red", "blue", "Red."]).details == {"field": "options[2]", "from": "options[0]"}


def test_each_list_is_compared_for_itself(verdict: Callable[..., Verdict]) -> None:
    check = {"kind": "distinct", "field": "questions[].options[]"}
    questions = [{"options": ["yes", "no"]}, {"options": ["yes", "never"]}]
    assert verdict(check, questions=questions).outcome == "pass"


@pytest.mark.parametrize(
    ("text", "summary", "passes"),
    [
        (TEXT, "The old pool will be shut: mending it is dearer than building anew.", True),
        (TEXT, "After long talks the council decided to close the old swimming pool for good.", True),
        (TEXT, "After a debate of three hours it decided to close the old swimming pool.", False),
        (TEXT, TEXT.upper(), False),
        (TEXT, "The council", False),
        (ZH_TEXT, "旧泳池将关闭，重建比维修便宜。", True),
        (ZH_TEXT, "经过三个小时的讨论，会议决定关闭旧游泳池。", False),
        (ZH_TEXT, "会议决定关闭旧泳池，理由是维修太贵了。", True),
    ],
)
def test_a_summary_is_not_copied_from_its_text(
    verdict: Callable[..., Verdict], text: str, summary: str, passes: bool
) -> None:
    found = verdict(COPIED, text=text, summary=summary)
    assert (found.outcome == "pass") is passes
    assert ((found.score or 0.0) > 0.8) is not passes


@pytest.mark.parametrize(
    ("one", "two", "form", "passes"),
    [
        ("The Eiffel Tower!", "eiffel tower", "squad", True),
        ("The Eiffel Tower!", "eiffel tower", "text", False),
        ("Eiffel  Tower.", "eiffel tower", "text", True),
        ("Eiffel  Tower.", "Eiffel Tower", "exact", False),
        ("埃菲尔铁塔。", "埃菲尔铁塔", "text", True),
        ("埃菲尔铁塔", "凯旋门", "text", False),
    ],
)
def test_two_texts_are_equal_in_a_form(
    verdict: Callable[..., Verdict], one: str, two: str, form: str, passes: bool
) -> None:
    check = {"kind": "equal_after", "field": "one", "to": "two", "form": form}
    assert (verdict(check, one=one, two=two).outcome == "pass") is passes


def test_the_form_of_squad_is_that_of_the_published_metric() -> None:
    assert squad_form("The  quick, brown fox's an apple") == "quick brown foxs apple"
