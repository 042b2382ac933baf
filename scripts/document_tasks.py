"""Write the table of shipped tasks in docs/tasks.md from the files in conf/task. A test fails when it is out of date."""

from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tasks.md"
BEGIN = "<!-- Made by `python scripts/document_tasks.py`; do not edit up to the end of the table. -->\n"
END = "<!-- End of the table. -->\n"
HEAD = (
    "| task | kind | language | the student reads → writes | checks | assigned | student | metrics |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def task_files() -> list[Path]:
    return sorted((ROOT / "conf" / "task").glob("*.yaml"))


def row(path: Path) -> str:
    """Return the table row of a task file."""
    task = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(path)))
    checks = dict.fromkeys(f"`{check['kind']}`" for check in task.get("checks", []))
    preset = (ROOT / "conf" / "experiment" / path.name).exists()
    name = f"`{task['name']}`" + (f" (`experiment={path.stem}`)" if preset else "")
    flow = f"{', '.join(task['input'])} → {', '.join(task['target'])}"
    assigned = task["target"] if task["kind"] == "classification" else task.get("assign", [])
    cells = [
        name,
        task["kind"],
        task["language"],
        flow,
        ", ".join(checks) or "none",
        ", ".join(f"`{name}`" for name in assigned) or "none",
        task.get("student", "auto"),
        ", ".join(task.get("metrics", [])) or "default",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def table() -> str:
    return BEGIN + HEAD + "".join(map(row, task_files())) + END


def page(text: str) -> str:
    """Return the text of the page with the current table."""
    before, rest = text.split(BEGIN)
    return before + table() + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
