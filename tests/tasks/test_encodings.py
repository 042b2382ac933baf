"""Test the guess at the encoding of text that is not UTF-8."""

import pytest

from synthgen.tasks.encodings import not_utf8

CHINESE = "顾客写的短评：很好，下次还来。"


def guess(raw: bytes) -> str:
    with pytest.raises(UnicodeDecodeError) as caught:
        raw.decode("utf-8")
    return not_utf8(caught.value)


@pytest.mark.parametrize(
    "raw", [CHINESE.encode("gbk"), f'{{"text": "{CHINESE}"'.encode("gb18030"), CHINESE.encode("gbk")[:-1]]
)
def test_chinese_in_gbk_is_named(raw: bytes) -> None:
    assert "it looks like GBK; save the file as UTF-8" in guess(raw)


def test_a_byte_order_mark_names_the_encoding() -> None:
    assert "it looks like UTF-16; save" in guess(CHINESE.encode("utf-16"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café à Besançon", "latin-1"),
        ("étéà", "latin-1"),
        ("고객이 쓴 짧은 후기", "euc-kr"),
        ("お客様の短い感想です", "shift-jis"),
        ("顧客寫的短評，很好", "big5"),
    ],
)
def test_other_encodings_are_not_taken_for_gbk(text: str, encoding: str) -> None:
    said = guess(text.encode(encoding))
    assert said.startswith("not UTF-8 (byte 0x")
    assert "GBK" not in said
