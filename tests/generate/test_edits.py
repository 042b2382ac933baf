"""Edits of words, and the synonyms they use."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.errors import InputError
from synthgen.generate.edits import EDITS, Locked, Material, case, free_words, join, keyboard, split, spoken, synonym
from synthgen.generate.thesaurus import read_thesaurus

MATERIAL = Material(["extra", "words"], lambda word: {"quick": ["fast"]}.get(word, []))


@given(st.sampled_from(sorted(EDITS)), st.integers(0, 1000))
def test_no_edit_touches_locked_words(name: str, seed: int) -> None:
    text = "Please don't send 12 quick notes to Jo Ann, thanks"
    start = text.index("Jo Ann")
    words, glue = split(text, [(start, start + 6)])
    assert Locked("Jo Ann,") in words
    assert "Jo Ann," in glue.join(EDITS[name](words, MATERIAL, random.Random(seed)))


BROKEN = "Dear Jo Ann,\n\n  please don't send 12 quick notes\r\nto me\n"


@given(st.sampled_from(sorted(EDITS)), st.integers(0, 1000))
def test_line_breaks_stay_with_what_stands_around_them(name: str, seed: int) -> None:
    words, glue = split(BROKEN)
    assert join(words, glue) == BROKEN
    changed = join(EDITS[name](words, MATERIAL, random.Random(seed)), glue)
    assert re.findall(r"\s*\n\s*", changed) == ["\n\n  ", "\r\n", "\n"]
    assert "  " not in changed.replace("\n\n  ", "")


def test_line_breaks_of_chinese_stay_and_may_stand_in_a_locked_stretch() -> None:
    words, glue = split("我想去\n北京玩", [(2, 5)])
    assert (words, glue) == (["我", "想", "去\n北", "京", "玩"], "")
    assert free_words("我\n想") == ["我", "想"]


def test_words_in_mixed_scripts_are_split_by_the_script_of_most() -> None:
    assert split("帮我 订票") == (list("帮我 订票"), "")
    assert split("play 周杰伦 please now") == (["play", "周杰伦", "please", "now"], " ")


def test_chinese_is_split_by_characters_and_keeps_locked_ones_together() -> None:
    assert split("我想去北京玩", [(3, 5)]) == (["我", "想", "去", "北京", "玩"], "")


@pytest.mark.parametrize(
    ("text", "said"),
    [("wait 12 days.", "wait twelve days."), ("I do not know", "I don't know"), ("Don't go!", "Do not go!")],
)
def test_numbers_and_verbs_are_written_as_spoken(text: str, said: str) -> None:
    assert " ".join(spoken(text.split(), MATERIAL, random.Random(0))) == said


def test_a_synonym_keeps_case_and_punctuation() -> None:
    assert synonym(["Quick,", "go"], MATERIAL, random.Random(0)) == ["Fast,", "go"]


def test_a_mistyped_word_is_near_the_word() -> None:
    for seed in range(30):
        (typed,) = keyboard(["morning"], MATERIAL, random.Random(seed))
        assert typed[0] == "m" and abs(len(typed) - 7) <= 1


def test_case_changes_letters_only() -> None:
    for seed in range(10):
        found = case(["Some", "Words"], MATERIAL, random.Random(seed))
        assert [word.lower() for word in found] == ["some", "words"] and found != ["Some", "Words"]


def test_a_file_lists_synonyms_by_line_and_only_true_groups_of_cilin(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("Aa01A01= 快乐 高兴\nAa01A02# 桌子 椅子\nmake up, compose\n")
    synonyms = read_thesaurus(path, "eo")
    assert [list(synonyms(word)) for word in ("快乐", "桌子", "compose")] == [["高兴"], [], ["make up"]]


def test_wordnet_files_give_common_words_of_the_first_sense(tmp_path: Path) -> None:
    for part in ("noun", "verb", "adj", "adv"):
        (tmp_path / f"index.{part}").write_text("  1 licence\n")
        (tmp_path / f"data.{part}").write_text("")
    (tmp_path / "data.noun").write_text("00000000 06 n 03 car 0 automobile 0 motorcar 0 000 | a vehicle\n")
    (tmp_path / "index.noun").write_text("  1 licence\ncar n 1 0 1 1 00000000\n")
    assert list(read_thesaurus(tmp_path, "en")("car")) == ["automobile"]


def test_a_thesaurus_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"generate\.augment_text\.thesaurus: .*nothing"):
        read_thesaurus(tmp_path / "nothing", "en")
