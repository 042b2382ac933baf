"""Check URLs, API keys and headers before an HTTP library reads them."""

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from pyreqwest.http import Url

from synthgen.errors import ConfigError
from synthgen.safety.secrets import FROM_ENVIRONMENT, keep

ENVIRONMENT = "env"
"""The value of `engine.proxy` that selects the proxies in the environment variables."""
_EXAMPLE = "http://127.0.0.1:8000/v1"
_SCHEMES = ("http", "https")
_PROXY_SCHEMES = (*_SCHEMES, "socks4", "socks4a", "socks5", "socks5h")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = ("content-type", "content-length", "host", "connection", "transfer-encoding")


def check_url(key: str, url: str, schemes: Sequence[str] = _SCHEMES) -> None:
    """Raise ConfigError, naming `key`, if `url` is not the address of a server that speaks one of `schemes`."""
    if not url.strip():
        raise ConfigError(f"{key}: an address is empty; write one such as {_EXAMPLE}")
    if url != url.strip() or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ConfigError(f"{key}: {url!r} has a space or a line break in it; take it out")
    if "\\" in url:
        raise ConfigError(f"{key}: '{url}' has a \\ in it; write / instead, such as {_EXAMPLE}")
    if "://" not in url:
        bare = re.sub(r"^(https?:)?/*", "", url)
        raise ConfigError(f"{key}: '{url}' does not say how to connect; write http://{bare} or https://{bare}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{key}: '{url}' is not an address: {error}; write one such as {_EXAMPLE}") from error
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{key}: '{url}' is not an address: {error}; ports go from 1 to 65535") from error
    if parts.scheme not in schemes:
        *others, last = (f"{scheme}://" for scheme in schemes)
        raise ConfigError(
            f"{key}: '{url}' begins with {parts.scheme}://; only {', '.join(others)} and {last} are supported"
        )
    if not parts.hostname:
        raise ConfigError(f"{key}: '{url}' names no host; write one such as {_EXAMPLE}")
    if port == 0:
        raise ConfigError(f"{key}: '{url}' has port 0; ports go from 1 to 65535")
    if parts.query or parts.fragment:
        raise ConfigError(f"{key}: '{url}' has a ? or # in it; write the base address, up to and with /v1")
    if (base := re.sub(r"/(chat/)?completions/*$", "", url)) != url:
        raise ConfigError(f"{key}: '{url}' is the address of one kind of request; write the base address, {base}")
    try:
        Url(url)  # the HTTP client refuses hosts that urlsplit accepts, such as 256.1.1.1
    except ValueError as error:
        raise ConfigError(f"{key}: '{url}' is not an address: {error}; write one such as {_EXAMPLE}") from error


def is_this_machine(url: str) -> bool:
    """Return True if a checked address is one of this machine's own loopback addresses."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def check_proxies(key: str, urls: Iterable[str]) -> None:
    """Raise ConfigError, naming `key` and the variable, if a proxy that the environment names for `urls` is no address.

    A value without a scheme is an address of http://, as for other programs.
    """
    schemes = dict.fromkeys(urlsplit(url).scheme for url in urls)
    for variable in [*(f"{scheme}_proxy" for scheme in schemes), "all_proxy"]:
        for name in (variable, variable.upper()):
            if value := os.environ.get(name, "").strip():
                if password := re.search(r"://[^/@]*:([^/@]+)@", value):
                    keep(password[1])
                check_url(f"{key}: {name}", value if "://" in value else f"http://{value}", _PROXY_SCHEMES)


def read_key(variable: str, where: str = "engine.api_key_env") -> str | None:
    """Return the API key in an environment variable, stripped; None if the variable is unset or empty.

    Raise ConfigError, naming the config key `where`, for a key that no header can carry.
    """
    key = (os.environ.get(variable) or "").strip()
    if not key:
        return None
    keep(key)
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"{where}: the value of {variable} has a line break, or a character that is not ASCII, in it; "
            "set the variable again, to the key alone"
        )
    return key


def check_headers(headers: Mapping[str, str], key: str = "engine.headers") -> None:
    """Raise ConfigError for a header that cannot be sent, and for an environment variable that is not set."""
    for name, value in headers.items():
        where = f"{key}.{name}"
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError(f"{where}: not a header's name; use letters, digits and '-'")
        if name.lower() in _OWN_HEADERS:
            raise ConfigError(f"{where}: is set by synthgen itself; leave it out")
        filled = fill(where, value)
        if not filled.isascii() or not filled.isprintable():
            raise ConfigError(f"{where}: has a line break, or a character that is not ASCII, in it; take it out")


def fill(where: str, value: str) -> str:
    """Return a header's value, stripped, with ${oc.env:NAME} replaced by the environment variable.

    The variable's value is masked in all output from then on.
    """

    def read(match: re.Match[str]) -> str:
        found = (os.environ.get(match["name"]) or "").strip()
        if not found:
            raise ConfigError(f"{where}: the environment variable {match['name']} is not set")
        keep(found)
        return found

    return FROM_ENVIRONMENT.sub(read, str(value)).strip()
