"""Find postal addresses in English and Chinese by their usual form: a number and a street. Places alone are not found."""

import re
from collections.abc import Iterator

_WORD = r"(?:[A-Z][\w'’.-]*|\d{1,3}(?:st|nd|rd|th)|of|the|St\.?)"
_STREETS = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Square|Sq|Place|Pl|Terrace|Ter|Way|Close"
    r"|Crescent|Cres|Highway|Hwy|Parkway|Pkwy|Row|Mews|Gardens|Grove|Hill|Broadway|Circle|Cir|Trail|Walk)"
)
_UNIT = r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Room|Rm|#)\.? ?#?\w{1,5})"
_TOWN = r"(?:, [A-Z][a-zà-ÿ'’.-]+(?: [A-Z][a-zà-ÿ'’.-]+){0,2})"
_CODE = r"(?:,? (?:[A-Z]{2} )?\d{5}(?:-\d{4})?\b|,? [A-Z]{1,2}\d[\dA-Z]? ?\d[A-Z]{2}\b|, [A-Z]{2}\b)"
_ENGLISH = re.compile(
    rf"(?<![\w.,$€£-])(?:(?:Flat|Apt|Unit|Suite)\.? ?\w{{1,4}}, )?\d{{1,5}}[A-Za-z]?(?:-\d{{1,4}})?,? (?:{_WORD} ){{1,4}}?{_STREETS}\b\.?"
    rf"(?: (?:North|South|East|West|N|S|E|W|NW|NE|SW|SE)\b)?{_UNIT}?{_TOWN}{{0,2}}{_CODE}?"
    r"|(?<!\w)P\.? ?O\.? Box \d{1,6}\b(?:, [A-Z][\w'’.-]+)?"
)
_HAN = "[\u4e00-\u9fff]"
_CHINESE = re.compile(
    rf"(?:(?:{_HAN}{{2,3}}省|{_HAN}{{2,5}}自治区)?{_HAN}{{2,4}}?市)?(?:{_HAN}{{2,5}}?[区县])?(?:{_HAN}{{2,5}}?(?:镇|乡|街道))?"
    rf"{_HAN}{{1,6}}?(?:路|街|大道|巷|弄|胡同|大街)(?:[东南西北中][段路]?)?\s?[0-9一二三四五六七八九十百]{{1,5}}\s?[号弄]"
    r"(?:院|大院)?(?:[0-9A-Za-z一二三四五六七八九十]{1,4}\s?(?:号楼|楼|栋|幢|座))?(?:[0-9一二三四五六七八九十]{1,3}\s?单元)?"
    r"(?:[0-9]{1,3}\s?(?:层|楼))?(?:[0-9]{2,5}\s?[室号])?"
)
_LEADING = re.compile(r"^.*?(?:住在|位于|地址[是为:：]?|寄到|寄往|送到|搬到|家住|现居|在|到|往|去|于)(?=.)")


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of postal addresses."""
    yield from (match.span() for match in _ENGLISH.finditer(text))
    for match in _CHINESE.finditer(text):
        lead = _LEADING.match(match.group())
        yield match.start() + (lead.end() if lead else 0), match.end()
