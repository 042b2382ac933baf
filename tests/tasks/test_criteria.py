"""A task names criteria of the library, or writes its own."""

import re

import pytest
from jinja2 import Environment, FileSystemLoader

from synthgen.errors import ConfigError
from synthgen.tasks.assets import root
from synthgen.tasks.criteria import compared, criteria, read_library


def test_a_list_takes_named_criteria_from_the_library_and_own_ones_as_written() -> None:
    found = criteria(["natural", {"short": "The text has at most ten words."}], "en")
    assert found["short"] == "The text has at most ten words."
    assert found["natural"].startswith("A person could have written or said this in real life.")
    assert "5 = certainly" in found["natural"] and "gets 2" in found["natural"]


def test_a_mapping_holds_own_criteria() -> None:
    assert criteria({"clear": "It is clear."}, "en") == {"clear": "It is clear."}


def test_a_chinese_task_gets_chinese_statements() -> None:
    assert re.search(r"[\u4e00-\u9fff]", criteria(["natural"], "zh-CN")["natural"])
    assert not re.search(r"[\u4e00-\u9fff]", criteria(["natural"], "de")["natural"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_library_says_which_criteria_compare_a_sample_with_its_parents(language: str) -> None:
    assert compared(["natural", "diverse"], language) == {"diverse"}
    assert compared([{"diverse": "It is unlike the others."}], language) == frozenset()
    assert compared({"diverse": "It is unlike the others."}, language) == frozenset()


def test_both_languages_have_the_same_criteria() -> None:
    assert list(read_library("en")) == list(read_library("zh"))


@pytest.mark.parametrize(
    ("rubric", "says"),
    [
        (["naturel"], "did you mean natural?"),
        (["polite"], "needs a statement: - polite"),
        ([{"polite": 5}], "task.rubric.polite: must be a statement"),
        (["natural", "natural"], "'natural' is listed twice"),
        ("natural", "must be a mapping of names to statements, or a list"),
    ],
)
def test_a_wrong_rubric_is_refused_with_its_cure(rubric: object, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        criteria(rubric, "en")


def test_chinese_prompts_have_the_same_blocks_as_english_ones() -> None:
    folder = root() / "prompts"
    names = [path.relative_to(folder / "zh") for path in sorted((folder / "zh").rglob("*.jinja"))]
    assert len(names) >= 7
    environment = Environment(loader=FileSystemLoader(folder))
    for name in names:
        english, chinese = environment.get_template(str(name)), environment.get_template(f"zh/{name}")
        assert set(english.blocks) == set(chinese.blocks), name
    common = [{path.name for path in folder.glob(f"{prefix}common/*.jinja")} for prefix in ("", "zh/")]
    assert common[0] == common[1]
    kinds = {path.parent.name for path in folder.glob("*/generate.jinja")}
    assert kinds == {path.parent.name for path in (folder / "zh").glob("*/generate.jinja")}
