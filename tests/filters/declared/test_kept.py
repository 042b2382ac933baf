"""Test what must be the same in two fields: numbers in every form, names, placeholders, URLs."""

from collections.abc import Callable

import pytest

from synthgen.records import Verdict

KEPT = {"kind": "kept", "field": "source", "in": "target"}


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("It costs 1,000 euros.", "Das kostet 1000 Euro.", None),
        ("It costs 1,000 euros.", "它要１０００欧元。", None),
        ("It costs 1,000 euros.", "Es kostet 1.000 Euro.", None),
        ("It costs 1,000 euros.", "Es kostet 100 Euro.", "1,000"),
        ("It costs 1,000 euros.", "Es kostet 1 Euro.", "1,000"),
        ("3.5 % more", "3,5 % mehr", None),
        ("3.5 % more", "35 % mehr", "3.5"),
        ("10 000 people came.", "10,000 came.", None),
        ("We sold 30,000 bikes.", "我们卖出了3万辆自行车。", None),
        ("We sold 30,000 bikes.", "我们卖出了三万辆自行车。", None),
        ("We sold 30,000 bikes.", "我们卖出了三千辆自行车。", "30,000"),
        ("他们有12个苹果。", "They have twelve apples.", None),
        ("他们有12个苹果。", "They have twenty apples.", "12"),
        ("2024年5月3日", "On May 3, 2024", None),
        ("2024年5月3日", "On June 3, 2024", "5"),
        ("The bus leaves at 10:30.", "Der Bus fährt um 10.30 Uhr.", None),
        ("About 1.5 million", "大约150万", None),
        ("３点５公里", "只有三点五公里", None),
        ("花了35000元", "前后花了三万五", None),
        ("花了30005元", "前后花了三万五", None),
        ("大巴8:30发车", "大巴八点半发车", None),
        ("涨到2.5元", "要两块五", None),
        ("大巴8:45发车", "大巴八点半发车", "45"),
        ("共1.2萬人", "一共一万二千人", None),
        ("No number here.", "Hier auch nicht, nur 7.", None),
    ],
)
def test_numbers_are_kept_in_whatever_form(
    verdict: Callable[..., Verdict], source: str, target: str, lost: str | None
) -> None:
    found = verdict(KEPT | {"what": ["numbers"]}, source=source, target=target)
    assert (found.details.get("value"), found.outcome) == (lost, "reject" if lost else "pass")


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("Hello {name}, you have %d messages.", "你好 {name}，你有 %d 条消息。", None),
        ("Hello {name}, you have %d messages.", "你好 {姓名}，你有 %d 条消息。", "{name}"),
        ("Click <b>here</b>.", "Klick <b>hier</b>.", None),
        ("Click <b>here</b>.", "Klick <b>hier<b>.", "</b>"),
        ("%s and %s", "%s und", "%s"),
        ("A discount of 50 % for all", "50 % Rabatt für alle", None),
        ("Hi {{user}}, ${total} due, %(when)s", "嗨 {{user}}，应付 ${total}，%(when)s", None),
        ("if a < b and c > d", "wenn a kleiner als b", None),
    ],
)
def test_placeholders_are_kept_as_often_as_they_occur(
    verdict: Callable[..., Verdict], source: str, target: str, lost: str | None
) -> None:
    found = verdict(KEPT | {"what": ["placeholders"]}, source=source, target=target)
    assert found.details.get("value") == lost


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("See https://example.org/a?b=1.", "请看 https://example.org/a?b=1。", None),
        ("See https://example.org/a?b=1.", "请看 https://example.org/a?b=2。", "https://example.org/a?b=1"),
        ("Go to www.example.org now", "Besuche (www.example.org/).", None),
    ],
)
def test_urls_are_kept(verdict: Callable[..., Verdict], source: str, target: str, lost: str | None) -> None:
    assert verdict(KEPT | {"what": ["urls"]}, source=source, target=target).details.get("value") == lost


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [
        ("The mayor, Anna Schmidt, opened it.", "In the town, Anna Schmidt was there. Opened by the mayor.", None),
        ("Yesterday Anna Schmidt opened it.", "Anna Schmitt opened it yesterday.", "Schmidt"),
        ("Nobody asked. Then they left.", "All gone.", None),
        ("They flew with NASA.", "Der Flug war von der Nasa.", None),
        ("We met Jürgen's wife in Köln.", "Jürgen hat eine Frau, in Köln.", None),
        ("We met in Berlin.", "Berlins Straßen", None),
        ("I bought an iPhone and I'm glad.", "我买了一部iPhone，很高兴。", None),
        ("I bought an iPhone.", "我买了一部手机。", "iPhone"),
        ("我在北京见到了王芳。", "I met Wang Fang in Beijing.", None),
    ],
)
def test_names_are_capitalised_words_inside_sentences(
    verdict: Callable[..., Verdict], source: str, target: str, lost: str | None
) -> None:
    assert verdict(KEPT | {"what": ["names"]}, source=source, target=target).details.get("value") == lost


def test_the_score_is_the_share_that_is_kept(verdict: Callable[..., Verdict]) -> None:
    found = verdict(KEPT, source="Take 2 of {box}, 4 of {bag} and 5.", target="Nimm 2 aus {box}, 4 aus {bag}.")
    assert found.details == {"field": "source", "what": "numbers", "value": "5", "in": "target"}
    assert found.score == pytest.approx(0.8)
    assert verdict(KEPT, source="Take 2.", target="Nimm 2.").score == 1.0


def test_a_number_in_a_placeholder_is_no_number(verdict: Callable[..., Verdict]) -> None:
    assert verdict(KEPT | {"what": ["numbers"]}, source="%1$s of {0}", target="von").outcome == "pass"


def test_values_of_the_same_turn_are_compared(verdict: Callable[..., Verdict]) -> None:
    check = {"kind": "kept", "field": "turns[].source", "in": "turns[].target"}
    turns = [{"source": "Take 5.", "target": "Nimm 6."}, {"source": "Or 6.", "target": "Oder 5."}]
    assert verdict(check, turns=turns).details["field"] == "turns[0].source"
