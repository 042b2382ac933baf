"""Every bad input file: where, cause and cure in one message, nothing written; a few of them through the command line."""

import gzip
import json
import os
import resource
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.cli import dispatch
from synthgen.config import Config, from_saved
from synthgen.errors import UserError
from synthgen.run.prepare import prepare
from synthgen.tasks.assets import root
from synthgen.tasks.rows import limits

ROWS = [
    {"text": "Shares fell on Tuesday.", "label": "business"},
    {"text": "天文学家发现了新的彗星。", "label": "science"},
    {"text": "The striker scored twice.", "label": "sport"},
    {"text": "两国同意重开边境。", "label": "world"},
]


def row(text: str = "决赛打到了加时。", label: Any = "sport", **more: Any) -> str:
    return json.dumps({"text": text, "label": label, **more}, ensure_ascii=False)


GOOD = "".join(row(**found) + "\n" for found in ROWS)
"""Four lines: a whole seed file."""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def smoke() -> Config:
    """The config of a small run of the shipped task."""
    task = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
    return from_saved(
        {"engine": {"kind": "replay"}, "task": task}, ["run.name=a", "run.dir=a", "diversity.embedder=hash"]
    )


@pytest.fixture
def refusal(smoke: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return the refusal of a seed file; the fixture checks that it is one message and that nothing is written.

    With a verb, or with more words of a command, it is what this command prints.
    """

    def said(name: str, content: bytes | str | None = None, *more: str, verb: str | None = None) -> str:
        if content is not None:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        before = sorted(tmp_path.rglob("*"))
        if verb or more:
            assert dispatch([verb or "validate", "experiment=smoke", f"task.seeds={name}", *more]) == 2
        else:
            with pytest.raises(UserError) as caught:
                prepare(replace(smoke, task=replace(smoke.task, seeds=name)), [tmp_path, root()])
            print(f"synthgen: {caught.value}", file=sys.stderr)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert sorted(tmp_path.rglob("*")) == before
        return captured.err.replace(f"{tmp_path}/", "")

    return said


DEEP = "[" * 100_000 + "]" * 100_000
BAD_LINES: dict[str, tuple[str | bytes, str]] = {
    "bad UTF-8": ('{"text": "球赛'.encode() + b'\xff"}', "5:13: not UTF-8 (byte 0xff); save the file as UTF-8"),
    "GBK": ('{"text": "球赛"}'.encode("gbk"), "5:11: not UTF-8 (byte 0xc7); save the file as UTF-8"),
    "lone surrogate": (
        '{"text": "球\\ud800赛", "label": "sport"}',
        "5:10: not usable JSON: a lone surrogate (\\ud800 to \\udfff) is not text; remove it",
    ),
    "NaN": ('{"text": NaN}', "5:10: not usable JSON: NaN is not JSON; write a number"),
    "Infinity": ('{"text": [-Infinity]}', "5:11: not usable JSON: -Infinity is not JSON; write a number"),
    "1e999": ('{"text": 1e999}', "5:10: not usable JSON: the number 1e999 is too large; write a number"),
    "5,000 digits": (
        '{"text": ' + "7" * 5000 + "}",
        "5:10: not usable JSON: the number 77777777777777777777... is too",
    ),
    "depth 100,000": (f'{{"文": {DEEP}}}', "5:106: not usable JSON: nested deeper than 100 levels; flatten it"),
    "duplicate key": (
        '{"text": "球赛开始了", "text": "x"}',
        "5:19: not usable JSON: the key 'text' appears twice in one object; keep one of them",
    ),
    "broken JSON": ('{"text": "球赛', "5:10: not JSON: Unterminated string starting at; write one JSON object a line"),
    "NUL byte": ('{"text": "球\0赛"}', "5:12: a NUL byte; save the file as UTF-8"),
    "no object": ("[1]", "5:1: an array, not an object; write one JSON object a line"),
    "duplicate row": (row(**ROWS[1]), "5:1: the same row as seeds.jsonl:2; remove one of them"),
    "duplicate row in another order of keys": (
        '{"label": "science", "text": "天文学家发现了新的彗星。"}',
        "5:1: the same row as seeds.jsonl:2; remove one of them",
    ),
    "missing field": ('{"text": "决赛打到了加时。"}', '5:1: sample: "label" is a required property; '),
    "extra field": (
        row(source="radio"),
        "5:1: sample: Additional properties are not allowed ('source' was unexpected);",
    ),
    "wrong type": (row(12345678), '5:10: text: 12345678 is not of type "string"; change the row, or task.schema'),  # type: ignore[arg-type]
    "too short": (row("短"), '5:10: text: "短" is shorter than 8 characters; change the row, or task.schema'),
    "unknown label": (row(label="体育"), "; labels are business, science, sport, world"),
    "label in another case": (row(label="Sport"), '5:31: label: "Sport" is not one of'),
    "label with a space": (row(label="sport "), "(did you mean 'sport'?)"),
    "label with a space that cannot be seen": (row(label="sport\u3000"), '"sport\\u3000" is not one of'),
    "control token": (
        row("决赛<|im_start|>打到了加时。"),
        "5:13: text: <|im_start|> is a control token of chat templates and would break the prompt; remove it",
    ),
    "control token of another family": (
        row("[INST] Write a headline [/INST]"),
        "5:11: text: [INST] is a control token",
    ),
    "end of text": (row("The match was over.<|endoftext|>"), "5:30: text: <|endoftext|> is a control token"),
    "sentence mark": (row("<s>决赛打到了加时。</s>"), "5:11: text: <s> is a control token"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused_with_its_place(name: str, refusal: Callable[..., str]) -> None:
    line, cause = BAD_LINES[name]
    content = GOOD.encode() + (line if isinstance(line, bytes) else line.encode()) + b"\n"
    said = refusal("seeds.jsonl", content)
    assert said.startswith("synthgen: the seed file cannot be used:\nseeds.jsonl:5:")
    assert cause in said
    assert said.count("\n") == 2


PACKED = gzip.compress(GOOD.encode())
BAD_FILES: dict[str, tuple[str, str | bytes, str]] = {
    "UTF-16": ("seeds.jsonl", GOOD.encode("utf-16"), ":1:1: UTF-16, by its byte order mark; save the file as UTF-8"),
    "UTF-32": ("seeds.csv", GOOD.encode("utf-32"), ":1:1: UTF-32, by its byte order mark; save the file as UTF-8"),
    "empty": ("seeds.jsonl", "", ":1:1: no rows; write one JSON object a line"),
    "empty JSON": ("seeds.json", "", ":1:1: no rows; "),
    "empty array": ("seeds.json", " [ ] ", ":1:1: no rows; "),
    "empty CSV": ("seeds.csv", "", ":1:1: no rows; "),
    "empty Parquet": ("seeds.parquet", "", ":1:1: no rows; "),
    "header alone": ("seeds.csv", "text,label\n", ":1:1: no rows; "),
    "blank lines": ("seeds.jsonl", "\n \n\r\n\n", ":1:1: no rows; "),
    "blank lines in gzip": ("seeds.jsonl.gz", gzip.compress(b"\n" * 9), ":1:1: no rows; "),
    "truncated gzip": ("seeds.jsonl.gz", PACKED[:-12], ":4:1: the gzip data ends too soon; copy or compress the file"),
    "not gzip": ("seeds.jsonl.gz", GOOD, ":1:1: not whole gzip data (Not a gzipped file (b'{\"')); compress the file"),
    "damaged gzip": ("seeds.csv.gz", PACKED[:30] + b"\0\xff" * 9 + PACKED[48:], ":1:1: not whole gzip data ("),
    "gzip bomb": (
        "seeds.jsonl.gz",
        gzip.compress((b" " * 999 + b"\n") * 20_000),
        " bytes of gzip became more than 200 times as many, as a gzip bomb does; decompress the file if it is none",
    ),
    "gzip bomb of one line": ("seeds.json.gz", gzip.compress(b" " * 20_000_000), " became more than 200 times as many"),
    "JSON with a bad element": (
        "seeds.json",
        f'[\n  {row(**ROWS[0])},\n  {{"text": "决赛打到了加时。",\n   "label": "Sport"}}\n]\n',
        ':4:13: label: "Sport" is not one of',
    ),
    "JSON that is no array": ("seeds.json", '{"data": []}', ":1:1: not an array; write one array of objects"),
    "JSON Lines named .json": ("seeds.json", GOOD, "if it holds one object a line, name it .jsonl"),
    "JSON that is not closed": (
        "seeds.json",
        f"[{row()}\n",
        ":2:1: the array is not closed; write one array of objects",
    ),
    "CSV without a header": (
        "seeds.csv",
        "Shares fell.,business\n决赛加时,sport\n",
        ":1:1: no header that names a field",
    ),
    "CSV with a header twice": (
        "seeds.csv",
        "text,label,text\na,b,c\n",
        ":1:12: the column 'text' appears twice; rename",
    ),
    "CSV without a column": ("seeds.csv", "text\n决赛打到了加时。\n", ":1:1: the column 'label' is missing; add it"),
    "CSV with a wrong column": (
        "seeds.csv",
        "text,Label,label\na,b,c\n",
        ":1:6: the task has no field 'Label' (did you mean 'label'?); remove it, or rename it",
    ),
    "CSV with a cell too many": (
        "seeds.csv",
        "text,label\n决赛,打到了加时,sport\n",
        ":2:10: 3 cells, and the header has 2; quote a cell that holds ','",
    ),
    "CSV with a cell too few": ("seeds.csv", "text,label\n决赛打到了加时\n", ":2:1: 1 cells, and the header has 2; "),
    "CSV with a NUL byte": ("seeds.csv", "text,label\n决\0赛,sport\n", ":2:2: a NUL byte; save the file as UTF-8 text"),
    "CSV with an open quote": (
        "seeds.csv",
        'text,label\n"决赛,sport\n',
        ":2:1: not CSV: a quote is opened and not closed;",
    ),
    "CSV in GBK": ("seeds.csv", "text,label\n决赛,sport\n".encode("gbk"), ":2:1: not UTF-8 (byte 0xbe); save the file"),
    "CSV with a label in another case": (
        "seeds.csv",
        'text,label\n"决赛打到了\n加时。",Sport\n',
        ':3:6: label: "Sport" is not one of',
    ),
    "not Parquet": ("seeds.parquet", GOOD, ":1:1: not a readable Parquet file ("),
    "an unknown name": (
        "seeds.txt",
        GOOD,
        "the end of its name says nothing that is read; name it .jsonl, .ndjson, .json,",
    ),
    "no suffix": ("seeds", GOOD, "the end of its name says nothing that is read; name it .jsonl"),
    "packed Parquet": ("seeds.parquet.gz", PACKED, "the end of its name says nothing that is read"),
    "packed in another way": ("seeds.jsonl.zst", GOOD, "the end of its name says nothing that is read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_place(name: str, refusal: Callable[..., str]) -> None:
    path, content, cause = BAD_FILES[name]
    said = refusal(path, content)
    assert f"{path}:" in said
    assert cause in said


def test_every_problem_of_a_file_is_named_in_one_go(refusal: Callable[..., str]) -> None:
    said = refusal("seeds.jsonl", "\n".join([row(label="golf"), "{", row(), "", row("短"), row(), '{"text": NaN}']))
    places = [line.split(":")[1] for line in said.splitlines()[1:]]
    assert places == ["1", "2", "5", "6", "7"]


def test_the_list_of_problems_ends_at_the_limit(refusal: Callable[..., str]) -> None:
    lines = refusal("seeds.jsonl", "".join(row(label=number) + "\n" for number in range(100))).splitlines()
    assert len(lines) == 1 + limits.PROBLEMS + 1
    assert lines[-1] == "... stopped after 20 problems"


def test_a_row_whose_input_is_an_eval_rows_is_named_with_both_places(
    tmp_path: Path, refusal: Callable[..., str]
) -> None:
    (tmp_path / "seeds.jsonl").write_text(GOOD, encoding="utf-8")
    held_out = f"{row()}\n{row('  天文学家发现了新的彗星。', 'world')}\n"
    (tmp_path / "eval.jsonl").write_text(held_out, encoding="utf-8")
    said = refusal("seeds.jsonl", None, "task.eval=eval.jsonl")
    assert "eval.jsonl:2:1: the input is also that of seeds.jsonl:2; take the row out of one of the files" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "start", "cause"),
    [
        ("seeds.jsonl", GOOD, ":5:1: the line is longer than 1,000,000 bytes; write one row a line"),
        ("seeds.csv", "text,label\n", ":2:1: the line is longer than 1,000,000 bytes; write one row a line"),
        (
            "seeds.json",
            f'[\n{row()},\n{{"text": "',
            ":3:1: the element is longer than 1,000,000 bytes; write one array",
        ),
    ],
)
def test_a_line_of_a_gigabyte_is_refused_in_little_memory(
    name: str, start: str, cause: str, tmp_path: Path, refusal: Callable[..., str]
) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(start.encode())
        file.truncate(limits.FILE_BYTES)  # a sparse file: zeros that take no room
    refusal("other.jsonl", "")  # whatever the program itself loads is loaded now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert f"{name}{cause}" in refusal(name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_file_past_the_limit_is_not_opened(tmp_path: Path, refusal: Callable[..., str]) -> None:
    with (tmp_path / "seeds.jsonl").open("wb") as file:
        file.truncate(1 << 30)
    assert "seeds.jsonl: 1,073,741,824 bytes is more than the 1,000,000,000 that is read" in refusal("seeds.jsonl")


def test_run_refuses_what_validate_refuses(refusal: Callable[..., str]) -> None:
    said = refusal("seeds.jsonl", GOOD + row(label="Sport"), "run.dir=out", verb="run")
    assert 'seeds.jsonl:5:31: label: "Sport" is not one of' in said
    assert said.startswith("synthgen: the seed file cannot be used:\n")


def test_a_bad_eval_file_is_refused_as_seeds_are(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "eval.csv").write_text("text,label\n决赛打到了加时。,Sport\n", encoding="utf-8")
    said = refusal("seeds.jsonl", GOOD, "task.eval=eval.csv")
    assert said.startswith("synthgen: the eval file cannot be used:\neval.csv:2:10: label: ")


def test_the_mistakes_of_seeds_and_eval_rows_are_reported_together(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "eval.csv").write_text("text,label\n决赛打到了加时。,Sport\n", encoding="utf-8")
    said = refusal("seeds.jsonl", GOOD + row(label="golf"), "task.eval=eval.csv").splitlines()
    assert said[0] == "synthgen: the seed file cannot be used:"
    assert said[1].startswith("seeds.jsonl:5:")
    assert said[2] == "the eval file cannot be used:"
    assert said[3].startswith("eval.csv:2:10: label: ")


def test_rows_that_do_not_fit_each_other_are_reported_together(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "eval.csv").write_text("text,label\nShares fell on Tuesday.,business\n", encoding="utf-8")
    said = refusal("seeds.jsonl", GOOD + row("The striker scored twice.", "world"), "task.eval=eval.csv")
    assert "labelled 'sport' there and 'world' here" in said
    assert "eval.csv:2:1: the input is also that of" in said


# -- what is no file -------------------------------------------------------------------------------


def test_a_folder_is_refused(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "seeds").mkdir()
    assert "seeds: a folder, not a file; write the rows to a file and name that" in refusal("seeds")


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, refusal: Callable[..., str]) -> None:
    os.mkfifo(tmp_path / "seeds.jsonl")
    assert "seeds.jsonl: a named pipe, not a file; write the rows to a file and name that" in refusal("seeds.jsonl")


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="this system has no /dev/zero")
@pytest.mark.timeout(20)
def test_a_device_is_refused(refusal: Callable[..., str]) -> None:
    assert "/dev/zero: a device, not a file; write the rows to a file and name that" in refusal("/dev/zero")


def test_a_missing_file_is_named_with_the_places_looked_at(refusal: Callable[..., str]) -> None:
    said = refusal("gone.jsonl", verb="validate")
    assert "task.seeds: no such file or folder: gone.jsonl\nlooked at:\n  gone.jsonl\n" in said


def test_a_file_without_permission_is_refused(
    tmp_path: Path, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == "seeds.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **kwargs)

    (tmp_path / "seeds.jsonl").write_text(GOOD, encoding="utf-8")
    (tmp_path / "seeds.jsonl").chmod(0)
    if os.geteuid() == 0:  # root reads everything
        opened = Path.open
        monkeypatch.setattr(Path, "open", denied)
    said = refusal("seeds.jsonl")
    assert "seeds.jsonl: cannot be read: Permission denied; check the path and its permissions" in said


def test_a_link_is_followed_and_keeps_its_own_suffix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0f3a").write_text(GOOD, encoding="utf-8")
    (tmp_path / "seeds.jsonl").symlink_to("0f3a")
    assert dispatch(["validate", "experiment=smoke", "task.seeds=seeds.jsonl"]) == 0
    assert "4 seeds" in capsys.readouterr().out
    assert stat.S_ISLNK((tmp_path / "seeds.jsonl").lstat().st_mode)


# -- files for a trained student -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_a_bad_file_for_the_student_is_refused_too(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["run", "experiment=smoke", "run.dir=out", "budget.target=5", "student=none"]) == 0
    (tmp_path / "rows.csv").write_text("text,label\n决赛打到了加时。,sport\n短讯\n", encoding="utf-8")
    (tmp_path / "tokens.json").write_text(f"[{row('<|im_start|>决赛打到了加时。')}]", encoding="utf-8")
    before = written(tmp_path / "out")
    capsys.readouterr()
    assert dispatch([verb, "out", "rows.csv"]) == 2
    assert "rows.csv:3:1: 1 cells, and the header has 2; quote a cell that holds ','" in capsys.readouterr().err
    assert dispatch([verb, "out", "hf:own er"]) == 2
    assert "FILE: 'hf:own er' names no dataset" in capsys.readouterr().err
    assert dispatch([verb, "out", "tokens.json"]) == 2  # read as it is, and then there is no student to show it to
    assert "there is no student" in capsys.readouterr().err
    assert written(tmp_path / "out") == before


def written(folder: Path) -> dict[Path, bytes]:
    """Return what a run folder holds, but for what SQLite keeps beside a database that is open for reading."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("ledger.sqlite-"))
    return {path: path.read_bytes() for path in files}


# -- what is accepted ------------------------------------------------------------------------------

CSV = "text,label\r\n" + "".join(f'"{found["text"]}",{found["label"]}\r\n' for found in ROWS)
FINE: dict[str, tuple[str, str | bytes]] = {
    "byte order mark": ("seeds.jsonl", "\ufeff" + GOOD),
    "CRLF": ("seeds.jsonl", GOOD.replace("\n", "\r\n")),
    "gzip": ("seeds.jsonl.gz", PACKED),
    "JSON": ("seeds.json", json.dumps(ROWS)),
    "JSON with a mark": ("seeds.JSON", "\ufeff" + json.dumps(ROWS, ensure_ascii=False, indent=2)),
    "CSV": ("seeds.csv", CSV),
    "CSV of Excel": ("seeds.csv", "\ufeff" + CSV.replace(",", ";")),
    "TSV": ("seeds.tsv", CSV.replace(",", "\t")),
    "packed CSV": ("seeds.csv.gz", gzip.compress(CSV.encode())),
}


@pytest.mark.parametrize("name", FINE)
def test_the_same_rows_are_read_from_every_format(name: str, smoke: Config, tmp_path: Path) -> None:
    path, content = FINE[name]
    (tmp_path / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    prepared = prepare(replace(smoke, task=replace(smoke.task, seeds=path)), [tmp_path, root()])
    assert [seed.data for seed in prepared.seeds] == ROWS


@pytest.mark.parametrize("char", ["\u2028", "\u2029", "\x85"])
def test_a_rare_line_break_inside_a_text_is_text(char: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seeds.jsonl").write_text(GOOD + row(f"两行{char}其实是一行文字"), encoding="utf-8")
    assert dispatch(["validate", "experiment=smoke", "task.seeds=seeds.jsonl"]) == 0
    assert "5 seeds" in capsys.readouterr().out
