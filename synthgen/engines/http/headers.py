"""The headers of an answer that say when more may be sent: Retry-After, and what is left of a quota."""

import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

Header = Callable[[str], str | None]
"""Returns the value of a header, by its name."""

_QUOTAS = (
    # OpenAI, Groq, Azure and others; the last is that of the IETF draft and of gateways.
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_EPOCH, _EPOCH_MS = 1e9, 1e12


def retry_after(header: Header) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or as a date; None where it says neither."""
    value = header("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def quota_returns_in(header: Header) -> float:
    """Return the seconds until a quota that is used up returns; 0 where none is."""
    waits = [
        seconds_of(header(reset) or "") for remaining, reset in _QUOTAS if (header(remaining) or "").strip() == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=0.0)


def seconds_of(text: str) -> float | None:
    """Read a duration: `6m0s`, `120ms`, seconds, or a moment in seconds or milliseconds since 1970."""
    text = text.strip()
    if text and _PART.sub("", text) == "":
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        value = float(text)
    except ValueError:
        return None
    if value >= _EPOCH:
        value = (value / 1000 if value >= _EPOCH_MS else value) - time.time()
    return max(0.0, value)
