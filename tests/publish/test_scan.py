"""Personal data, secrets and local paths stop a push until they are named."""

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from openpyxl import Workbook
from pyarrow import parquet
from stand_in import StandInHub

from synthgen.cli import dispatch
from synthgen.errors import InputError
from synthgen.publish.scan import Finding, scan, unread

MAIL = b'{"text": "Write to anna.berg@example.org", "tags": ["or call +1 415 555 2671"]}\n'


def test_findings_name_file_line_and_field_and_hide_what_they_found() -> None:
    found = scan({"train.jsonl": b'{"text": "nothing"}\n' + MAIL, "note.md": b"key sk-abcdef1234567890abcdef\n"})
    assert [(each.kind, each.place) for each in found] == [
        ("email", "train.jsonl:2: text"), ("phone", "train.jsonl:2: tags[0]"), ("secret", "note.md:1")]  # fmt: skip
    assert "berg" not in found[0].shown
    assert found[2].shown == "an API key"


def test_values_of_the_environment_and_local_paths_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "open sesame now")
    files: dict[str, bytes | Path] = {"metrics.json": b'{"model": "/home/anna/models/small", "x": "open sesame now"}'}
    assert scan(files) == [
        Finding("path", "metrics.json: model", "/home/anna/models/small"),
        Finding("secret", "metrics.json: x", "the value of the environment variable STORE_PASSWORD"),
    ]


def test_every_kind_of_text_is_read_and_other_files_are_named() -> None:
    mail = "anna.berg@example.org"
    table, arrow, book, sheet = io.BytesIO(), io.BytesIO(), Workbook(), io.BytesIO()
    parquet.write_table(pa.table({"text": ["", mail]}), table)
    with pa.ipc.new_stream(arrow, pa.schema({"text": pa.string()})) as writer:
        writer.write_table(pa.table({"text": ["", mail]}))
    book.active.append([mail])
    book.save(sheet)
    files: dict[str, bytes | Path] = {
        "a.csv": f'text,label\n"two\nlines, {mail}",1\n'.encode(), "b.tsv": f"text\n{mail}\n".encode(), "c.md": mail.encode(),
        "d.txt": mail.encode("utf-16"), "e.json": json.dumps({mail: 1}).encode(), "f.jsonl": f"{{torn {mail}\n".encode(),
        "g.parquet": table.getvalue(), "h.arrow": arrow.getvalue(), "i.xlsx": sheet.getvalue(), "j.ann": mail.encode(),
        "LICENSE": mail.encode(), "k.yml": mail.encode(), "l.txt.gz": gzip.compress(mail.encode()), f"{mail}.txt": b"",
    }  # fmt: skip
    found = [each.place for each in scan(files) if each.kind == "email"]
    assert [next(place for place in found if name in place) for name in files] == [
        "a.csv:3: text", "b.tsv:2: text", "c.md:1", "d.txt:1", "e.json: a key", "f.jsonl:1", "g.parquet:2: text",
        "h.arrow:2: text", "i.xlsx:Sheet:1: column 1", "j.ann:1", "LICENSE:1", "k.yml:1", "l.txt.gz:1",
        f"the name of {mail}.txt"]  # fmt: skip
    assert unread({**files, "model.safetensors": bytes(range(256))}) == ["model.safetensors"]
    with pytest.raises(InputError, match=r"x\.parquet: cannot be read"):
        scan({"x.parquet": b"torn"})


def test_names_are_looked_for_on_request_only() -> None:
    files: dict[str, bytes | Path] = {"train.jsonl": '{"text": "我叫李明。"}\n'.encode()}
    assert scan(files) == []
    assert [each.kind for each in scan(files, ["name"])] == ["name"]


def test_the_vocabulary_of_a_model_is_not_scanned() -> None:
    assert scan({"tokenizer.json": b'{"vocab": {"anna.berg@example.org": 1}}'}) == []


def test_a_push_with_findings_is_refused_until_they_are_allowed(
    run: Path, hub: StandInHub, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "student" / "README.md").write_text("---\nlicense: mit\n---\nAsk anna.berg@example.org, /home/anna/x\n")
    words = ["push", str(run), "--to", "hf:me/news", "--what", "student"]
    assert dispatch([*words, "--yes"]) == 2
    said = capsys.readouterr()
    assert "email: 1 found\n    README.md:4: a•••.••••@•••••••.•••\n" in said.out
    assert "nothing was published, because the scan found email,path" in said.err
    assert "publish it knowingly with --allow email,path" in said.err
    assert hub.calls.total() == 0
    assert dispatch([*words, "--allow", "email"]) == 2
    assert dispatch([*words, "--allow", "email,path", "--yes"]) == 0
    assert "models/me/news" in hub.repositories
