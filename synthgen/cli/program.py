"""The command line: `synthgen VERB ...`. Errors a user can cause are one message and exit code 2."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthgen import __version__
from synthgen.errors import ConfigError, UserError, WriteError
from synthgen.safety.secrets import MaskedStream, mask
from synthgen.safety.untrusted import escaped, printable

if TYPE_CHECKING:
    from synthgen.config import Config
    from synthgen.records import Json

USAGE = """usage: synthgen VERB [arguments]

  run [OVERRIDES]           the loop, to its target or budget, then student and report
  resume RUN [budget.*=..]  goes on where a run stopped; with --fork NEW_RUN [OVERRIDES],
                            starts a new run from what it accepted
  validate [OVERRIDES]      config, task, prompts, grammar and seeds, without an engine
  preview [OVERRIDES]       a few candidates for real, check by check, and how long the run would take; keeps nothing
  status RUN                where a run stands, also while it is at work; --watch, --json
  doctor                    what this machine has and lacks; --json
  adapt judge|generator [OVERRIDES]
                            trains a LoRA adapter on rated samples and seeds, for judge.adapter or generate.adapter
  label RUN                 a person labels the samples that teach most; --count N, --annotator NAME, --web,
                            --disagreements, --export FILE, --import FILE, --then train
  train RUN [select.*=..]   trains and scores the student again; goes on with a training that was cut short
  evaluate RUN [FILE]       scores the student on the eval file, or on FILE
  predict RUN FILE          one JSON line of predictions a row of FILE, to standard output
  report RUN                rebuilds summary.json, report.html and events.jsonl from the ledger
  export RUN [select.*=..]  rebuilds dataset/ from the ledger; with --format csv or parquet (and --out DIR),
                            writes the dataset for spreadsheets and others

OVERRIDES are Hydra's: task=voice_intent budget.target=500 engine=openai --config-dir DIR --multirun ...
exit codes: 0 target reached, 2 bad config or input, 3 a budget ended it, 4 the engine failed,
            5 interrupted (resume works), 1 a bug"""


def main() -> int:
    sys.stderr = MaskedStream(sys.stderr)  # libraries print there too
    return dispatch(sys.argv[1:])


def dispatch(arguments: Sequence[str]) -> int:
    """Runs one verb and returns the exit code."""
    verbs: dict[str, Callable[[list[str]], int]] = {
        "run": lambda rest: _composed("run", rest),
        "validate": lambda rest: _composed("validate", rest),
        "preview": lambda rest: _composed("preview", rest),
        "resume": _resume,
        "adapt": _adapt,
        "status": _status,
        "doctor": _doctor,
        "train": _train,
        "label": _label,
        "evaluate": _evaluate,
        "predict": _predict,
        "report": _report,
        "export": _export,
    }
    verb, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if verb in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if verb == "--version":
        print(f"synthgen {__version__}")
        return 0
    if verb not in verbs:
        return _complain(UserError(f"there is no verb '{verb}'\n\n{USAGE}"))
    try:
        return verbs[verb](rest)
    except UserError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return 5
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        print(printable(mask(traceback.format_exc()), keep_lines=True), end="", file=sys.stderr)
        print("synthgen: this is a bug; the ledger of the run, if there was one, is whole", file=sys.stderr)
        return 1


def _complain(error: UserError) -> int:
    print(f"synthgen: {printable(mask(str(error)), keep_lines=True)}", file=sys.stderr)
    return 2


def _composed(verb: str, overrides: list[str]) -> int:
    """Composes the config as Hydra does, with its flags, and hands it on. --multirun runs one after another."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    from synthgen import config as schema
    from synthgen.safety import config_guard as guard
    from synthgen.tasks.assets import root

    codes = [0]
    errors: list[UserError] = []

    def job(composed: DictConfig) -> None:
        try:
            one(composed)
        except UserError as error:  # raised once Hydra is done, which would print a line of its own
            errors.append(error)

    def one(composed: DictConfig) -> None:
        settings = HydraConfig.get()
        built = schema.build(composed)
        if settings.mode == RunMode.MULTIRUN:
            if built.adapt.dir:
                built.adapt.dir = f"{built.adapt.dir}-{settings.job.num}"
            built.run.name, built.run.dir = (
                f"{built.run.name}-{settings.job.num}",
                f"{built.run.dir}-{settings.job.num}",
            )
        bases = [Path(entry.path) for entry in settings.runtime.config_sources if entry.schema == "file"]
        bases = [base for base in bases if base != root() / "conf"]
        try:
            codes.append(_act(verb, built, [*bases, *(base.parent for base in bases)]))
        except ConfigError as error:
            raise schema.located(error, settings) from error

    schema.register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, and go out as one message
    with tempfile.TemporaryDirectory() as scratch, guard.composing():
        sys.argv = [f"synthgen {verb}", *guard.checked(overrides, scratch)]
        try:
            hydra.main(version_base="1.3", config_path=str(root() / "conf"), config_name="config")(job)()
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            raise schema.explained(error) from error
    if errors:
        raise errors[0]
    return max(codes)


