"""Normal forms: two spellings of a text are one, two texts stay two, in any script."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.tasks import normal
from synthgen.tasks.normal import comparable, normalise, shingles


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  Hello,\tWorld!\n", "hello world"),
        ("don't-stop_now", "don t stop now"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ　１２", "full width 12"),
        ("ﬁne", "fine"),
        ("nai\u0308ve", "naïve"),
        ("你好，世界。", "你好 世界"),
        ("「東京」へ行く！", "東京 へ行く"),
        ("Привет, мир", "привет мир"),
        ("İstanbul", "i\u0307stanbul"),
        ("Goal!!! 🎉🎉", "goal"),
        ("🎉", ""),
        ("❤️ 1️⃣", "1"),
        ("?!…", ""),
        ("", ""),
    ],
)
def test_a_text_is_reduced_to_its_letters_and_digits(text: str, plain: str) -> None:
    assert normalise(text) == plain


@pytest.mark.parametrize("text", ["Straße", "Ａ１ ❤️", "की बात", "สวัสดี", "İ", "ﬁ½", "über-groß"])
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("one", "other"), [("की", "का"), ("สวย", "สวัย"), ("வா", "வீ"), ("كَتَبَ", "كُتِبَ"), ("5 apples", "6 apples"), ("猫", "犬")]
)
def test_texts_that_differ_in_a_vowel_sign_or_digit_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_a_word_with_vowel_signs_stays_one_word() -> None:
    assert normalise("हिन्दी की किताब").split() == ["हिन्दी", "की", "किताब"]


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_text_has_the_same_normal_form_alone_and_within_other_scripts(text: str) -> None:
    assert f"{normalise(text)} 你".strip() == normalise(f"{text} 你")


def test_shingles_are_the_runs_of_characters() -> None:
    assert shingles("abcd", 3) == {"abc", "bcd"}
    assert shingles("你好世界", 2) == {"你好", "好世", "世界"}


def test_a_text_shorter_than_a_shingle_is_its_own() -> None:
    assert shingles("abc", 8) == {"abc"}
    assert shingles("", 8) == set()


# -- are two texts the same? -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        "Cafe\u0301 au lait", "CAFÉ AU LAIT", "Café au lait!", "“Café” au lait …", "Ca\u200bfé au\u2060 lait", "Ｃａｆé　ａｕ　ｌａｉｔ！",
        "Café au lait～", "\ufeffCafé au-lait.", "ca\u00adfé\nau\tlait",
    ],
)  # fmt: skip
def test_another_spelling_of_a_text_is_the_same_text(spelling: str) -> None:
    assert comparable(spelling) == comparable("Café au lait")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 + 4?", "3 - 4?"), ("3-4", "3/4"), ("3.5 metres", "35 metres"), ("it is 5", "it is -5"), ("5% more", "5 more"),
        ("a < b", "a > b"), ("C++ is old", "C is old"), ("C# is new", "C is new"), ("it cost $5", "it cost 5"),
        ("good 🎉", "good 😡"), ("🎉", "😡"), ("?!", "!!"), ("…", "?"), ("可以", "不可以"),
    ],
)  # fmt: skip
def test_a_sign_that_changes_the_meaning_makes_another_text(one: str, other: str) -> None:
    assert comparable(one) != comparable(other)


@given(st.text())
def test_a_text_that_can_be_seen_is_never_nothing_to_compare(text: str) -> None:
    assert comparable(text) or not any(char.isprintable() and not char.isspace() for char in text)


@pytest.mark.parametrize("text", ["3 - 4!", "C++", "İ ½", "don't", "🎉 ?!", "５％"])
def test_a_form_to_compare_is_its_own(text: str) -> None:
    assert comparable(comparable(text)) == comparable(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_quick_way_for_ascii_gives_what_the_pattern_gives(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normal, "_MAY_TELL", re.compile(""))  # matches everything: the pattern alone
        slow = normal.comparable.__wrapped__(text)
    assert normal.comparable.__wrapped__(text) == slow
