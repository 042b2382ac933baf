"""Adapters by the command line: what is refused before anything starts, and what a run and its resume make of one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from synthgen.cli import dispatch
from synthgen.engines.bundled import GENERATOR, resolve
from synthgen.ledger import Reader
from synthgen.records import AdapterExample, Json, content_id
from synthgen.run import adapt as verb
from synthgen.student import adapter as trainer

SMOKE = ("run", "experiment=smoke", "run.dir=a", "budget.target=20")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def adapter(name: str, width: int = 576, rank: int = 4, rows: list[str] | None = None) -> Path:
    """A LoRA folder for a layer of the bundled model, or one that is `width` wide."""
    folder = Path(name).absolute()
    folder.mkdir(parents=True)
    layer = "base_model.model.model.layers.0.self_attn.q_proj"
    pair = {"lora_A": (rank, width), "lora_B": (width, rank)}
    tensors = {f"{layer}.{side}.weight": np.zeros(shape, np.float32) for side, shape in pair.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "base_model_name_or_path": GENERATOR}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    if rows is not None:
        (folder / "metrics.json").write_text(json.dumps({"trained_rows": rows}))
    return folder


def rated(count: int = 20) -> list[str]:
    """A file of rated rows, and their ids."""
    rows = [{"text": f"Item number {n} of today's news.", "label": "world"} for n in range(count)]
    lines = [json.dumps({**row, "rating": ["good", "bad"][n % 2]}) + "\n" for n, row in enumerate(rows)]
    Path("rated.jsonl").write_text("".join(lines))
    return [content_id(row) for row in rows]


def summary() -> Json:
    found: Json = json.loads(Path("a/summary.json").read_text())
    return found


@pytest.mark.slow
def test_requests_carry_the_adapters_names_and_a_resume_wants_the_same_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge, writer = adapter("j"), adapter("w", rank=8)
    assert dispatch([*SMOKE, "judge.adapter=j", f"generate.adapter={writer}"]) == 0
    names = summary()["engine"]["adapters"]
    assert set(names) == {"judge", "generate"}
    with Reader(Path("a/ledger.sqlite")) as reader:
        sql = "SELECT DISTINCT r.kind, json_extract(t.body, '$.adapter') FROM requests r JOIN texts t ON t.id = r.spec"
        asked = {kind.split("/")[0]: name for kind, name in reader.rows(sql)}
    assert asked["generate"] == names["generate"]
    assert asked["label"] == asked["rubric"] == names["judge"] != names["generate"]
    shutil.move(judge, "moved")
    shutil.copytree("moved", judge)
    assert dispatch(["resume", "a", "budget.target=22"]) == 0
    (judge / "adapter_config.json").write_text((judge / "adapter_config.json").read_text() + "\n")
    capsys.readouterr()
    assert dispatch(["resume", "a", "budget.target=24"]) == 2
    assert f"  judge.adapter: {names['judge']} -> lora-" in capsys.readouterr().err


@pytest.mark.slow
def test_a_judge_is_not_calibrated_on_the_rows_that_it_learnt(capsys: pytest.CaptureFixture[str]) -> None:
    ids = rated(30)
    adapter("j", rows=ids[:10])
    assert dispatch([*SMOKE, "judge.adapter=j", "judge.calibration=rated.jsonl"]) == 0
    assert summary()["judge"]["calibration"]["rows"] == 20
    adapter("k", rows=ids[:22])
    assert dispatch([*SMOKE[:2], "run.dir=b", "judge.adapter=k", "judge.calibration=rated.jsonl"]) == 2
    assert "22 rows of" in (said := capsys.readouterr().err)
    assert "and the others have fewer than 5 good or 5 bad rows; rate more samples" in said
    Path("k/metrics.json").write_text("{")
    assert dispatch([*SMOKE[:2], "run.dir=b", "judge.adapter=k", "judge.calibration=rated.jsonl"]) == 2
    assert (
        "k/metrics.json is not a JSON object; restore the file, or train the adapter again" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["judge.adapter=nowhere"], "judge.adapter: no such file or folder: nowhere"),
        (["generate.adapter=."], "has no adapter_config.json; give a LoRA folder as `synthgen adapt`"),
        (
            ["engine=openai", "engine.urls=[http://127.0.0.1:9/v1]", "engine.model=m", "judge.adapter=j"],
            "judge.adapter: j is a folder, but endpoints cannot load an adapter for a run; start their servers",
        ),
    ],
)
def test_an_impossible_adapter_is_refused_before_anything_starts(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter("j")
    assert dispatch([*SMOKE, *words]) == 2
    assert said in capsys.readouterr().err
    assert not Path("a").exists()


@pytest.mark.slow
def test_an_adapter_of_another_model_is_refused_before_the_engine_starts(capsys: pytest.CaptureFixture[str]) -> None:
    resolve(GENERATOR)
    adapter("j", width=64)
    assert dispatch([*SMOKE, "engine=vllm", "engine.server=stand_in", "judge.adapter=j"]) == 2
    assert "does not fit model.name=bundled:smollm2-135m-instruct: its layers.0.self_attn.q_proj is 64 x 64, the model's 576 x 576" in capsys.readouterr().err  # fmt: skip


# -- training one ----------------------------------------------------------------------------------


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[list[AdapterExample], list[AdapterExample]]]:
    """Return what the trainer is given by role; training itself is in tests/student/test_adapter.py."""
    given: dict[str, tuple[list[AdapterExample], list[AdapterExample]]] = {}

    def train(cfg, role, model, exchanges, held_out, out, seed, say, *source):  # type: ignore[no-untyped-def]
        given[role] = exchanges, held_out
        out.mkdir(parents=True)
        figures = {"loss": 2.0, "label_accuracy": 0.5, "auc": {"value": 0.6, "low": 0.5, "high": 0.7}}
        worse = {**figures, "loss": 3.0}
        return {"conversations": {"held_out": len(held_out)}, "left_out": 1, "before": figures, "after": worse}

    monkeypatch.setattr(trainer, "train", train)
    return given


def test_the_judge_learns_from_rated_rows_and_seeds_of_which_some_are_held_out(
    trained: dict[str, tuple[list[AdapterExample], list[AdapterExample]]], capsys: pytest.CaptureFixture[str]
) -> None:
    ids = rated()
    assert dispatch(["adapt", "judge", "task=news_topic", "judge.calibration=rated.jsonl"]) == 0
    learnt, held_out = ({one.row for one in part} for part in trained["judge"])
    assert not learnt & held_out
    assert 4 <= len(held_out & set(ids)) <= 6
    assert held_out - set(ids)
    assert {one.kind for one in trained["judge"][0]} == {"label", "rubric"}
    said = capsys.readouterr().out
    assert "  loss per answer token 2.000 -> 3.000\n  label accuracy 0.500 -> 0.500\n" in said
    assert "a figure is worse with the adapter than without it; compare them before you use the adapter" in said
    assert said.endswith(f"to use it: judge.adapter={Path('adapters/news_topic/judge').absolute()}\n")
    assert dispatch(["adapt", "judge", "task=news_topic", "judge.calibration=rated.jsonl"]) == 2
    assert "adapters/news_topic/judge exists already" in capsys.readouterr().err


def test_the_generator_learns_from_seeds(trained: dict[str, tuple[list[AdapterExample], list[AdapterExample]]]) -> None:
    assert dispatch(["adapt", "generator", "task=instruction", "adapt.dir=x", "adapt.prompts=3"]) == 0
    learnt, held_out = trained["generator"]
    assert len(learnt) == 3 * len({one.row for one in learnt})
    assert len(held_out) == len({one.row for one in held_out}) > 0
    assert not {one.row for one in learnt} & {one.row for one in held_out}
    assert Path("x/generator").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "usage: synthgen adapt judge|generator [OVERRIDES]"),
        (["student"], "usage: synthgen adapt judge|generator [OVERRIDES]"),
        (["judge", "task=instruction"], "judge.calibration: name rated samples to train the judge on"),
        (
            ["judge", "judge.adapter=j"],
            "judge.adapter: a new adapter is trained on the base model, not on another adapter; leave this key out",
        ),
        (["judge", "adapt.rank=0"], "adapt.rank: must be 1 or more, got 0"),
        (["generator", "adapt.held_out=0.6"], "adapt.held_out: must be above 0 and at most 0.5, got 0.6"),
    ],
)
def test_what_cannot_be_trained_is_one_message(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["adapt", *words]) == 2
    assert said in capsys.readouterr().err
    assert not Path("adapters").exists()


def test_only_the_roles_there_are_have_a_config_key() -> None:
    assert verb.ROLES == {"judge": "judge.adapter", "generator": "generate.adapter"}


@pytest.mark.slow
def test_a_server_is_started_with_both_adapters_and_asked_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    """A stand-in where vLLM would be: it refuses names that it was not started with."""
    adapter("j"), adapter("w", rank=8)
    words = ["engine=vllm", "engine.server=stand_in", "judge.adapter=j", "generate.adapter=w"]
    assert dispatch([*SMOKE, *words]) == 0, capsys.readouterr()
    assert summary()["stopped_by"] == "target"
