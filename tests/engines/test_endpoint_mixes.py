"""Whole runs from the command line with several models, with endpoints for the judge alone, and with a budget in
US dollars."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader

if TYPE_CHECKING:
    from tests.engines.conftest import StartServer

NOWHERE = "http://127.0.0.1:9/v1"
RUN = ["run", "experiment=smoke", "run.dir=out", "engine=openai", "engine.patience=5", "engine.in_flight=8"]
MIXED = "engine.models=[{model: small, weight: 0.7}, {model: large, weight: 0.3, prices: {prompt: 2, completion: 8}}]"
PRICES = "engine.prices={prompt: 0.2, cached: 0.1, completion: 0.6}"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def query(sql: str, folder: str = "out") -> list[tuple[Any, ...]]:
    with Reader(Path(folder, "ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def summary(folder: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "summary.json").read_text())
    return found


def lineage(folder: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "dataset/meta/lineage.jsonl").read_text().splitlines()]


# -- several models --------------------------------------------------------------------------------


@pytest.mark.slow
def test_models_write_by_their_weights_and_every_figure_names_them(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    url = stand_in().url
    assert dispatch([*RUN, f"engine.urls=[{url}]", MIXED, PRICES, "budget.target=40"]) == 0
    slots = dict(query("SELECT model, COUNT(*) FROM slots GROUP BY model"))
    assert slots.keys() == {"small", "large"}
    assert slots["small"] > slots["large"]
    by_model = Counter(row["model"] for row in lineage() if row["origin"] == "synthetic")
    found = summary()["models"]
    assert {name: row["accepted"] for name, row in found.items()} == by_model
    assert {name: row["accepted"] + sum(row["rejected"].values()) for name, row in found.items()} == {
        name: row["candidates"] for name, row in found.items()
    }
    assert found["large"]["usd_per_accepted"] > found["small"]["usd_per_accepted"]
    assert "models      large " in capsys.readouterr().out
    assert "<h3>By model</h3>" in Path("out/report.html").read_text()
    assert "| large |" in Path("out/dataset/README.md").read_text()
    assert all("model" not in row for row in lineage() if row["origin"] == "seed")


@pytest.mark.slow
def test_each_model_is_asked_under_its_own_name_at_its_own_endpoint(stand_in: "StartServer") -> None:
    small, large = stand_in(model="small").url, stand_in(model="large", seed=3).url  # each refuses another name
    models = f"engine.models=[{{model: small}}, {{name: big, model: large, urls: [{large}]}}]"
    assert dispatch([*RUN, f"engine.urls=[{small}]", models, "budget.target=12"]) == 0
    written = "SELECT s.model, r.engine FROM requests r JOIN slots s USING (slot) WHERE r.kind = 'generate'"
    assert {*query(written)} == {("small", small), ("big", large)}
    assert {engine for (engine,) in query("SELECT engine FROM requests WHERE kind NOT LIKE 'generate%'")} == {small}


@pytest.mark.slow
def test_a_mix_that_was_interrupted_continues_to_the_same_dataset(stand_in: "StartServer") -> None:
    url = stand_in(delay=0.1).url
    settings = [f"engine.urls=[{url}]", MIXED, "budget.target=30", "judge=none"]
    settings += ["engine.request_seeds=true"]  # the stand-in repeats an answer by its seed
    assert dispatch([*RUN, *settings, "run.dir=whole"]) == 0
    assert dispatch([*RUN, *settings, "run.dir=halved", "budget.output_tokens=200"]) == 3
    assert 0 < len(query("SELECT id FROM samples WHERE origin = 'synthetic'", "halved")) < 30
    assert dispatch(["resume", "halved", "budget.output_tokens=null"]) == 0
    written = "SELECT slot, model, id FROM samples WHERE origin = 'synthetic' ORDER BY slot"
    assert query(written, "halved") == query(written, "whole")


@pytest.mark.slow
def test_weights_may_not_change_on_resume_and_addresses_may(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = stand_in().url, stand_in().url
    models = f"engine.models=[{{model: small}}, {{model: large, urls: [{first}]}}]"
    assert dispatch([*RUN, f"engine.urls=[{first}]", models, "budget.target=8"]) == 0
    moved = models.replace(f"urls: [{first}]", f"urls: [{second}]")
    assert dispatch(["resume", "out", "budget.target=12", moved]) == 0
    assert dispatch(["resume", "out", "budget.target=14", models.replace("small", "small, weight: 3")]) == 2
    assert "engine.models: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_of_a_mix_that_does_not_answer_is_named(
    stand_in: "StartServer", unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    models = f"engine.models=[{{model: small}}, {{name: big, model: large, urls: [http://127.0.0.1:{unused_tcp_port}/v1], patience: 0.5}}]"
    assert dispatch([*RUN, f"engine.urls=[{stand_in(model='small').url}]", models, "budget.target=4"]) == 4
    assert "model 'big' of engine.models: no endpoint answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["engine.model=m", MIXED], "engine.model: leave it out where engine.models names the models"),
        (["engine.models=[{model: a, weight: 0}]"], "engine.models: every weight is 0"),
        (["engine.models=[{model: a, weight: -1}]"], "engine.models[0].weight: must be a number of 0 or more"),
        (["engine.models=[{model: a}, {model: a}]"], "engine.models[1]: two models are called 'a'"),
        (["engine.models=[{weight: 1}]"], "engine.models[0].model: give the name"),
        (["engine.models=[{model: a, timeout: 9}]"], "engine.models[0].timeout: only a model with urls of its own"),
        (["engine.models=[{model: a, urls: [host:80]}]"], "engine.models[0].urls: 'host:80' does not say how"),
        ([MIXED, "generate.adapter=a"], "generate.adapter: an adapter belongs to one model"),
        (["engine.models=[{model: a, wieght: 1}]"], "wieght"),
    ],
)
def test_an_impossible_mix_is_exit_code_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "experiment=smoke", "engine=openai", f"engine.urls=[{NOWHERE}]", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


# -- endpoints for the judge -----------------------------------------------------------------------


@pytest.mark.slow
def test_another_host_judges_with_its_own_key_headers_and_dialect(
    stand_in: "StartServer", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "of-the-judge-12345")
    monkeypatch.setenv("TEAM_KEY", "of-the-team-123456")
    writer = stand_in(habit=["no_logprobs"], model="small").url
    judge = stand_in(habit=["no_system"], model="strong", env={"VLLM_API_KEY": "of-the-judge-12345"}).url
    words = [
        f"engine.urls=[{writer}]", "engine.model=small", f"judge.engine.urls=[{judge}]", "judge.engine.model=strong",
        "judge.engine.api_key_env=JUDGE_KEY", 'judge.engine.headers={X-Team: "${oc.env:TEAM_KEY}"}',
    ]  # fmt: skip
    assert dispatch([*RUN, *words, "budget.target=4"]) == 0
    assert {*query("SELECT DISTINCT kind LIKE 'generate%', engine FROM requests")} == {(1, writer), (0, judge)}
    found = summary()["engine"]
    assert (found["model"], found["judge"]["model"]) == ("small", "strong")
    assert "system messages go ahead" in found["judge"]["speaks"][judge]
    assert "The judge was <bdi>strong</bdi>" in Path("out/report.html").read_text()
    assert "${oc.env:TEAM_KEY}" in Path("out/config.yaml").read_text()
    files = [file.read_bytes() for file in Path("out").rglob("*") if file.is_file()]
    assert not any(b"of-the-judge" in content or b"of-the-team" in content for content in files)
    assert dispatch(["resume", "out", "budget.target=5", "judge.engine.timeout=9"]) == 0
    capsys.readouterr()
    assert dispatch(["resume", "out", "budget.target=6", "judge.engine.model=weak"]) == 2
    assert "judge.engine.model: 'strong' -> 'weak'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_local_generator_can_be_judged_elsewhere(stand_in: "StartServer") -> None:
    judge = stand_in(model="strong").url
    own = ["run", "experiment=smoke", "run.dir=out", "budget.target=4"]
    assert dispatch([*own, f"judge.engine.urls=[{judge}]", "judge.engine.model=strong"]) == 0
    assert {engine for (engine,) in query("SELECT engine FROM requests WHERE kind LIKE 'rubric%'")} == {judge}
    assert judge not in {engine for (engine,) in query("SELECT engine FROM requests WHERE kind LIKE 'generate%'")}


@pytest.mark.slow
def test_a_judge_that_does_not_answer_ends_the_run_with_exit_code_4(
    stand_in: "StartServer", unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"judge.engine.urls=[http://127.0.0.1:{unused_tcp_port}/v1]", "judge.engine.model=strong"]
    own = [f"engine.urls=[{stand_in().url}]", "engine.model=m", "judge.engine.patience=0.5"]
    assert dispatch([*RUN, *own, *words]) == 4
    assert f"127.0.0.1:{unused_tcp_port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["judge.engine.model=strong"], "judge.engine.urls: name at least one endpoint"),
        (["judge.engine.urls=[ftp://host/v1]", "judge.engine.model=s"], "judge.engine.urls: 'ftp://host/v1' begins"),
        ([f"judge.engine.urls=[{NOWHERE}]"], "judge.engine.model: give the name"),
        (
            [f"judge.engine.urls=[{NOWHERE}]", "judge.engine.model=s", "judge.engine.dialect.preset=x"],
            "judge.engine.dialect.preset: 'x' is not one of",
        ),
        (
            [f"judge.engine.urls=[{NOWHERE}]", "judge.engine.model=s", "judge.engine.headers={X-Key: of-the-judge-1}"],
            "a secret does not belong in the config",
        ),
        (
            [
                f"judge.engine.urls=[{NOWHERE}]",
                "judge.engine.model=s",
                'judge.engine.headers.X-Team="${oc.env:NOT_SET}"',
            ],
            "judge.engine.headers.X-Team: the environment variable NOT_SET is not set",
        ),
    ],
)
def test_impossible_endpoints_of_the_judge_are_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["validate", "experiment=smoke", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


# -- a budget in US dollars ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_ends_at_its_budget_and_continues_with_a_larger_one(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    writer, judge = stand_in(delay=0.01).url, stand_in(delay=0.01).url
    words = [
        f"engine.urls=[{writer}]", "engine.model=m", PRICES, f"judge.engine.urls=[{judge}]", "judge.engine.model=s",
        "judge.engine.prices={prompt: 1, completion: 4}", "engine.budget_usd=0.02", "budget.target=60",
    ]  # fmt: skip
    assert dispatch([*RUN, *words]) == 3
    found = summary()
    assert found["stopped_by"] == "budget_usd"
    assert 0.015 < found["cost"]["usd"] <= 0.02
    assert found["cost"]["usd"] == pytest.approx(found["cost"]["generator"] + found["cost"]["judge"], rel=1e-4)
    counted = "SELECT SUM(prompt_tokens - cached_tokens) * {} + SUM(cached_tokens) * {} + SUM(completion_tokens) * {}"
    of_judge = query(f"{counted.format(1, 1, 4)} FROM requests WHERE kind NOT LIKE 'generate%'")[0][0] / 1e6
    of_writer = query(f"{counted.format(0.2, 0.1, 0.6)} FROM requests WHERE kind LIKE 'generate%'")[0][0] / 1e6
    assert found["cost"]["usd"] == pytest.approx(of_judge + of_writer, rel=1e-4)
    said = capsys.readouterr().out
    assert "cost        $0.01" in said
    assert said.rstrip().endswith("synthgen resume out engine.budget_usd=0.04")
    assert dispatch(["status", "out"]) == 0
    assert " of $0.0200\n" in capsys.readouterr().out
    before = query("SELECT COUNT(*) FROM requests")
    assert dispatch(["resume", "out"]) == 3
    assert query("SELECT COUNT(*) FROM requests") == before
    assert dispatch(["resume", "out", "engine.budget_usd=0.03"]) == 3
    assert 0.02 < summary()["cost"]["usd"] <= 0.03
    assert dispatch(["resume", "out", "engine.budget_usd=9"]) == 0
    assert summary()["counts"]["accepted"] == 60
    assert ">US dollars<" in Path("out/report.html").read_text()


@pytest.mark.slow
def test_a_server_that_counts_no_tokens_is_charged_by_characters(stand_in: "StartServer") -> None:
    words = [f"engine.urls=[{stand_in(habit=['null_usage']).url}]", "engine.model=m", PRICES, "judge=none"]
    assert dispatch([*RUN, *words, "engine.budget_usd=0.002", "budget.target=500"]) == 3
    assert summary()["stopped_by"] == "budget_usd"
    assert 0 < summary()["cost"]["usd"] <= 0.002


@pytest.mark.slow
def test_preview_tells_what_a_run_will_cost(stand_in: "StartServer", capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"engine.urls=[{stand_in().url}]", "engine.model=m", PRICES, "budget.target=1000"]
    own = ["preview", "experiment=smoke", "engine=openai", "budget.candidates=8"]
    assert dispatch([*own, *words, "engine.budget_usd=0.05"]) == 0
    said = capsys.readouterr().out
    assert "for 1,000 samples ($0." in said
    assert "engine.budget_usd=0.05 ends the run before" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["engine.model=m", "engine.budget_usd=1"], "engine.budget_usd: needs engine.prices"),
        (["engine.model=m", "engine.budget_usd=-1", PRICES], "engine.budget_usd: must be above 0"),
        (["engine.model=m", "engine.prices={prompt: 1}"], "engine.prices: give prompt and completion"),
        ([MIXED, "engine.budget_usd=1"], "engine.budget_usd: needs engine.models[0].prices"),
        (
            ["engine.model=m", "engine.budget_usd=1", PRICES, f"judge.engine.urls=[{NOWHERE}]", "judge.engine.model=s"],
            "engine.budget_usd: needs judge.engine.prices too",
        ),
        (
            ["engine.model=m", "engine.budget_usd=1", PRICES, f"judge.panel=[{{url: {NOWHERE}, model: s}}]"],
            "engine.budget_usd: needs judge.panel: judge: prices too",
        ),
    ],
)
def test_a_budget_without_all_prices_is_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["validate", "experiment=smoke", "engine=openai", f"engine.urls=[{NOWHERE}]", *words]) == 2
    assert said in capsys.readouterr().err
