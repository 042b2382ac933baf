"""engine.proxy=env: the proxies that the environment names are checked before anything starts."""

from typing import Any

import pytest

from synthgen.engines.http.config import EndpointConfig
from synthgen.errors import ConfigError
from synthgen.safety.secrets import mask


def config(**changes: Any) -> EndpointConfig:
    return EndpointConfig(urls=["https://h.example/v1"], model="m", **{"proxy": "env"} | changes)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        (
            "HTTPS_PROXY",
            "http://127.0.0.1:99999",
            "engine.proxy: HTTPS_PROXY: 'http://127.0.0.1:99999' is not an address",
        ),
        ("https_proxy", "garbage%zz", "engine.proxy: https_proxy: 'http://garbage%zz' is not an address"),
        ("ALL_PROXY", "ftp://proxy.example", "begins with ftp://; only http://, https://, socks4://"),
    ],
)
def test_a_proxy_that_is_no_address_is_named(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as raised:
        config()
    assert says in str(raised.value)
    config(proxy=None)  # the environment is not trusted unless asked to


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1080", "127.0.0.1:3128", "http://proxy.example", ""])
def test_a_proxy_may_be_socks_or_lack_its_scheme(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    config()


def test_a_proxy_for_other_addresses_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:99999")
    config()


def test_the_password_of_a_proxy_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:pa55word-of-proxy@127.0.0.1:99999")
    with pytest.raises(ConfigError) as raised:
        config()
    assert "pa55word-of-proxy" not in mask(str(raised.value))
