"""The known generator: its faults come in the shares asked for, and what a run makes of them is counted right."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import known_generator
from benchmarks.gain import data as source
from benchmarks.gain import students
from benchmarks.gain.data import Data
from benchmarks.known.faults import COPY, CUT_OFF, GOOD, NEAR, OFF_TASK, RUN_OUT, WRONG, Faults, cut, paraphrase
from benchmarks.known.judge import KnownJudge
from benchmarks.known.outcome import Counts, Fate, calibration_error
from benchmarks.known.runs import confusable, off_task_texts
from benchmarks.known.server import AskedError, Server, asked_label, fenced_text
from benchmarks.known.writer import KnownGenerator, Plant
from synthgen.diversity.embedder import HashEncoder
from synthgen.errors import ConfigError
from synthgen.labels.pool import Weighed
from synthgen.records import Json
from synthgen.student.scores import Floats

TASK = """
name: animals
kind: classification
schema:
  type: object
  properties:
    text: {type: string, minLength: 2, maxLength: 90}
    label: {enum: [cat, cow, dog, wild_dog]}
  required: [text, label]
input: [text]
target: [label]
prompts: classification
seeds: seeds.jsonl
"""
SOUNDS = {
    "cat": "the cat purrs and meows at",
    "cow": "some cow moos, quite loudly, behind",
    "dog": "a dog will bark and growl at",
    "wild_dog": "a wild dog will bark and howl at",
}
MATES = {"cat": "cow", "cow": "cat", "dog": "wild_dog", "wild_dog": "dog"}
OTHERS = ["Boil the pasta for nine minutes.", "Stir the sauce until it thickens."]


def rows(label: str, numbers: range) -> list[Json]:
    """Rows whose last words are random letters: none is near another."""
    rng = random.Random(f"{label}/{numbers}")
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(3 * len(numbers))]
    return [
        {"text": f"{SOUNDS[label]} {' '.join(words[3 * n : 3 * n + 3])}", "label": label} for n in range(len(numbers))
    ]


def write(path: Path, found: Sequence[Json]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Data:
    (tmp_path / "task.yaml").write_text(TASK)
    train = write(tmp_path / "train.jsonl", [row for label in SOUNDS for row in rows(label, range(700))])
    test = write(tmp_path / "test.jsonl", [row for label in SOUNDS for row in rows(label, range(1000, 1010))])
    return source.load(tmp_path / "task.yaml", train, test)


def generator(data: Data, faults: Faults, seed: str = "0") -> KnownGenerator:
    return KnownGenerator(data, data.train[:2], faults, MATES, OTHERS, seed)


def served(known: KnownGenerator, count: int) -> list[Plant]:
    labels = list(SOUNDS)
    return [known.reply(labels[number % 4], str(number)) for number in range(count)]


def test_faults_come_in_the_shares_that_are_asked_for(data: Data) -> None:
    plants = served(generator(data, Faults(0.8, 0.5, 0.1, 0.05, 0.05, 0.1)), 2000)
    kinds = Counter(plant.kind for plant in plants)
    assert not kinds[RUN_OUT]
    for kind, share in ((NEAR, 0.1), (COPY, 0.05), (OFF_TASK, 0.05), (CUT_OFF, 0.1)):
        assert kinds[kind] / 2000 == pytest.approx(share, abs=0.02)
    assert kinds[WRONG] / (kinds[WRONG] + kinds[GOOD]) == pytest.approx(0.2, abs=0.03)
    wrong = [plant for plant in plants if plant.kind == WRONG]
    assert all(plant.true != plant.asked for plant in wrong)
    assert sum(plant.true == MATES[plant.asked] for plant in wrong) / len(wrong) == pytest.approx(0.5, abs=0.1)
    cut_short = [plant for plant in plants if plant.kind == CUT_OFF]
    assert sum(plant.finish == "length" for plant in cut_short) / len(cut_short) == pytest.approx(0.5, abs=0.15)


def test_a_row_is_new_once_and_never_a_seed(data: Data) -> None:
    known = generator(data, Faults(0.8))
    new = [plant.source for plant in served(known, 1500) if plant.kind in (GOOD, WRONG, CUT_OFF)]
    assert len(new) == len(set(new))
    assert not {0, 1} & set(new)


def test_every_reply_differs_from_the_others_and_copies_are_word_for_word(data: Data) -> None:
    plants = served(generator(data, Faults(copies=0.3)), 400)
    assert len({plant.reply for plant in plants}) == 400
    copies = [plant for plant in plants if plant.kind == COPY]
    originals = {plant.reply.lstrip() for plant in plants if plant.kind in (GOOD, WRONG)}
    assert copies
    assert all(plant.reply.lstrip() in originals for plant in copies)
    whole = [plant for plant in plants if plant.finish == "stop"]
    assert all(json.loads(plant.reply) == {"text": plant.text} for plant in whole)


def test_the_same_request_gets_the_same_row_whatever_was_asked_between(data: Data) -> None:
    plain = Faults(duplicates=0, copies=0)
    alone = generator(data, plain).reply("dog", "17")
    busy = generator(data, plain)
    served(busy, 10)
    assert busy.reply("dog", "17").text == alone.text
    assert busy.reply("dog", "17").text != alone.text  # asked again


def test_a_train_file_that_runs_out_is_reported(data: Data) -> None:
    small = Data(data.task, data.fields, [row for row in data.train if row["label"] != "cat"][:3] + data.train[:3] +
                 [row for row in data.train if row["label"] in ("dog", "wild_dog")][::200], data.test, {})  # fmt: skip
    plants = served(KnownGenerator(small, [], Faults(), MATES, [], "0"), 100)
    assert Counter(plant.kind for plant in plants)[RUN_OUT] > 50


def test_a_paraphrase_differs_and_a_cut_text_ends_open() -> None:
    rng = random.Random(0)
    text = "Play the next song, please, in the kitchen"
    for _ in range(50):
        assert paraphrase(text, rng, lambda _: True) not in (None, text)
        short = cut(text, rng, lambda _: True)
        assert short is not None
        assert text.startswith(short)
        assert short.endswith(("the", "in", ",")) or text[len(short)].isalpha()
    assert cut("Stop", rng, lambda _: True) is None


def test_shares_above_one_in_sum_are_refused() -> None:
    with pytest.raises(ConfigError, match="must not be above 1 in sum"):
        Faults(duplicates=0.6, copies=0.5)


def test_the_label_asked_for_is_the_last_one_named(data: Data) -> None:
    assert asked_label(data.task, "Write a new example of dog. Label: dog") == "dog"
    assert asked_label(data.task, "Write a new example of wild dog. Label: wild_dog") == "wild_dog"
    assert asked_label(data.task, "Not of dog, cat. Write an example of wild dog") == "wild_dog"
    with pytest.raises(AskedError, match="no label of task animals"):
        asked_label(data.task, "Write a new example of bird.")


def test_questions_show_their_text_between_marks(data: Data) -> None:
    assert fenced_text(data.task, "[a1] a dog [x] barks [a1]\nLabel?") == "a dog [x] barks"
    assert fenced_text(data.task, "[a1]\ntext: a dog barks\nlabel: dog\n[a1]\nGrade?") == "a dog barks"
    with pytest.raises(AskedError):
        fenced_text(data.task, "a dog barks. Label?")


def test_the_judge_is_right_about_the_share_of_texts_that_is_asked_for(data: Data) -> None:
    known = generator(data, Faults())
    judge = KnownJudge(list(SOUNDS), known.truth, MATES, 0.7, 0.5, "0")
    right, confused = 0, 0
    for row in data.train:
        shares = judge.label(row["text"], list(SOUNDS))
        assert sum(shares.values()) == pytest.approx(1)
        assert shares == judge.label(row["text"], list(SOUNDS))
        best = max(shares, key=lambda label: shares[label])
        assert 0.6 <= shares[best] <= 0.9
        right += best == row["label"]
        confused += best == MATES[row["label"]]
    assert right / len(data.train) == pytest.approx(0.7, abs=0.03)
    assert confused / len(data.train) == pytest.approx(0.15, abs=0.03)
    assert set(judge.label("N/A", list(SOUNDS)).values()) == {0.25}


def test_sound_texts_are_graded_higher_than_cut_and_off_task_ones(data: Data) -> None:
    known = generator(data, Faults(1.0, cut_off=0.2, off_task=0.2))
    server = Server(data.task, known, KnownJudge(list(SOUNDS), known.truth, MATES, 1.0, 0.5, "0"))
    plants = served(known, 200)

    def graded(text: str) -> str:
        messages = [{"role": "user", "content": f"[m]\ntext: {text}\nlabel: dog\n[m]\nGrade?"}]
        body = {
            "messages": messages,
            "logprobs": True,
            "top_logprobs": 3,
            "structured_outputs": {"choice": list("12345")},
        }
        first = server.answer(body)["choices"][0]
        assert len(first["logprobs"]["content"][0]["top_logprobs"]) == 3
        return str(first["message"]["content"])

    assert {graded(plant.text) for plant in plants if plant.kind == GOOD} == {"5"}
    assert {graded(plant.text) for plant in plants if plant.kind in (OFF_TASK, CUT_OFF)} == {"1"}


def fate(kind: str, true: str | None, asked: str, label: str | None, place: int = 0, reason: str = "") -> Fate:
    plant = Plant(kind, asked, true, "text", "{}", "stop", place)
    return Fate(plant, f"id{place}{label}" if label else None, label, None if label else "check", reason or None)


def test_caught_and_lost_are_counted_as_defined() -> None:
    counts = Counts()
    counts.add(
        [
            fate(WRONG, "cat", "dog", None, 1, "label"),
            fate(WRONG, "cat", "dog", "cat", 2),
            fate(WRONG, "cat", "dog", "cow", 3),
            fate(WRONG, "cat", "dog", "dog", 4),
            fate(NEAR, "dog", "dog", None, 5, "near_duplicate"),
            fate(NEAR, "dog", "cat", "dog", 6),  # another label does not make it new
            fate(COPY, "dog", "dog", "dog", 7),
            fate(OFF_TASK, None, "dog", None, -1, "label"),
            fate(CUT_OFF, "dog", "dog", "dog", 9),
            fate(GOOD, "dog", "dog", "dog", 7),
            fate(GOOD, "dog", "dog", "cat", 11),
            fate(GOOD, "dog", "dog", None, 12, "label"),
            fate(GOOD, "dog", "dog", "dog", 13),
        ],
        {},
    )
    found = counts.figures()
    assert found["caught.wrong_label"] == 0.75
    assert found["relabelled_right"] == 0.25
    assert found["caught.near_duplicate"] == 0.5
    assert (found["caught.copy"], found["caught.off_task"], found["caught.cut_off"]) == (0, 1, 0)
    assert found["lost_good"] == 0.5
    assert (found["lost_good.label"], found["lost_good.relabelled"]) == (0.25, 0.25)
    assert found["accepted"] == 9
    assert found["kept_right"] == pytest.approx(6 / 9)
    assert (found["doubled.copy"], found["doubled.near_duplicate"]) == (1, 0)


def test_the_label_model_is_scored_by_its_likeliest_label() -> None:
    counts = Counts()
    counts.add(
        [fate(GOOD, "dog", "dog", "dog", 1), fate(WRONG, "cat", "dog", "dog", 2)],
        {"id1dog": Weighed(1.0, {"dog": 0.8, "cat": 0.2}), "id2dog": Weighed(0.5, {"cat": 0.8, "dog": 0.2})},
    )
    found = counts.figures()
    assert (found["kept_right"], found["model_right"]) == (0.5, 1.0)
    assert found["model_ece"] == pytest.approx(0.2)


def test_calibration_error_is_zero_for_shares_that_come_true() -> None:
    right = np.asarray([1, 1, 1, 0, 1.0])
    assert calibration_error(np.full(5, 0.8), right) == pytest.approx(0)
    assert calibration_error(np.full(5, 0.95), right) == pytest.approx(0.15)


def test_confusable_labels_are_those_that_are_nearest(data: Data) -> None:
    mates = confusable(data, HashEncoder())
    assert mates["dog"] == "wild_dog"
    assert mates["wild_dog"] == "dog"


def test_off_task_rows_are_read_from_the_input_field_or_the_first_string(data: Data, tmp_path: Path) -> None:
    path = write(tmp_path / "other.jsonl", [{"n": 1, "title": "Boil it."}, {"title": "x", "text": "Stir it."}])
    assert off_task_texts(path, data.task) == ["Boil it.", "Stir it."]


class HashedVectors:
    def __init__(self, model: str) -> None:
        pass

    def of(self, texts: Sequence[str]) -> Floats:
        return HashEncoder().encode(texts).astype("float64")


@pytest.mark.slow
def test_a_run_is_measured_from_its_ledger(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(students, "Vectors", HashedVectors)
    out = tmp_path / "found.json"
    off_task = write(tmp_path / "other.jsonl", [{"text": text} for text in OTHERS])
    words = [
        "--task", str(tmp_path / "task.yaml"), "--train", str(tmp_path / "train.jsonl"), "--test", str(tmp_path / "test.jsonl"),
        "--off-task", str(off_task), "--n", "40", "--work", str(tmp_path / "work"), "--out", str(out),
        "--overrides", "diversity=hash", "budget.min_free_gigabytes=0",
    ]  # fmt: skip
    assert known_generator.main(words) == 0
    found = json.loads(out.read_text())
    assert found["accepted"] == 40
    assert found["caught.copy"] in (None, 1)
    assert found["loop.rows"] == found["clean_n.rows"] == 40
    assert found["real_full.accuracy"] > 0.9
    assert known_generator.main([*words, "--arms", "seeds"]) == 0  # from the ledger that is there
    again = json.loads(out.read_text())
    assert again["seconds"] is None
    assert again["lost_good"] == found["lost_good"]
