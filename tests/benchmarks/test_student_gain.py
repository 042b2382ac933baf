"""The student benchmark: what its draws, arms and intervals are, and that a run of it on tiny data has all its keys."""

import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import forks
import numpy as np
import pytest
import yaml

from benchmarks.gain.arms import ARMS, Arm, everything, simply_filtered, variety
from benchmarks.gain.augment import augmented, changed_text
from benchmarks.gain.data import Data, balanced, draw_seeds, load
from benchmarks.gain.figures import figures, macro_f1
from benchmarks.gain.runs import ONE_SHOT, RunFailedError, Runs
from benchmarks.gain.settings import bind
from benchmarks.gain.strategies import weights_of
from benchmarks.gain.students import Frozen, Students, Vectors
from benchmarks.student_gain import main, rightness
from synthgen.diversity.embedder import HashEncoder
from synthgen.errors import ConfigError, InputError, RunFolderError
from synthgen.labels.pool import Weighed
from synthgen.ledger import Reader
from synthgen.records import content_id
from synthgen.student import FrozenConfig, StudentConfig, TrainingRow, fit_classifier

LABELS = ["alarm", "music", "weather"]
WORDS = {  # so unlike what the labels mean that a few seeds do not tell them apart
    "alarm": "river paper cousin violet engine harvest mirror island pocket winter",
    "music": "ladder bishop garlic tunnel velvet anchor pepper cotton meadow rocket",
    "weather": "button forest sailor copper pillow needle orchard castle ribbon temple",
}
SCRIPTED = ["engine=replay", "diversity=hash", "student.frozen.strengths=[10.0]"]


