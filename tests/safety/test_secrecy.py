"""Test what looks like a secret, and text without one."""

import io
import json
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.safety import secrets as secrecy
from synthgen.safety.secrets import (
    MaskedStream,
    Masker,
    could_be_secret,
    environment_secrets,
    is_secret_name,
    keep,
    mask,
    shape,
)

TOKENS = {
    "an API key": "sk-proj-" + "a1B2" * 6,
    "a Hugging Face token": "hf_" + "aB" * 17,
    "a GitHub token": "ghp_" + "a1" * 18,
    "a GitLab token": "glpat-" + "x1y2" * 5,
    "an AWS key": "AKIA" + "A1" * 8,
    "a Slack token": "xoxb-" + "123-abc-" * 2,
    "a Google key": "AIza" + "aB3_" * 9,
    "a JSON Web Token": "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "an authorization header": "Authorization: Bearer abcdef123456789",
    "a URL with a password": "https://me:hunter2@example.org/v1",
    "a URL with a key": "http://example.org/v1?api_key=abcd",
}


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrecy, "_kept", set())


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "OPENAI_API_KEY", "api-key", "apiKey", "DB_PASSWORD", "client_secret", "AWS_ACCESS_KEY_ID", "MYTOKEN",
     "GITHUB_PAT_TOKEN", "credentials", "passwords", "Authorization", "KEY"],
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["TOKENIZERS_PARALLELISM", "max_tokens", "output_tokens", "api_key_env", "SSH_AUTH_SOCK", "KEYBOARD", "monkey",
     "tokenizer", "HF_TOKEN_PATH", "keyword", "PWD", "author", "", "-"],
)  # fmt: skip
def test_other_names_are_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("value", [3, 0.5, True, None, "4096", "1e3", "true", "null", "", []])
def test_numbers_booleans_and_null_are_no_secrets(value: object) -> None:
    assert not could_be_secret(value)


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens_are_recognised_by_their_form_and_masked(kind: str) -> None:
    assert shape(f"see {TOKENS[kind]} there") == kind
    assert shape(mask(f"see {TOKENS[kind]} there")) is None


@pytest.mark.parametrize(
    "text",
    ["risk-averse-investors-since-2008-or-so", "http://127.0.0.1:8000/v1", "bearer of good news", "basic arithmetic",
     "mail me@example.org", "?key=", "hf_hub", "sk-learn", "https://huggingface.co/a/b?download=true"],
)  # fmt: skip
def test_ordinary_text_has_no_secrets(text: str) -> None:
    assert shape(text) is None
    assert mask(text) == text


def test_in_an_address_only_the_secret_is_masked() -> None:
    assert mask("GET https://me:hunter2@example.org/v1?a=b&api_key=abcd&c=d") == (
        "GET https://***@example.org/v1?a=b&api_key=***&c=d"
    )


def test_values_of_secret_variables_are_masked_however_they_are_quoted() -> None:
    value = 'pass"word\\ä/with all'
    masked = Masker({"DB_PASSWORD": value, "HOME": "/home/me"})
    for text in (value, json.dumps(value), json.dumps({"a": value}), repr(value)):
        assert masked(text).count("***") == 1
        assert "word" not in masked(text)
    assert masked("/home/me") == "/home/me"


def test_short_values_and_paths_to_secrets_are_not_masked(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.touch()
    environ = {"A_TOKEN": "abc", "GOOGLE_APPLICATION_CREDENTIALS": str(key), "B_TOKEN": "long enough"}
    assert environment_secrets(environ) == {"B_TOKEN": "long enough"}


def test_a_longer_secret_is_masked_before_one_that_it_begins_with() -> None:
    assert Masker({"A_KEY": "abcdefgh", "B_KEY": "abcdefgh-ijkl"})("abcdefgh-ijkl abcdefgh") == "*** ***"


def test_a_value_that_was_handed_in_is_masked_from_then_on() -> None:
    assert mask("correct-horse") == "correct-horse"
    assert keep("correct-horse") == "correct-horse"
    assert mask("correct-horse") == "***"
    assert keep("short") is None


def test_json_keeps_its_form() -> None:
    keep("correct-horse")
    value = {"why": ["a correct-horse", 3, None], "n": 1.5}
    assert secrecy.mask_json(value) == {"why": ["a ***", 3, None], "n": 1.5}


def test_what_is_printed_through_the_stream_is_masked() -> None:
    keep("correct-horse")
    target = io.StringIO()
    stream = MaskedStream(target)
    try:
        raise ValueError("battery, correct-horse, staple")
    except ValueError:
        traceback.print_exc(file=stream)  # type: ignore[arg-type]
    print("correct-horse", file=stream)  # type: ignore[call-overload]
    assert "ValueError: battery, ***, staple" in target.getvalue()
    assert "correct-horse" not in target.getvalue()
    assert not stream.isatty()


@given(st.text(), st.text(min_size=8).filter(lambda text: set(text) != {"*"}), st.text())
def test_no_text_around_a_secret_lets_it_through(before: str, secret: str, after: str) -> None:
    masked = Masker({"X_TOKEN": secret})
    assert secret not in masked(f"{before}{secret}{after}")
