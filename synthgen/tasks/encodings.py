"""Guess the encoding of text that is not UTF-8, for messages. Nothing is read in a guessed encoding."""

import codecs

_MARKS = [  # UTF-32 first, because its little-endian mark starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (b"\x84\x31\x95\x33", "GB 18030"),
]
_LEAST_SHARE = 0.9


def marked(start: bytes) -> str | None:
    """Return the encoding other than UTF-8 that a byte order mark names."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


def not_utf8(error: UnicodeDecodeError) -> str:
    """Return cause and cure for text that is not UTF-8, with the encoding that it looks like."""
    guess = marked(error.object) or ("GBK" if _looks_like_gbk(error.object) else None)
    return f"not UTF-8 (byte 0x{error.object[error.start]:02x}){f', it looks like {guess}' if guess else ''}; save the file as UTF-8"


def _looks_like_gbk(raw: bytes) -> bool:
    """Return True where nearly all characters outside ASCII are Chinese ones or punctuation of GB 2312.

    Korean in EUC-KR has the same bytes as the first half of these characters, and no others.
    """
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(raw)  # the last character may be incomplete
    except UnicodeDecodeError:
        return False
    pairs = [char.encode("gb18030") for char in text if not char.isascii()]
    usual = [
        pair
        for pair in pairs
        if len(pair) == 2 and pair[1] >= 0xA1 and (pair[0] in (0xA1, 0xA3) or 0xB0 <= pair[0] <= 0xF7)
    ]
    unlike_korean = any(not 0xB0 <= pair[0] <= 0xC8 for pair in usual)
    return bool(pairs) and len(usual) >= _LEAST_SHARE * len(pairs) and unlike_korean