def _adapt(arguments: list[str]) -> int:
    from synthgen.run.adapt import ROLES
    from synthgen.safety.config_guard import parted

    options, overrides = parted(arguments)
    role = next((word for word in overrides if "=" not in word), None)
    if role not in ROLES:
        raise UserError(f"usage: synthgen adapt {'|'.join(ROLES)} [OVERRIDES]\n\n{USAGE}")
    return _composed(f"adapt {role}", [*options, *(word for word in overrides if word != role)])


def _act(verb: str, built: Config, bases: list[Path]) -> int:
    if verb == "run":
        from synthgen.run.lifecycle import start

        return start(built, bases, _note)
    if verb == "preview":
        from synthgen.run.preview import preview

        return preview(built, bases, _note)
    if verb.startswith("adapt "):
        from synthgen.run.adapt import adapt, summary

        role = verb.partition(" ")[2]
        for line in summary(role, adapt(role, built, bases, _note)):
            print(line)
        return 0
    from synthgen.run.prepare import check_adapters, check_tracking, compile_grammars, prepare

    check_tracking(built)
    prepared = prepare(built, bases)
    check_adapters(prepared)
    compile_grammars(prepared)
    task = prepared.task
    print(f"task {task.name} ({task.kind}): {len(prepared.seeds)} seeds, {len(prepared.eval_rows)} eval rows")
    print(f"prompts {prepared.prompts.folder}; {len(prepared.grammars())} grammars compile")
    for check in prepared.declared:
        print(printable(f"check {check.says}: all seeds and eval rows pass"))
    if why := prepared.structured_outputs.why:
        print(why)
    print(f"engine {built.engine.kind}, {prepared.in_flight} in flight; target {prepared.target}")
    for line in prepared.notices():
        print(printable(line))
    print("everything is in order; nothing was started")
    return 0


def _folder(arguments: list[str], verb: str, more: int = 0) -> Path:
    if not 1 <= len(arguments) <= 1 + more:
        raise UserError(f"usage: synthgen {verb} RUN{' FILE' if more else ''}\n\n{USAGE}")
    folder = Path(arguments[0])
    if not (folder / "ledger.sqlite").is_file():
        raise UserError(f"{folder}: no ledger.sqlite here; is this a run folder?")
    return folder.resolve()


def _saved(folder: Path, overrides: Sequence[str] = ()) -> Config:
    """The config a run was started with, and `overrides` on top."""
    from synthgen.config import from_saved
    from synthgen.ledger import Reader

    with Reader(folder / "ledger.sqlite") as reader:
        config = from_saved(reader.meta("config"), list(overrides))
    config.run.dir = str(folder)
    return config


def _resume(arguments: list[str]) -> int:
    rest, fork = _option(arguments, "--fork")
    words, overrides = _overrides(rest)
    folder = _folder(words[:1], "resume")
    if len(words) > 1:
        raise UserError(f"'{words[1]}': write KEY=VALUE, or --fork NEW_RUN\n\n{USAGE}")
    from synthgen.run import lifecycle as run

    config = _saved(folder, overrides)
    if fork is None:
        return run.resume(folder, config, _note)
    config.run.dir, config.run.name = fork, Path(fork).name
    if not any(override.startswith("run.seed=") for override in overrides):
        config.run.seed += 1  # the same seed would ask for the same again
    return run.fork(folder, config, _note)


