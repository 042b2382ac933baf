"""The docs are checked, not trusted."""

import re
import runpy
from pathlib import Path

from synthgen.cli.program import VERBS
from synthgen.errors import ExitCode

ROOT = Path(__file__).parents[1]


def test_the_config_page_is_what_the_dataclasses_say() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_config.py"))
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == script["page"]()


def test_the_steps_of_prepare_are_what_their_classes_say() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_config.py"))
    text = (ROOT / "docs" / "prepare.md").read_text(encoding="utf-8")
    assert script["prepare_page"](text) == text
    assert all(f"### {name}\n" in text for name in script["STEPS"])


def test_the_table_of_tasks_is_what_the_task_files_say() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_tasks.py"))
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    assert script["page"](text) == text
    assert text.count("\n| `") > len(script["task_files"]()) > 30


def test_the_tables_of_formats_are_what_the_formats_say() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_formats.py"))
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert script["page"](text) == text


def test_every_key_has_a_meaning() -> None:
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+)` \|.*\| (.*) \|$", page, re.M)
    assert len(rows) > 60
    assert [key for key, meaning in rows if not meaning.strip()] == []


def test_the_page_of_the_command_line_is_what_the_program_prints() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_cli.py"))
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == script["page"]()


def test_the_readmes_tables_of_verbs_are_the_programs() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_cli.py"))
    pages = script["readmes"]()
    assert ROOT / "README.md" in pages
    for readme, chinese in pages.items():
        text = readme.read_text(encoding="utf-8")
        assert script["filled"](text, chinese) == text


def test_every_verb_and_exit_code_has_a_chinese_line() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "document_cli.py"))
    assert list(script["CHINESE"]) == [verb.name for verb in VERBS]
    assert list(script["CHINESE_CODES"]) == list(ExitCode)


def test_the_readme_is_under_150_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_the_chinese_readme_shows_the_same_commands_and_output() -> None:
    blocks = [
        re.findall(r"^```.*?^```$", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S)
        for name in ("README.md", "README.zh.md")
    ]
    assert blocks[0] == blocks[1]


def test_every_file_the_docs_link_to_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    missing = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert missing == []


def test_every_test_that_a_decision_names_as_evidence_exists() -> None:
    missing = [
        f"{page.name}: {name}"
        for page in (ROOT / "docs" / "decisions").glob("*.md")
        for name in re.findall(r"`(tests/[\w./-]+)`", page.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_section_the_docs_link_to_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    missing = [
        f"{page.name}: {target}#{section}"
        for page in pages
        for target, section in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
        if section not in _sections(page.parent / target if target else page)
    ]
    assert missing == []


def _sections(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
