"""The strategy `taxonomy`: the tree that the model writes, what slots ask for, and the verb that shows it."""

import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from synthgen.cli import dispatch
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError, EngineDeadError, FatalRequestError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import PromptingConfig
from synthgen.generate.strategies.taxonomy import Taxonomy, TaxonomyConfig
from synthgen.generate.strategy import Resources
from synthgen.generate.topics import Leaf, Topics
from synthgen.ledger import Reader
from synthgen.ledger.order import SampleOrder
from synthgen.records import Completion, Json, Request
from synthgen.tasks.task import Task

SMOKE = ["experiment=smoke", "generate=taxonomy", "generate.taxonomy.width=3", "engine.in_flight=8"]
Answer = Callable[[str], Any]
"""Returns the topics, a whole reply or an error for the last turn of a prompt."""


@pytest.fixture
def prompting(news_task: Task) -> Prompting:
    return Prompting(news_task, PromptingConfig(), Prompts(news_task.prompts), 0)


class Model:
    """Answers with topics. All texts have different vectors, except those that are given as synonyms."""

    def __init__(self, answer: Answer, **synonyms: str) -> None:
        self.requests: list[Request] = []
        self.said: list[str] = []
        self._answer = answer
        self._synonyms = synonyms

    @property
    def resources(self) -> Resources:
        return Resources(self._complete, self._embed, self.said.append)

    async def _complete(self, request: Request) -> Completion:
        self.requests.append(request)
        answer = self._answer(request.messages[-1].content)
        if isinstance(answer, Exception):
            raise answer
        return Completion(
            text=answer if isinstance(answer, str) else json.dumps({"topics": answer}), finish_reason="stop"
        )

    async def _embed(self, texts: Sequence[str]) -> Any:
        vectors = np.zeros((len(texts), 8192))
        for row, text in enumerate(texts):
            word = self._synonyms.get(text, text)
            vectors[row, crc32(word.encode()) % 8192] = 1.0
        return vectors


def grown(prompting: Prompting, model: Model, **settings: Any) -> dict[str | None, list[Leaf]]:
    """Return the leaves of each label that the strategy finds with this model."""
    strategy = Taxonomy(TaxonomyConfig(**settings), prompting, 0)
    found = asyncio.run(strategy.begin(model.resources))
    json.dumps(found)  # the ledger keeps it
    return {root["label"]: [tuple(leaf) for leaf in root["leaves"]] for root in found["roots"]}


def numbered(question: str) -> list[str]:
    """Answer with two topics that tell what was asked for."""
    about = question.partition("within: ")[2].split(" (")[0]
    return [f"{about} one", f"{about} two"]


# -- the tree --------------------------------------------------------------------------------------


def test_the_tree_has_topics_below_each_label_and_below_each_topic(prompting: Prompting, news_task: Task) -> None:
    model = Model(numbered)
    found = grown(prompting, model, depth=2, width=2)
    assert list(found) == list(news_task.labels)
    assert found["sport"] == [
        ("sport one", "sport one one"), ("sport one", "sport one two"),
        ("sport two", "sport two one"), ("sport two", "sport two two"),
    ]  # fmt: skip
    assert len(model.requests) == 4 + 8
    assert len({request.id for request in model.requests}) == 12
    assert all(request.id.startswith("-1/generate-taxonomy-") for request in model.requests)
    assert model.said == ["taxonomy: 16 leaves for 4 labels"]
    asked = [request.messages[-1].content for request in model.requests]
    assert f"List 2 different topics within: sport ({news_task.labels['sport']})" in asked
    assert "List 2 different topics within: sport one (part of: sport)" in asked


def test_the_grammar_of_topics_is_compiled_before_the_run_unless_a_file_has_them(prompting: Prompting) -> None:
    model = Model(numbered)
    strategy = Taxonomy(TaxonomyConfig(width=2), prompting, 0)
    asyncio.run(strategy.begin(model.resources))
    assert {request.grammar.key for request in model.requests if request.grammar} == {strategy.grammars[1].key}
    assert Taxonomy(TaxonomyConfig(), prompting, 0, Topics({"sport": [("a",)]})).grammars == (prompting.grammar,)


