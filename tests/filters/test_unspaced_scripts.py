"""Text rules in scripts without spaces: a sentence is not one word, and a character says more than a letter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.filters.repetition import repetition
from synthgen.filters.rules import EvalOverlap, ExactDuplicate, FiltersConfig, TextRules
from synthgen.records import Candidate, Sample, content_id
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.normal import normalise
from synthgen.tasks.seeds import check_disjoint, read_samples
from synthgen.tasks.task import Task, TaskConfig

Make = Callable[..., Candidate]


@pytest.fixture(scope="module")
def reviews() -> Task:
    fields: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/zh_sentiment.yaml"))
    return load_task(TaskConfig(**fields))


def rules(task: Task, *shown: Sample) -> TextRules:
    return TextRules(task, FiltersConfig(), {one.id: one for one in shown}.__getitem__, task.free_schema)


def sample(text: str) -> Sample:
    data = {"text": text, "label": "负面"}
    return Sample(id=content_id(data), data=data, origin="seed", label="负面")


@pytest.mark.parametrize(
    "text",
    [
        "这家店真的很好吃这家店真的很好吃",
        "我觉得这个手机很好我觉得这个手机很好我觉得这个手机很好",
        "照明をつけて照明をつけて照明をつけて",
        "อาหารอร่อยมากอาหารอร่อยมากอาหารอร่อยมาก",
        "哈哈哈哈哈哈哈哈哈哈",
    ],
)
def test_a_sentence_that_is_written_twice_without_a_space_repeats_itself(text: str) -> None:
    assert repetition(normalise(text)) > FiltersConfig.max_repetition


@pytest.mark.parametrize(
    "text",
    [
        "双胞胎一个生在零点前，一个生在后。",
        "我买的是蓝色，我老婆买的是灰色。",
        "不是我说的，是阿凯说的",
        "哈哈哈哈，这也太好吃了吧",
        "草wwww なにこれ",
        "อร่อยมาก 55555",
    ],
)
def test_words_that_come_twice_and_laughter_are_no_repetition(text: str) -> None:
    assert repetition(normalise(text)) <= FiltersConfig.max_repetition


@pytest.mark.parametrize("text", ["还不错吧！", "差评！！！", "服务好 👍"])
async def test_a_short_chinese_text_is_long_enough(text: str, candidate: Make, reviews: Task) -> None:
    assert (await rules(reviews)(candidate(text, "正面"))).outcome == "pass"


async def test_a_demonstration_with_two_characters_changed_is_a_copy(candidate: Make, reviews: Task) -> None:
    shown = sample("更新之后天天闪退，求求你们把原来的旧版本还给我吧，新界面又丑又难用，我真的忍不下去了")
    copied = "更新之后天天闪退，求求你们把原来的旧版本还给我呀，新界面又丑又难用，我真的忍不下去啦"
    verdict = await rules(reviews, shown)(candidate(copied, "负面", parents=(shown.id,)))
    assert (verdict.outcome, verdict.reason, verdict.details["neighbour"]) == ("reject", "copy", shown.id)


async def test_a_text_about_the_same_thing_is_no_copy(candidate: Make, reviews: Task) -> None:
    shown = sample("更新之后天天闪退，求求你们把旧版还给我吧")
    near = candidate("升级以后打不开了，能不能让我用回旧版", "负面", parents=(shown.id,))
    assert (await rules(reviews, shown)(near)).outcome == "pass"


async def test_an_eval_row_with_a_character_changed_in_the_middle_is_found(candidate: Make, reviews: Task) -> None:
    check = EvalOverlap(
        reviews, FiltersConfig(), [{"text": "房间一股霉味，空调滴水滴了一夜，前台说“习惯就好”", "label": "负面"}]
    )
    found = await check(candidate("房间一股霉味，空调滴水滴了整夜，前台说“习惯就好”", "负面"))
    assert (found.reason, found.details) == ("eval_overlap", {"row": 0})
    assert (await check(candidate("空调坏了，前台说明天才有人来修", "负面"))).outcome == "pass"


async def test_a_text_in_traditional_characters_is_a_duplicate_of_its_simplified_form(
    candidate: Make, reviews: Task
) -> None:
    check = ExactDuplicate(reviews, {0: "first"}.__getitem__)
    check.add(sample("客服态度很好，问题马上解决了"), 0)
    verdict = await check(candidate("客服態度很好，問題馬上解決了！", "正面"))
    assert (verdict.reason, verdict.details) == ("duplicate", {"neighbour": "first"})


async def test_an_eval_row_in_traditional_characters_is_found(candidate: Make, reviews: Task) -> None:
    check = EvalOverlap(reviews, FiltersConfig(), [{"text": "這家餐廳的麵條真的很好吃", "label": "正面"}])
    assert (await check(candidate("这家餐厅的面条真的好吃", "正面"))).reason == "eval_overlap"


def test_a_seed_in_traditional_characters_is_the_eval_row_of_its_simplified_form(reviews: Task, tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"text": "麵條很好吃", "label": "正面"}\n', encoding="utf-8")
    (tmp_path / "eval.jsonl").write_text('{"text": "面条很好吃。", "label": "正面"}\n', encoding="utf-8")
    seeds = read_samples(tmp_path / "seeds.jsonl", reviews, "seed")
    with pytest.raises(Exception, match="the input is also that of"):
        check_disjoint(seeds, read_samples(tmp_path / "eval.jsonl", reviews, "eval"), reviews)
