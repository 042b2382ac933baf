"""The comparison with peers, without the peers: what all are asked, and how figures are put side by side."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.peer.comparison import Outcome, Round, figures, over_best_peer, ratio, table
from benchmarks.peer.environments import LOCKS, driver_environment
from benchmarks.peer.plan import TEXT, plan
from benchmarks.peer.servers import Server, stand_in
from benchmarks.peer.settings import settings, sweep
from benchmarks.peers import ask, run_synthgen
from synthgen.engines.grammar.schema import to_vllm
from synthgen.engines.prompts import Prompts
from synthgen.generate.planner import Group
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategies.fewshot import FewShotConfig
from synthgen.records import Sample
from synthgen.tasks.task import Task

ROOT = Path(__file__).resolve().parents[2]

# -- what is asked ---------------------------------------------------------------------------------


def test_peers_are_given_what_synthgen_sends(news_task: Task, news_seeds: list[Sample]) -> None:
    asked = plan(3, judge=False, first_group=0)
    turns = asked["rows"][0]["messages"]
    shown = [seed for turn in turns if turn["role"] == "assistant" for seed in news_seeds
             if json.loads(turn["content"]) == {"text": seed.data["text"]}]  # fmt: skip
    prompting = Prompting(news_task, PromptingConfig(), Prompts(news_task.prompts), seed=0)
    (planned,) = prompting.slots(Group(0, 0, 1, asked["rows"][0]["label"], 0), "fewshot", shown)
    request = prompting.request(planned, shown)
    assert len(shown) == FewShotConfig().foils + FewShotConfig().demonstrations
    assert turns == [{"role": message.role, "content": message.content} for message in request.messages]
    assert request.grammar is not None and asked["grammar"] == to_vllm(request.grammar)
    assert asked["sampling"]["min_p"] == request.sampling.min_p


def test_labels_take_turns_and_a_group_shares_a_prompt() -> None:
    group, labels = 16, ["business", "science", "sport", "world"]
    rows = plan(4 * group + 1, judge=False, first_group=0)["rows"]
    assert [row["label"] for row in rows[::group]] == [*labels, "business"]
    assert all(row == rows[0] for row in rows[:group])
    assert rows[group] != rows[0]


def test_another_first_group_has_other_prompts() -> None:
    one, other = ({json.dumps(row) for row in plan(64, False, first_group=first)["rows"]} for first in (0, 400))
    assert not one & other


def test_the_judges_question_has_a_place_for_the_text(news_task: Task) -> None:
    judge = plan(1, judge=True, first_group=0)["judge"]
    *head, question = judge["messages"]
    assert question["content"].count(TEXT) == 1 and TEXT not in json.dumps(head)
    assert [turn["content"] for turn in head if turn["role"] == "assistant"] == [*news_task.labels] * 2
    assert judge["grammar"] == {"choice": list(news_task.labels)}


# -- what comes out --------------------------------------------------------------------------------


@pytest.fixture
def rounds() -> list[Round]:
    """An idle round, and one on a machine that was half as fast."""
    idle = {"synthgen": 1600.0, "bare": 3200.0, "distilabel.default": 180.0, "distilabel.tuned": 200.0,
            "data_designer.default": 60.0, "data_designer.tuned": 250.0}  # fmt: skip
    return [{key: Outcome(100, 100, 100 / (rate * speed)) for key, rate in idle.items()} for speed in (1.0, 0.5)]


def test_a_ratio_is_taken_within_a_round(rounds: list[Round]) -> None:
    assert ratio(rounds, "synthgen", "data_designer.tuned") == pytest.approx(6.4)
    assert ratio(rounds, "synthgen", "bare") == pytest.approx(0.5)


def test_the_best_tuned_peer_is_chosen_in_each_round(rounds: list[Round]) -> None:
    rounds[1]["distilabel.tuned"] = Outcome(100, 100, 100 / 400)
    assert over_best_peer(rounds[:1], "synthgen", "tuned") == pytest.approx(1600 / 250)
    assert over_best_peer(rounds[1:], "synthgen", "tuned") == pytest.approx(800 / 400)


def test_figures_are_accepted_candidates_a_second_in_a_flat_mapping(rounds: list[Round]) -> None:
    rounds[0]["synthgen"] = Outcome(rows=1000, accepted=900, seconds=1.0)
    found = figures(rounds[:1])
    assert found["synthgen"] == 900 and found["synthgen.candidates"] == 1000
    assert found["synthgen_over_best_tuned_peer"] == pytest.approx(3.6)
    assert all(isinstance(value, float) for value in found.values())


def test_with_a_judge_synthgen_with_a_judge_is_compared(rounds: list[Round]) -> None:
    for round_ in rounds:
        round_ |= {
            "synthgen.judge": Outcome(10, 8, 1),
            "distilabel.judge": Outcome(10, 4, 1),
            "data_designer.judge": Outcome(10, 2, 1),
        }
    lines = {line[0]: line for line in table(rounds, {key: key for key in rounds[0]})}
    assert lines["distilabel.judge"][-1] == "2.00" and lines["distilabel.judge"][1:3] == ("10.0", "4.0")
    assert lines["synthgen.judge"][-1] == ""
    assert figures(rounds)["synthgen_over_best_tuned_peer.judge"] == 2


# -- who is compared -------------------------------------------------------------------------------


def test_each_peer_runs_at_its_defaults_and_tuned() -> None:
    lines = {line.key: line for line in settings(in_flight=256, judge=False)}
    for peer in ("distilabel", "data_designer"):
        assert lines[f"{peer}.default"].knobs == {} and lines[f"{peer}.tuned"].knobs != {}


def test_the_tuned_settings_are_among_those_of_the_sweep() -> None:
    tried = [line.knobs for line in sweep(in_flight=256)]
    tuned = [line.knobs for line in settings(in_flight=256, judge=True) if line.key.endswith((".tuned", ".judge"))]
    assert all(knobs in tried for knobs in tuned)


def test_no_peer_brings_torch_or_cuda() -> None:
    for peer in ("distilabel", "data_designer"):
        pins = [line for line in (LOCKS / f"{peer}.txt").read_text().splitlines() if not line.startswith("#")]
        assert len(pins) > 40 and all(pin.count("==") == 1 for pin in pins)
        assert not [pin for pin in pins if pin.startswith(("torch", "nvidia", "triton", "vllm"))]


def test_peers_see_nothing_of_this_project_and_call_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    env = driver_environment()
    assert "PYTHONPATH" not in env
    assert env["NEMO_TELEMETRY_ENABLED"] == "false" and env["HF_HUB_OFFLINE"] == "1"


# -- what runs without the peers -------------------------------------------------------------------


@pytest.mark.slow
def test_synthgen_and_the_bare_client_are_driven_against_one_server() -> None:
    bare, synthgen = settings(in_flight=8, judge=False)[:2]
    with stand_in(delay=0.01) as server:
        asked = ask(server, bare, sys.executable, plan(20, False, 0))
        made = run_synthgen(server, synthgen, 20, seed=0)
    assert asked.rows == asked.accepted == 20
    assert made.rows >= made.accepted == 20
    assert asked.seconds > 0.02 and made.seconds > 0.02, "20 requests, 8 at a time, are three times 10 ms"


def test_a_client_that_fails_ends_the_benchmark_with_its_own_words() -> None:
    bare = settings(in_flight=8, judge=False)[0]
    with pytest.raises(SystemExit, match="Cannot connect to host"):
        ask(Server("http://127.0.0.1:9/v1", "m"), bare, sys.executable, plan(1, False, 0))
