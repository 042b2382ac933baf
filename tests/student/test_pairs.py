"""Pairs of texts: read as a pair, in both orders where the order means nothing."""

import numpy as np
import pytest
import yaml

from synthgen import student
from synthgen.cli import dispatch
from synthgen.errors import ConfigError, RunFolderError
from synthgen.student import ClassifierConfig, StudentConfig, TrainingConfig
from synthgen.student.classifier import Classifier
from synthgen.student.rows import label_rows
from synthgen.student.vectors import embed, vectors_of
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig

ENCODER = "bundled:all-minilm-l6-v2"


def shipped(name: str, **changes: object) -> Task:
    fields = yaml.safe_load((root() / f"conf/task/{name}.yaml").read_text("utf-8"))
    return load_task(TaskConfig(**(fields | changes)))


@pytest.fixture(scope="module")
def paraphrase() -> Task:
    return shipped("paraphrase")


@pytest.fixture(scope="module")
def rows(paraphrase):
    return read_samples(paraphrase.seeds, paraphrase, "seed")


def small(model) -> StudentConfig:
    tiny = ClassifierConfig(model=str(model), repeats=1, min_steps=3, epochs=0.1, batch_size=8)
    return StudentConfig(bootstrap=100, training=TrainingConfig(early_stopping=False), classifier=tiny)


def other_order(row):
    return {"first": row["second"], "second": row["first"]}


@pytest.mark.slow
def test_a_classifier_reads_both_texts_as_a_pair_and_its_answer_is_the_mean_over_both_orders(
    paraphrase, rows, tiny_encoders, tmp_path
):
    cfg, lines = small(tiny_encoders["bert"]), []
    metrics = student.train(paraphrase, cfg, rows, [], rows, tmp_path / "s", 0, lines.append)
    assert (metrics["kind"], metrics["metric"], metrics["label_rows"]) == ("classifier", "accuracy", 0)
    assert "student: no rows for the labels' names and meanings, because the student reads pairs of texts" in lines
    there = student.predict(paraphrase, cfg, tmp_path / "s", rows)
    back = student.predict(paraphrase, cfg, tmp_path / "s", [other_order(row) for row in rows])
    for one, other in zip(there, back, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    card = (tmp_path / "s/README.md").read_text()
    assert "'text_pair': " in card and "mean over both orders" in card


def test_the_training_of_symmetric_pairs_shows_every_pair_in_both_orders(paraphrase, rows, tiny_encoders):
    learner = Classifier(paraphrase, small(tiny_encoders["bert"]).classifier, lambda _: None)
    from synthgen.student.classifier import _in_turn
    from synthgen.student.inputs import inputs_of

    made = learner._fresh()
    data = [made.encode(order) for order in learner._orders(inputs_of(paraphrase, rows[:2]))]
    shown = [made.tokenizer.decode(each["input_ids"]) for each in _in_turn(data, [0, 1, 1, 0])]
    first, second = (rows[0][name].lower() for name in ("first", "second"))
    assert shown[0].index("[SEP]") < len(shown[0]) - 5, "two texts, each with its end"
    assert {shown[0], shown[3]} == {made.tokenizer.decode(made.encode([pair])[0]["input_ids"])
                                    for pair in ((first, second), (second, first))}  # fmt: skip


def test_vectors_of_a_symmetric_pair_are_the_same_in_both_orders():
    pairs = [("The dog barks.", "A dog is barking."), ("It rains.", "My keys are lost.")]
    swapped = [(second, first) for first, second in pairs]
    there, back = (vectors_of(ENCODER, each, "symmetric pair") for each in (pairs, swapped))
    assert there == pytest.approx(back)
    ordered = vectors_of(ENCODER, pairs, "pair")
    assert not np.allclose(ordered, vectors_of(ENCODER, swapped, "pair"))
    assert ordered.shape == (2, 4 * embed(ENCODER, ["a"]).shape[1])


@pytest.mark.slow
def test_a_frozen_student_of_pairs_is_saved_with_what_it_reads(paraphrase, rows, tmp_path):
    cfg = StudentConfig(kind="frozen", bootstrap=100)
    held_out = read_samples(paraphrase.eval, paraphrase, "eval")
    metrics = student.train(paraphrase, cfg, rows, held_out[:40], held_out[40:], tmp_path / "s", 0, lambda _: None)
    assert metrics["synthetic"]["mean"] == student.evaluate(paraphrase, cfg, tmp_path / "s", held_out[40:])["mean"]
    [one], [other] = (
        student.predict(paraphrase, cfg, tmp_path / "s", [row]) for row in (rows[0], other_order(rows[0]))
    )
    assert one["probabilities"] == pytest.approx(other["probabilities"])
    with pytest.raises(RunFolderError, match="the student reads a symmetric pair, but task paraphrase has a pair"):
        student.predict(shipped("paraphrase", symmetric=False), cfg, tmp_path / "s", rows[:1])


def test_label_names_are_no_pairs(paraphrase):
    assert label_rows(paraphrase, 5.0) == []


def test_only_pairs_can_be_symmetric():
    with pytest.raises(ConfigError, match=r"task\.symmetric: only a classification with two input fields"):
        shipped("urgency", symmetric=True)


@pytest.mark.slow
def test_a_run_of_pairs_ends_with_a_student_of_pairs(tmp_path, capsys):
    words = ["task=entailment", "engine=replay", "student=frozen", "diversity=hash", "judge=none", "budget.target=9"]
    assert dispatch(["run", *words, f"run.dir={tmp_path / 'out'}"]) == 0
    assert "accuracy" in capsys.readouterr().out
    (tmp_path / "in.jsonl").write_text('{"premise": "The shop is shut.", "hypothesis": "The shop is open."}\n')
    assert dispatch(["predict", str(tmp_path / "out"), str(tmp_path / "in.jsonl")]) == 0
    assert '"contradicted"' in capsys.readouterr().out
