"""Channel scoring: what it asks, what it makes of the answers, and that a run hears it."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError, EngineDeadError, RetryableError
from synthgen.judge.channel import ChannelCheck, ChannelConfig
from synthgen.ledger import Reader
from synthgen.records import SCORE, Candidate, Completion, Request, Sample
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]
LABELS = ("business", "science", "sport", "world")


class Scorer:
    """An engine whose prompts have the log probability that `score(label, text)` gives."""

    name = "scorer"

    def __init__(self, task: Task, score: Callable[[str, str], float | Exception | None]) -> None:
        self._task = task
        self._score = score
        self.asked: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        ask = request.messages[-2].content
        label = next(label for label in LABELS if self._task.label_texts[label] in ask)
        found = self._score(label, request.messages[-1].content)
        if isinstance(found, Exception):
            raise found
        logprobs = () if found is None else ({SCORE: found},)
        return Completion(text="", finish_reason="length", logprobs=logprobs)

    async def aclose(self) -> None: ...


async def likely(candidate: Candidate, count: int) -> Sequence[str] | None:
    return None if "sure" in candidate.text else ["sport", "science", "world"][:count]


async def made(task: Task, seeds: list[Sample], engine: Scorer, **knobs: Any) -> ChannelCheck:
    check = ChannelCheck(task, ChannelConfig(**knobs), Prompts(task.prompts), seeds, engine, likely)
    await check.ready()
    return check


async def test_the_score_of_a_text_without_content_is_subtracted(
    news_task: Task, news_seeds: list[Sample], candidate: Make
) -> None:
    """The conversation of science is by itself 50 nats likelier; only what the text adds counts."""
    own = {"sport": -100.0, "science": -50.0, "world": -100.0, "business": -100.0}
    adds = {"sport": -10.0, "science": -20.0, "world": -20.0}
    engine = Scorer(news_task, lambda label, text: own[label] + (0.0 if text == "N/A" else adds[label]))
    check = await made(news_task, news_seeds, engine)
    verdict = await check(candidate())
    assert (verdict.outcome, verdict.details["answer"]) == ("pass", "sport")
    powers = [1.0, math.exp(-3.0), math.exp(-3.0)]
    expected = [round(power / sum(powers), 4) for power in powers]
    assert verdict.details["probabilities"] == dict(zip(("sport", "science", "world"), expected, strict=True))
    assert verdict.score == expected[0]


async def test_each_label_is_asked_for_with_its_own_seeds_and_the_text_comes_last(
    news_task: Task, news_seeds: list[Sample], candidate: Make
) -> None:
    engine = Scorer(news_task, lambda *_: -1.0)
    check = await made(news_task, news_seeds, engine, shots=2)
    assert [request.messages[-1].content for request in engine.asked] == ["N/A"] * 4
    engine.asked.clear()
    await check(candidate("{{ 7 * 7 }} <|im_end|>"))
    assert [request.id for request in engine.asked] == ["0.0/channel/2", "0.0/channel/1", "0.0/channel/3"]
    sport = engine.asked[0]
    shown = [message.content for message in sport.messages if message.role == "assistant"]
    of_sport = [seed.data["text"] for seed in news_seeds if seed.label == "sport"]
    assert shown == [*of_sport[:2], "{{ 7 * 7 }} <|im_end|>"]
    assert [message.role for message in sport.messages[-2:]] == ["user", "assistant"]
    assert (sport.scored, sport.sampling.max_tokens) == (True, 1)


async def test_a_label_beyond_doubt_is_not_asked_about(
    news_task: Task, news_seeds: list[Sample], candidate: Make
) -> None:
    engine = Scorer(news_task, lambda *_: -1.0)
    check = await made(news_task, news_seeds, engine)
    engine.asked.clear()
    verdict = await check(candidate("This is sure."))
    assert (verdict.outcome, verdict.details, engine.asked) == ("pass", {}, [])


@pytest.mark.parametrize("bad", [None, math.nan, -math.inf, RetryableError("time-out")])
async def test_an_answer_that_cannot_be_read_is_unscored(
    bad: float | Exception | None, news_task: Task, news_seeds: list[Sample], candidate: Make
) -> None:
    engine = Scorer(news_task, lambda label, text: bad if (label, text) != ("sport", "N/A") and text != "N/A" else -1.0)
    check = await made(news_task, news_seeds, engine)
    verdict = await check(candidate())
    assert (verdict.outcome, verdict.reason, verdict.score) == ("unscored", "unscored", None)


async def test_an_engine_without_prompt_logprobs_is_found_before_the_first_slot(
    news_task: Task, news_seeds: list[Sample]
) -> None:
    with pytest.raises(EngineDeadError, match=r"judge\.channel: the engine gives no log probabilities of a prompt"):
        await made(news_task, news_seeds, Scorer(news_task, lambda *_: None))


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"labels": 1}, "judge.channel.labels: must be 2 or more, got 1"),
        ({"shots": -1}, "judge.channel.shots: must be 0 or more, got -1"),
    ],
)
def test_a_value_out_of_range_is_refused(knobs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        ChannelConfig(**knobs)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["diversity=minilm"], "judge.channel: engine=replay gives no log probabilities of prompts"),
        (["diversity=hash"], "judge.channel: is a source of labels, and this run does not decide labels from several"),
    ],
)
def test_a_run_whose_engine_cannot_score_prompts_does_not_start(
    words: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch(["run", "experiment=smoke", "judge.channel.enabled=true", *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_run_uses_channel_scoring_for_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in server scores prompts; every doubtful candidate is asked about, and the verdict is kept."""
    monkeypatch.chdir(tmp_path)
    words = ["task=news_topic", "engine=vllm", "engine.server=stand_in", "model.name=x", "diversity=minilm",
        "judge.channel.enabled=true", "budget.target=30", "budget.candidates=300", "student=none", "run.dir=a",
        "judge.canaries.every=null", "labels.sure=null",
    ]  # fmt: skip
    assert dispatch(["run", *words]) in (0, 3)
    with Reader(Path("a/ledger.sqlite")) as reader:
        heard = list(reader.rows("SELECT slot, details FROM verdicts WHERE \"check\" = 'channel'"))
        asked = [
            reader.one(
                f"SELECT COUNT(*) FROM requests WHERE kind LIKE 'channel/%' AND state = 'answered' AND slot = {slot}"
            )
            for slot, _ in heard
        ]
    assert len(heard) >= 30
    assert asked == [4] * len(heard)
    assert all(abs(sum(json.loads(details)["probabilities"].values()) - 1) < 0.001 for _, details in heard)
    voices = json.loads(Path("a/summary.json").read_text())["judge"]["voices"]
    assert set(voices["cohens_kappa"]) >= {"intent, channel", "head, channel", "label_check, channel"}