def _option(arguments: Sequence[str], name: str) -> tuple[list[str], str | None]:
    """`arguments` without the option `name` (written `name VALUE` or `name=VALUE`), and its value."""
    rest, value = [], None
    words = iter(arguments)
    for word in words:
        if word == name or word.startswith(f"{name}="):
            value = word.partition("=")[2] or next(words, "")
            if not value or value.startswith("-"):
                raise UserError(f"{name}: needs a value\n\n{USAGE}")
        else:
            rest.append(word)
    return rest, value


def _flags(arguments: Sequence[str], *known: str) -> tuple[list[str], set[str]]:
    """`arguments` without the flags (`--watch`), and those; they may be `known` ones."""
    flags = {word for word in arguments if word.startswith("--")}
    if unknown := flags - set(known):
        raise UserError(f"there is no option '{min(unknown)}' here; there is {', '.join(known)}\n\n{USAGE}")
    return [word for word in arguments if word not in flags], flags


def _status(arguments: list[str]) -> int:
    rest, flags = _flags(arguments, "--watch", "--json")
    folder = _folder(rest, "status")
    from synthgen.run import status
    from synthgen.run.display import following

    looks = status.watched(folder) if "--watch" in flags else [status.status(folder)]
    with contextlib.suppress(KeyboardInterrupt):  # how one leaves
        if "--json" in flags:
            for found in looks:
                print(escaped(json.dumps(found, ensure_ascii=False)), flush=True)
        else:
            following(status.lines(found) for found in looks)
    return 0


def _doctor(arguments: list[str]) -> int:
    rest, flags = _flags(arguments, "--json")
    if rest:
        raise UserError(f"usage: synthgen doctor [--json]\n\n{USAGE}")
    from synthgen.run import doctor

    found = doctor.doctor(Path("runs").resolve())
    if flags:
        print(json.dumps(doctor.as_json(found), ensure_ascii=False, indent=2))
    else:
        for line in doctor.lines(found):
            print(printable(line))
    return 2 if any(one.level == "lack" for one in found) else 0