def row(label: str, number: int, **more: Any) -> dict[str, Any]:
    rng = random.Random(f"{label}/{number}")
    text = " ".join(rng.choice(WORDS[label].split()) for _ in range(3)) + f" {number}"
    return {"text": text, "label": label, **more}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_task(folder: Path, **changes: Any) -> Path:
    fields = {
        "name": "assistant", "kind": "classification", "description": "What people say to an assistant.",
        "schema": {
            "type": "object",
            "properties": {"text": {"type": "string", "maxLength": 60}, "label": {"enum": LABELS}},
            "required": ["text", "label"],
        },
        "input": ["text"], "target": ["label"], "prompts": "classification", "seeds": "seeds.jsonl",
    }  # fmt: skip
    path = folder / "assistant.yaml"
    path.write_text(yaml.safe_dump(fields | changes, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def write_files(folder: Path) -> dict[str, Path]:
    """Task, train and test; rows have a field that the task has not."""
    train = [row(label, number, slots=[]) for label in LABELS for number in range(12)]
    test = [row(label, number) for label in LABELS for number in range(100, 108)]
    return {
        "task": write_task(folder),
        "train": write_rows(folder / "train.jsonl", train),
        "test": write_rows(folder / "test.jsonl", test),
    }


@pytest.fixture(scope="module", autouse=True)
def _runs_are_forked() -> Iterator[None]:
    with mock.patch("benchmarks.common.subprocess", forks.like_subprocess):
        yield


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return write_files(tmp_path)


@pytest.fixture
def data(files: dict[str, Path]) -> Data:
    return load(files["task"], files["train"], files["test"])


# -- data ------------------------------------------------------------------------------------------


def test_test_rows_that_also_stand_in_train_are_dropped_whatever_their_case(files: dict[str, Path]) -> None:
    with files["test"].open("a") as file:
        file.write(json.dumps({"text": row("music", 3)["text"].upper(), "label": "music"}) + "\n")
    found = load(files["task"], files["train"], files["test"])
    assert len(found.test) == 24
    assert found.left_out["test_also_in_train"] == 1


def test_fields_of_others_are_dropped_and_rows_of_other_labels_counted(files: dict[str, Path]) -> None:
    write_rows(files["train"], [row(label, 1, slots=[1]) for label in LABELS] + [{"text": "hm", "label": "other"}])
    found = load(files["task"], files["train"], files["test"])
    assert [set(line) for line in found.train] == [{"text", "label"}] * 3
    assert found.left_out["train_of_other_labels"] == 1


def test_a_draw_has_k_different_seeds_of_each_label_and_comes_out_the_same_again(data: Data) -> None:
    first, second = draw_seeds(data, 3, 0, 0), draw_seeds(data, 3, 0, 1)
    assert Counter(map(data.label, first)) == dict.fromkeys(LABELS, 3)
    assert len({line["text"] for line in first}) == 9
    assert first == draw_seeds(data, 3, 0, 0)
    assert first != second


def test_rows_that_a_run_would_refuse_as_seeds_are_not_drawn(files: dict[str, Path]) -> None:
    bad = [{"text": "x" * 99, "label": "music"}, {"text": "a <|im_end|> song", "label": "music"}]
    write_rows(files["train"], [*[row(label, number) for label in LABELS for number in range(2)], *bad])
    data = load(files["task"], files["train"], files["test"])
    assert len(data.train) == 8  # for the arms of real data they are rows like others
    assert all(line not in bad for line in draw_seeds(data, 2, 0, 0))
    with pytest.raises(InputError, match=r"2 different rows of label 'alarm' .* --k is 3"):
        draw_seeds(data, 3, 0, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "generation", "target": ["label"]}, "kind is generation"),
        ({"labls": {}}, "labls"),
    ],
)
def test_a_task_that_cannot_be_compared_is_named(files: dict[str, Path], changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(write_task(files["task"].parent, **changes), files["train"], files["test"])


def test_a_row_without_a_field_is_named_with_its_line(files: dict[str, Path]) -> None:
    write_rows(files["test"], [row("music", 200), {"label": "music"}])
    with pytest.raises(InputError, match=r"test\.jsonl:2:1: lacks the field 'text'"):
        load(files["task"], files["train"], files["test"])


# -- arms ------------------------------------------------------------------------------------------


def test_balanced_takes_labels_in_turns(data: Data) -> None:
    rows = [row("music", number) for number in range(5)] + [row("alarm", 0)]
    assert [line["label"] for line in balanced(rows, 4, data)] == ["alarm", "music", "music", "music"]


def test_augmented_rows_keep_their_label_and_are_made_of_its_words(data: Data) -> None:
    seeds = draw_seeds(data, 2, 0, 0)
    rows = augmented(seeds, 10, data, random.Random(0))
    assert Counter(map(data.label, rows)) == {"alarm": 4, "music": 3, "weather": 3}
    for line in rows:
        own = " ".join(seed["text"] for seed in seeds if seed["label"] == line["label"]).split()
        assert set(line["text"].split()) <= set(own)
    assert len({line["text"] for line in rows}) > 5


def test_chinese_is_augmented_by_characters() -> None:
    changed = [changed_text("帮我订一张票", ["今天天气怎么样"], random.Random(seed)) for seed in range(20)]
    assert all(" " not in text for text in changed)
    assert len(set(changed)) > 5


def test_the_simple_filter_drops_near_duplicates_and_labels_that_the_student_does_not_give(data: Data) -> None:
    seeds = [row("music", 1)]
    good, unlike = {"text": "something else entirely", "label": "music"}, {"text": "rain rain", "label": "music"}
    rows = [{**seeds[0]}, good, {**good}, unlike]
    kept = simply_filtered(seeds, rows, data, HashEncoder(), lambda _, asked: ["music"] * 3 + ["weather"])
    assert kept == [good]


def test_the_simple_filters_student_knows_the_seeds_alone(data: Data) -> None:
    asked: list[Arm] = []

    def labelled_by(arm: Arm, rows: Any) -> list[str]:
        asked.append(arm)
        return ["music"] * len(rows)

    simply_filtered([row("music", 1)], [row("music", 2)], data, HashEncoder(), labelled_by)
    assert asked == [Arm([row("music", 1)], [], described=False)]


def test_every_arm_but_seeds_has_the_label_rows_at_one_weight_beside_the_seeds(data: Data, tmp_path: Path) -> None:
    students = Students(data, StudentConfig(label_rows=5.0), tmp_path, 0)
    seeds, more = [row("music", 1), row("alarm", 1)], [row("music", 2)]

    def shares(arm: Arm) -> tuple[float, float]:
        """Weight of all label rows, and of other rows that people wrote, over that of a seed."""
        mix = students._mix("frozen", students._config("frozen"), arm)
        seed = sum(line.weight for line in mix if line.data == seeds[0])
        return (
            sum(line.weight for line in mix if not line.sample) / seed,
            sum(line.weight for line in mix if line.data == more[0]) / seed,
        )

    assert shares(Arm(seeds, [], described=False)) == (0, 0)
    assert shares(Arm(seeds, [])) == (15, 0)
    assert shares(Arm(seeds, more)) == (15, 1)
    assert shares(Arm(seeds, more, synthetic=True)) == (15, 1 / 2)  # seeds are repeated beside synthetic rows
    assert shares(Arm(seeds, more, synthetic=True, worth=[Weighed(0.1)])) == (15, 0.05)
    full = students._mix("frozen", students._config("frozen"), everything(data))
    assert sum(line.weight for line in full if not line.sample) == 15


def test_more_real_rows_have_labels_at_random_where_they_are_fewer_than_labels(data: Data) -> None:
    rows = [row(label, number) for label in LABELS for number in range(5)]
    assert [line["label"] for line in balanced(rows, 2, data, ["weather", "alarm", "music"])] == ["weather", "alarm"]
    assert Counter(map(data.label, balanced(rows, 7, data, ["weather", "alarm", "music"]))) == {
        "weather": 3, "alarm": 2, "music": 2
    }  # fmt: skip


@pytest.mark.slow
def test_rightness_tells_a_rows_own_label_from_the_likeliest_one(data: Data, tmp_path: Path) -> None:
    students = Students(data, StudentConfig(frozen=FrozenConfig(strengths=[10.0])), tmp_path, 0)
    wrong = [{**line, "label": "music"} for line in data.train if line["label"] == "alarm"]
    worth = [Weighed(0.25, {"alarm": 0.9, "music": 0.1})] * 6 + [Weighed(0.75)] * 6
    arm = Arm([], wrong, synthetic=True, worth=worth)
    found = rightness("loop", [{"loop": arm, "real_full": everything(data)}], data, students)
    assert found == {"fidelity": 0, "fidelity_likeliest": 0.5, "mean_weight": 0.5}
    assert rightness("loop", [{"loop": arm}], data, students)["fidelity"] is None


def test_variety_is_low_where_rows_repeat(data: Data) -> None:
    same, different = [row("music", 1)] * 4, [row(label, number) for label in LABELS for number in range(2)]
    repeated, varied = variety(Arm(same, []), data, HashEncoder()), variety(Arm(different, []), data, HashEncoder())
    assert repeated[0] < varied[0]
    assert repeated[1] == pytest.approx(1.0, abs=1e-5)
    assert varied[1] < 0.99


# -- figures ---------------------------------------------------------------------------------------


def test_differences_are_paired_and_the_gap_is_a_share_of_the_way_to_full_data() -> None:
    truth = np.zeros(200, dtype=np.intp)
    seeds = np.tile(np.arange(200) >= 100, (3, 1)).astype(np.intp)  # half right
    loop = np.tile(np.arange(200) >= 150, (3, 1)).astype(np.intp)
    full = np.zeros((3, 200), dtype=np.intp)
    arms = {"seeds": seeds, "described": loop, "oneshot": seeds, "loop": loop, "loop_labelled": full, "real_full": full}
    found = figures(arms, truth, 2, 0)
    assert found["loop"]["accuracy"] == 0.75
    assert found["loop"]["accuracy_sd"] == 0
    assert found["loop"]["delta"] == found["loop"]["over_oneshot"] == 0.25
    assert 0.15 < found["loop"]["delta_low"] < 0.25 < found["loop"]["delta_high"] < 0.35
    assert found["loop"]["gap_closed"] == 0.5
    assert 0.35 < found["loop"]["gap_low"] < 0.5 < found["loop"]["gap_high"] < 0.65
    assert found["seeds"]["gap_closed"] == found["seeds"]["delta_low"] == found["seeds"]["delta_high"] == 0
    assert found["real_full"]["gap_closed"] == 1
    assert found["loop"]["over_described"] == found["loop"]["over_described_high"] == 0
    assert found["oneshot"]["over_described"] == -0.25
    assert found["loop_labelled"]["over_described"] == found["loop_labelled"]["over_loop"] == 0.25
    assert 0.15 < found["loop_labelled"]["over_described_low"] < 0.25 < found["loop_labelled"]["over_described_high"]


def test_draws_that_disagree_widen_the_interval() -> None:
    truth = np.zeros(1000, dtype=np.intp)
    seeds = np.ones((4, 1000), dtype=np.intp)
    mixed = np.repeat([[0], [1], [0], [1]], 1000, axis=1).astype(np.intp)
    even = np.tile(np.arange(1000) % 2, (4, 1)).astype(np.intp)
    found = figures({"seeds": seeds, "loop": mixed, "oneshot": even}, truth, 2, 0)
    width = {arm: found[arm]["delta_high"] - found[arm]["delta_low"] for arm in ("loop", "oneshot")}
    assert found["loop"]["delta"] == found["oneshot"]["delta"] == 0.5
    assert width["loop"] > 5 * width["oneshot"]


def test_without_full_data_or_several_draws_there_is_no_gap_and_no_deviation() -> None:
    truth = np.array([0, 1], dtype=np.intp)
    found = figures({"seeds": np.array([[0, 0]], dtype=np.intp)}, truth, 2, 0)["seeds"]
    assert (found["gap_closed"], found["over_described"], found["accuracy_sd"]) == (None, None, None)


def test_an_answer_that_is_no_label_counts_as_wrong_and_not_as_a_class() -> None:
    truth = np.array([0, 0, 1, 1], dtype=np.intp)
    assert macro_f1(truth, np.array([[0, 2, 1, 1]], dtype=np.intp), 2) == pytest.approx((2 / 3 + 1) / 2)


# -- runs, and the whole ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """The benchmark, run once on tiny data, and how to run it again."""

    folder: Path
    data: Data
    command: list[str]
    said: str

    @property
    def runs(self) -> Runs:
        return Runs(self.data, self.folder / "work", 1500, 0, SCRIPTED)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = tmp_path_factory.mktemp("gain")
    paths = write_files(folder)
    command = [
        "--task", str(paths["task"]), "--train", str(paths["train"]), "--test", str(paths["test"]), "--k", "2",
        "--draws", "1", "--token-budget", "700", "1500", "--labels", "6", "--student", "frozen",
        "--strategies", "fewshot", "seeds_only=1,fewshot=0.5", "--work", str(folder / "work"), "--out", str(folder / "figures.json"), "--overrides", *SCRIPTED,
    ]  # fmt: skip
    said, _ = printed(command)
    return Measured(folder, load(paths["task"], paths["train"], paths["test"]), command, said)


def printed(command: list[str]) -> tuple[str, str]:
    """Return what a benchmark that ends well prints to both streams."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as errors:
        assert main(command) == 0
    return out.getvalue(), errors.getvalue()


@pytest.mark.slow
def test_the_benchmark_prints_a_line_an_arm_and_writes_its_keys(measured: Measured) -> None:
    found = json.loads((measured.folder / "figures.json").read_text())
    for arm in ARMS:
        assert f"│ {arm} " in measured.said
        for key in ("accuracy", "macro_f1", "gap_closed", "delta_low", "delta_high", "over_described_high"):
            assert isinstance(found[f"{arm}.{key}"], float)
            assert found[f"frozen.{arm}.{key}"] == found[f"{arm}.{key}"] == found[f"budget_1500.{arm}.{key}"]
            assert found[f"budget_700.frozen.{arm}.{key}"] == found[f"budget_700.{arm}.{key}"]
    assert found["loop.rows"] == found["oneshot.rows"] == found["augmented.rows"] > 20
    assert found["oneshot.judge_tokens"] == 0 < found["loop.judge_tokens"]
    assert found["real_n.fidelity"] > 0.9 and 0 < found["oneshot.fidelity"] <= 1
    assert 5 < found["budget_700.loop.rows"] < found["budget_1500.loop.rows"]
    assert found["budget_700.described.accuracy"] == found["described.accuracy"]
    assert found["loop_labelled.rows"] == found["loop.rows"] and found["loop_labelled.answers"] == 6
    assert found["real_labels.rows"] == 6 and found["real_labels.mean_weight"] == 1
    assert isinstance(found["loop.fidelity_likeliest"], float) and found["oneshot.fidelity_likeliest"] is None
    assert "┃ accuracy (gap closed) ┃ 700 tokens ┃ 1,500 tokens ┃" in " ".join(measured.said.split())
    assert (found["test_rows"], found["seeds.rows"], found["real_full.rows"]) == (24, 0, 36)


@pytest.mark.slow
def test_strategies_are_arms_at_the_same_tokens_that_are_compared_with_few_shot(measured: Measured) -> None:
    found = json.loads((measured.folder / "figures.json").read_text())
    for arm in ("strategy.fewshot", "strategy.seeds_only=1,fewshot=0.5"):
        for key in ("accuracy", "gap_closed", "delta_low", "delta_high", "over_fewshot_low"):
            assert isinstance(found[f"{arm}.{key}"], float)
        assert 1300 < found[f"{arm}.generated_tokens"] + found[f"{arm}.judge_tokens"] <= 1500
    assert found["strategy.fewshot.over_fewshot"] == 0
    assert found["strategy.fewshot.accuracy"] == found["loop.accuracy"]  # few-shot prompting is the default
    assert found["strategy.seeds_only=1,fewshot=0.5.rows"] > 10
    assert "strategy.seeds_only=1,fewshot=0.5 over strategy.fewshot: " in measured.said
    with Reader(measured.folder / "work/draw-0/strategy-seeds_only-1-fewshot-0.5/ledger.sqlite") as reader:
        assert dict(reader.meta("config")["generate"]["strategies"]) | {"fewshot": 0.5, "seeds_only": 1.0} == dict(
            reader.meta("config")["generate"]["strategies"]
        )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("fewshoot", "--strategies fewshoot: there is no strategy 'fewshoot'; the strategies are fewshot, "),
        ("fewshot=much", "the weight of fewshot must be a number, got 'much'"),
        ("fewshot=0", "every weight is 0"),
    ],
)
def test_a_word_that_names_no_strategies_is_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        weights_of(word)
    assert message in str(caught.value)


@pytest.mark.slow
def test_the_frozen_student_is_the_one_that_a_run_fits(measured: Measured) -> None:
    data, cfg = measured.data, StudentConfig(kind="frozen", frozen=FrozenConfig(strengths=[10.0]))
    mix = [TrainingRow(row) for row in data.train[::2]] * 2 + [TrainingRow(data.train[1], synthetic=True)]
    ours = Frozen(data.task, cfg, mix, 0, Vectors(cfg.frozen.model))
    assert ours.predict(data.test) == fit_classifier(data.task, cfg, mix, 0).predict(data.test)


@pytest.mark.slow
def test_the_same_command_continues_where_it_stopped(measured: Measured) -> None:
    said, errors = printed(measured.command)
    assert said == measured.said
    assert "synthgen run" not in errors


@pytest.mark.slow
def test_an_interrupted_benchmark_continues_with_files_that_were_moved(measured: Measured, tmp_path: Path) -> None:
    moved = {str(measured.folder / path.name): str(path) for path in write_files(tmp_path).values()}
    assert all(old in measured.command for old in moved)
    said, errors = printed([moved.get(word, word) for word in measured.command])
    assert said == measured.said
    assert "synthgen run" not in errors


@pytest.mark.slow
def test_runs_keep_to_the_budget_and_see_no_test_row(measured: Measured) -> None:
    seeds = draw_seeds(measured.data, 2, 0, 0)
    pool, loop = measured.runs.pool(0, seeds, 1500), measured.runs.loop(0, seeds, 1500)
    assert 1300 < pool.generated <= 1500
    assert len(pool.rows) == pool.candidates
    assert 1300 < loop.generated + loop.judged <= 1500
    assert len(loop.rows) == loop.candidates - loop.rejected.total()
    for name in ("pool", "loop"):
        with Reader(measured.folder / f"work/draw-0/{name}/ledger.sqlite") as reader:
            assert reader.meta("config")["task"]["eval"] is None
            assert sorted(sample.data["text"] for sample in reader.samples() if sample.origin == "seed") == sorted(
                seed["text"] for seed in seeds
            )


@pytest.mark.slow
def test_a_smaller_budget_is_a_cut_of_the_same_run(measured: Measured) -> None:
    seeds = draw_seeds(measured.data, 2, 0, 0)
    short, whole = measured.runs.loop(0, seeds, 700), measured.runs.loop(0, seeds, 1500)
    assert short.rows == whole.rows[: len(short.rows)]
    assert short.generated + short.judged <= 700
    assert len(short.rows) == short.candidates - short.rejected.total()


@pytest.mark.slow
def test_the_person_is_asked_about_samples_within_the_budget_and_answers_as_the_student_of_all_real_rows(
    measured: Measured, tmp_path: Path
) -> None:
    seeds = draw_seeds(measured.data, 2, 0, 0)
    within = {content_id(line): line for line in measured.runs.loop(0, seeds, 700).rows}
    draw = measured.folder / "work/draw-0"
    with Reader(draw / "loop_labelled-700-6/ledger.sqlite") as reader:
        answers = dict(reader.rows("SELECT sample_id, answer FROM answers"))
        assert reader.one("SELECT COUNT(*) FROM samples WHERE origin <> 'seed'") == len(within)
        assert reader.one("SELECT COUNT(*) FROM embeddings") == reader.one("SELECT COUNT(*) FROM samples")
    assert len(answers) == 6 and answers.keys() <= within.keys()
    person = Students(measured.data, StudentConfig(frozen=FrozenConfig(strengths=[10.0])), tmp_path, 0)
    asked = [within[key] for key in answers]
    assert person.labels("frozen", everything(measured.data), asked, 0) == list(answers.values())
    with Reader(draw / "loop/ledger.sqlite") as reader:
        assert reader.people_answers() == []


@pytest.mark.slow
def test_an_interrupted_run_continues(measured: Measured) -> None:
    seeds = draw_seeds(measured.data, 2, 0, 0)
    folder = measured.folder / "work/draw-0/loop"
    with Reader(folder / "ledger.sqlite") as reader:
        sessions = len(reader.sessions())
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"stopped_by": "signal"}))
    measured.runs.loop(0, seeds, 1500)
    with Reader(folder / "ledger.sqlite") as reader:
        assert len(reader.sessions()) == sessions + 1
    assert json.loads((folder / "summary.json").read_text())["stopped_by"] == "output_tokens"


@pytest.mark.slow
def test_a_one_shot_run_that_learns_is_an_error(data: Data, tmp_path: Path) -> None:
    seeds = draw_seeds(data, 2, 0, 0)
    learning = [setting for setting in ONE_SHOT if not setting.startswith("pool")]
    runs = Runs(data, tmp_path / "work", 800, 0, [*SCRIPTED, "engine.in_flight=1", "generate.group=2"])
    runs.made(0, "pool", seeds, learning)
    with pytest.raises(RunFailedError, match="showed more than the seeds"):
        runs.pool(0, seeds, 800)


@pytest.mark.slow
def test_a_run_that_fails_is_quoted(data: Data, tmp_path: Path) -> None:
    runs = Runs(data, tmp_path / "work", 1500, 0, ["engine=replay", "generate.temperature=9"])
    with pytest.raises(RunFailedError, match=r"generate\.temperature: must be from 0 to 5"):
        runs.pool(0, draw_seeds(data, 2, 0, 0), 1500)


def test_a_work_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    bind(tmp_path / "work", {"k": 2, "train": ["a"]})
    bind(tmp_path / "work", {"k": 2, "train": ["a"]})
    with pytest.raises(RunFolderError, match="made with another k, train"):
        bind(tmp_path / "work", {"k": 3, "train": ["b"]})
