"""Near-duplicates by letters: found in any script, with their neighbour, and whoever was first wins."""

import random
from collections.abc import Callable

import pytest

from synthgen.diversity.lexical import LexicalConfig, LexicalDuplicate
from synthgen.errors import ConfigError
from synthgen.records import Candidate, Sample
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]


@pytest.fixture
def check(news_task: Task) -> LexicalDuplicate:
    return LexicalDuplicate(news_task, LexicalConfig(enabled=True))


def sample(text: str) -> Sample:
    return Sample(id=f"id of {text}", data={"text": text, "label": "sport"}, origin="synthetic", label="sport")


FIRST = "Voters in the northern islands went to the polls on Sunday."


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (FIRST, "VOTERS in the northern islands went to the polls, on Sunday!"),
        (FIRST, "Voters in the northern islands went to the polls on Monday."),
        ("今天北京的天气怎么样，会不会下雨？", "今天北京的天气怎么样？会不会下雪？"),
        ("Пассажиры поезда ждали отправления два часа.", "Пассажиры поезда ждали отправления три часа."),
        ("ok", "OK"),
    ],
)
async def test_a_text_of_nearly_the_same_letters_is_rejected_with_its_neighbour(
    check: LexicalDuplicate, candidate: Make, text: str, other: str
) -> None:
    check.add(sample("The museum opens its new wing in spring."))
    check.add(sample(text))
    verdict = await check(candidate(other))
    assert (verdict.check, verdict.outcome, verdict.reason) == ("lexical", "reject", "lexical_duplicate")
    assert verdict.details == {"neighbour": f"id of {text}"}
    assert 0.7 <= (verdict.score or 0) <= 1


async def test_a_paraphrase_is_left_to_the_check_by_embeddings(check: LexicalDuplicate, candidate: Make) -> None:
    check.add(sample(FIRST))
    assert (await check(candidate("On Sunday the people of the islands in the north voted."))).outcome == "pass"
    assert (await check(candidate("今天北京的天气怎么样？"))).outcome == "pass"


async def test_without_samples_no_near_duplicate_is_found(check: LexicalDuplicate, candidate: Make) -> None:
    verdict = await check(candidate(FIRST))
    assert (verdict.outcome, verdict.score, verdict.details) == ("pass", None, {})


async def test_of_two_similar_candidates_in_flight_the_second_to_be_decided_is_rejected(
    check: LexicalDuplicate, candidate: Make
) -> None:
    one, two = candidate(FIRST), candidate(FIRST.replace("Sunday", "Monday"))
    assert [(await check(made)).outcome for made in (one, two)] == ["pass", "pass"]
    check.add(sample(FIRST))
    assert (await check(two)).details == {"neighbour": f"id of {FIRST}"}


async def test_a_neighbour_found_once_is_found_by_every_later_search(news_task: Task, candidate: Make) -> None:
    rng = random.Random(0)
    words = ["the", "on", "in", "of", "voters", "sea", "team", "polls", "court", "rate", "low", "north"]
    texts = [" ".join(rng.choice(words) for _ in range(9)) for _ in range(60)]
    check = LexicalDuplicate(news_task, LexicalConfig(threshold=0.4))
    found: set[str] = set()
    for held in texts:
        check.add(sample(held))
        now = {text for text in texts if (await check(candidate(text))).outcome == "reject"}
        assert now >= found | {held}
        found = now


async def test_samples_of_an_earlier_session_count_like_new_ones(
    check: LexicalDuplicate, news_task: Task, candidate: Make
) -> None:
    texts = [FIRST, "The museum opens its new wing in spring."]
    check.extend(map(sample, texts))
    again = LexicalDuplicate(news_task, LexicalConfig())
    for text in texts:
        again.add(sample(text))
    for text in [*texts, f"{FIRST} Again", "Nothing alike"]:
        assert await check(candidate(text)) == await again(candidate(text))


async def test_the_nearest_of_several_is_named(check: LexicalDuplicate, candidate: Make) -> None:
    for text in (FIRST + " More.", FIRST, FIRST + " Less."):
        check.add(sample(text))
    assert (await check(candidate(FIRST))).details == {"neighbour": f"id of {FIRST}"}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("threshold", 1.5, "above 0 and at most 1"), ("num_perm", 8, "from 16 to 1024"), ("shingle", 0, "1 or more")],
)
def test_settings_out_of_range_are_refused(key: str, value: float, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"diversity\.lexical\.{key}: must be {words}"):
        LexicalConfig(**{key: value})  # type: ignore[arg-type]