def _overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return `arguments` without the overrides, in whatever order they stand, and the overrides.

    A run folder whose name holds "=" is none.
    """
    overrides = [word for word in arguments if "=" in word and not (Path(word) / "ledger.sqlite").is_file()]
    return [word for word in arguments if word not in overrides], overrides


def _selecting(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """`arguments` without overrides, and the overrides, which may set what is selected and nothing else."""
    rest, overrides = _overrides(arguments)
    if other := [word for word in overrides if not word.startswith("select.")]:
        raise UserError(f"'{other[0]}': only select.* can be set here; what made the samples is what it was")
    return rest, overrides


def _train(arguments: list[str]) -> int:
    rest, overrides = _selecting(arguments)
    folder = _folder(rest, "train")
    trained = _retrained(folder, overrides, ["synthgen", "train", *arguments])
    if isinstance(trained, int):
        return trained
    print(json.dumps(trained["student"], ensure_ascii=False, indent=2))
    return 0


def _retrained(folder: Path, overrides: Sequence[str], again: Sequence[str]) -> Json | int:
    """Train the student again: the summary, or the exit code where that was cut short, after the command `again`."""
    from synthgen.run import lifecycle as run
    from synthgen.run.session import INTERRUPTED, STOPPED

    try:
        return run.retrain(folder, _saved(folder, overrides), bool(overrides), _note)
    except (KeyboardInterrupt, WriteError) as error:
        if isinstance(error, WriteError):
            _complain(error)
        print(shlex.join(again))
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else STOPPED


def _label(arguments: list[str]) -> int:
    values: dict[str, str | None] = {}
    for name in ("--export", "--import", "--annotator", "--count", "--port", "--then"):
        arguments, values[name] = _option(arguments, name)
    rest, flags = _flags(arguments, "--web", "--disagreements")
    folder = _folder(rest, "label")
    from synthgen.run.labelling import closing, flow
    from synthgen.run.labelling.options import read_options

    options = read_options(values, flags)
    if options.train:
        closing.check_trainable(folder, _saved(folder).student.kind)
    code, lines = flow.label(folder, options, _note)
    for line in lines:
        print(printable(line))
    if code or not options.train:
        return code
    before = closing.student_before(folder)
    trained = _retrained(folder, [], ["synthgen", "train", rest[0]])
    if isinstance(trained, int):
        return trained
    print(closing.worth(before, trained["student"]))
    return 0


def _student(folder: Path) -> Path:
    model = folder / "student"
    if not (model / "config.json").is_file():
        raise UserError(f"{model}: there is no student yet; make one with: synthgen train {folder}")
    return model


def _evaluate(arguments: list[str]) -> int:
    folder = _folder(arguments, "evaluate", more=1)
    from synthgen import student
    from synthgen.run.prepare import prepare
    from synthgen.tasks.rows import find_source
    from synthgen.tasks.seeds import length_hint, read_samples

    prepared = prepare(_saved(folder), [])
    rows, source = prepared.eval_rows, prepared.task.eval
    if len(arguments) > 1:
        source = find_source(arguments[1], [], "FILE")
        rows = read_samples(source, prepared.task, "eval")
    if not rows:
        raise UserError("the task has no eval file; name one: synthgen evaluate RUN FILE")
    if hint := length_hint(rows, source, prepared.task):
        _note(printable(hint))
    metrics = student.evaluate(prepared.task, prepared.config.student, _student(folder), rows)
    print(json.dumps(metrics, ensure_ascii=False, indent=2))
    return 0


def _predict(arguments: list[str]) -> int:
    if len(arguments) != 2:
        raise UserError(f"usage: synthgen predict RUN FILE\n\n{USAGE}")
    folder = _folder(arguments, "predict", more=1)
    from synthgen import student
    from synthgen.run.prepare import prepare
    from synthgen.tasks.rows import find_source
    from synthgen.tasks.seeds import read_inputs

    prepared = prepare(_saved(folder), [])
    rows = read_inputs(find_source(arguments[1], [], "FILE"), prepared.task)
    for row, answer in zip(
        rows, student.predict(prepared.task, prepared.config.student, _student(folder), rows), strict=True
    ):
        print(escaped(json.dumps({**row, **answer}, ensure_ascii=False)))
    return 0


def _report(arguments: list[str]) -> int:
    folder = _folder(arguments, "report")
    from synthgen import ledger, report
    from synthgen.config import to_yaml

    ledger.check(folder / "ledger.sqlite")
    _say_damage(report.damage(folder))
    for line in report.last_lines(report.write_reports(folder, to_yaml), folder):
        print(line)
    return 0


def _export(arguments: list[str]) -> int:
    rest, form = _option(arguments, "--format")
    rest, given = _option(rest, "--out")
    rest, overrides = _selecting(rest)
    folder = _folder(rest, "export")
    from synthgen import ledger, report

    ledger.check(folder / "ledger.sqlite")
    with ledger.Reader(folder / "ledger.sqlite") as reader:
        if not reader.seeds():  # a fork of an older version that was ended before it wrote them
            _note(f"warning: {folder}: the ledger lacks the run's seeds; synthgen resume {folder} writes them")
    config = _saved(folder, overrides)
    beside = None if form in (None, "jsonl") else folder / f"dataset-{form}"
    out = Path(given).absolute() if given else beside
    if not given:  # a folder of the user's own is looked at by the export itself
        _say_damage(report.damage(out or folder / "dataset"))
    share, seed = config.run.validation_share, config.run.seed
    print(report.export_dataset(folder, share, seed, form=form or "jsonl", out=out, select=config.select))
    return 0


def _say_damage(found: list[str]) -> None:
    for line in found:
        _note(f"{line}; it is built anew from the ledger")


def _note(text: str) -> None:
    print(text, file=sys.stderr)
