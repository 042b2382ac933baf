"""Export the rows of any files as samples of a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synthgen.errors import ConfigError, InputError
from synthgen.filters.declared.offsets import fillers
from synthgen.formats.export import Made, convert, put, written
from synthgen.formats.fields import fields_of
from synthgen.formats.format import ExportRow
from synthgen.formats.kinds import KINDS
from synthgen.ledger.durable import exporting
from synthgen.records import Json, content_id
from synthgen.report.features import features, written_as
from synthgen.report.tables import FORMATS, as_bytes, utf8
from synthgen.report.view import TaskView, view_of
from synthgen.safety.untrusted import markdown
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.rows import Columns, Problems, find_source, read_rows
from synthgen.tasks.task import Task, TaskConfig

_SPLITS = ("train", "validation", "test")
_WHOLE = "prepared"
"""Name of the file in which `synthgen prepare` writes all rows."""


def task_of(name: str) -> TaskConfig:
    """Return a task by the name of a shipped one, or from a YAML file. Raise ConfigError for one that cannot be read."""
    shipped = root() / "conf" / "task" / f"{name}.yaml"
    path = Path(name) if name.endswith((".yaml", ".yml")) else shipped
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in shipped.parent.glob("*.yaml")))
        raise ConfigError(f"--task: there is no task '{name}'; name a YAML file, or one of {known}")
    try:
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TaskConfig), OmegaConf.load(path)))
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{path}: {str(error).partition(chr(10))[0]}; correct the task file") from error
    assert isinstance(made, TaskConfig)
    made.seeds = made.eval = made.texts = made.documents = None  # the rows come from elsewhere
    return made


def export_files(files: str, form: str, out: Path, cfg: TaskConfig, skip: bool) -> list[str]:
    """Write the rows of a file, or of a folder's files, to the folder `out`. Return lines about rows left out.

    Raise InputError for a row that is no sample of the task.
    """
    task = load_task(cfg)
    view = view_of(task.definition())
    rows = {name: _rows(path, task, view) for name, path in _sources(files).items()}
    if form in FORMATS:
        made = Made({name: [row.data for row in listed] for name, listed in rows.items()})
        contents = _tables(form, made.records, view)
        names, load = f"{{split}}.{form}", 'from datasets import load_dataset\n\ndataset = load_dataset("{out}")'
    else:
        fields = fields_of(view, cfg.export)
        made = convert(form, fields, rows, skip)
        contents = written(form, fields, made)
        names, load = KINDS[form].files, KINDS[form].load
    readme = _readme(view, form, made, names, load)
    with exporting(out):
        put(out, {**contents, "README.md": utf8(readme)})
    return made.left_out


def _sources(files: str) -> dict[str, str]:
    """Return the file of each split. A folder has a file for each split, or one of all rows."""
    folder = Path(files)
    if not folder.is_dir():
        return {"train": files}
    found = {path.stem: str(path) for path in sorted(folder.glob("*.jsonl")) if path.stem in (*_SPLITS, _WHOLE)}
    splits = {name: found[name] for name in _SPLITS if name in found}
    if splits:
        return splits
    if _WHOLE in found:
        return {"train": found[_WHOLE]}
    raise InputError(f"{folder}: no {', '.join(f'{name}.jsonl' for name in (*_SPLITS, _WHOLE))} in it; name a file")


def _rows(path: str, task: Task, view: TaskView) -> list[ExportRow]:
    source = find_source(path, [], "FILE")
    problems = Problems(source, "input", streamed=True)
    columns = Columns(task.schema, frozenset(task.schema.get("required", ())), "drop")
    offsets = fillers(view.checks, view)
    rows: list[ExportRow] = []
    for row in read_rows(source, columns, problems):
        data = {name: row.data[name] for name in task.schema["properties"] if name in row.data}
        for each in offsets:
            data = each.removed(data)
        faults = task.held_out_faults(data)
        for where, text in faults[:3]:
            problems.add(row.find(where, ""), f"{text}; correct the row, or the schema of task {task.name}")
        if not faults:
            for each in offsets:
                data = each.filled(data)
            rows.append(ExportRow(len(rows) + 1, content_id(data), data))
    problems.raise_any()
    if not rows:
        raise InputError(f"{path}: no rows; name a file that holds some")
    return rows


def _tables(form: str, records: Mapping[str, Sequence[Json]], view: TaskView) -> dict[str, bytes]:
    told = features([row for listed in records.values() for row in listed], list(view.schema["properties"]))
    columns = None if told is None else written_as(told, form)
    return {f"{name}.{form}": as_bytes(form, listed, columns) for name, listed in records.items()}


def _readme(task: TaskView, form: str, made: Made, names: str, load: str) -> str:
    counts: dict[str, Any] = {name: len(records) for name, records in made.records.items()}
    splits = "\n".join(f"| {name} | {names.replace('{split}', name)} | {count:,} |" for name, count in counts.items())
    first_file = names.replace("{split}", next(iter(counts)))
    code = load.replace("{out}", "path/to/folder").replace("{file}", f"path/to/folder/{first_file}")
    note = KINDS[form].note if form in KINDS else ""
    left = f"{len(made.left_out)} rows are left out, because the format cannot hold them." if made.left_out else ""
    parts = [
        f"# {markdown(task.name)}",
        markdown(task.description),
        f"Written by `synthgen export --format {form}`. {note} {left}".strip(),
        f"| split | file | samples |\n|---|---|---|\n{splits}",
        f"```python\n{code}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
