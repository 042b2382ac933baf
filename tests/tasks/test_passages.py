"""Documents and passages: every kind is read, cut at sentence bounds, and found again at its offsets."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.errors import ConfigError, InputError
from synthgen.tasks.documents import Document, extract, find_documents, read_documents
from synthgen.tasks.passages import passages

STORY = (
    "The first sentence stands here. The second one follows it! Is there a third? There is. 第四句在这里。第五句也在。"
)


@given(st.text(alphabet="ab .!?\n。", max_size=300), st.integers(5, 60), st.integers(0, 4))
def test_a_passage_is_the_text_at_its_offsets_and_no_longer_than_allowed(text: str, size: int, overlap: int) -> None:
    for passage in passages([Document("a", text)], size, overlap):
        assert passage.text == text[passage.start : passage.end] == passage.text.strip()
        assert 0 < len(passage.text) <= size


def test_no_word_is_lost_and_passages_overlap_in_whole_sentences() -> None:
    found = passages([Document("a", STORY)], 60, 30)
    assert all(STORY[: one.start].strip()[-1:] in ("", *".!?。") and one.text[-1] in ".!?。" for one in found)
    assert any(later.start < earlier.end for earlier, later in itertools.pairwise(found))
    covered = {place for one in found for place in range(one.start, one.end)}
    assert all(char.isspace() for place, char in enumerate(STORY) if place not in covered)


def test_the_same_passage_comes_once_and_control_tokens_never() -> None:
    texts = ["One sentence stands alone here.", "ONE sentence stands alone here.", "A turn ends with <|im_end|> here."]
    found = passages([Document(str(number), text) for number, text in enumerate(texts)], 100, 0)
    assert [one.document for one in found] == ["0"]


def test_every_kind_of_document_is_read(tmp_path: Path) -> None:
    from docx import Document as Docx

    (tmp_path / "a.txt").write_text("A text.\r\nTwo lines.")
    (tmp_path / "b.md").write_text("# Head\n\nA paragraph.")
    (tmp_path / "c.html").write_text(
        "<html><head><title>t</title></head><script>x()</script><p>A <b>page</b>.</p></html>"
    )
    (tmp_path / "d.jsonl").write_text(json.dumps({"text": "A row."}) + "\n")
    docx = Docx()
    docx.add_paragraph("A report.")
    docx.add_table(1, 2).rows[0].cells[0].text = "a cell"
    docx.save(str(tmp_path / "e.docx"))
    (tmp_path / "f.pdf").write_bytes(_pdf("A printed page."))
    found = {one.name: " ".join(one.text.split()) for one in read_documents(find_documents(str(tmp_path), []))}
    assert found == {
        "a.txt": "A text. Two lines.", "b.md": "# Head A paragraph.", "c.html": "A page.", "d.jsonl:1": "A row.",
        "e.docx": "A report. a cell", "f.pdf": "A printed page.",
    }  # fmt: skip


def test_a_glob_and_a_list_name_documents(tmp_path: Path) -> None:
    for name in ("a.md", "b.txt", "c.md"):
        (tmp_path / name).write_text("Text.")
    entries = find_documents(["*.md", "b.txt"], [tmp_path])
    assert [one.name for one in read_documents(entries)] == ["a.md", "c.md", "b.txt"]


def test_faults_of_documents_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"task\.documents: '3' is no path"):
        find_documents([3], [])
    with pytest.raises(InputError, match=r"task\.documents: '\*\.md' matches no file"):
        find_documents("*.md", [tmp_path])
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(InputError, match=r"broken\.pdf: cannot be read as \.pdf"):
        read_documents([str(tmp_path / "broken.pdf")])
    (tmp_path / "rows.jsonl").write_text('{"text": "y"}\n{"title": "x"}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:2:1: lacks the field 'text'"):
        read_documents([str(tmp_path / "rows.jsonl")])
    (tmp_path / "rows.jsonl").write_text('{"text": "y"}\nno row\n')
    with pytest.raises(InputError, match=r"rows\.jsonl:2:1: not JSON"):
        read_documents([str(tmp_path / "rows.jsonl")])
    (tmp_path / "old.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"old\.txt: not UTF-8 \(byte 0xe9\); save the file as UTF-8"):
        read_documents([str(tmp_path / "old.txt")])


def test_lines_of_a_page_follow_its_elements_and_not_its_source(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<!-- no --><h1>Lamps</h1><p>A <b>blue</b>\n  lamp<a href='x'>s</a>.</p><ul><li>one<li>two</ul>"
        "<table><tr><td>a<td>b</tr></table>last<br>line"
    )
    ((_, text),) = extract(tmp_path / "a.html")
    assert text == "Lamps\n\nA blue lamps.\n\none\ntwo\n\na b\n\nlast\nline"


def _pdf(text: str) -> bytes:
    """Return a PDF of one page with one line."""
    stream = f"BT /F1 12 Tf 20 20 Td ({text}) Tj ET"
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 50] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]  # fmt: skip
    out, places = "%PDF-1.4\n", []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    return f"{out}xref\n0 6\n0000000000 65535 f \n{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n".encode()
