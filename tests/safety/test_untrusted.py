"""Text that others wrote, on a terminal and in documents."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.safety.untrusted import clean, markdown, one_line, printable

HOSTILE = {
    "colour": "\x1b[31m",
    "clear the screen": "\x1b[2J\x1b[H",
    "window title": "\x1b]0;owned\x07",
    "a link": "\x1b]8;;http://evil.example\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "device control": "\x1bP$q\x1b\\",
    "8-bit CSI": "\x9b31m",
    "8-bit OSC": "\x9d0;owned\x9c",
    "reset": "\x1bc",
    "character set": "\x1b(0",
    "bell": "\x07",
    "carriage return": "\r",
    "backspaces": "\x08\x08",
    "right to left override": "\u202e",
    "isolates": "\u2066\u2069",
    "zero-width space": "\u200b",
    "byte order mark": "\ufeff",
    "tags": "\U000e0041",
    "lone surrogate": "\ud800",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_control_characters_are_not_printed_to_a_terminal(hostile: str) -> None:
    shown = printable(f"text{hostile}text")
    assert shown.replace(" ", "") == "texttext"


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_document_shows_where_control_characters_were(hostile: str) -> None:
    shown = clean(f"text{hostile}text")
    assert "‹U+" in shown
    assert one_line(shown) == shown


@pytest.mark.parametrize(
    "text", ["今天北京的天气怎么样？", "🎉👩\u200d👩\u200d👧", "نمی\u200cخواهم", "naïve — “quoted”", "a\tb"]
)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert printable(text) == clean(text) == text


def test_lines_are_kept_where_a_message_has_several() -> None:
    assert printable("one\ntwo\x1b[0m", keep_lines=True) == "one\ntwo"
    assert printable("one\ntwo") == "one two"


@given(st.text() | st.text(alphabet="\x1b\x9b\x9d[]0;mJ\x07\x9c\\ab \n\u202e\u2066"))
def test_no_terminal_control_sequence_gets_through(text: str) -> None:
    for char in printable(text, keep_lines=True):
        assert char in "\t\n\u200c\u200d" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp"), repr(char)
        assert char not in "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u061c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1. first", r"1\. first"),
        ("0.25", "0.25"),
        ("- a\n# b", r"\- a \# b"),
        ("[x](http://a.b)", r"\[x\](http:\//a.b)"),
        ("<b>|`c`", r"\<b\>\|\`c\`"),
    ],
)
def test_text_in_markdown_is_never_read_as_markup(text, shown):
    assert markdown(text) == shown
