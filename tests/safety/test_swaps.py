"""Words about people are swapped, and nothing else changes."""

import pytest

from synthgen.safety.swaps import Swap, swapped


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("He gave his sister her book.", "She gave her brother his book."),
        ("I saw HIM, and the car is his.", "I saw HER, and the car is hers."),
        ("Mary's mother told her to wait for her.", "Mary's father told him to wait for him."),
        ("She called her and hers came.", "He called him and his came."),
        ("The chef and the theme are here.", "The chef and the theme are here."),
        ("他的妈妈给她买了书,其他人没有。", "她的爸爸给他买了书,其他人没有。"),
        ("吉他和维他命", "吉他和维他命"),
    ],
)
def test_pronouns_and_words_about_women_and_men(text: str, other: str) -> None:
    assert swapped(text, Swap.PRONOUNS) == other


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("James asked Latoya's friend in march.", "Mary asked Jamal's friend in march."),
        ("王建国和李秀英去了医院。", "王秀英和李建国去了医院。"),
        ("nobody is named here", "nobody is named here"),
    ],
)
def test_names_of_women_and_men(text: str, other: str) -> None:
    assert swapped(text, Swap.NAMES) == other


def test_names_of_another_origin() -> None:
    assert swapped("James met Anna and 王伟 met 李芳", Swap.ORIGINS) == "Jamal met Priya and 买买提 met 阿依古丽"


@pytest.mark.parametrize("kind", [Swap.PRONOUNS, Swap.NAMES])
def test_a_second_swap_gives_the_first_text_again(kind: Swap) -> None:
    text = "He met Peter, his uncle. 他和王伟是兄弟。"
    assert swapped(swapped(text, kind), kind) == text != swapped(text, kind)
