"""Imports run one way: the order of the layers in docs/architecture.md, and nothing heavy at import time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import synthgen

PACKAGE = Path(synthgen.__file__).parent
# A unit is a folder or a module below synthgen/; one of a folder's modules may be named apart from the folder.
# A module may import from its own unit and from every layer before it.
LAYERS: list[set[str]] = [
    {"records", "errors"},
    {"safety", "numerics", "run.runtime"},
    {"tasks"},
    {"ledger"},
    {"engines"},
    {"cluster"},
    {"engines.kinds"},
    {"generate", "filters", "diversity", "judge"},
    {"labels", "prepare"},
    {"versions"},
    {"annotate", "selection", "run.budget", "run.chain", "run.corpus", "run.progress", "run.spending"},
    {"run.checks", "run.loop", "run.continuation", "run.metrics"},
    {"student", "report", "run.display", "run.restore"},
    {"formats"},
    {"publish"},
    {"config"},
    {"run"},
    {"cluster.shards"},
    {"cli"},
    {"__main__"},
]
RANK = {unit: rank for rank, layer in enumerate(LAYERS) for unit in layer}


def unit_of(module: str) -> str:
    """Return the unit of a module, whose dotted name has no `synthgen.` before it."""
    parts = module.split(".")
    two = ".".join(parts[:2])
    return two if two in RANK else parts[0]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_units(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "synthgen":
            base = node.module.removeprefix("synthgen").removeprefix(".")
            names = {f"{base}.{alias.name}".removeprefix(".") for alias in node.names}
            found |= {unit_of(name) for name in names if name != "__version__"}
        elif isinstance(node, ast.Import):
            found |= {
                unit_of(alias.name.removeprefix("synthgen.")) for alias in node.names if "synthgen." in alias.name
            }
    return found


def test_imports_run_one_way() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE]
    assert len(sources) > 20
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {unit}"
        for path in sources
        for unit in imported_units(path)
        if unit != (own := unit_of(name_of(path))) and not RANK[unit] < RANK[own]
    ]
    assert wrong == []


def test_records_import_nothing_of_synthgen() -> None:
    assert imported_units(PACKAGE / "records.py") == set()


@pytest.mark.slow
def test_help_and_the_whole_program_start_without_the_heavy_libraries() -> None:
    heavy = "torch transformers faiss trl vllm outlines sentence_transformers sklearn datasets pyarrow"
    code = (
        f"import sys, synthgen.cli, synthgen.run.lifecycle; print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
