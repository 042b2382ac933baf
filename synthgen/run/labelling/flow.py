"""Ask a person about samples in a terminal or on a web page, or through files: `synthgen label RUN`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from synthgen.annotate.in_force import in_force
from synthgen.errors import ExitCode, RunFolderError
from synthgen.labels.inbox import AnswerStore
from synthgen.labels.questions import Asking, ReviewTerms
from synthgen.run.continuation import relative
from synthgen.run.labelling import files
from synthgen.run.labelling.accepted import Accepted
from synthgen.run.labelling.closing import agreement_lines, command, next_step, plural
from synthgen.run.labelling.options import LabelOptions
from synthgen.run.runtime.signals import signals_interrupt


def label(folder: Path, options: LabelOptions, say: Callable[[str], object]) -> tuple[int, list[str]]:
    """Run the command on the run in `folder`. Return the exit code and the closing lines.

    Raise UserError where the options or the run do not allow it. Write nothing to the ledger with `--export`.
    """
    annotator = options.name
    store = AnswerStore(folder, say)
    try:
        accepted = Accepted.read(store.reader)
        if not accepted.samples:
            raise RunFolderError(f"{folder}: the run has no accepted samples yet; label them when it has some")
        if options.export is not None:
            return ExitCode.OK, files.write(accepted, store.reader, annotator, options, folder)
        if options.import_ is not None:
            return ExitCode.OK, files.read(accepted, store, annotator, options, folder)
        with signals_interrupt():
            return _session(accepted, store, annotator, options, folder)
    finally:
        store.close()


def asked(asking: Asking, web: bool, port: int) -> ExitCode:
    """Ask the questions of a session in the terminal or on a page. Return the exit code."""
    try:
        if web:
            import asyncio

            from synthgen.labels.web import serve

            asyncio.run(serve(asking, port, partial(print, flush=True)))
        else:
            from synthgen.labels import terminal

            with terminal.keys() as typed:
                terminal.ask(asking, typed)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _session(
    accepted: Accepted, store: AnswerStore, annotator: str, options: LabelOptions, folder: Path
) -> tuple[int, list[str]]:
    plan = ReviewTerms(guide=in_force(folder))
    asking = accepted.asking(store.reader.people_answers(), annotator, options, store.put, plan)
    if asking.current is None:
        what = "no disagreements to settle" if options.disagreements else f"nothing left to ask {annotator} about"
        return ExitCode.OK, [
            f"{what} in {relative(folder)}",
            *agreement_lines(store.reader, folder),
            *next_step(store.reader, folder, options),
        ]
    code = asked(asking, options.web, options.port)
    print()
    skipped = f", {asking.skipped} skipped" if asking.skipped else ""
    where = f"; in the ledger of {relative(folder)}" if asking.given else ""
    lines = [f"{plural(asking.given, 'answer')} of {annotator}{skipped}{where}"]
    lines += agreement_lines(store.reader, folder)
    if asking.current is not None and not (options.train and code == ExitCode.OK):
        renew = next_step(store.reader, folder, options)
        left = [*options.page, *(["--disagreements"] if options.disagreements else [])]
        named = ["--annotator", annotator] if options.annotator is not None else []
        go_on = command(folder, "--count", str(max(1, options.count - asking.given)), *left, *named)
        return code, [*lines, *(renew if asking.given else []), "label the rest:", go_on]
    return code, [*lines, *next_step(store.reader, folder, options)]
