"""The command `synthgen label RUN`: asks a person, in a terminal, on a page or by files, and says what to do next."""

import getpass
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from synthgen.errors import InputError, RunFolderError
from synthgen.evidence import saved_trust, weighed
from synthgen.labels import answers as people
from synthgen.labels import exchange
from synthgen.labels.choose import Chooser
from synthgen.labels.inbox import Change, Store
from synthgen.labels.questions import Asking, Form, Shown
from synthgen.ledger import Reader, Vector, holder
from synthgen.records import GOOD, Json, PersonAnswer, Sample
from synthgen.report import plain
from synthgen.report.files import exporting, write_files
from synthgen.report.tables import as_bytes
from synthgen.report.view import TaskView, read_task
from synthgen.rows import find_source
from synthgen.signals import signals_interrupt
from synthgen.stopping import BudgetConfig, relative, resume_command
from synthgen.task import as_text

COUNT = 40
"""Questions of a session, unless --count says otherwise."""


@dataclass(frozen=True)
class Options:
    """What the command line of `synthgen label` says."""

    export: str | None = None
    import_: str | None = None
    web: bool = False
    port: int = 0
    annotator: str | None = None
    count: int = COUNT
    train: bool = False
    disagreements: bool = False

    @property
    def name(self) -> str:
        """Return who answers: --annotator, or the login name. Raises InputError where there is neither."""
        if self.annotator is not None:
            return exchange.check_annotator(self.annotator)
        try:
            return exchange.check_annotator(getpass.getuser())
        except (KeyError, OSError) as error:
            raise InputError("--annotator: this machine has no login name for you; give a name") from error


def options(values: Mapping[str, str | None], flags: set[str]) -> Options:
    """Read the command line's options. Raises InputError."""
    ways = [name for name in ("--export", "--import", "--web") if values.get(name) is not None or name in flags]
    if len(ways) > 1:
        raise InputError(f"{ways[0]} and {ways[1]} do not go together; give one of them")
    if values["--then"] not in (None, "train"):
        raise InputError(f"--then {values['--then']}: write --then train")
    return Options(
        export=values["--export"],
        import_=values["--import"],
        web="--web" in flags,
        port=_number("--port", values["--port"], 0, 65535),
        annotator=values["--annotator"],
        count=_number("--count", values["--count"] or str(COUNT), 1, 1_000_000),
        train=values["--then"] is not None,
        disagreements="--disagreements" in flags,
    )


def _number(name: str, text: str | None, least: int, most: int) -> int:
    if text is None:
        return least
    if not text.isdecimal() or not least <= int(text) <= most:
        raise InputError(f"{name} {text}: give a whole number from {least} to {most}")
    return int(text)


def check_trainable(folder: Path, student: str) -> None:
    """Raise RunFolderError where `--then train` cannot train: before somebody has worked for it."""
    if student == "none":
        raise RunFolderError("--then train: this run has no student (student=none); leave it out")
    if (pid := holder(folder)) is not None:
        raise RunFolderError(
            f"--then train: process {pid} is at work in {folder}, and trains its student itself; leave it out"
        )


def student_before(folder: Path) -> Json | None:
    """Return the figures of the student that the run has, None where it has none."""
    with Reader(folder / "ledger.sqlite") as reader:
        found: Json | None = reader.meta("student")
        return found


def label_shares(reader: Reader, task: TaskView) -> dict[str, dict[str, float]]:
    """Return the label probabilities of every accepted sample, by its id: label to probability, likeliest first.

    A sample whose label was decided by nothing else has its own label for sure; empty where the task has no labels.
    """
    if not task.labels:
        return {}
    trust = replace(saved_trust(reader), confident_learning=False)  # which takes seconds and changes weights alone
    known = {key: found.labels for key, found in weighed(reader, list(task.labels), trust).items() if found.labels}
    own = {sample.id: {str(sample.label): 1.0} for sample in reader.samples() if sample.origin == "synthetic"}
    found = {key: dict(known.get(key, shares)) for key, shares in own.items()}
    return {key: dict(sorted(one.items(), key=lambda pair: -pair[1])) for key, one in found.items()}


