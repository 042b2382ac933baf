"""Test that what a server prints reaches engine.log whole, in order, and without secrets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.engines.vllm.engine_log import masked_into

TOKEN = "correct-horse-battery"


def logged(log: Path, code: str) -> str:
    with masked_into(log) as (output, pump):
        subprocess.run([sys.executable, "-c", code], stdout=output, stderr=output, env={**os.environ, "X_TOKEN": TOKEN})
    pump.join(10)
    assert not pump.is_alive()
    return log.read_bytes().decode("utf-8", "surrogateescape")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("X_TOKEN", TOKEN)
    return tmp_path / "engine.log"


def test_a_secret_is_masked_even_when_it_comes_in_pieces(log: Path) -> None:
    code = (
        "import os, sys, time\n"
        "token = os.environ['X_TOKEN']\n"
        "for part in ('key: ', token[:5], token[5:], ' set\\n', 'no end: ' + token):\n"
        "    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.02)\n"
    )
    assert logged(log, code) == "key: *** set\nno end: ***"


def test_log_lines_without_secrets_are_unchanged(log: Path) -> None:
    log.write_text("of an earlier session\n")
    code = (
        "import sys\n"
        "sys.stdout.buffer.write(b'bad \\xff byte\\n' + b'10%\\r20%\\r' + b'x' * 300_000 + b'\\n' + b'line\\n' * 1000)\n"
    )
    said = logged(log, code)
    assert said.startswith("of an earlier session\nbad \udcff byte\n10%\r20%\rxxx")
    assert said.count("x") == 300_000
    assert said.endswith("x\n" + "line\n" * 1000)


def test_a_full_disk_does_not_hold_up_the_server(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.symlink_to("/dev/full")
    with masked_into(log) as (output, pump):
        done = subprocess.run([sys.executable, "-c", "print('line\\n' * 100_000)"], stdout=output, timeout=30)
    pump.join(10)
    assert done.returncode == 0
    assert not pump.is_alive()
