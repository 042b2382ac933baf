"""Output in an encoding that lacks a character: the character is escaped, and JSON stays what it was."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.safety.streams import escape_unencodable, outliving


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_in_any_encoding_is_the_same_json(encoding: str) -> None:
    data = {"text": "café 点评 🎉"}
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding=encoding)
    escape_unencodable(stream)
    print(json.dumps(data, ensure_ascii=False), file=stream, flush=True)
    assert json.loads(raw.getvalue().decode(encoding)) == data


def test_a_file_name_that_is_no_text_can_be_shown() -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="utf-8")
    escape_unencodable(stream)
    print(os.fsdecode(b"runs/caf\xe9"), file=stream, flush=True)
    assert raw.getvalue() == b"runs/caf\\udce9\n"


def test_output_to_a_terminal_that_is_gone_is_discarded() -> None:
    outer, inner = os.openpty()
    stream = outliving(io.TextIOWrapper(io.FileIO(inner, "w"), encoding="utf-8", write_through=True))
    print("点评", file=stream)
    assert os.read(outer, 100).decode().strip() == "点评"
    os.close(outer)
    for _ in range(3):
        print("nobody reads this", file=stream, flush=True)
    assert stream.isatty()


def test_an_output_that_is_no_terminal_is_left_as_it_is() -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    assert outliving(stream) is stream


@pytest.mark.slow
def test_the_command_line_prints_chinese_on_an_ascii_terminal(tmp_path: Path) -> None:
    command = ["preview", "experiment=smoke", "task=voice_intent", "engine.delay=0", "student=none", "run.dir=预览"]
    done = subprocess.run(
        [sys.executable, "-m", "synthgen", *command, "budget.candidates=16", "task.description=点评 café"],
        cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "\\u70b9\\u8bc4 caf\\u00e9" in done.stdout
