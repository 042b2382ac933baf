"""The off-task check: what is more like anything else than like the task is rejected, and it says so."""

from collections.abc import Callable

import numpy as np
import pytest

from synthgen.diversity.embedder import Vectors
from synthgen.diversity.off_task import OffTask, OffTaskConfig, background_texts, predicted_quantiles
from synthgen.errors import ConfigError
from synthgen.records import Candidate

Make = Callable[..., Candidate]
DIM = 32
LABELS = {"loan": "loan", "card": "lost card"}


def around(center: int, count: int, spread: float, seed: int) -> Vectors:
    """Unit vectors at random about an axis; the less `spread`, the nearer to it."""
    vectors = spread * np.random.default_rng(seed).normal(size=(count, DIM)) / np.sqrt(DIM)
    vectors[:, center] += 1
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def anywhere(count: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def make(cfg: OffTaskConfig | None = None, labels: dict[str, str] = LABELS, background: int = 200) -> OffTask:
    """The check for a task whose labels lie about axes 0 and 1, four seeds each."""
    seeds = np.concatenate([around(0, 4, 1.0, 1), around(1, 4, 1.0, 2)])
    names = np.concatenate([around(0, 1, 0.5, 3), around(1, 1, 0.5, 4)])[: len(labels)]
    description = around(0, 1, 2.0, 5)
    of = ["loan"] * 4 + ["card"] * 4 if labels else [None] * 8
    return OffTask(
        cfg or OffTaskConfig(),
        lambda data: str(data["text"]),
        labels,
        seeds,
        of,
        np.concatenate([names, description]),
        anywhere(background, 6),
    )


def rejected(check: OffTask, vectors: Vectors, label: str | None) -> float:
    threshold = check.threshold(label)
    assert threshold is not None
    return float(np.mean([check.score(vector, label) < threshold for vector in vectors]))


@pytest.mark.parametrize(("text", "outcome"), [("明天天气怎么样", "pass"), ("别生气了，今天算了", "reject")])
async def test_a_text_contains_a_chinese_label_only_as_a_word(text: str, outcome: str, candidate: Make) -> None:
    check, made = make(labels={"loan": "天气", "card": "音乐"}), candidate(text, label="loan")
    made.embedding = around(9, 1, 0.5, 7)[0]
    assert (await check(made)).outcome == outcome


async def test_a_text_of_another_kind_is_rejected_with_score_and_threshold(candidate: Make) -> None:
    check, made = make(), candidate("One times two is two.", label="loan")
    made.embedding = around(9, 1, 0.5, 7)[0]
    verdict = await check(made)
    assert (verdict.check, verdict.outcome, verdict.reason) == ("off_task", "reject", "off_task")
    assert verdict.score is not None
    assert verdict.score < verdict.details["threshold"]


async def test_a_text_of_the_task_passes(candidate: Make) -> None:
    check, made = make(), candidate("I want to borrow money.", label="loan")
    made.embedding = around(0, 1, 0.8, 8)[0]
    assert (await check(made)).outcome == "pass"


@pytest.mark.parametrize(
    ("text", "outcome"), [("My card, it is LOST!", "pass"), ("My card.", "reject"), ("Lost cards.", "reject")]
)
async def test_a_text_that_says_the_name_of_its_label_passes(candidate: Make, text: str, outcome: str) -> None:
    check, made = make(), candidate(text, label="card")
    made.embedding = -around(1, 1, 0.5, 7)[0]
    assert (await check(made)).outcome == outcome


def test_most_texts_of_the_task_pass_and_most_others_do_not() -> None:
    check = make()
    assert rejected(check, around(0, 200, 1.0, 9), "loan") <= 0.05
    assert rejected(check, anywhere(200, 10), "loan") >= 0.8


def test_a_text_of_another_label_is_nearer_to_the_task_than_one_of_another_kind() -> None:
    check = make()
    scores = [np.median([check.score(vector, label) for vector in around(0, 50, 1.0, 11)]) for label in LABELS]
    other = np.median([check.score(vector, "card") for vector in anywhere(50, 12)])
    assert scores[0] > scores[1] > other


def test_more_sensitivity_and_more_seed_loss_catch_more() -> None:
    thresholds = [
        make(OffTaskConfig(sensitivity=sensitivity, seed_loss=loss)).threshold("loan")
        for sensitivity, loss in ((0.5, 0.03), (0.95, 0.03), (0.95, 0.5))
    ]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] < thresholds[-1]


