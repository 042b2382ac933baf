"""Test that Chinese prompts have the same files, blocks and variables as the English ones."""

import re
from pathlib import Path

import pytest

from synthgen.tasks.assets import root

PROMPTS = root() / "prompts"
ENGLISH = sorted(path.relative_to(PROMPTS) for path in PROMPTS.rglob("*.jinja") if "zh" not in path.parts)
CHINESE = sorted(path.relative_to(PROMPTS / "zh") for path in (PROMPTS / "zh").rglob("*.jinja"))


def parts(path: Path) -> tuple[list[str], set[str]]:
    """Return the blocks of a template, and what it puts into the text."""
    text = re.sub(r"\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.S)
    return re.findall(r"\{% block (\w+) %\}", text), set(re.findall(r"\{\{ ([\w.]+)", text))


def test_every_prompt_exists_in_both_languages() -> None:
    assert CHINESE == ENGLISH


@pytest.mark.parametrize("path", CHINESE, ids=str)
def test_both_languages_have_the_same_blocks_and_show_the_same(path: Path) -> None:
    blocks, shown = parts(PROMPTS / path)
    chinese_blocks, chinese_shown = parts(PROMPTS / "zh" / path)
    assert chinese_blocks == blocks
    assert chinese_shown == shown - {"task.language"}  # the English text names the language to write in
    assert any("\u4e00" <= char <= "\u9fff" for char in (PROMPTS / "zh" / path).read_text(encoding="utf-8"))
