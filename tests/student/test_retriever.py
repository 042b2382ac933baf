"""The student of retrieval: its figures are those of sentence-transformers, and its negatives are no right answers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shipped_tasks import shipped

from synthgen import student
from synthgen.errors import ConfigError, RunFolderError
from synthgen.student import kinds
from synthgen.student.config import StudentConfig, TrainingConfig
from synthgen.student.mining import NegativeLimits, mined
from synthgen.student.named import RetrieverConfig
from synthgen.student.ranking import METRICS, ranking_figures, ranking_scores
from synthgen.student.retriever import Retriever, apart
from synthgen.student.rows import TrainingRow
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task

Rows = list[dict[str, Any]]
Settings = Callable[..., StudentConfig]


@pytest.fixture(scope="module")
def task() -> Task:
    return shipped("retrieval")


@pytest.fixture(scope="module")
def seeds(task: Task) -> Rows:
    return read_samples(task.seeds, task, "seed")


@pytest.fixture(scope="module")
def held_out(task: Task) -> Rows:
    assert task.eval
    return read_samples(task.eval, task, "eval")


@pytest.fixture
def settings(tiny_encoders: dict[str, Path]) -> Settings:
    def make(**changes: Any) -> StudentConfig:
        small = {"model": str(tiny_encoders["bert"]), "repeats": 1, "min_steps": 4, "epochs": 0.1, "batch_size": 4}
        cfg = RetrieverConfig(**{**small, "learning_rate": 1e-3, "max_length": 48, "near_duplicate": 1.0, **changes})
        return StudentConfig(retriever=cfg, bootstrap=100, training=TrainingConfig(early_stopping=False))

    return make


def says(_: str) -> None:
    pass


# -- figures ---------------------------------------------------------------------------------------


def test_the_figures_are_those_of_sentence_transformers(
    task: Task, seeds: Rows, held_out: Rows, settings: Settings, tiny_encoders: dict[str, Path]
) -> None:
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    rows = [*held_out[:30], {"query": held_out[0]["query"], "passage": seeds[0]["passage"]}]
    learner = Retriever(task, settings().retriever, says)
    loaded = learner._encoder()
    passages = list(dict.fromkeys([row["passage"] for row in rows + seeds]))
    scores = learner.score(student_of(loaded, passages), rows)
    found = learner.figures(rows, [scores])(np.arange(len(rows)))

    right: dict[str, set[str]] = {}
    for row in rows:
        right.setdefault(row["query"], set()).add(str(passages.index(row["passage"])))
    evaluator = InformationRetrievalEvaluator(
        {str(number): row["query"] for number, row in enumerate(rows)},
        {str(number): text for number, text in enumerate(passages)},
        {str(number): right[row["query"]] for number, row in enumerate(rows)},
        write_csv=False,
    )
    theirs = evaluator(loaded)
    for ours, name in (("ndcg@10", "cosine_ndcg@10"), ("recall@10", "cosine_recall@10"), ("mrr", "cosine_mrr@10")):
        assert found[ours] == pytest.approx(theirs[name], abs=1e-6)
    assert 0 < found["ndcg@10"] < 1


def student_of(model: Any, passages: list[str]) -> Any:
    from synthgen.student.retriever import Student

    return Student(model, passages)


def test_a_ranking_counts_its_first_ten_passages() -> None:
    rankings = np.array([[3, *range(10, 19)], [*range(10, 19), 3], list(range(10, 20)), [10, 3, 4, *range(11, 18)]])
    scores = ranking_scores(rankings, [{3}, {3}, {3}, {3, 4}])
    assert scores[:, 1].tolist() == [1, 1, 0, 1]
    assert scores[:, 2] == pytest.approx([1, 0.1, 0, 0.5])
    ndcg = [1, 1 / np.log2(11), 0, (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3))]
    assert scores[:, 0] == pytest.approx(ndcg)
    assert ranking_figures(scores[None])(np.array([0, 2])) == dict(zip(METRICS, [0.5, 0.5, 0.5], strict=True))


def test_metrics_of_the_task_choose_the_headline(task: Task, settings: Settings) -> None:
    cfg = settings().retriever
    assert Retriever(replace(task, metrics=()), cfg, says).headline == "ndcg@10"
    assert Retriever(replace(task, metrics=("mrr",)), cfg, says).headline == "mrr"
    with pytest.raises(ConfigError, match=r"task.metrics: a retriever has no metric 'bleu'; choose from ndcg@10"):
        Retriever(replace(task, metrics=("bleu",)), cfg, says)


# -- hard negatives --------------------------------------------------------------------------------


def unit(*degrees: float) -> Any:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize(
    ("passages", "negative", "why"),
    [
        ((20, 50, 70), 1, "the nearest passage that is farther than the right one"),
        ((20, 10, 70), 2, "a nearer passage may be an answer too"),
        ((20, 21, 70), 2, "a passage that says the same is no negative"),
        ((20, 30, 70), 2, "a passage within the margin may be an answer too"),
    ],
)
def test_a_negative_is_near_and_no_answer(passages: tuple[float, ...], negative: int, why: str) -> None:
    limits = NegativeLimits(count=1, share=0.9, near=0.99)
    assert mined(unit(0), unit(*passages), np.array([0]), [frozenset({0})], limits, 0) == [[negative]], why


def test_a_passage_that_another_row_gives_for_the_same_query_is_no_negative() -> None:
    limits = NegativeLimits(count=1, share=0.95, near=0.99)
    assert mined(unit(0), unit(20, 50, 70), np.array([0]), [frozenset({0, 1})], limits, 0) == [[2]]


def test_a_query_without_hard_negatives_gets_a_random_one_that_says_something_else() -> None:
    limits = NegativeLimits(count=2, share=0.95, near=0.99)
    found = mined(unit(0), unit(80, 80.5, 10, 30), np.array([0]), [frozenset({0})], limits, 0)
    assert sorted(found[0]) == [2, 3]
    assert found == mined(unit(0), unit(80, 80.5, 10, 30), np.array([0]), [frozenset({0})], limits, 0)


def test_no_batch_has_a_query_or_a_passage_twice() -> None:
    keys = [{"a", 1}, {"a", 2}, {"b", 1}, {"c", 3}, {"d", 4}]
    order = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    found = apart(order, keys, 3)
    assert len(found) == len(order)
    for start in range(0, len(found), 3):
        shared = [key for row in found[start : start + 3] for key in keys[row]]
        assert len(shared) == len(set(shared))


def test_a_batch_is_filled_where_all_rows_share_a_passage() -> None:
    assert apart([0, 1, 0, 1], [{1}, {1}], 2) == [0, 1, 0, 1]


# -- training --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_arms_search_the_passages_of_all_rows_and_the_student_keeps_them(
    task: Task, seeds: Rows, held_out: Rows, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "student"
    metrics = student.train(task, settings(), seeds[:8], seeds[8:], held_out[:12], out, 0, says)
    assert (metrics["kind"], metrics["metric"]) == ("retriever", "ndcg@10")
    assert [metrics[arm]["passages"] for arm in ("seeds_only", "synthetic")] == [32, 32]
    assert set(metrics["synthetic"]["figures"]) == set(METRICS)
    kept = [json.loads(line)["passage"] for line in (out / "passages.jsonl").read_text().splitlines()]
    assert sorted(kept) == sorted(row["passage"] for row in seeds)
    for line in map(json.loads, (out / "negatives.jsonl").read_text().splitlines()):
        assert line["negatives"]
        assert line["passage"] not in line["negatives"]
    again = student.evaluate(task, settings(), out, held_out[:12])
    assert again["mean"] == pytest.approx(metrics["synthetic"]["mean"])
    assert "sentence-transformers" in (out / "README.md").read_text()


def test_a_prediction_is_the_best_passages_for_a_query(
    task: Task, seeds: Rows, settings: Settings, tmp_path: Path
) -> None:
    cfg = settings(answers=3, min_steps=1)
    student.train(task, cfg, seeds[:6], [], [], tmp_path / "student", 0, says)
    [answer] = student.predict(task, cfg, tmp_path / "student", [{"query": seeds[0]["query"]}])
    assert answer["passage"] == answer["passages"][0]["text"]
    scores = [one["score"] for one in answer["passages"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3


@pytest.mark.slow
def test_the_same_seed_gives_the_same_student_and_training_teaches_the_pairs(
    task: Task, seeds: Rows, settings: Settings, tmp_path: Path
) -> None:
    cfg = settings(min_steps=25, learning_rate=3e-3)
    first, second = (
        student.train(task, cfg, seeds[:8], [], seeds[:8], tmp_path / name, 3, says) for name in ("one", "two")
    )
    assert first["synthetic"]["per_repeat"] == second["synthetic"]["per_repeat"]
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "two/model.safetensors").read_bytes()
    untrained = Retriever(task, cfg.retriever, says)
    before = untrained.score(student_of(untrained._encoder(), []), seeds[:8])[:, 2].mean()
    assert first["synthetic"]["figures"]["mrr"]["mean"] > before


@pytest.mark.slow
def test_the_steps_are_chosen_on_held_out_rows(task: Task, seeds: Rows, settings: Settings, tmp_path: Path) -> None:
    cfg = replace(settings(), training=TrainingConfig(folds=2))
    metrics = student.train(task, cfg, seeds[:8], [], [], tmp_path / "student", 0, says)
    assert metrics["synthetic"]["steps_chosen_by"] == "2-fold cross-validation"
    assert all(loss > 0 for _, loss in metrics["synthetic"]["held_out_loss"])


def test_a_folder_without_passages_is_no_retriever(task: Task, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="this is not a retriever"):
        Retriever(task, settings().retriever, says).load(tmp_path)


def test_a_task_that_does_not_fit_is_refused(task: Task, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"task\.target: the target of a retriever is one text"):
        Retriever(replace(task, target=("passage", "query")), settings().retriever, says)
    with pytest.raises(ConfigError, match=r"task\.student: a retriever is not for classification"):
        kinds.choose(replace(task, kind="classification"), StudentConfig(), [], says)


def test_rows_of_more_weight_are_used_more_often(task: Task, seeds: Rows, settings: Settings) -> None:
    rows = [TrainingRow(seeds[0], 3.0), *(TrainingRow(row) for row in seeds[1:4])]
    assert kinds.build("retriever", task, settings(), says, rows).steps(len(rows)) == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"margin": 0}, "student.retriever.margin: must be above 0 and at most 1, got 0"),
        ({"negatives": -1}, "student.retriever.negatives: must be 0 or more, got -1"),
        ({"scale": 0}, "student.retriever.scale: must be above 0, got 0"),
    ],
)
def test_values_are_checked(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RetrieverConfig(**keys)
    assert message in str(caught.value)