def test_a_topic_near_another_one_of_its_label_is_dropped_and_asked_for_again(prompting: Prompting) -> None:
    def answer(question: str) -> list[str]:
        if "within: sport" not in question:
            return numbered(question)
        return ["golf", "tennis"] if "Other topics than these: soccer" in question else ["soccer", "football"]

    found = grown(prompting, Model(answer, football="soccer"), depth=1, width=2)
    assert found["sport"] == [("soccer",), ("golf",)]


def test_a_topic_of_another_case_or_of_its_own_ancestor_is_dropped(prompting: Prompting) -> None:
    def answer(question: str) -> list[str]:
        return ["Golf", "golf", "tennis"] if "part of" not in question else ["golf", "tennis", "clubs"]

    found = grown(prompting, Model(answer), depth=2, width=3)
    assert found["sport"] == [("Golf", "clubs"), ("tennis",)]


def test_a_threshold_of_one_drops_only_equal_topics(prompting: Prompting) -> None:
    model = Model(lambda _: ["soccer", "football"], football="soccer")
    assert grown(prompting, model, depth=1, width=2, similarity=1.0)["sport"] == [("soccer",)]
    assert grown(prompting, Model(lambda _: ["soccer", "golf"]), depth=1, width=2)["sport"] == [("soccer",), ("golf",)]


def test_a_topic_copied_from_the_prompts_example_is_dropped(prompting: Prompting) -> None:
    found = grown(prompting, Model(lambda _: ["baking bread", "golf"]), depth=1, width=2)
    assert found["sport"] == [("golf",)]


def test_topics_are_cleaned_of_numbers_quotes_and_line_breaks(prompting: Prompting) -> None:
    found = grown(prompting, Model(lambda _: [" - golf.", "- \n", 'the "open"\nfinal']), depth=1, width=3)
    assert found["sport"] == [("golf",), ('the "open" final',)]


@pytest.mark.parametrize(
    "reply", ["", "no JSON", "[]", "{}", '{"topics": "golf"}', '{"topics": [1, null]}', FatalRequestError("refused")]
)  # fmt: skip
def test_a_bad_reply_about_a_label_leaves_it_without_topics_and_is_reported(
    reply: Any, prompting: Prompting, pool: Pool
) -> None:
    model = Model(lambda question: reply if "within: sport" in question else numbered(question))
    strategy = Taxonomy(TaxonomyConfig(depth=1, width=2), prompting, 0)
    found = asyncio.run(strategy.begin(model.resources))
    assert any(said.startswith("warning: taxonomy: the model named no topic for label sport") for said in model.said)
    asyncio.run(strategy.restore(found, model.resources))
    (planned,) = strategy.plan(Group(0, 0, 1, "sport", 0), random.Random(0), pool)
    assert planned.given == {"leaf": []}
    assert next(strategy.ask(planned, [])).messages == prompting.messages("sport", [])


def test_a_bad_reply_about_a_topic_makes_it_a_leaf(prompting: Prompting) -> None:
    model = Model(lambda question: "no JSON" if "within: sport one" in question else numbered(question))
    assert grown(prompting, model, depth=2, width=2)["sport"] == [
        ("sport one",), ("sport two", "sport two one"), ("sport two", "sport two two"),
    ]  # fmt: skip


def test_a_dead_engine_ends_the_growing_of_the_tree(prompting: Prompting) -> None:
    with pytest.raises(EngineDeadError):
        grown(prompting, Model(lambda _: EngineDeadError("gone")))


def test_a_reply_that_names_too_many_topics_is_cut(prompting: Prompting) -> None:
    assert len(grown(prompting, Model(lambda _: [f"t{n}" for n in range(9)]), depth=1, width=4)["sport"]) == 4


# -- slots -----------------------------------------------------------------------------------------


@pytest.fixture
def strategy(prompting: Prompting) -> Taxonomy:
    leaves = {label: [(label, f"{label} {n}") for n in range(5)] for label in prompting.task.labels}
    return Taxonomy(TaxonomyConfig(), prompting, 0, Topics(leaves))