@dataclass(frozen=True)
class _Accepted:
    """What a session needs of a run: its accepted samples and their label probabilities."""

    task: TaskView
    form: Form
    samples: Mapping[str, Sample]
    vectors: Mapping[str, Vector]
    shares: Mapping[str, Mapping[str, float]]
    seeds: frozenset[str]
    seed: int

    @classmethod
    def read(cls, reader: Reader) -> "_Accepted":
        task = read_task(reader)
        held = list(reader.held())
        return cls(
            task=task,
            form=Form(task.name, task.language, (reader.meta("task") or {}).get("labels") or {}),
            samples={sample.id: sample for sample, _ in held if sample.origin == "synthetic"},
            vectors={sample.id: vector for sample, vector in held if vector is not None},
            shares=label_shares(reader, task),
            seeds=frozenset(sample.id for sample, _ in held if sample.origin == "seed"),
            seed=(reader.meta("run") or {}).get("seed") or 0,
        )

    def chooser(self) -> Chooser:
        ids = list(self.samples)
        width = len(next(iter(self.vectors.values()))) if self.vectors else 1
        none = np.zeros(width, dtype=np.float32)
        vectors = np.stack([self.vectors.get(key, none) for key in ids])
        shares = [self.shares.get(key) or {"": 1.0} for key in ids]
        doubts = None if self.task.labels else [1.0 - sample.quality for sample in self.samples.values()]
        return Chooser(ids, vectors, shares, self.seed, doubts)

    def shown(self, sample_id: str) -> Shown:
        data = self.samples[sample_id].data
        fields = self.task.free(data) if self.task.label_field else list(self.task.ordered(data).items())
        return Shown([(name, as_text(value)) for name, value in fields], self.shares.get(sample_id, {}))


def label(folder: Path, options: Options, say: Callable[[str], object]) -> tuple[int, list[str]]:
    """Run the command on the run in `folder`; returns the exit code and the closing lines.

    Raises UserError. With `--export` nothing is written to the ledger.
    """
    annotator = options.name
    store = Store(folder, say)
    try:
        accepted = _Accepted.read(store.reader)
        if not accepted.samples:
            raise RunFolderError(f"{folder}: the run has accepted no samples yet; label when it has")
        if options.export is not None:
            return 0, _export(accepted, store.reader, annotator, options, folder)
        if options.import_ is not None:
            return 0, _import(accepted, store, annotator, options, folder)
        with signals_interrupt():
            return _session(accepted, store, annotator, options, folder)
    finally:
        store.close()


# -- files -----------------------------------------------------------------------------------------


def _export(accepted: _Accepted, reader: Reader, annotator: str, options: Options, folder: Path) -> list[str]:
    path = Path(str(options.export)).absolute()
    form = exchange.SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise InputError(f"--export {path.name}: name a file that ends in {', '.join(exchange.SUFFIXES)}")
    if path.exists():
        raise InputError(f"{path}: exists already, and may hold answers; name another file, or move it away")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: there is no such folder; make it first")
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
        _command(folder, "--import", str(options.export)),
    ]


def _chosen(accepted: _Accepted, answers: Sequence[PersonAnswer], annotator: str, options: Options) -> list[str]:
    """Return what a session would ask about whose every answer is the likeliest label."""
    asking = _asking(accepted, answers, annotator, options, lambda _: None)
    found: list[str] = []
    while (question := asking.current) is not None:
        found.append(question.sample_id)
        asking.answer(next(iter(accepted.shares.get(question.sample_id, [GOOD]))))
    return found


def _possible(form: Form) -> str:
    return 'a label, or null for "not a sample"' if form.labels else '"good", or null for "not a sample"'


def _import(accepted: _Accepted, store: Store, annotator: str, options: Options, folder: Path) -> list[str]:
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
    lines = [f"{_plural(len(found.answers), 'answer')} in {source}: {', '.join(parts)}"]
    return [*lines, *_standing(store.reader, folder), *_next(store.reader, folder, options)]


# -- a session -------------------------------------------------------------------------------------


def _asking(
    accepted: _Accepted,
    answers: Sequence[PersonAnswer],
    annotator: str,
    options: Options,
    put: Callable[[Sequence[Change]], None],
) -> Asking:
    return Asking(
        accepted.form, _Samples(accepted), accepted.chooser(), answers, annotator, options.count, put,
        options.disagreements,
    )  # fmt: skip


class _Samples(Mapping[str, Shown]):
    """Shows samples as they are asked about."""

    def __init__(self, accepted: _Accepted) -> None:
        self._accepted = accepted

    def __getitem__(self, key: str) -> Shown:
        return self._accepted.shown(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._accepted.samples)

    def __len__(self) -> int:
        return len(self._accepted.samples)

    def __contains__(self, key: object) -> bool:
        return key in self._accepted.samples


