"""Write a run's review for other annotation tools, and read their answers: `synthgen review --to` and `--from`."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synthgen.annotate import argilla, batches, doccano, label_studio
from synthgen.annotate.answered import SAMPLE, Answered, read_json_file
from synthgen.annotate.controls import Layout, layout
from synthgen.annotate.in_force import FOLDER as GUIDES
from synthgen.annotate.in_force import HTML, MARKDOWN, in_force
from synthgen.annotate.label_studio_api import Server
from synthgen.errors import InputError, RunFolderError
from synthgen.labels.exchange import changed, check_annotator
from synthgen.labels.inbox import AnswerStore, Change
from synthgen.ledger import Reader
from synthgen.ledger.durable import read_json, write_files, write_json
from synthgen.records import Correction, Json, PersonAnswer
from synthgen.report.tables import as_bytes, utf8
from synthgen.run.continuation import relative
from synthgen.run.labelling.accepted import Accepted
from synthgen.run.labelling.closing import next_step
from synthgen.run.labelling.options import LabelOptions
from synthgen.run.reviewing.closing import command, disagreement_lines, plural
from synthgen.run.reviewing.corrections import Corrector
from synthgen.run.reviewing.options import ReviewOptions

_PROJECT = "label_studio.json"
"""File in the guide's folder that remembers the project of a server."""
_MOST_PROBLEMS = 20


def _layout(reader: Reader) -> Layout:
    made = layout(reader.meta("task") or {})
    if not made.shown:
        raise RunFolderError("the task has no input field, and a tool needs a text to show; review in the terminal")
    return made


def _people(folder: Path) -> dict[str, list[str]]:
    """Return the people of each sample of all batches. Raise InputError where there is no batch."""
    made = batches.read(folder)
    if not made:
        example = command(folder, "--sample", "uncertain", "--annotators", "anna,ben")
        raise InputError(f"{folder}: has no batch yet; make one: {example}")
    return {key: list(names) for batch in made for key, names in batch.assigned.items()}


# -- to a tool ------------------------------------------------------------------------------------


def write(accepted: Accepted, store: AnswerStore, folder: Path, options: ReviewOptions) -> list[str]:
    """Write the samples of all batches for a tool, as files or through its API. Return the closing lines."""
    people = _people(folder)
    samples = {key: accepted.task.ordered(accepted.samples[key].data) for key in people if key in accepted.samples}
    made = _layout(store.reader)
    if options.url:
        return _push(accepted, samples, people, made, folder, options)
    out = Path(str(options.out))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: exists already and may contain answers; give a new folder")
    files = {
        "label-studio": lambda: _label_studio_files(accepted, samples, people, made, folder),
        "argilla": lambda: _argilla_files(accepted, samples, people, made, folder),
        "doccano": lambda: _doccano_files(samples, made, folder),
    }[str(options.to)]()
    for name, data in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_files(path.parent, {path.name: data})
    return [
        f"{plural(len(samples), 'sample')} for {options.to}: {', '.join(str(out / name) for name in files)}",
        "when people have answered there, export the answers and read them with",
        command(folder, "--from", str(options.to), "--file", "FILE"),
    ]


def _tasks(
    accepted: Accepted, samples: Mapping[str, Json], people: Mapping[str, Sequence[str]], made: Layout, folder: Path
) -> list[Json]:
    guide, model = in_force(folder), f"synthgen {folder.name}"
    return [
        label_studio.task(made, key, data, accepted.shares.get(key, {}), people[key], guide, model)
        for key, data in samples.items()
    ]


def _label_studio_files(
    accepted: Accepted, samples: Mapping[str, Json], people: Mapping[str, Sequence[str]], made: Layout, folder: Path
) -> dict[str, bytes]:
    tasks = _tasks(accepted, samples, people, made, folder)
    return {
        label_studio.CONFIG: label_studio.config(made).encode(),
        label_studio.TASKS: _as_file(tasks),
        **_guide(folder, HTML),
    }