def test_leaves_are_asked_for_in_turn_and_in_another_order_each_time(strategy: Taxonomy, pool: Pool) -> None:
    asked: list[str] = []
    for number, size in enumerate((3, 4, 2, 6, 5)):
        for planned in strategy.plan(Group(number, len(asked), size, "sport", 0, len(asked)), random.Random(0), pool):
            asked.append(planned.given["leaf"][1])
    assert set(Counter(asked).values()) == {4}
    turns = [asked[start : start + 5] for start in range(0, 20, 5)]
    assert all(len(set(turn)) == 5 for turn in turns) and len({tuple(turn) for turn in turns}) > 1


def test_slots_of_a_group_share_all_of_the_prompt_but_the_leaf(strategy: Taxonomy, pool: Pool) -> None:
    slots = strategy.plan(Group(0, 0, 4, "sport", 0), random.Random(0), pool)
    requests = [next(strategy.ask(planned, [])) for planned in slots]
    assert len({request.messages[:-1] for request in requests}) == 1
    for planned, request in zip(slots, requests, strict=True):
        assert request.messages[-1].content.endswith(f"\nTopic: sport > {planned.given['leaf'][1]}")


def test_a_reply_becomes_a_candidate_that_carries_its_leaf(strategy: Taxonomy, pool: Pool) -> None:
    (planned,) = strategy.plan(Group(0, 7, 1, "sport", 0), random.Random(0), pool)
    asking = strategy.ask(planned, [])
    assert next(asking).id == "7/generate"
    with pytest.raises(StopIteration) as end:
        asking.send(Completion(text='{"text": "The striker scored twice."}', finish_reason="stop"))
    (made,) = end.value.value
    assert (made.strategy, made.label, made.given) == ("taxonomy", "sport", planned.given)


def test_taxonomy_works_without_seeds(strategy: Taxonomy) -> None:
    empty = Pool(PoolConfig(), SampleOrder(), {}.__getitem__)
    (planned,) = strategy.plan(Group(0, 0, 1, "sport", 0), random.Random(0), empty)
    assert planned.parents == () and len(next(strategy.ask(planned, [])).messages) == 2


