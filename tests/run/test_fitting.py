"""Prompts that fit the model's window: what is left out, what is refused and how it is said."""

import json
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.engines import bundled
from synthgen.engines.lengths import Lengths, window_of
from synthgen.ledger import Reader
from synthgen.records import Message
from synthgen.tasks.assets import root

SMOKE = ["experiment=smoke", "engine.delay=0", "student=none", "run.dir=out", "budget.target=12", "run.seed=3"]


@pytest.fixture
def seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The seeds of the news task, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "seeds.jsonl"
    file.write_bytes((root() / "examples/news_topic/seeds.jsonl").read_bytes())
    return file


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["validate", "run"])
def test_the_rule_by_which_samples_are_left_out_is_said(
    verb: str, seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch([verb, *SMOKE, "judge=none", "model.max_len=600"]) == 0
    said = capsys.readouterr()
    assert "the longest samples of such a prompt are left out until it fits" in " ".join((said.out + said.err).split())


@pytest.mark.slow
def test_no_prompt_is_longer_than_the_window_leaves_room_for(seeds: Path) -> None:
    assert dispatch(["run", *SMOKE, "judge=none", "model.max_len=600"]) == 0
    with Reader(Path("out/ledger.sqlite")) as reader:
        shown = [json.loads(parents) for (parents,) in reader.rows("SELECT parents FROM slots")]
    assert min(map(len, shown)) >= 1
    assert max(map(len, shown)) < 7  # 4 demonstrations and 3 foils


def test_without_a_window_everything_is_shown(seeds: Path) -> None:
    assert dispatch(["run", *SMOKE, "judge=none"]) == 0
    with Reader(Path("out/ledger.sqlite")) as reader:
        shown = [json.loads(parents) for (parents,) in reader.rows("SELECT parents FROM slots")]
    assert {len(parents) for parents in shown} == {7}


@pytest.mark.slow
def test_a_seed_that_can_never_fit_is_named_with_its_line_before_anything_is_written(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with seeds.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "市场" * 2000, "label": "business"}, ensure_ascii=False) + "\n")
    own = ["task.seeds=seeds.jsonl", "task.schema.properties.text.maxLength=9000", "judge=none", "model.max_len=900"]
    for verb in ("validate", "run", "preview"):
        assert dispatch([verb, *SMOKE, *own]) == 2
        assert f"{seeds}:21: fits no prompt: a prompt with only this seed takes about" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.slow
def test_the_label_check_shows_as_many_seeds_as_fit(seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", *SMOKE, "model.max_len=700"]) == 0
    assert "the label check shows 1 seeds per label instead of 2 (judge.label.shots)" in capsys.readouterr().out
    assert dispatch(["run", *SMOKE, "model.max_len=700"]) == 0
    with Reader(Path("out/ledger.sqlite")) as reader:
        (asked,) = next(iter(reader.rows("SELECT messages FROM requests WHERE kind = 'label'")))
    assert len(json.loads(asked)) == 1 + 2 * 4 + 1  # system, one seed a label with its answer, the question


def test_a_window_without_room_for_any_prompt_names_the_keys(seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", *SMOKE, "model.max_len=280"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("synthgen: generate.max_tokens: a prompt without samples takes ")
    assert "model.max_len" in said
    assert not Path("out").exists()


def test_tokens_are_counted_with_the_models_own_tokenizer() -> None:
    folder = Path(bundled.resolve(bundled.GENERATOR))
    lengths, message = Lengths(folder), [Message(role="user", content="The striker scored twice.")]
    assert lengths.exact
    assert lengths.least(message) == 5 + 1 <= lengths.most(message)
    assert window_of(folder) == 8192


def test_without_a_tokenizer_tokens_are_guessed_between_two_bounds() -> None:
    lengths = Lengths()
    for text in ("The striker scored twice in the second half of the match.", "天文学家发现了新的彗星。"):
        message = [Message(role="user", content=text)]
        exact = Lengths(Path(bundled.resolve(bundled.GENERATOR))).least(message)
        assert not lengths.exact
        assert lengths.least(message) <= exact
    assert lengths.most([Message(role="user", content="The striker scored twice.")]) >= 6
