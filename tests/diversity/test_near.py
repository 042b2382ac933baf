"""Near-duplicates: what is close to something held is rejected with its neighbour; who was first wins."""

from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from synthgen.diversity.embedder import DiversityConfig, Embedder, HashEncoder, Vectors
from synthgen.diversity.near import NearDuplicate
from synthgen.ledger.order import SampleOrder
from synthgen.records import PAIR, Candidate, Sample
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]
EVAL = "Rugby captain banned for three matches over high tackle"


def from_the_start(slot: int) -> int:
    return 0


def unread(sample_id: str) -> Sample:
    raise AssertionError("words are compared where vectors know meanings")


def sample(name: str) -> Sample:
    return Sample(id=name, data={}, origin="synthetic", slot=0, item=0)


class Counting(HashEncoder):
    calls = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        return super().encode(texts)


class Corpus(NearDuplicate):
    """The check, and the order of samples that it reads."""

    order: SampleOrder

    def take(self, name: str, vector: Vectors) -> None:
        self.order.add(sample(name))
        self.add(vector)


async def check_over(seeds: Sequence[Sample], eval_texts: list[str], task: Task, embedder: Embedder) -> Corpus:
    cfg, order = DiversityConfig(embedder="hash", threshold=0.9, eval_threshold=0.8), SampleOrder()
    check = Corpus(task, cfg, embedder, order, unread, from_the_start, reach=64)
    check.order = order
    await check.keep_clear_of(eval_texts)
    for seed in seeds:
        order.add(seed)
    check.extend(await embedder.embed_all([seed.data["text"] for seed in seeds]))
    return check


@pytest.fixture
def encoder() -> Counting:
    return Counting()


@pytest.fixture
async def embedder(encoder: Counting) -> AsyncIterator[Embedder]:
    made = Embedder(encoder)
    yield made
    made.close()


@pytest.fixture
async def near(news_task: Task, news_seeds: list[Sample], embedder: Embedder) -> Corpus:
    return await check_over(news_seeds, ["Nothing alike", EVAL], news_task, embedder)


async def test_a_text_of_its_own_passes_with_its_neighbour_and_vector(near: Corpus, candidate: Make) -> None:
    made = candidate("Voters in the islands went to the polls.")
    verdict = await near(made)
    assert verdict.outcome == "pass"
    assert 0 < (verdict.score or 0) < 0.9
    assert verdict.details["neighbour"]
    assert np.linalg.norm(made.embedding) == pytest.approx(1, abs=1e-6)


async def test_a_text_near_a_seed_is_rejected_with_that_seed(
    near: Corpus, candidate: Make, news_seeds: list[Sample]
) -> None:
    verdict = await near(candidate(news_seeds[3].data["text"] + "!"))
    assert (verdict.outcome, verdict.reason) == ("reject", "near_duplicate")
    assert verdict.details == {"neighbour": news_seeds[3].id}
    assert 0.9 <= (verdict.score or 0) <= 1.0001


async def test_a_text_near_an_eval_row_is_rejected_with_that_row(near: Corpus, candidate: Make) -> None:
    verdict = await near(candidate("Rugby captain banned for four matches over high tackle"))
    assert (verdict.outcome, verdict.reason, verdict.details) == ("reject", "eval_overlap", {"row": 1})


async def test_of_two_similar_candidates_in_flight_the_second_to_be_decided_is_rejected(
    near: Corpus, candidate: Make
) -> None:
    one, two = candidate("Voters in the islands went to the polls."), candidate("Voters in the islands went to polls.")
    assert [(await near(made)).outcome for made in (one, two)] == ["pass", "pass"]
    near.take("one", one.embedding)
    verdict = await near(two)
    assert (verdict.reason, verdict.details) == ("near_duplicate", {"neighbour": "one"})


async def test_a_candidate_is_embedded_once(near: Corpus, candidate: Make, encoder: Counting) -> None:
    made = candidate("Voters in the islands went to the polls.")
    before = encoder.calls
    for _ in range(3):
        await near(made)
    assert encoder.calls == before + 1


