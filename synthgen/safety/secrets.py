"""Recognise secrets, and mask them in text.

Secrets come from the environment and must reach no file that a run writes. The config refuses values
that look like a secret. Text from outside (errors, logs, tracebacks) goes through `mask`. Seeds,
prompts and generated samples are data and are never masked. Limit: a secret goes unrecognised when
it has no known form and no environment variable with a telling name holds it.
"""

import json
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

MASK = "***"
_SHORTEST = 8  # a shorter value also occurs in ordinary text

_NAMES = {"key", "token", "secret", "password", "passwd", "pass", "passphrase", "credential", "auth", "authorization"}
_ENDINGS = ("apikey", "token", "secret", "password", "passwd", "passphrase", "credential", "authorization")
_WORDS = re.compile(r"[A-Za-z0-9]+")
_NOT_TEXT = re.compile(r"(?i)[-+]?[\d_.]+(e[-+]?\d+)?|true|false|null|none|\?\?\?|")

# Each entry is (name for a message, pattern). When a pattern has the group "secret", only that group is masked.
_SHAPES = [
    ("an API key", re.compile(r"(?<![A-Za-z0-9])sk-(?=[\w-]*\d)[\w-]{16,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{20,}")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})")),
    ("a GitLab token", re.compile(r"\bglpat-[\w-]{16,}")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a Slack token", re.compile(r"\bxox[a-z]-[\w-]{10,}")),
    ("a Google key", re.compile(r"\bAIza[\w-]{30,}")),
    ("a JSON Web Token", re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*")),
    (
        "a private key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|[\w+/=\s\\]*)", re.S),
    ),
    ("an authorization header", re.compile(r"(?i)\b(?:bearer|basic)\s+(?P<secret>(?=[\w.~+/-]*\d)[\w.~+/-]{12,}=*)")),
    ("a URL with a password", re.compile(r"(?i)\b[a-z][a-z0-9+.-]*://(?P<secret>[^\s/:@'\"]*:[^\s/@'\"]+)@")),
    (
        "a URL with a key",
        re.compile(
            r"(?i)[?&](?:api[_-]?key|key|token|access[_-]token|secret|sig|signature|password)=(?P<secret>[^&\s'\"]{4,})"
        ),
    ),
]

FROM_ENVIRONMENT = re.compile(r"\$\{oc\.env:(?P<name>\w+)\}")
"""Form in which a config's value refers to an environment variable, so that it holds no secret itself."""

_kept: set[str] = set()
_kept_lock = threading.Lock()


def keep(value: str | None) -> str | None:
    """Mask `value` in this process from now on and return it. Return None for a value too short to recognise."""
    if not value or len(value) < _SHORTEST:
        return None
    with _kept_lock:
        _kept.add(value)
    return value


def is_secret_name(name: str) -> bool:
    """Return True for a key or variable named like one that holds a secret: HF_TOKEN, api-key, dbPassword."""
    words = _WORDS.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    if not words:
        return False
    last = words[-1].removesuffix("s") if words[-1] not in ("pass", "tokens") else words[-1]  # tokens are counted here
    return last in _NAMES or last.endswith(_ENDINGS) or words[-3:] == ["access", "key", "id"]


def could_be_secret(value: Any) -> bool:
    """Return True for text that could be a secret; numbers, booleans and null cannot."""
    return isinstance(value, str) and not _NOT_TEXT.fullmatch(value.strip())


def shape(text: str) -> str | None:
    """Return the kind of secret that the text holds, recognised by its form (`a GitHub token`), or None."""
    return next((name for name, pattern in _SHAPES if pattern.search(text)), None)


def environment_secrets(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables, name to value, that are named like a secret and whose value is not a path."""
    return {
        name: value
        for name, value in environ.items()
        if is_secret_name(name) and len(value) >= _SHORTEST and not _is_path(value)
    }


class Masker:
    """Mask the secrets that are known when the masker is created."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        with _kept_lock:
            values = {*environment_secrets(environ).values(), *_kept}
        spellings = {spelling for value in values for spelling in _spellings(value)}
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for _, pattern in _SHAPES:
            text = pattern.sub(_masked, text)
        return text


def mask(text: str) -> str:
    """Replace every known secret in `text` with ***."""
    return Masker()(text)


def mask_json(value: Any, masker: Masker | None = None) -> Any:
    """Mask every text in a JSON value."""
    masker = masker or Masker()
    match value:
        case str():
            return masker(value)
        case list():
            return [mask_json(entry, masker) for entry in value]
        case dict():
            return {masker(key): mask_json(entry, masker) for key, entry in value.items()}
    return value


class MaskedStream:
    """Wrap a text stream and mask secrets in it. A secret that is split over two writes is not recognised."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_path(value: str) -> bool:
    try:
        return "/" in value and Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # the value is too long for a path, or no path at all
        return False


def _spellings(value: str) -> set[str]:
    """Return the value as written plainly, and as escaped in JSON, in Python and in a URL."""
    return {value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe="")}


def _masked(match: re.Match[str]) -> str:
    if "secret" not in match.re.groupindex:
        return MASK
    whole, start = match.group(), match.start()
    return whole[: match.start("secret") - start] + MASK + whole[match.end("secret") - start :]
