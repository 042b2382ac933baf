"""Whatever a sample, a label or a description says: no artefact takes it for anything but text."""

import csv
import json
import re
import tempfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from synthgen.ledger import Ledger
from synthgen.records import Sample, content_id
from synthgen.report import export_dataset, last_lines, write_reports
from synthgen.safety.untrusted import clean, printable

ATTACKS = [
    "<script>alert(1)</script>", "\"><img src=x onerror='x'>", "</title></style></pre>", "<!--", "]]>", "&lt;b&gt;",
    "---\nlicense: mit\n---", "```\n# out", "[a](javascript:x)", "![a](http://x/y.png)", "http://evil.example", "| a | b |",
    "- item", "1. item", "# head", "> quote", "= =", "{{ 7 * 7 }}", "{% raw %}", "\x1b]0;t\x07", "\x9b31m", "\u202egnp",
    "=HYPERLINK(1)", "\r\n", "@everyone", "$x$", "www.evil.example", "<http://evil.example>",
]  # fmt: skip
TEXT = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.lists(st.sampled_from(ATTACKS), min_size=2, max_size=4).map(" ".join),
    st.lists(st.sampled_from(ATTACKS), min_size=2, max_size=4).map("\n".join),
)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk has to be waited for there


def export(folder: Path, texts: list[str], label: str, description: str) -> dict[str, Path]:
    """Every artefact of a run whose words are these."""
    task = {
        "name": "t", "kind": "classification", "description": description, "language": "en", "input": ["text"],
        "schema": {"type": "object", "properties": {"text": {"type": "string"}, "label": {"enum": [label, "b"]}}},
        "target": ["label"], "labels": {label: description, "b": ""}, "rubric": {},
    }  # fmt: skip
    rows = [{"text": text, "label": label} for text in dict.fromkeys(texts)]
    samples = [Sample(id=content_id(row), data=row, origin="seed", label=label) for row in rows]
    meta = {"task": task, "run": {"name": label, "seed": 0}, "config": {"task": task}}
    with Ledger.create(folder / "ledger.sqlite", meta) as ledger:
        ledger.add_seeds(samples, [None] * len(samples))  # type: ignore[list-item]
        ledger.event("stopped", {"failure": description, "by": label})
    write_reports(folder, lambda config: yaml.safe_dump(config, allow_unicode=True))
    data = export_dataset(folder, 0.2, seed=0)
    table = export_dataset(folder, 0.2, seed=0, form="csv", out=folder / "table")
    return {"page": folder / "report.html", "card": data / "README.md", "rows": data / "train.jsonl",
            "table": table / "train.csv", "summary": folder / "summary.json", "events": folder / "events.jsonl",
            "info": data / "dataset_info.json", "lineage": data / "meta" / "lineage.jsonl"}  # fmt: skip


def artefacts(folder: Path, texts: list[str], label: str, description: str) -> dict[str, str]:
    return {name: path.read_bytes().decode() for name, path in export(folder, texts, label, description).items()}


@cache
def ordinary() -> dict[str, str]:
    """The artefacts of a run that nobody meant any harm with."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return artefacts(Path(folder), ["words", "more words", "other words"], "a", "words")


def tags(page: str) -> set[tuple[str, tuple[str, ...]]]:
    """The tags of a page with the names of their attributes."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.add((tag, tuple(name for name, _ in attrs)))  # type: ignore[method-assign]
    parser.feed(page)
    parser.close()
    return found


def markdown(card: str) -> list[str]:
    """The kinds of Markdown that a card's text has, inline ones included."""
    body = card.split("---\n", 2)[2]
    parser = MarkdownIt("gfm-like", {"linkify": False})
    return [token.type for block in parser.parse(body) for token in (block, *(block.children or []))]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXT, min_size=1, max_size=3), TEXT.filter(lambda text: text != "b"), TEXT)
@pytest.mark.slow
def test_no_text_changes_the_structure_of_page_card_or_rows(texts: list[str], label: str, description: str) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        found = artefacts(Path(folder), texts, label, description)
        closing = last_lines(json.loads(found["summary"]), Path(folder))
    usual = ordinary()

    assert tags(found["page"]) <= tags(usual["page"])
    front = yaml.safe_load(found["card"].split("---\n")[1])
    assert front.keys() == yaml.safe_load(usual["card"].split("---\n")[1]).keys()
    assert front["license"] == "other"
    assert set(markdown(found["card"])) <= set(markdown(usual["card"])) | {"text_special"}
    assert [json.loads(line)["text"] for line in found["rows"].splitlines()] == list(dict.fromkeys(texts))
    assert json.loads(found["events"])["failure"] == description
    for line in csv.reader(found["table"].splitlines(keepends=True)):
        assert not any(re.match(r"[\s'\"]*[=+\-@]", cell) and not cell.startswith("'") for cell in line)
    for name, text in found.items():
        assert clean(text) == text, name
    assert all(printable(line) == line for line in closing)
