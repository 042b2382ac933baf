"""Repair texts: broken encodings, Unicode form, width, white space, control characters and markup."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.prepare.item import Item, changed
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepReason, StepSpec

_FORMS = ("NFC", "NFKC", "none")
_WIDTHS = ("half", "none")
# Tabs and line breaks are white space, not control characters.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
# Zero-width characters, the byte-order mark, soft hyphens and direction marks. The joiners U+200C and U+200D stay,
# because Persian and emoji need them.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_BREAK = re.compile("\r\n?|\x85|\u2028|\u2029")
_BLANKS = re.compile("[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_AROUND_BREAKS = re.compile(r" ?\n ?")
_MANY_BREAKS = re.compile(r"\n{3,}")
# Full-width letters, digits and the signs that belong to numbers and addresses. Chinese punctuation stays.
_WIDE = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_WIDE |= {ord(char): ord(char) - 0xFEE0 for char in "＠＃％＆＊＋－．／＝＿"}
_HALF_KANA = re.compile("[\uff66-\uff9f]+")
_TAG = re.compile(
    r"<(/?)(p|br|div|span|b|i|u|em|strong|a|ul|ol|li|h[1-6]|table|tbody|thead|tr|td|th|img|font|center|hr|pre|code"
    r"|blockquote|sup|sub|small|section|article|header|footer|nav|html|body|head|title|meta|link|label|button|input|form"
    r")(\s[^<>]*)?/?>",
    re.I,
)
_BREAKING = re.compile(r"</?(p|br|div|ul|ol|li|h[1-6]|table|tr|hr|blockquote|section|article|header|footer)\b", re.I)
_UNSEEN = re.compile(r"<(script|style|head)\b[^<>]*>|<!--|<!doctype[^<>]*>", re.I)
_ENDS = {name: re.compile(rf"</{name}\s*>", re.I) for name in ("script", "style", "head")} | {"": re.compile("-->")}
_ENTITY = re.compile(r"&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.I)


@dataclass
class RepairConfig:
    encoding: bool = True
    """Undo mojibake, such as â€™ for ’, with ftfy."""
    form: str = "NFC"
    """Unicode form of the texts: NFC, NFKC or none."""
    width: str = "half"
    """`half` makes full-width letters and digits half-width, and half-width kana full-width. `none` changes nothing."""
    space: bool = True
    """Make runs of blanks one blank, remove them at the ends of lines, and leave at most one empty line."""
    control: bool = True
    """Remove control characters, zero-width characters and marks of the writing direction."""
    markup: bool = True
    """Remove HTML tags and comments, and replace HTML entities by their characters."""
    empty: str = "remove"
    """Treatment of a row without text, or with none left after the repair: remove or keep."""

    def __post_init__(self) -> None:
        for key, value, known in (("form", self.form, _FORMS), ("width", self.width, _WIDTHS)):
            if value not in known:
                raise ConfigError(f"{key}: '{value}' is none of {', '.join(known)}")
        if self.empty not in ("remove", "keep"):
            raise ConfigError(f"empty: '{self.empty}' is none of remove, keep")


class Repair:
    """Repair every text of a row, and remove rows without text."""

    spec = StepSpec(
        "repair",
        "Repairs texts: broken encodings, Unicode form, width, white space, control characters, HTML.",
        (
            StepReason("encoding", "had characters broken by a wrong encoding"),
            StepReason("markup", "had HTML tags or entities"),
            StepReason("control", "had control or invisible characters"),
            StepReason("width", "had full-width letters or digits, or half-width kana"),
            StepReason("form", "had characters in another Unicode form"),
            StepReason("space", "had surplus white space"),
            StepReason("empty", "has no text"),
        ),
    )

    def __init__(self, cfg: RepairConfig, context: Context) -> None:
        self._cfg, self._fields = cfg, context.fields
        every: list[tuple[str, bool, Callable[[str], str]]] = [
            ("encoding", cfg.encoding, _undo_mojibake),
            ("markup", cfg.markup, _without_markup),
            ("control", cfg.control, _without_control),
            ("width", cfg.width == "half", _in_usual_width),
            ("form", cfg.form != "none", _in_form(cfg.form)),
            ("space", cfg.space, _with_single_blanks),
        ]
        self._parts = [(reason, repair) for reason, wanted, repair in every if wanted]

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        for item in rows:
            done: dict[str, None] = {}
            names = self._fields.prose(item.data)
            repaired = {name: changed(item.data[name], lambda text: self.repaired(text, done)) for name in names}  # noqa: B023
            after = item.with_data({**item.data, **repaired}) if done else item
            whole = self._fields.whole(after.data)
            if self._cfg.empty == "remove" and not whole.strip():
                log.remove(item, "empty", self._fields.whole(item.data))
                continue
            if done:
                before = self._fields.whole(item.data)
                for reason in done:
                    log.change(item, reason, before, whole)
            yield after

    def repaired(self, text: str, done: dict[str, None]) -> str:
        """Return the repaired text, and add the reason of each repair to `done`."""
        for reason, repair in self._parts:
            if (after := repair(text)) != text:
                done[reason] = None
                text = after
        return text


def _undo_mojibake(text: str) -> str:
    if text.isascii():
        return text
    import ftfy

    fixed: str = ftfy.fix_encoding(text)
    return fixed


def _in_form(form: str) -> Callable[[str], str]:
    return lambda text: unicodedata.normalize("NFKC" if form == "NFKC" else "NFC", text)


def _without_markup(text: str) -> str:
    if "<" in text:
        text = _TAG.sub(_instead, _without_unseen(text))
    return _ENTITY.sub(lambda match: html.unescape(match.group()), text) if "&" in text else text


def _without_unseen(text: str) -> str:
    """Replace each comment, script, style and head by a blank. One without an end stays.

    Each end is looked for once, so that many comments without an end do not cost the square of their number.
    """
    parts, place, missing = list[str](), 0, set[str]()
    for begin in _UNSEEN.finditer(text):
        if begin.start() < place:
            continue
        end = begin.end()
        if not begin.group().lower().startswith("<!doctype"):
            kind = (begin.group(1) or "").lower()
            found = None if kind in missing else _ENDS[kind].search(text, end)
            if found is None:
                missing.add(kind)
                continue
            end = found.end()
        parts += [text[place : begin.start()], " "]
        place = end
    return "".join([*parts, text[place:]])


def _instead(match: re.Match[str]) -> str:
    return "\n" if _BREAKING.match(match.group()) else ""


def _without_control(text: str) -> str:
    return _INVISIBLE.sub("", _CONTROL.sub("", _LINE_BREAK.sub("\n", text)))


def _in_usual_width(text: str) -> str:
    if text.isascii():
        return text
    return _HALF_KANA.sub(lambda run: unicodedata.normalize("NFKC", run.group()), text.translate(_WIDE))


def _with_single_blanks(text: str) -> str:
    return _MANY_BREAKS.sub("\n\n", _AROUND_BREAKS.sub("\n", _BLANKS.sub(" ", text))).strip()