def test_a_label_with_texts_of_all_kinds_is_judged_more_leniently_than_the_others() -> None:
    labels = {name: name for name in "abcdefgh"}
    narrow = [around(axis, 2, 1.0, axis) for axis in range(7)]
    names = np.concatenate([*(around(axis, 1, 0.5, 20 + axis) for axis in range(7)), anywhere(2, 30)])
    seeds, of = np.concatenate([*narrow, anywhere(2, 31)]), [label for label in labels for _ in range(2)]
    check = OffTask(OffTaskConfig(), str, labels, seeds, of, names, anywhere(200, 6))
    assert rejected(check, anywhere(200, 10), "a") >= 0.8
    assert rejected(check, anywhere(200, 10), "h") <= 0.1
    assert rejected(check, around(0, 200, 1.0, 9), "a") <= 0.05


def test_a_text_of_an_unknown_label_is_judged_by_the_lowest_threshold() -> None:
    check = make()
    known = [check.threshold(label) for label in LABELS]
    assert check.threshold("account") == min(found for found in known if found is not None)


def groups(*sizes: int) -> list[np.ndarray]:
    of = np.repeat(np.arange(len(sizes)), sizes)
    return [of == place for place in range(len(sizes))]


def test_a_quantile_is_predicted_from_a_groups_own_scores_where_groups_differ() -> None:
    low, middle, high = predicted_quantiles(np.array([0.0, 0.1, 4.0, 4.1, 4.2, 4.3]), groups(2, 2, 2), 0.05)
    assert low < 0.1
    assert middle > 3.5
    assert high == pytest.approx(middle, abs=0.2)


def test_a_quantile_is_predicted_from_all_scores_where_groups_do_not_differ() -> None:
    found = predicted_quantiles(np.array([1.0, 3.0, 3.0, 1.0, 1.0, 3.0]), groups(2, 2, 2), 0.05)
    assert found == pytest.approx([1.0] * 3)


def test_scores_far_above_the_median_change_no_prediction() -> None:
    scores = np.array([1.0, 2.0, 3.0, 3.0, 5.0, 6.0])
    far = np.array([1.0, 2.0, 3.0, 3.0, 50.0, 600.0])
    assert predicted_quantiles(scores, groups(2, 2, 2), 0.1) == predicted_quantiles(far, groups(2, 2, 2), 0.1)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 0), (1, 0)])
def test_groups_of_one_or_no_score_are_predicted_from_all(sizes: tuple[int, ...]) -> None:
    found = predicted_quantiles(np.array([1.0, 2.0, 3.0]), [*groups(*sizes, 3 - sum(sizes))][: len(sizes)], 0.1)
    assert np.isfinite(found).all()
    assert max(found) < 2


def test_a_task_without_labels_loses_no_seed() -> None:
    check = make(labels={})
    assert rejected(check, around(0, 50, 1.0, 13), None) == 0
    assert rejected(check, -around(0, 50, 1.0, 14), None) >= 0.9


async def test_an_embedder_that_finds_all_texts_alike_rejects_nothing(candidate: Make) -> None:
    check, made = make(background=40), candidate("One times two is two.", label="loan")
    made.embedding = around(9, 1, 0.5, 7)[0]
    assert (await check(made)).outcome == "pass"


def test_the_background_has_texts_of_many_kinds() -> None:
    texts = background_texts()
    assert len(texts) == len(set(texts)) > 200
    assert not [text for text in texts if text.startswith("#")]


@pytest.mark.parametrize("key", ["sensitivity", "seed_loss"])
def test_a_share_is_from_0_to_below_1(key: str) -> None:
    with pytest.raises(ConfigError, match=f"diversity.off_task.{key}: must be from 0 to below 1, got 1"):
        OffTaskConfig(**{key: 1.0})
