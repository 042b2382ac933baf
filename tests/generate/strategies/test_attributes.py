"""The strategy `attributes`: what its slots ask for and show, what becomes of replies, and an exact resume."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.generate.kinds import GenerateConfig, StrategiesConfig
from synthgen.generate.mix import Mix
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategies.attributes import Attributes, AttributesConfig
from synthgen.generate.strategies.fewshot import FewShot, FewShotConfig
from synthgen.ledger import Reader
from synthgen.records import Completion, Json, Sample
from synthgen.report import last_lines
from synthgen.tasks.attributes import read_attributes
from synthgen.tasks.task import Task

FOUR_BY_FIVE = {name: [f"{name} {n}" for n in range(5)] for name in ("place", "person", "season", "style")}
SMOKE = ["experiment=smoke", "generate=attributes", "engine.in_flight=8"]
WISHES = "task.attributes={tone: [formal, casual], length: {short: 3, long: 1}}"


@pytest.fixture
def task(news_task: Task) -> Task:
    return replace(news_task, attributes=read_attributes(FOUR_BY_FIVE))


@pytest.fixture
def strategy(task: Task) -> Attributes:
    return Attributes(AttributesConfig(), prompting(task), 0)


def prompting(task: Task, **changes: Any) -> Prompting:
    return Prompting(task, PromptingConfig(**changes), Prompts(task.prompts, task.language), 0)


def group(number: int, first: int, size: int, label: str | None = "sport", earlier: int = 0) -> Group:
    return Group(number, first, size, label, 0, earlier)


def summary(folder: str | Path) -> Json:
    found: Json = json.loads(Path(folder, "summary.json").read_text())
    return found


def test_slots_of_a_group_share_the_samples_and_the_beginning_of_the_prompt(
    strategy: Attributes, pool: Pool, news_seeds: list[Sample]
) -> None:
    known = {seed.id: seed for seed in news_seeds}
    slots = strategy.plan(group(5, 100, 8), random.Random(0), pool)
    assert [planned.slot for planned in slots] == list(range(100, 108))
    assert len({planned.parents for planned in slots}) == 1
    requests = [next(strategy.ask(planned, [known[name] for name in planned.parents])) for planned in slots]
    assert len({request.messages[:-1] for request in requests}) == 1
    assert len({id(request.sampling.bad_words) for request in requests}) == 1
    assert len({request.messages[-1] for request in requests}) > 1
    chosen = slots[0].given["attributes"]
    lines = requests[0].messages[-1].content.splitlines()
    assert lines[-4:] == [f"{name.capitalize()}: {chosen[name]}" for name in FOUR_BY_FIVE]


def test_attributes_shows_the_samples_that_few_shot_shows(strategy: Attributes, task: Task, pool: Pool) -> None:
    fewshot = FewShot(FewShotConfig(), prompting(task))
    for number in range(5):
        own = strategy.plan(group(number, 0, 1), random.Random(number), pool)
        assert own[0].parents == fewshot.plan(group(number, 0, 1), random.Random(number), pool)[0].parents


def test_a_meaning_stands_beside_its_attribute(news_task: Task, pool: Pool) -> None:
    attributes = read_attributes({"tone": {"meaning": "how the writer sounds", "values": ["formal", "casual"]}})
    strategy = Attributes(AttributesConfig(), prompting(replace(news_task, attributes=attributes)), 0)
    (planned,) = strategy.plan(group(0, 0, 1), random.Random(0), pool)
    said = next(strategy.ask(planned, [])).messages[-1].content
    assert said.endswith(f"\nTone (how the writer sounds): {planned.given['attributes']['tone']}")


def test_values_are_text_and_never_templates(news_task: Task, pool: Pool) -> None:
    attributes = read_attributes({"tone": ["{{ task }}", "{% raw %}"]})
    strategy = Attributes(AttributesConfig(), prompting(replace(news_task, attributes=attributes)), 0)
    (planned,) = strategy.plan(group(0, 0, 1), random.Random(0), pool)
    assert (
        next(strategy.ask(planned, [])).messages[-1].content.endswith(f"\nTone: {planned.given['attributes']['tone']}")
    )


def test_a_reply_becomes_a_candidate_that_carries_the_combination(
    strategy: Attributes, pool: Pool, news_seeds: list[Sample]
) -> None:
    known = {seed.id: seed for seed in news_seeds}
    (planned,) = strategy.plan(group(0, 7, 1), random.Random(0), pool)
    asking = strategy.ask(planned, [known[name] for name in planned.parents])
    assert next(asking).id == "7/generate"
    with pytest.raises(StopIteration) as end:
        asking.send(Completion(text='{"text": "The striker scored twice."}', finish_reason="stop"))
    (made,) = end.value.value
    assert made.data == {"text": "The striker scored twice.", "label": "sport"}
    assert (made.strategy, made.parents, made.depth) == ("attributes", planned.parents, 1)
    assert made.given == {"attributes": planned.given["attributes"]}


@pytest.mark.parametrize("text", ["", "no JSON", '["a list"]', '{"text": "cut off'])
def test_a_reply_that_is_no_sample_becomes_a_candidate_without_data(
    text: str, strategy: Attributes, pool: Pool
) -> None:
    (planned,) = strategy.plan(group(0, 0, 1), random.Random(0), pool)
    asking = strategy.ask(planned, [])
    next(asking)
    with pytest.raises(StopIteration) as end:
        asking.send(Completion(text=text, finish_reason="stop"))
    (made,) = end.value.value
    assert (made.data, made.text, made.given) == (None, text, planned.given)


def test_a_task_without_attributes_is_named_with_the_cure(news_task: Task) -> None:
    with pytest.raises(ConfigError) as caught:
        Attributes(AttributesConfig(), prompting(news_task), 0)
    said = str(caught.value)
    assert said.startswith("generate.strategies.attributes: task news_topic has no attributes to vary; add them")


@pytest.mark.parametrize("other", [{}, {"fewshot": 1.0}])
def test_a_run_of_300_slots_asks_for_all_pairs_evenly_alone_and_in_a_mix(
    other: dict[str, float], task: Task, pool: Pool
) -> None:
    cfg = GenerateConfig(strategies=StrategiesConfig(attributes=1.0, **other))
    strategies = [
        Attributes(cfg.attributes, prompting(task), 0),
        *([FewShot(cfg.fewshot, prompting(task))] * len(other)),
    ]
    mix = Mix(strategies, cfg.strategies.shares(), 0)
    pairs: Counter[Any] = Counter()
    number = first = 0
    while pairs.total() < 300 * 6:
        label = list(task.labels)[number % 4]
        for planned in mix.plan(group(number, first, 6, label), pool):
            pairs.update(combinations(sorted(planned.given.get("attributes", {}).items()), 2))
        number, first = number + 1, first + 6
    assert len(pairs) == 150
    assert max(pairs.values()) <= 2 * min(pairs.values())


def test_a_resumed_mix_continues_with_the_combinations_after_those_of_earlier_sessions(task: Task, pool: Pool) -> None:
    def mix() -> Mix:
        return Mix([Attributes(AttributesConfig(), prompting(task), 0)], {"attributes": 1.0}, 0)

    whole, later = mix(), mix()
    plans = [whole.plan(group(number, 6 * number, 6), pool) for number in range(4)]
    later.restore({("attributes", "sport"): 12})
    assert [later.plan(group(number, 6 * number, 6), pool) for number in (2, 3)] == plans[2:]


# -- whole runs ------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_run_tells_what_was_asked_for_and_accepted(here: Path) -> None:
    assert dispatch(["run", *SMOKE, WISHES, "run.dir=a"]) == 0
    found = summary("a")
    values = found["attributes"]["values"]
    assert {name: list(row) for name, row in values.items()} == {
        "tone": ["formal", "casual"],
        "length": ["short", "long"],
    }
    assert values["length"]["short"]["share"] == 0.75
    for row in values.values():
        assert sum(one["asked"] for one in row.values()) == found["counts"]["planned"]
        assert sum(one["accepted"] for one in row.values()) == 50
    (pair,) = found["attributes"]["pairs"]
    assert pair["attributes"] == ["tone", "length"]
    assert [sum(row) for row in pair["asked"]] == [row["asked"] for row in values["tone"].values()]
    (line,) = [line for line in last_lines(found, here / "a") if line.startswith("attributes  ")]
    least, most = min(map(min, pair["asked"])), max(map(max, pair["asked"]))
    assert (
        line == f"attributes  all 4 pairs of values asked for, {least} to {most} times each; all 4 in accepted samples"
    )
    page = Path("a/report.html").read_text()
    assert "<h3>Attributes</h3>" in page and "<bdi>casual</bdi>" in page
    with Path("a/dataset/meta/lineage.jsonl").open() as file:
        made = [row for row in map(json.loads, file) if row["origin"] == "synthetic"]
    assert all(set(row["given"]["attributes"]) == {"tone", "length"} for row in made)


@pytest.mark.slow
def test_a_run_that_the_engine_leaves_is_resumed_to_the_same_dataset(here: Path) -> None:
    mixed = [*SMOKE, WISHES, "generate.strategies={attributes: 0.6, fewshot: 0.4}", "budget.target=40"]
    assert dispatch(["run", *mixed, "run.dir=whole"]) == 0
    assert dispatch(["run", *mixed, "run.dir=cut", "engine.dies_after=90"]) == 4
    assert dispatch(["resume", "cut"]) == 0
    assert Path("cut/dataset/train.jsonl").read_bytes() == Path("whole/dataset/train.jsonl").read_bytes()
    assert given("cut") == given("whole")


def given(folder: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return list(reader.rows("SELECT slot, strategy, given FROM slots ORDER BY slot"))


@pytest.mark.slow
def test_a_declared_check_asks_the_judge_for_the_values(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked = [*SMOKE, WISHES, "task.checks=[{kind: attributes}]", "engine.approve=0.8", "budget.target=20"]
    assert dispatch(["run", *checked, "run.dir=a"]) == 0
    assert summary("a")["counts"]["rejected"]["attributes"] > 0
    with Reader(here / "a" / "ledger.sqlite") as reader:
        (details, score), *_ = reader.rows("SELECT details, score FROM verdicts WHERE reason = 'attributes'")
    found = json.loads(details)
    assert found["attribute"] in ("tone", "length") and found["value"] and score < 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate=attributes"], "generate.strategies.attributes: task news_topic has no attributes to vary"),
        (
            ["task.attributes={tone: formal}"],
            "task.attributes.tone: 'formal' is neither a list of values nor a mapping",
        ),
        (["task.checks=[{kind: attributes}]"], "task.checks[0].kind: the task has no attributes"),
    ],
)
def test_mistakes_end_with_code_2_and_one_message(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["validate", "experiment=smoke", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_other_values_are_refused_on_resume(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", *SMOKE, WISHES, "run.dir=a", "budget.target=4"]) == 0
    assert dispatch(["resume", "a", "task.attributes.tone=[formal, rude]", "budget.target=8"]) == 2
    assert "attributes" in capsys.readouterr().err


def test_the_chinese_prompt_asks_in_chinese(make_zh: Callable[[], Task], pool: Pool) -> None:
    strategy = Attributes(AttributesConfig(), prompting(make_zh()), 0)
    (planned,) = strategy.plan(group(0, 0, 1, "正面"), random.Random(0), pool)
    said = next(strategy.ask(planned, [])).messages[-1].content
    assert said.endswith(f"\n语气（说话的方式）：{planned.given['attributes']['语气']}")


@pytest.fixture
def make_zh() -> Callable[[], Task]:
    from omegaconf import OmegaConf

    from synthgen.tasks.assets import root
    from synthgen.tasks.loading import load_task
    from synthgen.tasks.task import TaskConfig

    def make() -> Task:
        fields: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/zh_sentiment.yaml"))
        fields["attributes"] = {"语气": {"meaning": "说话的方式", "values": ["正式", "随意"]}}
        return load_task(TaskConfig(**fields))

    return make
