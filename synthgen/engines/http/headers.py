"""Read the answer headers that state when more requests may be sent: Retry-After, and the rest of a quota."""

import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

Header = Callable[[str], str | None]
"""Returns the value of a header by its name."""

_QUOTAS = (
    # OpenAI, Groq, Azure and others use the first ones; the IETF draft and gateways use the last.
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_EPOCH, _EPOCH_MS = 1e9, 1e12


def retry_after(header: Header) -> float | None:
    """Return the seconds in Retry-After, given as a number or as a date; None if it holds neither."""
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
    """Return the seconds until a used-up quota is refilled; 0 if no quota is used up."""
    longest = 0.0
    for remaining, reset in _QUOTAS:
        left = header(remaining)
        if left is not None and left.strip() == "0":
            longest = max(longest, seconds_of(header(reset) or "") or 0.0)
    return longest


def seconds_of(text: str) -> float | None:
    """Parse a duration: `6m0s`, `120ms`, seconds, or a Unix time in seconds or milliseconds."""
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
