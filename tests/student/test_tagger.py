"""Extraction of spans: tagged word by word, scored as seqeval scores, saved as a plain token classifier."""

import itertools
import json

import pytest

from synthgen import student
from synthgen.errors import InputError
from synthgen.student import StudentConfig, TaggerConfig, TrainingConfig, TrainingRow
from synthgen.student.config import GeneratorConfig
from synthgen.student.rows import as_rows
from synthgen.student.tagger import Tagger

NAMES = ["Ann", "Bo Lee", "Cy", "Dee Ray", "Eve", "Flo"]
THINGS = ["the keys", "a lamp", "two maps", "the old radio"]
ROWS = [
    {"text": f"Please give {thing} to {name} today.", "who": name, "tags": [thing]}
    for name, thing in itertools.product(NAMES, THINGS)
]


def config(model, **knobs):
    small = {"model": str(model), "repeats": 1, "min_steps": 60, "batch_size": 8, "learning_rate": 3e-3}
    training = TrainingConfig(early_stopping=False)
    return StudentConfig(bootstrap=100, training=training, tagger=TaggerConfig(**(small | knobs)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_encoders, pairs_task):
    out, lines = tmp_path_factory.mktemp("run") / "student", []
    synthetic = [*ROWS[1:16:2], {"text": "Nobody is here.", "who": "Somebody", "tags": []}]
    cfg = config(tiny_encoders["bert"])
    metrics = student.train(pairs_task, cfg, ROWS[:16:2], synthetic, ROWS[16:], out, 1, lines.append)
    return out, cfg, metrics, lines


def test_the_headline_is_span_f1_and_every_type_has_its_row(trained):
    _, _, metrics, _ = trained
    assert (metrics["kind"], metrics["metric"]) == ("tagger", "span_f1")
    found = metrics["synthetic"]
    assert 0.5 < found["mean"] <= 1, "where a name and a thing stand is learnt in a few steps"
    assert set(found["figures"]) == {"span_precision", "span_recall", "span_f1"}
    assert {name: row["support"] for name, row in found["classes"].items()} == {"who": 8, "tags": 8}
    assert metrics["gain"]["mean"] == pytest.approx(found["mean"] - metrics["seeds_only"]["mean"])


def test_synthetic_rows_whose_targets_are_not_in_their_inputs_are_left_out_and_counted(trained):
    _, _, metrics, lines = trained
    assert lines[0] == "student: 1 of 9 synthetic rows are left out, because their targets do not occur in their inputs"
    assert metrics["synthetic"]["train_rows"] == 2 * 8 + 8
    assert (metrics["left_out"], metrics["synthetic_rows"]) == ({"no_span": 1}, 8)
    card = (trained[0] / "README.md").read_text(encoding="utf-8")
    assert "It was not trained on 1 of 9 accepted samples: 1 have a target that does not occur verbatim" in card


def test_the_figures_are_those_of_seqeval(trained, pairs_task):
    from seqeval.metrics import f1_score, precision_score, recall_score

    from synthgen.student.spans import to_tags

    out, cfg, metrics, _ = trained
    tagger = Tagger(pairs_task, cfg.tagger, lambda _: None)
    loaded = tagger.load(out)
    texts = loaded.read([row["text"] for row in ROWS[16:]])
    found = loaded.tags(texts)
    true = [to_tags(text.words, tagger._spans.locate(row)) for text, row in zip(texts, ROWS[16:], strict=True)]
    for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert metrics["synthetic"]["figures"][f"span_{name}"]["mean"] == pytest.approx(score(true, found))


def test_the_saved_folder_is_a_plain_token_classifier_and_its_answers_stand_in_the_input(trained, pairs_task):
    from transformers import AutoModelForTokenClassification

    out, cfg, _, _ = trained
    saved = AutoModelForTokenClassification.from_pretrained(out)
    assert list(saved.config.id2label.values()) == ["O", "B-who", "I-who", "B-tags", "I-tags"]
    texts = [ROWS[20]["text"], "", "Please give the keys to Flo today. " * 40]
    for text, answer in zip(texts, student.predict(pairs_task, cfg, out, [{"text": t} for t in texts]), strict=True):
        assert set(answer) == {"who", "tags", "spans"}
        for span in answer["spans"]:
            assert text[span["start"] : span["end"]].strip()
            assert text[span["start"] : span["end"]] in [answer["who"], *answer["tags"]] or span["type"] == "who"
    again = student.evaluate(pairs_task, cfg, out, ROWS[16:])
    assert again["mean"] == json.loads((out / "metrics.json").read_text())["synthetic"]["per_repeat"][0]


def test_a_row_to_evaluate_whose_target_is_not_in_its_input_is_named(trained, pairs_task):
    out, cfg, _, _ = trained
    with pytest.raises(InputError, match="who: 'Zoe' does not occur in the input"):
        student.evaluate(pairs_task, cfg, out, [{"text": "Ann", "who": "Zoe", "tags": []}])


@pytest.mark.slow
def test_targets_that_are_not_in_the_input_get_a_generator_and_the_reason_is_said(pairs_task, tiny_generator, tmp_path):
    lines = []
    model = GeneratorConfig(model=str(tiny_generator), min_steps=1, epochs=0.1, rank=2)
    cfg = StudentConfig(training=TrainingConfig(early_stopping=False), generator=model)
    rows = [{"text": "He met ANN.", "who": "Ann", "tags": []}, *ROWS[:3]]
    metrics = student.train(pairs_task, cfg, rows, [], [], tmp_path / "student", 0, lines.append)
    assert metrics["kind"] == "generator"
    assert "a generator instead of a tagger" in lines[0]
    assert lines[0].endswith("who: 'Ann' does not occur in the input 'He met ANN.'")
    assert set(student.predict(pairs_task, cfg, tmp_path / "student", [{"text": "a"}])[0]) >= {"who", "tags"}


def test_only_the_first_token_of_a_word_that_is_read_is_trained_on(tiny_encoders, pairs_task):
    tagger = Tagger(pairs_task, config(tiny_encoders["bert"], max_length=10).tagger, lambda _: None)
    made = tagger._fresh()
    row = TrainingRow({"text": "Moonlight met Ann " + "and so on " * 9, "who": "Ann", "tags": []})
    [tagged] = tagger._tagged(made, as_rows(pairs_task, [row]))
    assert len(tagged["labels"]) == len(tagged["input_ids"]) == 10
    tokens = made.tokenizer.convert_ids_to_tokens(tagged["input_ids"])
    for token, label in zip(tokens, tagged["labels"], strict=True):
        assert (label == -100) == (token.startswith("##") or token in ("[CLS]", "[SEP]"))
    assert tagged["labels"].count(1) == 1


def test_rows_of_any_length_are_scored(trained, pairs_task):
    out, cfg, _, _ = trained
    long = "Nobody is here. " * 500 + "Please give a lamp to Ann today."
    rows = [{"text": "", "who": "", "tags": []}, {"text": long, "who": "Ann", "tags": ["a lamp"]}, *ROWS[16:]]
    found = student.evaluate(pairs_task, cfg, out, rows)
    assert found["eval_rows"] == len(ROWS[16:]) + 2
    assert {name: row["support"] for name, row in found["classes"].items()} == {"who": 9, "tags": 9}
