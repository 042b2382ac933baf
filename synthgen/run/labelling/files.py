"""Write questions to a file and read answers from it: `synthgen label --export` and `--import`."""

import time
from collections.abc import Sequence
from pathlib import Path

from synthgen.errors import InputError
from synthgen.labels import exchange
from synthgen.labels.inbox import AnswerStore
from synthgen.labels.questions import Form
from synthgen.ledger import Reader
from synthgen.ledger.durable import exporting, write_files
from synthgen.records import GOOD, PersonAnswer
from synthgen.report.tables import as_bytes
from synthgen.run.continuation import relative
from synthgen.run.labelling.accepted import Accepted
from synthgen.run.labelling.closing import agreement_lines, command, next_step, plural
from synthgen.run.labelling.options import LabelOptions
from synthgen.tasks.rows import find_source


def write(accepted: Accepted, reader: Reader, annotator: str, options: LabelOptions, folder: Path) -> list[str]:
    path = Path(str(options.export)).absolute()
    form = exchange.SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise InputError(f"--export {path.name}: name a file that ends in {', '.join(exchange.SUFFIXES)}")
    if path.exists():
        raise InputError(f"{path}: exists already and may contain answers; give another file, or move this one away")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: there is no such folder; create it first")
    answers = reader.people_answers()
    chosen = _chosen(accepted, answers, annotator, options)
    rows = exchange.export_rows(
        ((key, accepted.task.ordered(accepted.samples[key].data), accepted.shares.get(key, {})) for key in chosen), form
    )
    with exporting(path, f"synthgen label {relative(folder)} --export {path}"):
        write_files(path.parent, {path.name: as_bytes(form, rows, None)})
    column = "the column" if form == "csv" else "a field"
    return [
        f'{len(rows)} samples in {path}; give each {column} "{exchange.ANSWER}" ({_possible(accepted.form)}), then',
        command(folder, "--import", str(options.export)),
    ]


def _chosen(accepted: Accepted, answers: Sequence[PersonAnswer], annotator: str, options: LabelOptions) -> list[str]:
    """Return the samples that a session would ask about if the person always gave the likeliest label."""
    asking = accepted.asking(answers, annotator, options, lambda _: None)
    found: list[str] = []
    while (question := asking.current) is not None:
        found.append(question.sample_id)
        asking.answer(next(iter(accepted.shares.get(question.sample_id, [GOOD]))))
    return found


def _possible(form: Form) -> str:
    return 'a label, or null for "not a sample"' if form.labels else '"good", or null for "not a sample"'


def read(accepted: Accepted, store: AnswerStore, annotator: str, options: LabelOptions, folder: Path) -> list[str]:
    source = find_source(str(options.import_), [], "--import")
    found = exchange.read_answers(
        source, accepted.form, accepted.samples.keys(), accepted.seeds, annotator, time.time()
    )
    known = store.reader.people_answers()
    new = exchange.changed(found.answers, known)
    if new:
        store.put(new)
    replaced = {(one.sample_id, one.annotator) for one in new} & {(one.sample_id, one.annotator) for one in known}
    parts = [f"{len(new) - len(replaced)} new"]
    parts += [f"{len(replaced)} changed"] if replaced else []
    parts += [f"{len(found.answers) - len(new)} known already"] if len(found.answers) > len(new) else []
    parts += [f"{found.empty} rows without an answer left out"] if found.empty else []
    lines = [f"{plural(len(found.answers), 'answer')} in {source}: {', '.join(parts)}"]
    return [*lines, *agreement_lines(store.reader, folder), *next_step(store.reader, folder, options)]