def test_topics_are_text_and_never_templates(prompting: Prompting, pool: Pool) -> None:
    strategy = Taxonomy(TaxonomyConfig(), prompting, 0, Topics({"sport": [("{{ task }}", "{% raw %}")]}))
    (planned,) = strategy.plan(Group(0, 0, 1, "sport", 0), random.Random(0), pool)
    assert next(strategy.ask(planned, [])).messages[-1].content.endswith("\nTopic: {{ task }} > {% raw %}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "generate.taxonomy.depth: must be from 1 to 6, got 0"),
        ({"width": 1}, "generate.taxonomy.width: must be from 2 to 50, got 1"),
        ({"width": 50, "depth": 3}, "width 50 and depth 3 give 125000 leaves below each label"),
        ({"similarity": 0.0}, "generate.taxonomy.similarity: must be above 0 and at most 1, got 0.0"),
        ({"demonstrations": 0}, "generate.taxonomy.demonstrations: must be 1 or more, got 0"),
    ],
)
def test_a_setting_out_of_range_is_named(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TaxonomyConfig(**settings)
    assert message in str(caught.value)


# -- whole runs, and the verb ----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def query(folder: str, sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def summary(folder: str) -> Json:
    found: Json = json.loads(Path(folder, "summary.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_that_is_stopped_while_the_tree_is_written_is_resumed_to_the_same_dataset() -> None:
    assert dispatch(["run", *SMOKE, "run.dir=whole"]) == 0
    calls = "SELECT COUNT(*) FROM requests WHERE slot = -1 AND kind LIKE 'generate%' AND state = 'answered'"
    ((asked,),) = query("whole", calls)
    for place, after in enumerate((10, 120)):  # in the middle of the tree, and in the middle of the slots
        cut = f"cut{place}"
        assert dispatch(["run", *SMOKE, f"run.dir={cut}", f"engine.dies_after={after}"]) == 4
        while (code := dispatch(["resume", cut])) == 4:
            continue
        assert code == 0
        assert query(cut, calls) == [(asked,)]  # no topic is asked for twice
        assert Path(cut, "dataset/train.jsonl").read_bytes() == Path("whole/dataset/train.jsonl").read_bytes()
        plans = "SELECT slot, label, given FROM slots ORDER BY slot"
        assert query(cut, plans) == query("whole", plans)


@pytest.mark.slow
def test_a_run_tells_which_leaves_were_asked_for_and_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", *SMOKE, "run.dir=a"]) == 0
    found = summary("a")
    leaves = [leaf for root in found["taxonomy"]["roots"] for leaf in root["leaves"]]
    assert len(leaves) == 36
    assert sum(leaf["asked"] for leaf in leaves) == found["counts"]["planned"]
    assert sum(leaf["accepted"] for leaf in leaves) == 50
    for root in found["taxonomy"]["roots"]:
        counts = [leaf["asked"] for leaf in root["leaves"]]
        assert max(counts) - min(counts) <= 1
    said = capsys.readouterr().out
    assert "\ntopics      all 36 leaves asked for, 1 to " in said
    assert "<h3>Topics</h3>" in Path("a/report.html").read_text()
    assert dispatch(["taxonomy", "a/"]) == 0
    shown = capsys.readouterr().out.splitlines()
    first = leaves[0]
    assert shown[:2] == ["business:", f"  {first['path'][0]}:"]
    assert shown[2] == f"    {first['path'][1]}: asked for {first['asked']}, accepted {first['accepted']}"
    assert shown[-1].startswith("all 36 leaves asked for")


def test_a_file_that_cannot_be_written_is_named_before_the_model_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["taxonomy", *SMOKE, "--out", "nowhere/topics.yaml"]) == 2
    said = capsys.readouterr()
    assert "--out nowhere/topics.yaml: there is no folder nowhere; make it" in said.err
    assert "leaves" not in said.out + said.err


@pytest.mark.slow
def test_the_verb_writes_topics_that_a_person_edits_and_a_run_uses(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["taxonomy", *SMOKE, "--out", "topics.yaml"]) == 0
    text = Path("topics.yaml").read_text()
    assert dispatch(["taxonomy", *SMOKE, "--out", "topics.yaml"]) == 2
    assert "--out topics.yaml: exists already" in capsys.readouterr().err
    assert Path("topics.yaml").read_text() == text
    Path("topics.yaml").write_text(text + "  my own topic:\n")
    used = [*SMOKE, "generate.taxonomy.tree=topics.yaml", "run.dir=a"]
    assert dispatch(["run", *used, "budget.target=30"]) == 0
    world = summary("a")["taxonomy"]["roots"][-1]
    assert world["label"] == "world" and world["leaves"][-1]["path"] == ["my own topic"]
    assert query("a", "SELECT COUNT(*) FROM requests WHERE id LIKE '-1/generate-taxonomy%'") == [(0,)]
    assert dispatch(["taxonomy", "a/", "--out", "again.yaml"]) == 0
    assert Path("again.yaml").read_text().splitlines()[-1] == "  my own topic: null"
    capsys.readouterr()
    Path("topics.yaml").write_text(text)
    assert dispatch(["resume", "a", "budget.target=40"]) == 2
    assert "  generate.taxonomy.tree: the topics changed\n" in capsys.readouterr().err
    Path("topics.yaml").unlink()
    assert dispatch(["resume", "a", "budget.target=40"]) == 2
    assert "generate.taxonomy.tree: no such file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_verb_prints_topics_without_a_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert dispatch(["taxonomy", "experiment=smoke", "generate.taxonomy.depth=1"]) == 0
    assert not list(tmp_path.glob("synthgen-*"))
    said = capsys.readouterr()
    assert said.out.startswith("# Topics of task news_topic.") and "\nbusiness:\n- " in said.out
    assert "taxonomy: 20 leaves for 4 labels" in said.err


@pytest.mark.slow
def test_the_verb_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert dispatch(["run", "experiment=smoke", "run.dir=a", "budget.target=4"]) == 0
    capsys.readouterr()
    assert dispatch(["taxonomy", "a/"]) == 2
    assert "the run has no topics, because it does not use the strategy taxonomy" in capsys.readouterr().err
    assert dispatch(["taxonomy", "a/", "run.seed=2"]) == 2
    assert "give either a RUN or overrides and flags" in capsys.readouterr().err
    assert dispatch(["taxonomy", "b/"]) == 2
    assert "not a run folder" in capsys.readouterr().err
    assert dispatch(["taxonomy", "experiment=smoke", "engine.dies_after=3"]) == 4
    assert "the engine failed; its log is in " in capsys.readouterr().err
