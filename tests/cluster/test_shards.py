"""Test runs with several shards on the replay engine: what they accept, how they are merged, and how they go on."""

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import forks
import pytest
from forks import SYNTHGEN
from omegaconf import OmegaConf

from synthgen.cli import dispatch
from synthgen.cluster.shards import sharded
from synthgen.cluster.shards.exchange import ENDS, ShardExchange, Stage
from synthgen.cluster.shards.merge import merge
from synthgen.cluster.shards.state import News
from synthgen.config import Config
from synthgen.diversity.embedder import DiversityConfig, HashEncoder
from synthgen.engines.fake.replay import ReplayConfig
from synthgen.engines.http.config import EndpointConfig
from synthgen.errors import ConfigError
from synthgen.ledger import Ledger, Reader, Settled, absorb, check
from synthgen.records import Candidate, PlannedSlot, Request, Sample, Sampling, Verdict
from synthgen.run import shares
from synthgen.run.budget import BudgetConfig
from synthgen.run.status import lines, status
from synthgen.tasks.assets import root
from synthgen.tasks.task import Task, TaskConfig

NEWS_LABELS = ("business", "science", "sport", "world")
SHARDED = [
    "run", "experiment=smoke", "shards=2", "budget.target=61", "run.exchange=8", "engine.in_flight=8", "engine.repeat=0.2",
    "judge=none",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def news_config() -> Config:
    task: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
    return Config(task=TaskConfig(**task), engine=ReplayConfig())


# -- shares ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "count"), [(7, 7), (61, 2), (1000, 3)])
@pytest.mark.parametrize("labels", [[], ["a", "b", "c"], [f"label {number}" for number in range(77)]])
def test_the_goals_of_the_shards_add_up_to_those_of_the_run(labels: list[str], target: int, count: int) -> None:
    config = replace(news_config(), shards=count, budget=BudgetConfig(target=target))
    goals = shares.goals(config, labels, target)
    assert sum(goal.target for goal in goals) == target
    assert max(goal.target for goal in goals) - min(goal.target for goal in goals) <= 1
    whole = sum((Counter(dict(goal.quotas)) for goal in goals), Counter())
    assert all(sum(goal.quotas.values()) == goal.target for goal in goals if labels)
    assert not labels or max(whole.values()) - min(whole[label] for label in labels) <= 1


def test_limits_are_shared_and_limits_that_are_too_small_are_refused() -> None:
    engine = EndpointConfig(urls=["http://127.0.0.1:1/v1"], model="m", in_flight=5, tokens_per_minute=900)
    config = replace(news_config(), engine=engine, shards=2, budget=BudgetConfig(candidates=11))
    found = [shares.shard_config(config, Path("run"), number, shares.ShardGoal(9, {}), engine) for number in (0, 1)]
    assert [one.engine.in_flight for one in found] == [3, 2]
    assert [one.engine.tokens_per_minute for one in found] == [450, 450]
    assert [one.budget.candidates for one in found] == [6, 5]
    assert found[0].run.own_seed != found[1].run.own_seed
    for wrong in (
        replace(config, shards=6),
        replace(config, shards=201),
        replace(config, budget=BudgetConfig(candidates=1)),
        replace(config, budget=BudgetConfig(ask_after=3)),
        replace(config, budget=BudgetConfig(target=300, quotas={"a": 7})),
    ):
        with pytest.raises(ConfigError):
            shares.check(wrong, ["a"], 200)
    with pytest.raises(ConfigError):
        replace(config, shards=0)


# -- what shards tell ------------------------------------------------------------------------------


def test_news_of_a_session_are_found_once_whatever_shard_has_them(tmp_path: Path) -> None:
    paths = [tmp_path / "1.sqlite", tmp_path / "2.sqlite"]
    with Ledger.create(paths[0], {}) as first:
        first.event("endpoint_down", {"why": "of an earlier session"}).result()
        news = News(paths)
        with Ledger.create(paths[1], {}) as second:
            for ledger in (first, second):
                ledger.event("endpoint_down", {"why": "no answer"})
                ledger.event("progress", {"accepted": 1}).result()
            second.event("judge_canary", {"why": "passed a bad sample"}).result()
    found = []
    for number, path in enumerate(paths):
        with Reader(path) as reader:
            found += [news.of(number, reader), news.of(number, reader)]
    assert found == [["no answer"], [], ["passed a bad sample"], []]


# -- merging ---------------------------------------------------------------------------------------


def shard_ledger(path: Path, texts: list[str], candidate: Callable[..., Candidate], seeds: list[Sample]) -> Path:
    """Return the ledger of a shard that accepted these texts, one in each slot."""
    path.parent.mkdir(parents=True)
    encoder = HashEncoder()
    with Ledger.create(path, {"engine": {"name": "replay"}}) as ledger:
        ledger.add_seeds(seeds, list(encoder.encode([seed.data["text"] for seed in seeds])))
        for slot, text in enumerate(texts):
            ledger.plan([PlannedSlot(slot=slot, group=slot, label="sport", strategy="fewshot", parents=(seeds[0].id,))])
            ledger.sent(Request(id=f"{slot}/generate", messages=(), sampling=Sampling()), 0, slot, "generate")
            found = candidate(text, slot=slot, parents=(seeds[0].id,))
            (found.embedding,) = encoder.encode([text])
            sample = Sample(
                id=found.id, data=found.data or {}, origin="synthetic", label="sport", slot=slot, item=0,
                parents=found.parents, depth=1, strategy="fewshot",
            )  # fmt: skip
            ledger.settle(slot, "settled", [Settled(found, (Verdict(check="form"),), sample)])
    return path


Merged = tuple[Path, list[Counter[str]]]


@pytest.fixture
def merged(
    tmp_path: Path, candidate: Callable[..., Candidate], news_task: Task, news_seeds: list[Sample]
) -> Callable[..., Merged]:
    """`merged("one")`: the ledger of a merge of two shards, and what it dropped of each. Call it again to go on with it."""
    firsts = ["The striker scored twice in the rain.", "A long match ended in a draw.", "The coach left at noon."]
    seconds = [
        "A goalkeeper kept the cup at home.",
        "The striker scored twice in the rain!!",
        "A long match ended in the draw.",
    ]

    def make(name: str) -> Merged:
        folder = tmp_path / name
        paths = shares.ledgers(folder, 2)
        if not folder.exists():
            for path, texts in zip(paths, (firsts, seconds), strict=True):
                shard_ledger(path, texts, candidate, news_seeds)
            Ledger.create(folder / "ledger.sqlite", {}).close()
        with Ledger.open(folder / "ledger.sqlite") as ledger:
            found = merge(
                ledger, paths, Stage(1, [0, 0], [0, 1]), 0, news_task, DiversityConfig(embedder="hash", threshold=0.9)
            )
        return folder / "ledger.sqlite", found.lost

    return make


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(path) as reader:
        return list(reader.rows(sql))


def test_a_duplicate_across_shards_is_dropped_once_and_kept_as_a_rejection(
    merged: Callable[..., Merged], news_seeds: list[Sample]
) -> None:
    path, lost = merged("run")
    check(path)
    kept = rows(
        path, "SELECT slot, json_extract(data, '$.text'), parents FROM samples WHERE origin <> 'seed' ORDER BY position"
    )
    assert [slot for slot, *_ in kept] == [0, 1, 2, 4]  # those of the second shard are odd
    assert {text for _, text, _ in kept}.isdisjoint(
        {"The striker scored twice in the rain!!", "A long match ended in the draw."}
    )
    assert {parents for *_, parents in kept} == {f'["{news_seeds[0].id}"]'}
    assert lost == [Counter(), Counter(sport=2)]
    rejected = "SELECT slot, \"check\", reason FROM candidates WHERE outcome = 'rejected' ORDER BY slot"
    assert rows(path, rejected) == [(3, "exact", "duplicate"), (5, "near", "near_duplicate")]
    neighbours = "SELECT json_extract(details, '$.neighbour') FROM verdicts WHERE outcome = 'reject' ORDER BY slot"
    ids = rows(path, "SELECT id FROM samples WHERE slot IN (0, 2) ORDER BY slot")
    assert rows(path, neighbours) == ids
    assert rows(path, "SELECT id FROM requests ORDER BY slot") == [(f"{slot}/generate",) for slot in range(6)]
    assert rows(path, "SELECT COUNT(*) FROM samples JOIN embeddings ON id = sample_id") == [(4 + len(news_seeds),)]


def test_a_merge_that_is_killed_continues_to_the_same_ledger(
    merged: Callable[..., Merged], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = merged("whole")
    monkeypatch.setattr(absorb, "_SLOTS_AT_ONCE", 1)
    statements, done = absorb._statements, []

    def killed(*arguments: Any) -> Any:
        done.append(arguments)
        if len(done) == 5:
            raise KeyboardInterrupt
        return statements(*arguments)

    monkeypatch.setattr(absorb, "_statements", killed)
    with pytest.raises(KeyboardInterrupt):
        merged("killed")
    again, lost = merged("killed")
    assert lost[1].total() == 2
    for table in ("samples", "embeddings", "candidates", "verdicts", "slots"):
        assert rows(again, f"SELECT * FROM {table} ORDER BY 1, 2") == rows(
            whole, f"SELECT * FROM {table} ORDER BY 1, 2"
        )


def test_what_is_taken_over_depends_on_the_slot_alone_and_is_on_record(merged: Callable[..., Merged]) -> None:
    own, other = shares.ledgers(merged("run")[0].parent, 2)

    def exchange(ledger: Ledger) -> ShardExchange:
        return ShardExchange(ledger, 0, [own, other], Stage(1, [0, 0], [0, 1]), 2, 1)

    async def taken(ledger: Ledger, *slots: int) -> list[list[tuple[int | None, str]] | None]:
        one = exchange(ledger)
        found = [await one.before(slot, lambda: True) for slot in slots]  # a run that is closing does not wait
        return [None if each is None else [(sample.slot, sample.id) for sample, _ in each] for each in found]

    with Ledger.open(own) as ledger:
        assert asyncio.run(taken(ledger, 0, 1, 2, 3)) == [[], [], [], []]
        accepted = [key for (key,) in rows(other, "SELECT id FROM samples WHERE slot >= 0 ORDER BY slot")]
        assert asyncio.run(taken(ledger, 2, 4)) == [[], [(4, accepted[0]), (4, accepted[1])]]
        ledger.wait_written()
        assert asyncio.run(taken(ledger, 4, 5)) == [[], []]  # a resume does not take them over again
        again = exchange(ledger)
        assert [(sample.slot, sample.id) for sample, _ in again.earlier()] == [(4, accepted[0]), (4, accepted[1])]
        assert again.count == 2
        assert asyncio.run(taken(ledger, 6)) == [None]  # the other shard has settled three slots, and has not ended
        with Ledger.open(other) as ending:
            ending.set_meta(ENDS, {"1": 3})
        assert asyncio.run(taken(ledger, 6)) == [[(6, accepted[2])]]


# -- runs ------------------------------------------------------------------------------------------


def samples(folder: Path) -> list[tuple[Any, ...]]:
    """Return the accepted samples of a run with their lineage, and its dataset."""
    found = rows(folder / "ledger.sqlite", "SELECT * FROM samples ORDER BY position")
    return [*found, *((folder / "dataset" / f"{split}.jsonl").read_text() for split in ("train", "validation"))]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with two shards that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    done = forks.run([*SYNTHGEN, *SHARDED, f"run.dir={folder}"], check=False, stdout=subprocess.DEVNULL)
    assert done.returncode == 0
    return folder


@pytest.mark.slow
def test_shards_fill_every_label_exactly_and_are_shown(uninterrupted: Path) -> None:
    by_label = "SELECT label, COUNT(*) FROM samples WHERE origin = 'synthetic' GROUP BY 1 ORDER BY 1"
    assert [count for _, count in rows(uninterrupted / "ledger.sqlite", by_label)] == [16, 15, 15, 15]
    said = lines(status(uninterrupted))
    assert [line.split(",")[0] for line in said if line.startswith("shard ")] == [
        "shard 1     ended",
        "shard 2     ended",
    ]
    assert dispatch(["resume", str(uninterrupted / "shards" / "1")]) == 2


@pytest.mark.slow
def test_a_killed_shard_and_a_drained_run_go_on_to_the_same_dataset(tmp_path: Path, uninterrupted: Path) -> None:
    run = forks.Popen(
        [*SYNTHGEN, *SHARDED, "run.dir=out", "engine.jitter=0.5"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    first = tmp_path / "out/shards/1"
    until(
        lambda: (
            (first / "ledger.sqlite").is_file()
            and rows(first / "ledger.sqlite", "SELECT 1 FROM samples WHERE slot > 9")
        )
    )
    os.kill(int((first / ".lock").read_text()), signal.SIGKILL)
    until(lambda: "started again" in (tmp_path / "out/events.jsonl").read_text())
    run.send_signal(signal.SIGINT)
    said, _ = run.communicate(timeout=240)
    assert (run.returncode, said.splitlines()[-1]) == (5, "synthgen resume out")
    assert dispatch(["resume", "out"]) == 0
    assert samples(tmp_path / "out") == samples(uninterrupted)


@pytest.mark.slow
def test_a_run_that_ended_before_its_merge_is_merged_by_a_resume(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sharded, "merge", interrupted)
        assert dispatch([*SHARDED, "run.dir=out"]) == 5
    assert dispatch(["resume", "out"]) == 0
    assert samples(tmp_path / "out") == samples(uninterrupted)


@pytest.mark.slow
def test_shards_that_lose_samples_in_the_merge_go_on_for_them(tmp_path: Path) -> None:
    alone = [*SHARDED, "run.dir=out", "run.exchange=null", "engine.recording=replies.jsonl", "budget.target=8"]
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(16)]
    items = [(label, f"{word} was seen at {word[::-1]}.") for label, word in zip(4 * NEWS_LABELS, words, strict=True)]
    replies = [{"reply": {"text": text, "label": label}, "asked": label} for label, text in items]
    # each shard reads all of them from the beginning
    (tmp_path / "replies.jsonl").write_text("\n".join(map(json.dumps, replies)))
    assert dispatch(alone) == 0
    kept = rows(
        tmp_path / "out/ledger.sqlite", "SELECT label, COUNT(*) FROM samples WHERE origin = 'synthetic' GROUP BY 1"
    )
    assert [count for _, count in kept] == [2, 2, 2, 2]
    assert rows(tmp_path / "out/ledger.sqlite", "SELECT COUNT(*) > 0 FROM candidates WHERE reason = 'duplicate'") == [
        (1,)
    ]


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 240
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
