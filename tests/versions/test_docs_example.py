"""The example of docs/versions.md prints what the page shows."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from synthgen.cli import dispatch

ROOT = Path(__file__).parents[2]
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")


def steps() -> list[tuple[str, str]]:
    """Return each command of the example, and the output that the page shows."""
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(\$ .*?)^```$", page, re.M | re.S)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.M)[1:]]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


@pytest.mark.slow
def test_the_example_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shown = steps()
    assert len(shown) == 9
    for command, output in shown:
        if command.startswith("synthgen "):
            assert dispatch(shlex.split(command)[1:]) == 0
        else:
            subprocess.run(command, shell=True, check=True)
        assert _TIME.sub("TIME", capsys.readouterr().out) == _TIME.sub("TIME", output), command
