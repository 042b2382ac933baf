"""The elimination rules for samples that a model rewrote."""

from collections.abc import Callable

import pytest

from synthgen.filters.rewritten import Rewritten
from synthgen.records import LANGUAGE, PAIR, REWRITES, Candidate, Sample
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]
OLD = "The keeper saved a late penalty in the final."


async def reason(task: Task, candidate: Make, text: str, old: str = OLD, **changes: object) -> str | None:
    parent = Sample(id="p", data={"text": old, "label": "sport"}, origin="seed", label="sport")
    check = Rewritten(task, {"p": parent}.__getitem__)
    verdict = await check(candidate(text, **({"parents": ("p",), "given": {REWRITES: "p"}} | changes)))
    assert verdict.reason is None or verdict.reason in {each.code for each in check.spec.reasons}
    return verdict.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A keeper saved the late penalty in a final!", "unchanged"),
        ("The keeper did not save a late penalty in the final.", None),
        ("In the final, the keeper saved a penalty.", None),
        ("I'm sorry, but I can't rewrite this example.", "refusal"),
        ("As an AI language model I have no sports news.", "refusal"),
        ("抱歉，我无法改写这段文字。", "refusal"),
        ("The coach was sorry about the late penalty.", None),
        ("... it is what it was, and so is this?!", "hollow"),
        ("的了，这是。", "hollow"),
        ("Here is the rewritten example: a keeper saves.", "prompt_words"),
        ("#Given Prompt# The keeper saved nothing.", "prompt_words"),
        ("改写后的样本：守门员扑出点球。", "prompt_words"),
        ("The council has rewritten the rules of the final.", None),
    ],
)
async def test_a_rewritten_text_is_rejected_with_its_reason(
    text: str, expected: str | None, news_task: Task, candidate: Make
) -> None:
    assert await reason(news_task, candidate, text) == expected


async def test_a_long_text_may_apologise(news_task: Task, candidate: Make) -> None:
    text = "Sorry, the club cannot play on Sunday. "
    assert await reason(news_task, candidate, text) == "refusal"
    assert await reason(news_task, candidate, text + "word " * 80) is None


async def test_what_the_old_sample_says_too_is_allowed(news_task: Task, candidate: Make) -> None:
    old = "Sorry, we cannot come to the match."
    assert await reason(news_task, candidate, "Sorry, we cannot make it to the game tonight.", old) is None


async def test_a_counterfactual_may_differ_in_words_without_content(news_task: Task, candidate: Make) -> None:
    given = {REWRITES: "p", PAIR: "p"}
    assert await reason(news_task, candidate, OLD.replace("the", "their"), given=given) is None


async def test_only_what_a_model_rewrote_is_checked(news_task: Task, candidate: Make) -> None:
    assert await reason(news_task, candidate, OLD, given={}) is None
    assert await reason(news_task, candidate, OLD, template="") is None
    assert await reason(news_task, candidate, OLD) == "unchanged"


async def test_a_translation_that_stayed_in_the_other_language_is_rejected(news_task: Task, candidate: Make) -> None:
    text = "Le gardien a arrêté un penalty dans la finale de la coupe."
    given = {REWRITES: "p", LANGUAGE: "French"}
    assert await reason(news_task, candidate, text, given=given) == "other_language"
    assert await reason(news_task, candidate, "The goalie stopped a penalty in the cup final.", given=given) is None
    assert await reason(news_task, candidate, text) is None