async def test_a_near_eval_row_is_reported_even_where_a_seed_is_near_too(near: Corpus, candidate: Make) -> None:
    near.take("copy", HashEncoder().encode([EVAL])[0])
    assert (await near(candidate(EVAL))).reason == "eval_overlap"


async def test_without_eval_rows_only_samples_count(
    news_task: Task, news_seeds: list[Sample], embedder: Embedder, candidate: Make
) -> None:
    check = await check_over(news_seeds, [], news_task, embedder)
    assert (await check(candidate(EVAL))).outcome == "pass"


async def test_samples_of_an_earlier_session_count_like_new_ones(
    near: Corpus, candidate: Make, embedder: Embedder
) -> None:
    texts = ["Voters in the islands went to the polls.", "The museum opens its new wing in spring."]
    near.order.add(sample("one"))
    near.order.add(sample("two"))
    near.extend(await embedder.embed_all(texts))
    verdict = await near(candidate(texts[1]))
    assert (verdict.reason, verdict.details) == ("near_duplicate", {"neighbour": "two"})


async def test_all_samples_accepted_between_search_and_decision_count(near: Corpus, candidate: Make) -> None:
    first = candidate("Voters in the islands went to the polls.")
    assert (await near(first)).outcome == "pass"
    others = [f"Item {number}: {'abcdefghij'[number % 10] * 20}" for number in range(600)]
    for number, vector in enumerate(HashEncoder().encode([*others, "Voters in the islands went to polls."])):
        near.take(str(number), vector)
    verdict = await near(first)
    assert (verdict.reason, verdict.details) == ("near_duplicate", {"neighbour": "600"})