def _argilla_files(
    accepted: Accepted, samples: Mapping[str, Json], people: Mapping[str, Sequence[str]], made: Layout, folder: Path
) -> dict[str, bytes]:
    guide = in_force(folder)
    records = [argilla.record(made, key, data, accepted.shares.get(key, {}), guide) for key, data in samples.items()]
    told = _guide(folder, MARKDOWN).get(MARKDOWN, b"").decode()
    overlap = max(len(people[key]) for key in samples)
    return {
        argilla.SETTINGS: _as_file(argilla.settings(made, told, overlap)),
        argilla.DATASET: _as_file(argilla.dataset(folder.name)),
        argilla.RECORDS: _as_file(records),
    }


def _doccano_files(samples: Mapping[str, Json], made: Layout, folder: Path) -> dict[str, bytes]:
    rows = [doccano.row(made, key, data, in_force(folder)) for key, data in samples.items()]
    labels = {name: _as_file(doccano.as_labels(one)) for name, one in doccano.label_files(made).items()}
    return {doccano.ROWS: as_bytes("jsonl", rows, None), **labels, **_guide(folder, MARKDOWN)}


def _as_file(value: Any) -> bytes:
    return utf8(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def _guide(folder: Path, name: str) -> dict[str, bytes]:
    path = folder / GUIDES / name
    return {name: path.read_bytes()} if path.is_file() else {}


def _push(
    accepted: Accepted, samples: Mapping[str, Json], people: Mapping[str, Sequence[str]], made: Layout, folder: Path,
    options: ReviewOptions,
) -> list[str]:  # fmt: skip
    """Import the samples into a project of a server; those that it has already are left out."""
    tasks = _tasks(accepted, samples, people, made, folder)
    with Server(str(options.url)) as server:
        project = options.project or _remembered(folder, server.url)
        if project is None:
            told = _guide(folder, HTML).get(HTML, b"").decode()
            overlap = max(len(people[key]) for key in samples)
            project = server.create(f"{accepted.task.name}: {folder.name}", label_studio.config(made), told, overlap)
        known = server.known(project)
        new = [one for one in tasks if one["data"][SAMPLE] not in known]
        server.push(project, new)
    (folder / GUIDES).mkdir(exist_ok=True)
    write_json(folder / GUIDES / _PROJECT, {"url": server.url, "project": project})
    there = f", {len(tasks) - len(new)} were there already" if len(new) < len(tasks) else ""
    return [
        f"{plural(len(new), 'sample')} pushed to {server.url}/projects/{project}{there}",
        "when people have answered there, read the answers with",
        command(folder, "--from", "label-studio", "--url", server.url),
    ]


def _remembered(folder: Path, url: str) -> int | None:
    """Return the project of a server to which this run was pushed; None where there is none."""
    found = read_json(folder / GUIDES / _PROJECT) or {}
    return int(found["project"]) if found.get("url") == url else None


# -- from a tool ----------------------------------------------------------------------------------


def read(
    accepted: Accepted, store: AnswerStore, folder: Path, options: ReviewOptions, correct: Corrector
) -> tuple[int, list[str]]:
    """Read the answers of a tool into the ledger. Return the exit code and the closing lines."""
    given = _answers(accepted, _layout(store.reader), folder, options)
    begun = [f"left out: {one.where}, {one.annotator}: {one.unfinished}" for one in given if one.unfinished]
    found = _one_each([one for one in given if not one.unfinished])
    wrong = [
        f"{one.where}: '{one.answer}' is not a label of the task; was the labelling config changed?"
        for one in found
        if accepted.task.labels and one.answer is not None and one.answer not in accepted.task.labels
    ]
    if wrong:
        raise InputError("\n".join(_shortened(wrong)))
    changes, refused = _changes(accepted, found, correct, in_force(folder))
    known = store.reader.people_answers()
    answers = [one for one in changes if isinstance(one, PersonAnswer)]
    new = changed(answers, known)
    ids = {one.sample_id for one in new}
    made = [one for one in changes if isinstance(one, Correction) and one.sample.id in ids]
    if new:
        store.put([*made, *new])
    people = ", ".join(dict.fromkeys(one.annotator for one in found)) or "nobody"
    lines = [f"{plural(len(found), 'answer')} of {people}: {_counted(len(new), len(answers) - len(new), len(made))}"]
    lines += _shortened([*begun, *(f"left out: {text}" for text in refused)])
    return 0, [*lines, *(disagreement_lines(store.reader, folder) or next_step(store.reader, folder, LabelOptions()))]


def _one_each(found: Sequence[Answered]) -> list[Answered]:
    """Return one answer for each person and sample: the latest. Raise InputError where two have no time and differ."""
    latest: dict[tuple[str, str], Answered] = {}
    wrong = []
    for one in found:
        other = latest.setdefault((one.sample_id, one.annotator), one)
        differ = (one.answer, one.data) != (other.answer, other.data)
        if differ and (one.at is None or other.at is None or one.at == other.at):
            wrong.append(f"{one.where}: {one.annotator} gives another answer in {other.where}; remove one of them")
        elif differ and one.at is not None and other.at is not None and one.at > other.at:
            latest[one.sample_id, one.annotator] = one
    if wrong:
        raise InputError("\n".join(_shortened(wrong)))
    return list(latest.values())


def _shortened(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and the number of the others."""
    more = [f"... and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
    return [*lines[:_MOST_PROBLEMS], *more]


def _counted(new: int, known: int, corrections: int) -> str:
    parts = [f"{new} new in the ledger"]
    parts += [plural(corrections, "correction")] if corrections else []
    return ", ".join([*parts, *([f"{known} known already"] if known else [])])


def _answers(accepted: Accepted, made: Layout, folder: Path, options: ReviewOptions) -> list[Answered]:
    samples = {key: accepted.task.ordered(sample.data) for key, sample in accepted.samples.items()}
    unnamed = check_annotator(options.annotator) if options.annotator else None
    if options.url:
        with Server(options.url) as server:
            project = options.project or _remembered(folder, server.url)
            if project is None:
                raise InputError(f"--url {options.url}: {relative(folder)} was not pushed there; name it: --project ID")
            where, tasks, people = f"{server.url}/projects/{project}", server.pull(project), server.people()
        found = label_studio.read(made, where, tasks, samples, people, unnamed)
        if not found:
            raise InputError(f"{where}: nobody has answered there yet")
        return found
    path = Path(str(options.file))
    if not path.exists():
        raise InputError(f"--file {path}: there is no such file; give the file that the tool exported")
    match options.from_:
        case "doccano":
            return doccano.read(made, path, samples, unnamed)
        case "argilla":
            path = path / argilla.RECORDS if path.is_dir() else path
            return argilla.read(made, str(path), read_json_file(path), samples, unnamed)
        case _:
            path = path / label_studio.TASKS if path.is_dir() else path
            found = label_studio.read(made, str(path), read_json_file(path), samples, {}, unnamed)
            if not found:
                raise InputError(f"{path}: has no annotations; export the project as JSON after people answered")
            return found


def _changes(
    accepted: Accepted, found: Sequence[Answered], correct: Corrector, guide: str | None
) -> tuple[list[Change], list[str]]:
    """Return the answers and corrections for the ledger, and the corrections that are no samples, in words."""
    changes: list[Change] = []
    refused: list[str] = []
    for one in found:
        at = one.at or time.time()
        name = check_annotator(one.annotator)

        def given(key: str, answer: str | None, one: Answered = one, at: float = at, name: str = name) -> PersonAnswer:
            return PersonAnswer(key, name, answer, at, one.guide or guide)

        if one.data is None:
            changes.append(given(one.sample_id, one.answer))
            continue
        try:
            made = correct(one.sample_id, accepted.task.ordered(one.data), one.answer if accepted.task.labels else None)
        except ValueError as error:
            refused.append(f"{one.where}, {name}: {error}")
            continue
        changes += [Correction(made), given(made.id, one.answer), given(one.sample_id, None)]
    return changes, refused
