"""A preparation reads files of several formats, keeps what no step touches, and writes one folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.errors import ConfigError, InputError
from synthgen.prepare import load, prepare
from synthgen.tasks.assets import root


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_their_order_and_every_field(run: Any) -> None:
    rows = [
        {"text": "b", "id": 7, "deep": {"list": [1, None, {"x": 2.5}]}, "big": 2**70},
        {"text": "a", "other": "", "flag": True},
    ]
    done = run(rows, "exact")
    assert [{key: row[key] for key in given} for row, given in zip(done.rows, rows, strict=True)] == rows
    assert [row["source"]["line"] for row in done.rows] == [1, 2]


def test_every_row_is_prepared_or_removed_with_step_reason_place_and_neighbour(run: Any) -> None:
    done = run(["One text.", "another", "one text"], "exact")
    assert done.texts == ["One text.", "another"]
    (gone,) = done.removed
    assert (gone["step"], gone["reason"], gone["row"]["text"]) == ("exact", "duplicate", "one text")
    assert (gone["source"]["line"], gone["neighbour"]["line"]) == (3, 1)
    assert done.summary["rows"] == {"read": 3, "prepared": 2, "removed": 1}
    assert done.summary["steps"]["exact"]["removed"] == {"duplicate": 1}


def test_the_report_shows_examples_and_executes_nothing_of_the_rows(run: Any) -> None:
    done = run(["<script>alert(1)</script> hm", "<SCRIPT>alert(1)</SCRIPT> hm!"], "exact")
    assert "&lt;SCRIPT&gt;" in done.page and "<script" not in done.page.lower()
    assert "http://" not in done.page and "https://" not in done.page


def test_the_report_shows_a_row_once_and_only_the_fields_that_held_personal_data(run: Any) -> None:
    done = run([{"text": "<p>Write to ann@lamp.example</p>&nbsp; now", "note": "kept"}], "repair", "personal")
    repaired, personal = done.page.split('<section id="personal">')
    assert repaired.count("&lt;p&gt;Write") == 1 and "markup, space" in repaired
    assert "[EMAIL]" in personal and "kept" not in personal


def test_files_of_several_formats_become_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.csv").write_text('text;stars\n"one; two";5\n;4\n', encoding="utf-8")
    (tmp_path / "b.md").write_text("# Head\n\nBody of it.\n", encoding="utf-8")
    pq.write_table(pa.table({"text": ["from a table"], "n": [None]}), tmp_path / "c.parquet")
    files = [str(tmp_path / name) for name in ("a.csv", "b.md", "c.parquet")]
    assert dispatch(["prepare", *files, "--steps", "exact", "--out", str(tmp_path / "out")]) == 0
    rows = [
        {key: value for key, value in row.items() if key != "source"}
        for row in lines_of(tmp_path / "out/prepared.jsonl")
    ]
    assert rows == [
        {"text": "one; two", "stars": "5"},
        {"text": "", "stars": "4"},
        {"text": "# Head\n\nBody of it."},
        {"text": "from a table", "n": None},
    ]
    assert "4 of 4 rows" in capsys.readouterr().out


def test_a_text_file_can_give_a_row_for_each_paragraph(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n\n\nthree\n", encoding="utf-8")
    (tmp_path / "c.yaml").write_text("documents: paragraph\nsteps: [exact]\n", encoding="utf-8")
    prepare([str(tmp_path / "a.txt")], load(str(tmp_path / "c.yaml")), tmp_path / "out")
    rows = lines_of(tmp_path / "out/prepared.jsonl")
    assert [(row["text"], row["source"]["line"]) for row in rows] == [("one\ntwo", 1), ("three", 5)]


def test_fields_are_renamed_computed_and_dropped(run: Any) -> None:
    fields = {"text": "{{ title }}", "label": "stars | int > 3", "body": "title | upper"}
    done = run([{"title": "Fine", "stars": "4", "x": 1}], "exact", map=fields, drop=["x"])
    assert {key: value for key, value in done.rows[0].items() if key != "source"} == {
        "stars": "4", "text": "Fine", "label": True, "body": "FINE",
    }  # fmt: skip


def test_an_expression_cannot_reach_python(run: Any) -> None:
    with pytest.raises(InputError, match=r"rows.jsonl:1: map.text: .*unsafe"):
        run(["a"], "exact", map={"text": "text.__class__.__mro__"})


def test_an_expression_over_a_missing_field_is_reported_with_the_row(run: Any) -> None:
    with pytest.raises(InputError, match=r"rows.jsonl:1: map.text: 'body' fails on this row \('body' is undefined\)"):
        run(["a"], "exact", map={"text": "body"})


def test_a_row_keeps_its_own_source_field_and_its_first_place(run: Any) -> None:
    first = {"file": "mail.txt", "line": 9}
    done = run([{"text": "a", "source": "web"}, {"text": "b", "source": first}], "exact", licence="CC0-1.0")
    assert done.rows[0]["source"] == "web" and done.rows[0]["prepared_source"]["line"] == 1
    assert done.rows[1]["source"] == first
    assert [row["license"] for row in done.rows] == ["CC0-1.0", "CC0-1.0"]


def test_a_folder_with_content_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    assert dispatch(["prepare", str(tmp_path / "a.jsonl"), "--out", str(tmp_path)]) == 2
    assert "has content already" in capsys.readouterr().err


def test_a_broken_row_is_reported_with_its_place_and_nothing_is_written(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a"}\n{"text": \n', encoding="utf-8")
    assert dispatch(["prepare", str(file), "--out", str(tmp_path / "out")]) == 2
    assert f"{file}:2:" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps:\n  - exact\n  - nera\n", r":3: steps\[1\]: there is no step 'nera'; did you mean near"),
        (
            "steps:\n  - near:\n      treshold: 1\n",
            r":3: steps\[0\].near.treshold: near has no such option; did you mean",
        ),
        ("steps:\n  - near: {threshold: high}\n", r":2: steps\[0\].near.threshold: must be of type float, got 'high'"),
        ("steps:\n  - near: {threshold: 7}\n", r":2: steps\[0\].near: threshold: must be from 0.3 to 1, got 7"),
        ("steps: [exact]\nmap:\n  text: '['\n", r":3: map.text: '\[' is not a Jinja expression"),
        ("steps:\n  - split: {shares: {a: x}}\n", r":2: .*shares: must be of type mapping of float, got \{'a': 'x'\}"),
        ("steps:\n  - outliers: {max_repetition: 5}\n", r":2: .*max_repetition: must be above 0 and at most 1"),
        ("step: [exact]\n", r":1: step: there is no such key; did you mean steps"),
        ("steps: []\n", ":1: steps: a list of steps is missing"),
    ],
)
def test_a_mistake_in_the_config_is_reported_with_line_key_and_cure(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load(str(tmp_path / "c.yaml"))


def test_every_shipped_config_loads() -> None:
    files = sorted((root() / "conf" / "prepare").glob("*.yaml"))
    assert files
    assert all(load(file.stem).steps for file in files)


def test_the_same_rows_give_the_same_files(run: Any) -> None:
    rows = [f"text {n % 40} of many words in a row" for n in range(100)]
    one, two = run(rows, "repair", "exact", "near"), run(rows, "repair", "exact", "near")
    assert one.rows == two.rows and one.removed == two.removed


def test_documents_are_read_as_texts(tmp_path: Path) -> None:
    from docx import Document

    (tmp_path / "a.html").write_text("<h1>Lamps</h1><p>A <b>blue</b> lamp.</p>", encoding="utf-8")
    document = Document()
    document.add_paragraph("A report.")
    document.add_paragraph("Its end.")
    document.save(str(tmp_path / "b.docx"))
    (tmp_path / "empty.html").write_text("<script>x()</script>", encoding="utf-8")
    (tmp_path / "c.yaml").write_text("documents: paragraph\nsteps: [repair]\n", encoding="utf-8")
    files = [str(tmp_path / name) for name in ("a.html", "b.docx", "empty.html")]
    prepare(files, load(str(tmp_path / "c.yaml")), tmp_path / "out")
    rows = lines_of(tmp_path / "out/prepared.jsonl")
    assert [(row["text"], row["source"]["line"]) for row in rows] == [
        ("Lamps", 1), ("A blue lamp.", 3), ("A report.", 1), ("Its end.", 3),
    ]  # fmt: skip
    assert [(row["reason"], row["source"]["file"]) for row in lines_of(tmp_path / "out/removed.jsonl")] == [
        ("empty", str(tmp_path / "empty.html"))
    ]


def test_a_damaged_document_and_an_unknown_format_are_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.docx").write_text("no document", encoding="utf-8")
    (tmp_path / "b.xyz").write_text("x", encoding="utf-8")
    for name, said in (
        ("a.docx", "a.docx: cannot be read as .docx: "),
        ("b.xyz", "FILES may also be text, Markdown, HTML"),
    ):
        assert dispatch(["prepare", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "step",
    [
        "contradictions", "outliers", "balance", "split", "near", {"near": {"keep": "best"}}, {"exact": {"keep": "best"}},
        {"meaning": {"embedder": "hash"}}, {"language": {"others": "mark"}},
    ],
)  # fmt: skip
def test_a_step_that_gets_no_rows_passes_none_on(run: Any, step: Any) -> None:
    assert run(["<br>"], "repair", step).rows == []


@pytest.mark.parametrize(
    ("step", "keys", "said"),
    [
        ("exact", {"text": ["titel"]}, r"text: no row has the field 'titel'; did you mean title"),
        ("contradictions", {"label": "star"}, r"label: no row has the field 'star'; did you mean stars"),
        ({"balance": {"by": "stras"}}, {}, r"yaml:3: steps\[0\].balance.by: no row has the field 'stras'"),
        (
            {"split": {"group": "author"}},
            {},
            r"steps\[0\].split.group: no row has the field 'author'; choose from title, st",
        ),
    ],
)
def test_a_field_that_no_row_has_is_refused(run: Any, tmp_path: Path, step: Any, keys: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run([{"title": "a", "stars": 1}, {"title": "b", "stars": 2}], step, **keys)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_a_field_that_an_earlier_step_wrote_may_be_named(run: Any) -> None:
    mark = {"language": {"others": "mark"}}
    assert len(run(["a", "b"], mark, {"split": {"by": "language", "group": "document"}}).rows) == 2
