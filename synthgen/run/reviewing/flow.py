"""Assign batches of samples to people, ask them, and decide their disagreements: `synthgen review RUN`."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.annotate import adjudicate, batches
from synthgen.annotate.batches import Batch
from synthgen.annotate.in_force import in_force, put_in_force
from synthgen.errors import ExitCode, InputError, RunFolderError
from synthgen.labels.answers import by_sample, ordinary
from synthgen.labels.exchange import check_annotator
from synthgen.labels.inbox import AnswerStore
from synthgen.labels.questions import ReviewTerms
from synthgen.ledger import Reader
from synthgen.records import ADJUDICATION, PersonAnswer
from synthgen.run.continuation import relative
from synthgen.run.labelling.accepted import Accepted
from synthgen.run.labelling.closing import next_step
from synthgen.run.labelling.flow import asked
from synthgen.run.labelling.options import LabelOptions
from synthgen.run.prepare import Prepared
from synthgen.run.reviewing import figures, guides, tools
from synthgen.run.reviewing.closing import command, deciding, disagreement_lines, plural
from synthgen.run.reviewing.corrections import Corrector
from synthgen.run.reviewing.options import ReviewOptions
from synthgen.run.runtime.signals import signals_interrupt

COUNT = 20
"""Samples of a batch, unless said otherwise."""
_MOST = 1_000_000
Result = tuple[int, list[str]]


def review(
    folder: Path, options: ReviewOptions, say: Callable[[str], object], prepare: Callable[[], Prepared]
) -> Result:
    """Run the command on the run in `folder`. Return the exit code and the closing lines.

    `prepare` reads the task of the run, which corrections are checked against.
    """
    store = AnswerStore(folder, say)
    try:
        if options.agreement:
            record, lines = figures.agreement(store.reader)
            return ExitCode.OK, [json.dumps(record, ensure_ascii=False)] if options.as_json else lines
        if options.adjudicate == adjudicate.MAJORITY:
            return ExitCode.OK, _majority(store, folder)
        if not (options.sample or options.annotator or options.adjudicate or options.to or options.from_):
            state = figures.state(folder, store.reader)
            shown = [json.dumps(state, ensure_ascii=False)] if options.as_json else figures.state_lines(folder, state)
            return ExitCode.OK, shown
        return _with_samples(store, folder, options, prepare)
    finally:
        store.close()


def _with_samples(store: AnswerStore, folder: Path, options: ReviewOptions, prepare: Callable[[], Prepared]) -> Result:
    accepted = Accepted.read(store.reader)
    if not accepted.samples:
        raise RunFolderError(f"{folder}: the run has no accepted samples yet; review them when it has some")
    correct = Corrector(folder, accepted.samples, prepare)
    lines = _new_batch(accepted, store, folder, options) if options.sample else []
    if options.to:
        return ExitCode.OK, [*lines, *tools.write(accepted, store, folder, options)]
    if options.from_:
        return tools.read(accepted, store, folder, options, correct)
    if options.sample:
        return ExitCode.OK, lines
    return _session(accepted, store, folder, options, correct)


def _new_batch(accepted: Accepted, store: AnswerStore, folder: Path, options: ReviewOptions) -> list[str]:
    """Make a batch of samples that are in no other batch and that nobody has answered, and assign it to people."""
    people, method = options.people, str(options.sample)
    made = batches.read(folder)
    known = {key for batch in made for key in batch.assigned} | {one.sample_id for one in store.reader.people_answers()}
    labels = {key: sample.label for key, sample in accepted.samples.items()}
    chosen = batches.sampled(
        method, options.count or COUNT, labels, known & labels.keys(), accepted.chooser(), accepted.seed
    )
    if not chosen:
        raise InputError(
            f"--sample: all {plural(len(labels), 'sample')} of {relative(folder)} are in a batch or answered; "
            "generate more (synthgen resume), or go on with synthgen review"
        )
    assigned = batches.assign(chosen, people, options.overlap, accepted.seed + len(made))
    lines = []
    guide = in_force(folder)
    if guide is None:
        new = guides.of_run(folder)
        path = put_in_force(folder, new)[0]
        guide = new.hash
        lines.append(f"guide {guide}: {relative(path)}")
    batches.append(folder, Batch(len(made) + 1, method, guide, people, assigned))
    each = [f"{name} {sum(name in names for names in assigned.values())}" for name in people]
    lines.append(
        f"batch {len(made) + 1}: {plural(len(chosen), 'sample')} ({method}), each for {plural(options.overlap, 'person')}: "
        f"{', '.join(each)}".replace("persons", "people")
    )
    return [*lines, "each of them answers with", *(command(folder, "--annotator", name) for name in people)]


def _session(
    accepted: Accepted, store: AnswerStore, folder: Path, options: ReviewOptions, correct: Corrector
) -> Result:
    """Ask one person about the samples assigned to them, or about the disagreements of others."""
    answers = store.reader.people_answers()
    deciding = options.adjudicate is not None
    name = check_annotator(str(options.adjudicate or options.annotator))
    if deciding:
        samples, own = adjudicate.to_decide(answers, name)
        role, empty = ADJUDICATION, f"no disagreement is open for {name}"
        if not samples and not own:
            return ExitCode.OK, _nothing_to_decide(answers, store.reader, folder)
        if own:
            empty += f"; {name} is a party to {own}, which a third person must decide"
    else:
        made = batches.read(folder)
        if not batches.assignments(made, name):
            known = ", ".join(dict.fromkeys(one for batch in made for one in batch.people)) or "nobody"
            raise InputError(f"--annotator {name}: has no samples to answer here; the batches are for {known}")
        samples, role = batches.left(made, name, answers), None
        if strange := [key for key in samples if key not in accepted.samples]:
            raise RunFolderError(f"{folder / batches.NAME}: the run has no sample '{strange[0]}'; restore the file")
        empty = f"{name} has answered everything"
    if not samples:
        return ExitCode.OK, [f"{empty} in {relative(folder)}", *disagreement_lines(store.reader, folder)]
    plan = ReviewTerms(samples, in_force(folder), role, correct)
    labelling = LabelOptions(web=options.web, port=options.port, annotator=name, count=options.count or _MOST)
    asking = accepted.asking(answers, name, labelling, store.put, plan)
    with signals_interrupt():
        code = asked(asking, options.web, options.port)
    print()
    skipped = f", {asking.skipped} skipped" if asking.skipped else ""
    lines = [f"{plural(asking.given, 'answer')} of {name}{skipped}; in the ledger of {relative(folder)}"]
    rest = len(samples) - asking.given
    if rest:
        option = "--adjudicate" if deciding else "--annotator"
        return code, [*lines, f"{rest} left; go on with", command(folder, option, name, *labelling.page)]
    return code, [*lines, *(disagreement_lines(store.reader, folder) or next_step(store.reader, folder, labelling))]


def _nothing_to_decide(answers: Sequence[PersonAnswer], reader: Reader, folder: Path) -> list[str]:
    """Return lines about a review without an open disagreement; the last one is the next command."""
    if not ordinary(answers):
        said = f"there is nothing to adjudicate in {relative(folder)}, because nobody has answered yet"
        return [said, *figures.state_lines(folder, figures.state(folder, reader))[-2:]]
    shared = sum(len(given) > 1 for given in by_sample(ordinary(answers)).values())
    why = "no disagreement is open" if shared else "no sample has answers of two people yet"
    return [f"there is nothing to adjudicate in {relative(folder)}: {why}", *next_step(reader, folder, LabelOptions())]


def _majority(store: AnswerStore, folder: Path) -> list[str]:
    answers = store.reader.people_answers()
    if not adjudicate.disputed(answers):
        return _nothing_to_decide(answers, store.reader, folder)
    decided, ties = adjudicate.by_majority(answers, in_force(folder), time.time())
    if decided:
        store.put(decided)
    lines = [f"{plural(len(decided), 'disagreement')} decided by majority; all answers are kept"]
    if ties:
        return [
            *lines,
            f"{plural(len(ties), 'sample')} without a majority; a third person decides:",
            deciding(folder, 0),
        ]
    return [*lines, *next_step(store.reader, folder, LabelOptions())]