def _session(
    accepted: _Accepted, store: Store, annotator: str, options: Options, folder: Path
) -> tuple[int, list[str]]:
    asking = _asking(accepted, store.reader.people_answers(), annotator, options, store.put)
    if asking.current is None:
        what = "no disagreements to settle" if options.disagreements else f"nothing left to ask {annotator} about"
        return 0, [
            f"{what} in {relative(folder)}",
            *_standing(store.reader, folder),
            *_next(store.reader, folder, options),
        ]
    code = 0
    try:
        if options.web:
            import asyncio

            from synthgen.labels.web import serve

            asyncio.run(serve(asking, options.port, print))
        else:
            from synthgen.labels import terminal

            with terminal.keys() as typed:
                terminal.ask(asking, typed)
    except KeyboardInterrupt:
        code = 5
    print()
    skipped = f", {asking.skipped} skipped" if asking.skipped else ""
    lines = [f"{_plural(asking.given, 'answer')} of {annotator}{skipped}; they are in the ledger of {relative(folder)}"]
    lines += _standing(store.reader, folder)
    if asking.current is not None and not (options.train and code == 0):
        renew = _next(store.reader, folder, options)
        left = [*(["--web"] if options.web else []), *(["--disagreements"] if options.disagreements else [])]
        named = ["--annotator", annotator] if options.annotator is not None else []
        go_on = _command(folder, "--count", str(max(1, options.count - asking.given)), *left, *named)
        return code, [*lines, *(renew if asking.given else []), "label the rest:", go_on]
    return code, [*lines, *_next(store.reader, folder, options)]


# -- closing lines ---------------------------------------------------------------------------------


def _standing(reader: Reader, folder: Path) -> list[str]:
    """Return how far several people agree, where they answered the same samples."""
    found = people.agreement(reader.people_answers())
    if found is None:
        return []
    figures = [
        f"Krippendorff's alpha {found.alpha:.2f}" if found.alpha is not None else "one and the same answer to all"
    ]
    figures += [f"Cohen's kappa {found.kappa:.2f}"] if found.kappa is not None else []
    names = plain.one_line(", ".join(found.people))
    lines = [
        f"agreement of {names}: {', '.join(figures)}, over {_plural(found.shared, 'sample')} that several people answered; "
        f"they differ on {found.differing}"
    ]
    if found.open:
        lines += [f"to settle the {found.open} on which no answer has a majority:", _command(folder, "--disagreements")]
    return lines


def _next(reader: Reader, folder: Path, options: Options) -> list[str]:
    """Return what makes use of the answers, the command last."""
    if holder(folder) is not None:
        return ["the run that is at work uses the answers when it ends"]
    if options.train:
        return []
    config = reader.meta("config")
    if (reason := reader.meta("stopped_by")) != "target":
        return [
            "go on with the run, which uses the answers:",
            resume_command(folder, BudgetConfig(**config["budget"]), reason),
        ]
    if config["student"]["kind"] == "none":
        return ["renew the dataset with the answers:", shlex.join(["synthgen", "export", relative(folder)])]
    return [
        "renew the student and the dataset with the answers:",
        shlex.join(["synthgen", "train", relative(folder)]),
    ]


def worth(before: Json | None, after: Json) -> str:
    """Return what the answers were worth, from a student's figures before and after they were used."""
    labels = (after.get("answers") or 0) - ((before or {}).get("answers") or 0)
    said = _plural(labels, "label")
    if not plain.arms(after).get("synthetic"):
        return f"{said}: what they are worth cannot be measured without held-out rows (task.eval)"
    share = plain.is_share(after)
    now, rows = (
        after["synthetic"]["mean"],
        f"held-out rows ({plain.metric_name(after['metric'])}, {after['eval_rows']} rows)",
    )
    if before is None or not plain.arms(before).get("synthetic"):
        return f"{said}: {_score(now, share)} on {rows}; there was no student before to compare with"
    return f"{said}: {_score(before['synthetic']['mean'], share)} to {_score(now, share)} on {rows}"


def _score(value: float, share: bool) -> str:
    return f"{100 * value:.1f}" if share else f"{value:.3f}"


def _command(folder: Path, *arguments: str) -> str:
    return shlex.join(["synthgen", "label", relative(folder), *arguments])


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
