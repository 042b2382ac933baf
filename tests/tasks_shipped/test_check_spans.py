"""Test the script that counts strings outside their text."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synthgen.tasks.assets import root

TEXT = "Rosa met Ida in Ghent."


def checked(tmp_path: Path, row: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    command = [sys.executable, "-S", str(root() / "scripts/check_spans.py"), *flags, str(tmp_path / "train.jsonl")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("row", "strings", "bad"),
    [
        ({"entities": [{"text": "Rosa", "start": 0, "end": 4}, {"text": "Ghent", "start": 16, "end": 21}]}, 2, 0),
        ({"entities": []}, 0, 0),
        ({"entities": [{"text": "rosa"}, {"text": "Ghent"}]}, 2, 1),
        ({"entities": [{"text": "Ida", "start": 0, "end": 3}]}, 1, 1),
        ({"relations": [{"head": "Rosa", "type": "met", "tail": "Eva"}]}, 2, 1),
        ({"events": [{"trigger": "met", "arguments": [{"role": "who", "text": "Ida"}, {"role": "x", "text": "Oslo"}]}]}, 3, 1),
    ],
)  # fmt: skip
def test_strings_outside_their_text_are_counted(tmp_path: Path, row: dict[str, Any], strings: int, bad: int) -> None:
    done = checked(tmp_path, {"text": TEXT, **row})
    assert f"1 samples, {strings} strings, {bad} not in their text" in done.stdout
    assert done.returncode == (1 if bad else 0)


def test_single_fields_can_be_named(tmp_path: Path) -> None:
    flags = ["--text", "passage", "--strings", "answer", "--"]
    assert checked(tmp_path, {"passage": TEXT, "answer": "in Ghent"}, *flags).returncode == 0
    assert checked(tmp_path, {"passage": TEXT, "answer": "in Bruges"}, *flags).returncode == 1
    assert "0 strings" in checked(tmp_path, {"passage": TEXT, "answer": ""}, *flags).stdout


def test_the_script_shares_no_code_with_the_checks() -> None:
    assert "synthgen" not in [
        line.split()[1].split(".")[0]
        for line in (root() / "scripts/check_spans.py").read_text(encoding="utf-8").splitlines()
        if line.startswith(("import ", "from "))
    ]