class Directions:
    """Vectors in a plane: a text is `angle words`, and the cosine of two is that of the angle between them, in degrees."""

    dim = 2

    def encode(self, texts: Sequence[str]) -> Vectors:
        angles = np.radians([float(text.split()[0]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class Meaning(NearDuplicate):
    """The check over texts whose vectors are told with them, and the samples that it reads."""

    def __init__(self, task: Task, embedder: Embedder, horizon: Callable[[int], int] = from_the_start) -> None:
        self.order, self.samples = SampleOrder(), dict[str, Sample]()
        super().__init__(task, DiversityConfig(), embedder, self.order, self.samples.__getitem__, horizon, reach=1_024)

    def take(self, *texts: str, slot: int = 0) -> None:
        for text, vector in zip(texts, Directions().encode(texts), strict=True):
            made = Sample(id=text, data={"text": text}, origin="synthetic", slot=slot, item=0)
            self.samples[made.id] = made
            self.order.add(made)
            self.add(vector)


@pytest.fixture
async def meaning(news_task: Task) -> AsyncIterator[Callable[..., Meaning]]:
    made = Embedder(Directions())
    yield lambda **options: Meaning(news_task, made, **options)
    made.close()


async def test_nearly_the_same_words_are_a_near_duplicate(meaning: Callable[..., Meaning], candidate: Make) -> None:
    check = meaning()
    check.take("0 please tell me how I open a savings account")
    verdict = await check(candidate("40 tell me how I open a savings account please"))  # cosine 0.77, all words
    assert (verdict.outcome, verdict.reason) == ("reject", "near_duplicate")
    assert verdict.score == pytest.approx(0.766, abs=1e-3)
    assert verdict.details["overlap"] > 0.9


async def test_a_paraphrase_is_no_near_duplicate(meaning: Callable[..., Meaning], candidate: Make) -> None:
    check = meaning()
    check.take("0 please tell me how I open a savings account")
    verdict = await check(candidate("20 starting to put money aside with you"))  # cosine 0.94
    assert (verdict.outcome, verdict.score) == ("pass", pytest.approx(0.94, abs=1e-3))


async def test_where_seeds_of_a_label_are_much_alike_a_near_duplicate_has_to_be_more_so(
    meaning: Callable[..., Meaning], candidate: Make
) -> None:
    texts = ["0 how do I open an account", "20 how do I open my account", "40 how do I open your account"]
    seeds = [Sample(id=text, data={"text": text}, origin="seed", label="account") for text in texts * 4]
    check = meaning()
    check.take(texts[0])
    assert (await check(candidate("30 how do I open one account"))).reason == "near_duplicate"
    check.calibrate(seeds, list(Directions().encode(texts * 4)))
    assert (await check(candidate("30 how do I open one account"))).outcome == "pass"


async def test_above_the_similarity_threshold_words_do_not_matter(
    meaning: Callable[..., Meaning], candidate: Make
) -> None:
    check = meaning()
    check.take("0 please tell me how I open a savings account")
    assert (await check(candidate("10 starting to put money aside"))).reason == "near_duplicate"


async def test_a_near_duplicate_is_found_behind_a_nearer_sample_in_other_words(
    meaning: Callable[..., Meaning], candidate: Make
) -> None:
    check = meaning()
    check.take("0 please tell me how I open a savings account", "50 starting to put money aside with you")
    verdict = await check(candidate("30 tell me how I open a savings account please"))
    assert verdict.details["neighbour"] == "0 please tell me how I open a savings account"


async def test_words_count_in_scripts_without_spaces(meaning: Callable[..., Meaning], candidate: Make) -> None:
    check = meaning()
    check.take("0 我想开一个储蓄账户")
    assert (await check(candidate("30 我想要开一个储蓄账户"))).reason == "near_duplicate"
    assert (await check(candidate("30 怎么存钱比较好"))).outcome == "pass"


@pytest.mark.parametrize("seen", [0, 1, 2])
async def test_near_duplicates_do_not_depend_on_what_the_first_search_saw(
    meaning: Callable[..., Meaning], candidate: Make, seen: int
) -> None:
    held = ["50 starting to put money aside with you", "0 please tell me how I open a savings account"]
    check = meaning()
    check.take(*held[:seen])
    made = candidate("30 tell me how I open a savings account please")
    first = await check(made)
    check.take(*held[seen:])
    assert (first.outcome, (await check(made)).reason) == ("reject" if seen == 2 else "pass", "near_duplicate")


# -- counterfactuals -------------------------------------------------------------------------------

FIRST = "0 please tell me how I open a savings account"


async def test_a_counterfactual_may_resemble_its_pair_and_is_still_said_to_be_near(
    meaning: Callable[..., Meaning], candidate: Make
) -> None:
    check = meaning()
    check.take(FIRST)
    made = candidate("5 please tell me how I close a savings account", given={PAIR: FIRST})
    for _ in range(2):
        verdict = await check(made)
        assert (verdict.outcome, verdict.score) == ("pass", pytest.approx(0.996, abs=1e-3))


@pytest.mark.parametrize("seen", [1, 2])
@pytest.mark.parametrize("other", ["10 please tell us how I close one savings account", "8 words of another kind"])
async def test_a_counterfactual_may_resemble_nothing_but_its_pair(
    meaning: Callable[..., Meaning], candidate: Make, seen: int, other: str
) -> None:
    check = meaning()
    check.take(*[FIRST, other][:seen])
    made = candidate("5 please tell me how I close a savings account", given={PAIR: FIRST})
    await check(made)
    check.take(*[FIRST, other][seen:])
    verdict = await check(made)
    assert (verdict.reason, verdict.details["neighbour"]) == ("near_duplicate", other)


async def test_with_hashed_words_too_a_counterfactual_may_resemble_nothing_but_its_pair(
    near: Corpus, candidate: Make, news_seeds: list[Sample]
) -> None:
    made = candidate(news_seeds[3].data["text"] + "!", given={PAIR: news_seeds[3].id})
    assert (await near(made)).outcome == "pass"
    near.take("twin", made.embedding)
    assert (await near(made)).details == {"neighbour": "twin"}
    assert (await near(made.model_copy(update={"near_match": None}))).details == {"neighbour": "twin"}
