"""Read a task's real texts without labels: rows with the input fields, or a .txt file with one text a line."""

from synthgen.errors import ConfigError, InputError
from synthgen.records import content_id
from synthgen.tasks.rows import Problems, Source
from synthgen.tasks.rows.source import HubDataset
from synthgen.tasks.rows.stream import decoded, lines
from synthgen.tasks.seeds import Rows, read_inputs
from synthgen.tasks.task import Task


def read_texts(source: Source, task: Task) -> Rows:
    """Return the different texts of a source as rows with the task's input fields, each with its place.

    Raise InputError with `file:line:column`, cause and cure, and ConfigError for a .txt file where a text is no row.
    """
    rows = _lines(source, task) if _is_plain(source) else read_inputs(source, task, what="text")
    found, known = Rows(), set()
    for row, place in zip(rows, rows.places, strict=True):
        if (key := content_id(row)) not in known:
            known.add(key)
            found.add(row, place)
    return found


def unfit(texts: Rows, task: Task) -> int:
    """Count the texts that break the lengths or patterns of task.schema, so that the form check will reject them."""
    checked = {name: task.schema["properties"][name] for name in task.input}
    part = task.part_validator(checked)
    return sum(not part.is_valid(row) for row in texts)


def _is_plain(source: Source) -> bool:
    return not isinstance(source, HubDataset) and [end.lower() for end in source.suffixes if end != ".gz"][-1:] == [
        ".txt"
    ]


def _lines(source: Source, task: Task) -> Rows:
    """Return a row for each line that is not blank."""
    assert not isinstance(source, HubDataset)
    if len(task.input) != 1 or task.schema["properties"][task.input[0]].get("type") != "string":
        raise ConfigError(
            f"task.texts: a line of {source} can only be the text of a task with one input field of type string, and "
            f"task.input is [{', '.join(task.input)}]; write rows with these fields to a .jsonl file"
        )
    problems, rows = Problems(source, "text"), Rows()
    for number, raw in lines(source, problems):
        text = decoded(raw, number, problems)
        if text is not None and (text := text.strip()):
            rows.add({task.input[0]: text}, (number, 1))
    problems.raise_any()
    if not rows:
        raise InputError(f"{source}: no text; write one text a line")
    return rows
