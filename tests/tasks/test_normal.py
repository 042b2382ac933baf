"""Normal forms: two spellings of a text are one, two texts stay two, in any script."""

import re
import subprocess
import sys

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
        ("「東京」へ行く！", "东京 へ行く"),
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


def test_a_shingle_of_chinese_or_kana_has_fewer_characters_for_as_many_letters() -> None:
    assert shingles("这家店的服务", 8) == {"这家店", "家店的", "店的服", "的服务"}
    assert shingles("電気を消して", 8) == {"電気を", "気を消", "を消して"}
    assert shingles("好 ok 吗", 6) == {"好 ok", " ok 吗", "ok 吗"}


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
    ("simplified", "other"),
    [
        ("客服态度很好，问题马上解决了！", "客服態度很好，問題馬上解決了！"),
        ("头发干了，干净又舒服。", "頭髮乾了，乾淨又舒服。"),
        ("他看着窗外说：“里面没有人。”", "他看著窗外說：「裡面沒有人。」"),
        ("台湾的面条只要3块", "臺灣的麵條只要３塊"),
        ("价格：１２８元（含税）", "价格:128元(含税)"),
    ],
)
def test_simplified_traditional_and_full_width_forms_are_the_same_text(simplified: str, other: str) -> None:
    assert comparable(simplified) == comparable(other)
    assert normalise(simplified) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("乾坤", "干坤"), ("软件", "軟體"), ("她来了", "他来了"), ("三块", "五塊"), ("机を拭く", "椅子を拭く")],
)
def test_other_words_stay_other_texts(one: str, other: str) -> None:
    assert comparable(one) != comparable(other)


def test_a_half_character_in_a_chinese_text_does_no_harm() -> None:
    assert comparable("漢字\ud800") == comparable("汉字\ud800")


def test_opencc_is_loaded_for_chinese_characters_alone() -> None:
    code = "import sys; from synthgen.tasks.normal import comparable as c; c('Grüße, привет, สวัสดี, カナ'); print('opencc' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


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
def test_a_visible_text_always_has_a_comparable_form(text: str) -> None:
    assert comparable(text) or not any(char.isprintable() and not char.isspace() for char in text)


@pytest.mark.parametrize("text", ["3 - 4!", "C++", "İ ½", "don't", "🎉 ?!", "５％", "看著乾淨的裡面"])
def test_a_comparable_form_is_its_own_comparable_form(text: str) -> None:
    assert comparable(comparable(text)) == comparable(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_quick_way_for_ascii_gives_what_the_pattern_gives(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normal, "_MAY_TELL", re.compile(""))  # matches everything: the pattern alone
        slow = normal.comparable.__wrapped__(text)
    assert normal.comparable.__wrapped__(text) == slow
