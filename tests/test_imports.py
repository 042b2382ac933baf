"""Imports run one way: the order of the layers in docs/architecture.md, and nothing heavy at import time."""

import ast
import subprocess
import sys
from pathlib import Path

import synthgen

PACKAGE = Path(synthgen.__file__).parent
# A module may import from its own layer's unit and from every layer before it.
LAYERS: list[set[str]] = [
    {"disk", "errors", "heap", "records", "markers", "regression", "signals", "secrecy", "unspaced", "untrusted"},
    {"assets", "guard", "schemas"},
    {"rows", "roster"},
    {"task"},
    {"seeds"},
    {"llm"},
    {"generate", "filters", "diversity", "judge"},
    {"pool", "ledger"},
    {"labels"},
    {"recorder", "stopping", "held", "selection", "steering"},
    {"loop"},
    {"student", "report", "display", "restore"},
    {"config"},
    {"prepare", "engines"},
    {"fingerprint", "event_loop", "asking", "assembly", "adapt", "status", "doctor"},
    {"session"},
    {"run"},
    {"preview", "labelling"},
    {"cli"},
    {"__main__"},
]
RANK = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}


def unit_of(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def imported_units(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "synthgen":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("synthgen.")}
    return found - {"__version__"}


def test_imports_run_one_way() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE]
    assert len(sources) > 20
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {unit}"
        for path in sources
        for unit in imported_units(path)
        if unit != unit_of(path) and not RANK[unit] < RANK[unit_of(path)]
    ]
    assert wrong == []


def test_records_import_nothing_of_synthgen() -> None:
    assert imported_units(PACKAGE / "records.py") == set()


def test_help_and_the_whole_program_start_without_the_heavy_libraries() -> None:
    heavy = "torch transformers faiss trl vllm outlines sentence_transformers sklearn datasets pyarrow"
    code = (
        f"import sys, synthgen.cli, synthgen.run.lifecycle; print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
