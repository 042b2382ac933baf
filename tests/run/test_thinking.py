"""Runs of a reasoning model from the command line, with the replay engine and a stand-in where vLLM would be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.engines.base import ModelConfig
from synthgen.engines.http.thinking import rooms
from synthgen.errors import ConfigError
from synthgen.ledger import Reader

SMOKE = ["experiment=smoke", "student=none", "run.dir=out"]
FIELD = "+task.schema.properties.thinking={type: string}"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def samples() -> list[dict[str, Any]]:
    with Reader(Path("out/ledger.sqlite")) as reader:
        return [sample.data for sample in reader.samples() if sample.origin == "synthetic"]


def rows(sql: str) -> Iterator[tuple[Any, ...]]:
    with Reader(Path("out/ledger.sqlite")) as reader:
        yield from reader.rows(sql)


@pytest.mark.slow
def test_thinking_becomes_the_field_of_that_name_and_no_demonstration_shows_it() -> None:
    assert dispatch(["run", *SMOKE, "budget.target=8", "model.thinking=on", FIELD]) == 0
    assert all(sample["thinking"].startswith("The user wants ") for sample in samples())
    shown = [body for (body,) in rows("SELECT body FROM texts WHERE body LIKE '%\"assistant\"%'")]
    assert shown
    assert not any("thinking" in body for body in shown)
    specs = [body for (body,) in rows("SELECT body FROM texts WHERE body LIKE '%json_schema%'")]
    assert all("thinking" not in json.loads(body)["grammar"]["spec"]["properties"] for body in specs)
    asked = [body for (body,) in rows("SELECT body FROM texts WHERE body LIKE '%rubric%' OR body LIKE '%Grade%'")]
    assert not any("The user wants" in body for body in asked)


@pytest.mark.slow
def test_a_killed_run_has_the_thinking_of_its_answers_on_disk() -> None:
    assert dispatch(["run", *SMOKE, "budget.target=8", "model.thinking=on", FIELD]) == 0
    assert all(thinking for (thinking,) in rows("SELECT thinking FROM requests WHERE kind = 'generate'"))


@pytest.mark.slow
def test_without_such_a_field_thinking_is_in_no_sample_and_not_in_the_ledger() -> None:
    assert dispatch(["run", *SMOKE, "budget.target=8", "model.thinking=on"]) == 0
    assert all(sample.keys() == {"text", "label"} for sample in samples())
    assert next(rows("SELECT COUNT(thinking) FROM requests")) == (0,)


@pytest.mark.slow
def test_several_samples_a_reply_cannot_share_their_thinking(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", *SMOKE, "model.thinking=on", "generate.items=3", FIELD]) == 2
    assert "generate.items: must be 1" in capsys.readouterr().err
    assert dispatch(["validate", *SMOKE, "generate.items=3", FIELD]) == 0  # the model writes the field itself


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("vllm", "set engine.reasoning_parser, for example to qwen3"),
        ("vllm_inprocess", "use engine=vllm with engine.reasoning_parser"),
        ("transformers", "use engine=openai, or engine=vllm with engine.reasoning_parser"),
    ],
)
def test_an_engine_whose_grammar_leaves_no_room_for_thinking_says_what_to_use(
    engine: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["validate", *SMOKE, f"engine={engine}", "model.thinking=on"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("synthgen: model.thinking: ")
    assert words in said


@pytest.mark.slow
def test_a_vllm_server_is_started_with_the_parser_and_the_judge_asks_it_not_to_think(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = ["engine=vllm", "engine.server=stand_in", "engine.reasoning_parser=qwen3"]
    habits = "+engine.flags={habit: obeys_enable_thinking}"
    assert (
        dispatch(["run", *SMOKE, "budget.target=4", *engine, habits, "model.thinking=on", "model.keep_thinking=true"])
        == 0
    )
    assert "--reasoning-parser qwen3" in Path("out/engine.log").read_text()
    assert "thinks unless told not to (chat_template_kwargs)" in " ".join(capsys.readouterr().out.split())
    kept = dict(rows("SELECT kind, COUNT(thinking) FROM requests WHERE kind IN ('generate', 'label') GROUP BY 1"))
    assert kept["generate"] > 0
    assert kept["label"] == 0


@pytest.mark.slow
def test_a_prompt_leaves_room_for_thinking_in_the_window(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", *SMOKE, "judge=none", "model.max_len=1300", "model.thinking=on"]) == 2
    assert "256 and 1024 of thinking" in capsys.readouterr().err
    short = ["model.max_len=1400", "model.thinking=on", "model.thinking_tokens=512"]
    assert dispatch(["validate", *SMOKE, "judge=none", *short]) == 0
    assert "only 632 of the window's 1400" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("thinking", "thinks", "expected"),
    [
        ("auto", [], (0, 0)), ("on", [], (9, 0)), ("auto", ["by_default"], (9, 0)), ("off", ["by_default"], (0, 0)),
        ("off", ["never", "always"], (9, 9)), ("auto", ["never"], (0, 0)),
    ],
)  # fmt: skip
def test_room_is_left_for_those_who_may_think(thinking: str, thinks: list[str], expected: tuple[int, int]) -> None:
    model = ModelConfig(thinking=thinking, thinking_tokens=9)
    assert rooms(model, [{"thinks": one} for one in thinks]) == expected


def test_yaml_reads_on_and_off_as_truth_values_and_means_the_words() -> None:
    assert [ModelConfig(thinking=word).thinking for word in ("True", "False", "auto")] == ["on", "off", "auto"]
    with pytest.raises(ConfigError, match=r"model\.thinking: 'yes' is not one of on, off, auto"):
        ModelConfig(thinking="yes")
    with pytest.raises(ConfigError, match=r"model\.thinking_tokens: must be 1 or more"):
        ModelConfig(thinking_tokens=0)
