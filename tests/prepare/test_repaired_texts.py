"""Texts are repaired, and every kind of repair is counted."""

from time import process_time
from typing import Any

import pytest

from synthgen.errors import ConfigError


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("The lampâ€™s bulb", "The lamp’s bulb", "encoding"),
        ("Ã¼ber uns", "über uns", "encoding"),
        ("<p>One</p><p>two &amp; <b>three</b></p>", "One\n\ntwo & three", "markup"),
        ("<script>x()</script>text<!-- no -->", "text", "markup"),
        ("<!-- no --><p>a</p> <style>b <!-- c", "a\n<style>b <!-- c", "markup"),
        ("a\x00b\u200bc\ufeff", "abc", "control"),
        ("ＡＢＣ１２３，好", "ABC123，好", "width"),
        ("ｶﾀｶﾅ", "カタカナ", "width"),
        ("cafe\u0301", "café", "form"),
        ("  one \t two\u00a0three \n\n\n\n four ", "one two three\n\nfour", "space"),
    ],
)
def test_a_text_is_repaired(run: Any, before: str, after: str, reason: str) -> None:
    done = run([before], "repair")
    assert done.texts == [after]
    assert reason in done.summary["steps"]["repair"]["changed"]


def test_many_comments_without_an_end_take_little_time(run: Any) -> None:
    began = process_time()
    assert run(["<!-- a" * 50_000], "repair").texts == ["<!-- a" * 50_000]
    assert process_time() - began < 5


@pytest.mark.parametrize(
    "text", ["a < b and c > d", "if x<y: pass", "naïve café, 北京！", "می‌خواهم", "I ❤️ <3 R&D", "‘quoted’"]
)
def test_a_text_without_faults_stays(run: Any, text: str) -> None:
    assert run([text], "repair").texts == [text]


def test_texts_inside_lists_are_repaired_and_other_fields_stay(run: Any) -> None:
    row = {"messages": [{"role": "user", "content": "a  b"}], "label": "x  y", "url": "http://a/?b=1&amp;c"}
    (done,) = run([row], "repair").rows
    assert done["messages"][0]["content"] == "a b"
    assert (done["label"], done["url"]) == ("x  y", "http://a/?b=1&amp;c")


def test_a_row_without_text_is_removed(run: Any) -> None:
    done = run(["<br>", "x"], "repair")
    assert (done.texts, done.reasons) == (["x"], ["empty"])


def test_rows_in_other_languages_are_removed_or_marked(run: Any) -> None:
    rows = [
        "The weather was fine all week long.",
        "这家餐厅的菜很好吃，服务也周到。",
        "Das Wetter war die ganze Woche schön.",
        "42",
    ]
    among = ["en", "zh", "de", "fr"]
    done = run(rows, {"language": {"keep": ["en", "zh"], "among": among}})
    assert [row["source"]["line"] for row in done.rows] == [1, 2, 4]
    assert [(row["reason"], row["note"]) for row in done.removed] == [("other_language", "de")]
    marked = run(rows, {"language": {"others": "mark", "among": among}})
    assert [row["language"] for row in marked.rows] == ["en", "zh", "de", "unknown"]


def test_a_row_with_foreign_names_is_removed_only_if_another_language_is_much_more_likely(run: Any) -> None:
    rows = [
        "Reserve a table at Casa della Pizza, Roma",
        "Order spaghetti carbonara and tiramisu",
        "Vorrei due pizze e un litro di vino.",
    ]
    done = run(rows, {"language": {"keep": ["en"]}})
    assert done.texts == rows[:2]
    assert done.summary["steps"]["language"]["languages"]["it"] == 3


def test_an_unknown_language_is_refused(run: Any) -> None:
    with pytest.raises(ConfigError, match=r"language: among: py3langid knows no language 'xx'"):
        run(["a"], {"language": {"keep": ["xx"], "among": ["en", "xx"]}})
