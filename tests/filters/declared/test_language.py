"""Texts in another language are rejected where their letters tell, and short ones never."""

from collections.abc import Callable

import pytest

from synthgen.filters.declared.kinds import declared_checks
from synthgen.filters.declared.language import Language, LanguageConfig
from synthgen.records import Candidate
from synthgen.tasks.assets import root
from synthgen.tasks.rows.source import find_source
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task

GERMAN = "Der Zug nach Hamburg hat heute wieder eine halbe Stunde Verspätung."
ENGLISH = "The train to Hamburg is half an hour late again today."
CHINESE = "去汉堡的火车今天又晚点了半个小时。"
TAIWANESE = "去漢堡的火車今天又誤點了半個小時。"
NORWEGIAN = "Toget til Hamburg er nok en gang en halv time forsinket i dag."


@pytest.mark.parametrize(
    ("language", "text", "passes"),
    [
        ("en", ENGLISH, True),
        ("en", GERMAN, False),
        ("en-GB", CHINESE, False),
        ("de", GERMAN, True),
        ("de", ENGLISH, False),
        ("zh", CHINESE, True),
        ("zh-Hant", TAIWANESE, True),
        ("cmn", CHINESE, True),
        ("zh", ENGLISH, False),
        ("nb", NORWEGIAN, True),
        ("en", "Schöne Grüße!", True),
        ("en", "", True),
        ("en", "0049 40 123456 / 17:30 / EUR 12,50 ......", True),
        ("zh", "打开 WLAN", True),
    ],
)
async def test_only_a_text_that_is_surely_in_another_language_is_rejected(
    declaring: Callable[..., Task], of: Callable[..., Candidate], language: str, text: str, passes: bool
) -> None:
    [check] = declared_checks(declaring({"kind": "language", "field": "text"}, language=language))
    assert (await check(of(text=text))).outcome == ("pass" if passes else "reject")


async def test_a_check_may_name_a_language_of_its_own(
    declaring: Callable[..., Task], of: Callable[..., Candidate]
) -> None:
    [check] = declared_checks(declaring({"kind": "language", "field": "entities[].text", "language": "de"}))
    verdict = await check(of(text=ENGLISH, entities=[{"text": GERMAN}, {"text": ENGLISH}]))
    assert verdict.reason == "other_language"
    assert verdict.details == {"field": "entities[1].text", "language": "en", "wanted": "de"}


def test_no_text_of_the_shipped_examples_is_rejected(news_task: Task) -> None:
    judge, rows = Language(LanguageConfig("text"), news_task), 0
    for name in ("seeds", "eval"):
        source = find_source(f"examples/news_topic/{name}.jsonl", [root()], name)
        for row in read_samples(source, news_task, "eval"):
            assert list(judge.faults(row)) == [], row
            rows += 1
    assert rows > 100
