"""An intent and its slots: two heads on one encoder, saved as a plain token classifier."""

import itertools

import numpy as np
import pytest
import yaml

from synthgen import student
from synthgen.cli import dispatch
from synthgen.errors import RunFolderError
from synthgen.student import StudentConfig, TaggerConfig, TrainingConfig, TrainingRow, kinds
from synthgen.student.intent import IntentTagger, intent_figures
from synthgen.student.spans import to_tags
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig


def shipped(**changes: object) -> Task:
    """The shipped task; its declared checks are not needed here."""
    fields = yaml.safe_load((root() / "conf/task/intent_slots.yaml").read_text("utf-8"))
    return load_task(TaskConfig(**(fields | {"checks": None} | changes)))


@pytest.fixture(scope="module")
def requests() -> Task:
    return shipped()


PEOPLE, SONGS = ["Ann", "Bo Lee", "Cy", "Dee Ray"], ["Clocks", "Yellow Moon", "Help", "Blue"]
ROWS = [
    row
    for name, song in itertools.product(PEOPLE, SONGS)
    for row in (
        {"intent": "send_money", "text": f"please send ten pounds to {name}",
         "slots": [{"slot": "amount", "text": "ten pounds"}, {"slot": "recipient", "text": name}]},
        {"intent": "play_music", "text": f"put on {song} now", "slots": [{"slot": "song", "text": song}]},
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(requests, tiny_encoders, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "student"
    small = TaggerConfig(model=str(tiny_encoders["bert"]), repeats=1, min_steps=60, batch_size=8, learning_rate=3e-3)
    cfg = StudentConfig(bootstrap=100, training=TrainingConfig(early_stopping=False), tagger=small)
    broken = {"intent": "play_music", "text": "some jazz", "slots": [{"slot": "song", "text": "Rock"}]}
    metrics = student.train(requests, cfg, ROWS[:20], [ROWS[20], broken], ROWS[22:], out, 1, lambda _: None)
    return out, cfg, metrics


@pytest.mark.slow
def test_the_headline_is_that_intent_and_slots_are_both_right(trained):
    out, _, metrics = trained
    assert (metrics["kind"], metrics["metric"]) == ("intent_tagger", "both_right")
    found = metrics["synthetic"]
    assert set(found["figures"]) == {"both_right", "intent_accuracy", "span_precision", "span_recall", "span_f1"}
    assert found["figures"]["intent_accuracy"]["mean"] > 0.9, "which of two patterns it is, is learnt in a few steps"
    assert 0.5 < found["mean"] <= found["figures"]["intent_accuracy"]["mean"]
    assert sum(map(sum, found["confusion"]["counts"])) == len(ROWS[22:])
    assert metrics["left_out"] == {"no_span": 1}
    card = (out / "README.md").read_text()
    assert "two heads" in card and "the mean over all tokens" in card


@pytest.mark.slow
def test_the_span_figures_are_those_of_seqeval_and_the_accuracy_that_of_scikit_learn(trained, requests):
    from seqeval.metrics import f1_score
    from sklearn.metrics import accuracy_score

    out, cfg, metrics = trained
    learner = IntentTagger(requests, cfg.tagger, lambda _: None)
    loaded = learner.load(out)
    texts = loaded.read([row["text"] for row in ROWS[22:]])
    tags, shares = loaded.answers(texts)
    true = [to_tags(text.words, learner._spans.locate(row)) for text, row in zip(texts, ROWS[22:], strict=True)]
    figures = metrics["synthetic"]["figures"]
    assert figures["span_f1"]["mean"] == pytest.approx(f1_score(true, tags))
    chosen = [learner._choices[index] for index in shares.argmax(1)]
    assert figures["intent_accuracy"]["mean"] == accuracy_score([row["intent"] for row in ROWS[22:]], chosen)


@pytest.mark.slow
def test_the_saved_folder_answers_the_same_as_the_code_on_its_card(trained, requests):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    out, cfg, metrics = trained
    rows = ROWS[22:25]
    answers = student.predict(requests, cfg, out, rows)
    model, tokenizer = AutoModelForTokenClassification.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    names = model.config.id2label
    values = [index for index, name in names.items() if "=" in name]
    for row, answer in zip(rows, answers, strict=True):
        assert list(answer) == ["intent", "slots", "probability", "spans"]
        logits = model(**tokenizer(row["text"], return_tensors="pt")).logits[0]
        assert names[values[logits[:, values].mean(0).argmax()]] == f"intent={answer['intent']}"
        for slot, span in zip(answer["slots"], answer["spans"], strict=True):
            assert (row["text"][span["start"] : span["end"]], span["type"]) == (slot["text"], f"slots.{slot['slot']}")
    assert student.evaluate(requests, cfg, out, ROWS[22:])["mean"] == metrics["synthetic"]["mean"]
    assert student.predict(requests, cfg, out, []) == []
    schema = requests.schema["properties"]
    fewer = {**requests.schema, "properties": {**schema, "intent": {"enum": ["send_money", "play_music"]}}}
    with pytest.raises(RunFolderError, match="the student knows the labels O, B-slots"):
        student.predict(shipped(schema=fewer), cfg, out, rows)


def test_both_are_right_only_where_the_choice_and_every_span_are():
    counts = np.zeros((1, 4, 2, 3))
    counts[0, 0, 0] = 1, 1, 1  # all right
    counts[0, 1, 0] = 1, 2, 1  # a span too many
    counts[0, 2, 1] = 0, 0, 1  # a span missed
    figures = intent_figures(np.array([[True, True, True, False]]), counts)(np.arange(4))
    assert (figures["both_right"], figures["intent_accuracy"]) == (0.25, 0.75)
    assert intent_figures(np.array([[True, True, True, True]]), counts)(np.arange(4))["both_right"] == 0.5


def test_the_kind_follows_from_the_targets(requests):
    seeds, lines = read_samples(requests.seeds, requests, "seed"), []
    assert kinds.choose(requests, StudentConfig(), seeds, lines.append) == "intent_tagger"
    assert kinds.choose(shipped(target=["slots"]), StudentConfig(), seeds, lines.append) == "tagger"
    assert kinds.choose(shipped(target=["intent"]), StudentConfig(), seeds, lines.append) == "generator"


def test_rows_without_a_choice_are_no_rows_of_an_intent_tagger(requests):
    seeds, lines = read_samples(requests.seeds, requests, "seed"), []
    without = {"text": seeds[0]["text"], "slots": seeds[0]["slots"]}
    assert kinds.choose(requests, StudentConfig(), [*seeds, without], lines.append) == "generator"
    assert "intent: a row has none" in lines[0]
    assert kinds.tagged(requests, [TrainingRow(without), TrainingRow(seeds[0])], lines.append) == [
        TrainingRow(seeds[0])
    ]


@pytest.mark.slow
def test_a_run_of_intents_and_slots_ends_with_a_student(tmp_path, tiny_encoders, capsys):
    steps = ["student.training.early_stopping=false", "student.tagger.min_steps=3", "student.tagger.epochs=0.1"]
    model = [f"student.tagger.model={tiny_encoders['bert']}", "student.tagger.repeats=1", *steps]
    words = ["task=intent_slots", "task.checks=null", "engine=replay", "diversity=hash", "judge=none", *model]
    assert dispatch(["run", *words, "budget.target=10", f"run.dir={tmp_path / 'out'}"]) == 0
    assert "both right" in capsys.readouterr().out
    (tmp_path / "in.jsonl").write_text('{"text": "wake me at six"}\n')
    assert dispatch(["predict", str(tmp_path / "out"), str(tmp_path / "in.jsonl")]) == 0
    assert '"intent": ' in capsys.readouterr().out
    assert dispatch(["evaluate", str(tmp_path / "out")]) == 0
    assert "both_right" in capsys.readouterr().out
