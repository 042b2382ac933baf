"""Clean the seeds, texts and passages of a run with the steps that `run.prepare` names."""

from collections.abc import Sequence
from pathlib import Path

from synthgen.errors import ConfigError, InputError
from synthgen.prepare import Settings, cleaned, load
from synthgen.records import content_id
from synthgen.tasks.assets import find
from synthgen.tasks.normal import comparable
from synthgen.tasks.passages import Passage
from synthgen.tasks.rows import Problems
from synthgen.tasks.seeds import Rows
from synthgen.tasks.task import Task

KEY = "run.prepare"


def settings_file(name: str, bases: Sequence[Path]) -> str:
    """Return the path of the YAML file with the steps, or the name of a shipped one."""
    return name if Path(name).suffix not in (".yaml", ".yml") else str(find(name, bases, KEY))


def load_steps(name: str | None, bases: Sequence[Path]) -> Settings | None:
    """Return the steps of `run.prepare`; None where it is null. Raise InputError or ConfigError, which name the key."""
    if not name:
        return None
    file = settings_file(name, bases)
    try:
        return load(file)
    except (ConfigError, InputError) as error:
        raise type(error)(f"{KEY}: {error}") from error


def clean_seeds(rows: Rows, task: Task, settings: Settings, said: list[str]) -> Rows:
    """Return the seeds that the steps leave, each once, and add a sentence about the others to `said`.

    Raise InputError for a seed that does not fit the task afterwards.
    """
    done, kept, known = cleaned(rows, settings, task.input, task.label_field), Rows(), set[str]()
    problems = Problems(task.seeds, "seed")
    for place, row in done.rows:
        if found := next(iter(task.faults(row)), None):
            problems.add(
                rows.places[place],
                f"does not fit the task after {KEY} ({found[1]}); change the row, or the steps",
            )
        if (key := content_id(row)) not in known:
            known.add(key)
            kept.add(row, rows.places[place], rows.origins[place])
    problems.raise_any()
    said.append(done.sentence(len(rows), "seeds"))
    return kept


def clean_texts(rows: Rows, task: Task, settings: Settings, said: list[str]) -> Rows:
    """Return the texts of `task.texts` that the steps leave, each once. Raise InputError where none stays."""
    done, kept, known = cleaned(rows, settings, task.input, None), Rows(), set[str]()
    for place, row in done.rows:
        if row.keys() == rows[place].keys() and (key := content_id(row)) not in known:
            known.add(key)
            kept.add(row, rows.places[place])
    sentence = done.sentence(len(rows), "texts")
    if not kept:
        raise InputError(f"{sentence}; change the steps, or task.texts")
    said.append(sentence)
    return kept


def clean_passages(found: Sequence[Passage], least: int, settings: Settings, said: list[str]) -> list[Passage]:
    """Return the passages that the steps leave, each once and with at least `least` characters.

    A passage keeps its place in the document; its text is the cleaned one. Raise InputError where none stays.
    """
    done = cleaned([{"text": passage.text} for passage in found], settings, ("text",), None, own_fields=False)
    kept, known = list[Passage](), set[str]()
    for place, row in done.rows:
        text = row["text"].strip()
        if len(text) >= least and (key := comparable(text)) not in known:
            known.add(key)
            kept.append(found[place]._replace(text=text))
    sentence = done.sentence(len(found), "passages")
    if not kept:
        raise InputError(f"{sentence}; change the steps, or task.documents")
    said.append(sentence)
    return kept
