"""Replace personal data in a text, by typed placeholders or by consistent pseudonyms."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from synthgen.safety.personal.finding import KINDS, Found

_CHINESE = re.compile("[\u4e00-\u9fff]")
_REMEMBERED = 100_000


def redacted(found: Found) -> str:
    """Return the placeholder of a piece of personal data, such as [EMAIL]."""
    return f"[{found.kind.upper()}]"


def replaced(text: str, found: Sequence[Found], instead: Callable[[Found], str]) -> str:
    """Return the text in which `instead` replaces each piece that `find` found."""
    parts, end = [], 0
    for each in found:
        parts += [text[end : each.start], instead(each)]
        end = each.end
    return "".join([*parts, text[end:]])


class Pseudonyms:
    """Return an invented value for each value: always the same one for the same value and salt, by Faker.

    Without the salt, nobody can find an original by trying values. E-mail addresses are in reserved domains.
    """

    def __init__(self, salt: str) -> None:
        from faker import Faker

        self._salt = salt.encode()
        self._fakers = {"en": Faker("en_US"), "zh": Faker("zh_CN")}
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, found: Found) -> str:
        if found.kind not in KINDS:
            return redacted(found)  # an entity of Presidio, for which Faker may have nothing
        key = found.kind, _bare(found)
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()  # they come out the same again
            self._known[key] = self._made(found, key[1])
        return self._known[key]

    def _made(self, found: Found, bare: str) -> str:
        digest = hashlib.blake2b(
            f"{found.kind}\0{bare}".encode("utf-8", "surrogatepass"), key=self._salt[:64], digest_size=8
        )
        mobile = found.kind == "phone" and re.fullmatch(r"(?:86)?1[3-9]\d{9}", bare) is not None
        chinese = bool(_CHINESE.search(found.text)) or mobile or found.kind == "cn_id"
        faker: Any = self._fakers["zh" if chinese else "en"]
        faker.seed_instance(int.from_bytes(digest.digest()))
        match found.kind:
            case "email":
                return str(faker.safe_email())
            case "phone":
                return str(faker.phone_number() if chinese else faker.numerify("555-01##"))
            case "card":
                return str(faker.credit_card_number())
            case "iban":
                return str(faker.iban())
            case "ip":
                return str(faker.ipv6() if ":" in found.text else faker.ipv4_private())
            case "cn_id" | "us_ssn":
                return str(faker.ssn())
            case "address":
                return str(faker.street_address())
        return str(faker.name() if chinese or " " in found.text else faker.first_name())


def _bare(found: Found) -> str:
    """Return the value without signs that do not change it, so that 138-0013-8000 and 13800138000 get one pseudonym."""
    return "".join(char for char in found.text.casefold() if char.isalnum())
