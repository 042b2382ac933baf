"""Find personal data with a fixed form, and verify it by check digits and numbering plans.

python-stdnum knows the check digits, and phonenumbers the numbering plans of all countries.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from datetime import date

Span = tuple[int, int]

# Match a part of every text in which a finder of this module can find something. The first character decides which
# part it may be, so that Python's re passes over all other characters at once.
_MAY_HOLD = re.compile(
    r"""[@＠:\[({0-9](?:
        (?<=[@＠])                                  # e-mail address
        |(?<=[0-9])(?:[ .()（）\-/–]{0,2}[0-9]){6}    # seven digits of a phone, card or identity number
        |(?<=[0-9])\.[0-9]{1,3}\.[0-9]               # IP address, version 4
        |(?<=[A-Z]{2}[0-9])[0-9][ ]?[A-Z0-9]         # IBAN
        |(?<=:)[0-9a-fA-F]*:                         # IP address, version 6
        |(?<=[\[({])\s?[Aa][Tt]\s?[\])}]             # name (at) example (dot) org
    )""",
    re.X,
)
_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w+%-](?:[\w.+%-]{0,62}[\w+%-])?[@＠](?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}(?![a-z0-9-])",
    re.I | re.A,
)
# Writing such as name (at) example (dot) org, which hides addresses from simple programs.
_SPELLED_EMAIL = re.compile(
    r"(?<![\w.])[a-z0-9][\w.+-]{1,40}\s?[\[({]\s?at\s?[\])}]\s?[a-z0-9-]{2,40}(?:\s?[\[({]\s?dot\s?[\])}]\s?[a-z]{2,12}|\.[a-z]{2,12}){1,3}",
    re.I | re.A,
)
_CARD = re.compile(r"(?<![0-9A-Za-z.])[2-6]\d{3}(?:[ -]?\d){8,15}(?![0-9A-Za-z])", re.A)
_CARD_LENGTHS = {"3": (14, 15, 16), "4": (13, 16, 19), "5": (16,), "6": (16, 17, 18, 19), "2": (16,)}
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![0-9A-Za-z])", re.A)
_CHINESE_ID = re.compile(r"(?<![0-9A-Za-z])[1-9]\d{5}([ -]?)(?:19|20)\d{6}\1\d{3}[0-9Xx](?![0-9A-Za-z])", re.A)
_SSN = re.compile(r"(?<![0-9-])(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![0-9-])", re.A)
_IP4 = re.compile(r"(?<![0-9A-Za-z.])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z]|\.\d)", re.A)
_IP6 = re.compile(r"(?<![0-9A-Za-z:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![0-9a-z:])", re.I | re.A)
_VERSION = re.compile(r"(?:\bv|version|release|build|版本|第)[\s.:：]*$", re.I)
_PHONE = re.compile(
    r"(?<![0-9A-Za-z._/#$€£¥-])(?:\+|00)?[(（]?\d(?:[ .()（）\-/–]{0,2}\d){6,15}(?!\d|[A-Za-z_]|[.,:/]\d|%|-\d)", re.A
)
_CHINESE_MOBILE = re.compile(r"(?:(?:\+|00)?86)?1[3-9]\d{9}")
_BRITISH_MOBILE = re.compile(r"07\d{9}")
_CUE = re.compile(
    r"(?:phone|tel|telephone|call|mobile|cell|text|fax|ring|dial|whatsapp|sms|hotline|line|ext"
    r"|电话|電話|手机|手機|聯絡|联络|致电|拨打|座机|热线|来电|微信|传真)[^0-9]{0,18}$",
    re.I,
)
_WEAK_CUE = re.compile(r"(?:contact|number|reach|联系|号码)[^0-9]{0,18}$", re.I)
_NO_PHONE = re.compile(
    r"(?:\b(?:order|invoice|ticket|isbn|issn|serial|tracking|reference|ref|case|account|sku|model|part|item|booking|policy"
    r"|version|batch|patent|pages?)\b|订单|单号|编号|型号|货号|快递|发票|序列|批次|流水|期刊|账号)[^0-9\n]{0,14}$",
    re.I,
)
_BRITISH_GROUPS = re.compile(r"0\d{4} \d{6}|0\d{3} \d{3} \d{4}|0\d{2} \d{4} \d{4}", re.A)
_DATE = re.compile(
    r"(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)\d\d|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d",
    re.A,
)
REGIONS = ("US", "GB", "CN")
"""Countries whose numbers are recognised without a country code."""


def may_hold(text: str) -> bool:
    """Return False for a text that holds no data of a fixed form. For most texts, only this test runs."""
    return _MAY_HOLD.search(text) is not None


def emails(text: str) -> Iterator[Span]:
    if "@" in text or "＠" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))
    yield from (match.span() for match in _SPELLED_EMAIL.finditer(text))


def cards(text: str) -> Iterator[Span]:
    """Yield the numbers of payment and bank cards, also Chinese ones, with a right check digit (Luhn)."""
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = _only_digits(match.group())
        if len(digits) in _CARD_LENGTHS[digits[0]] and luhn.is_valid(digits) and len(set(digits)) > 1:
            yield match.span()


def ibans(text: str) -> Iterator[Span]:
    """Yield account numbers with the length of their country and right check digits."""
    from stdnum import iban

    for match in _IBAN.finditer(text):
        whole, start = match.group(), match.start()
        ends = [place for place in range(len(whole), 14, -1) if place == len(whole) or whole[place] == " "]
        for end in ends:  # a word in capitals may follow the number
            if iban.is_valid(whole[:end], check_country=False):
                yield start, start + end
                break


def chinese_ids(text: str) -> Iterator[Span]:
    """Yield resident identity numbers with a date of birth and a right check digit (ISO 7064)."""
    from stdnum.iso7064 import mod_11_2

    for match in _CHINESE_ID.finditer(text):
        digits = re.sub("[ -]", "", match.group()).upper()
        if _is_date(digits[6:14]) and mod_11_2.is_valid(digits):
            yield match.span()


def social_security_numbers(text: str) -> Iterator[Span]:
    yield from (match.span() for match in _SSN.finditer(text))


def ip_addresses(text: str) -> Iterator[Span]:
    """Yield addresses of IP versions 4 and 6, but no version numbers of programs."""
    for match in _IP4.finditer(text):
        if _is_ip(match.group()) and not _VERSION.search(text[max(0, match.start() - 12) : match.start()]):
            yield match.span()
    for match in _IP6.finditer(text):
        if len(re.sub("[^0-9a-fA-F]", "", match.group())) > 2 and _is_ip(match.group()):
            yield match.span()


def phones(text: str, regions: Sequence[str] = REGIONS) -> Iterator[Span]:
    """Yield numbers that a numbering plan allows: with a country code, or in the form of one of the regions.

    A row of digits without any sign counts only if it is a mobile number, or if the words before it speak of a phone.
    """
    for match in _PHONE.finditer(text):
        start, end = match.span()
        end = start + len(match.group().rstrip(" .-–/(（"))
        number = text[start:end]
        before = text[max(0, start - 24) : start]
        cued = _CUE.search(before) is not None
        if _DATE.fullmatch(number.strip("() ")) or number.count("(") != number.count(")"):
            continue
        if not cued and _NO_PHONE.search(before):
            continue
        if _is_phone(number, cued or _WEAK_CUE.search(before) is not None, regions):
            yield start, end


def _is_phone(number: str, cued: bool, regions: Sequence[str]) -> bool:
    import phonenumbers

    digits = _only_digits(number)
    if _CHINESE_MOBILE.fullmatch(digits):
        return True
    international = number.lstrip("(（").startswith(("+", "00"))
    plain = number.isdecimal()
    if _BRITISH_GROUPS.fullmatch(number):
        return True
    if plain and not international and not cued and not _BRITISH_MOBILE.fullmatch(digits):
        return False
    for region in [None] if number.startswith("+") else regions:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        # A range may be younger than the plans: where the words or a + speak of a phone, a fitting length is enough.
        told = (cued or number.startswith("+")) and len(digits) > 8
        if phonenumbers.is_valid_number(parsed) or (told and phonenumbers.is_possible_number(parsed)):
            return True
    return False


def _is_date(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _only_digits(text: str) -> str:
    return "".join(char for char in text if char.isdecimal())
