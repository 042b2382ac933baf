"""Start a new run, resume a run, fork a run from another one, or train its student again."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from synthgen import report
from synthgen.config import Config, from_saved, from_yaml, to_json, to_yaml
from synthgen.errors import InputError, RunFolderError
from synthgen.filters.rules import ExactDuplicate
from synthgen.labels.inbox import taking_answers
from synthgen.labels.pool import INTENTS, intents
from synthgen.ledger import Ledger, Reader, Vector, check_writable, network_warning, run_lock
from synthgen.ledger.order import SampleOrder
from synthgen.records import INHERITED, Candidate, Json, PersonAnswer, Sample
from synthgen.report.bias import BIAS, bias_record
from synthgen.report.strategies import GAINS
from synthgen.run.continuation import resume_command
from synthgen.run.declared import check_embedded
from synthgen.run.embedding import embed_missing
from synthgen.run.fingerprint import changes, differences, fingerprint, outdated_prompts, recorded_prompts, sources
from synthgen.run.fitting import fit_prompts
from synthgen.run.folders import clear, is_unnamed, new_folder, reserved, write_config
from synthgen.run.notices import notices
from synthgen.run.preflight import check_adapters, check_tracking, check_workers, compile_grammars
from synthgen.run.prepare import Prepared, prepare, rule_checks
from synthgen.run.resumable import in_words
from synthgen.run.running import Running
from synthgen.run.runtime.signals import signals_interrupt
from synthgen.run.session import LoopFactory, Session
from synthgen.run.shares import is_shard
from synthgen.run.training import strategy_gains, train
from synthgen.run.versions import versions
from synthgen.tasks.assets import MissingError


def start(config: Config, bases: list[Path], say: Callable[[str], None], make_loop: LoopFactory = Running) -> int:
    """Start a new run and return the exit code. `make_loop` returns the object that runs its loop."""
    with signals_interrupt():
        check_tracking(config)
        prepared = prepare(config, bases)
        folder = new_folder(config)
        check_adapters(prepared)
        check_workers(prepared)
        check_embedded(prepared)
        compile_grammars(prepared)
        fit_prompts(prepared)  # refuses a seed that fits no prompt before the run folder is made
    for line in notices(prepared):
        say(line)
    return _begin(prepared, folder, {}, [], {}, say, make_loop=make_loop)


def resume(folder: Path, config: Config, say: Callable[[str], None], make_loop: LoopFactory = Running) -> int:
    """Continue a run with its saved config and changed budgets, and return the exit code.

    `make_loop` makes what runs its loop.
    """
    check_writable(folder)
    if is_shard(folder):
        raise RunFolderError(
            f"{folder} is a shard of {folder.parents[1]}, which is resumed as a whole: synthgen resume {folder.parents[1]}"
        )
    check_tracking(config)
    with Reader(folder / "ledger.sqlite") as reader:
        recorded = recorded_prompts(reader)
    try:
        prepared = prepare(config, [], begun=True, recorded=recorded)
    except MissingError as error:
        raise InputError(
            f"{error}\nif it was moved, give its new place: synthgen resume RUN {error.key}=PATH"
        ) from error
    for line in [*notices(prepared), *outdated_prompts(prepared)]:
        say(line)
    with run_lock(folder), _resumable(folder, config):
        with Reader(folder / "ledger.sqlite") as reader:
            _refuse_changed(reader, prepared, folder)
            accepted = reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")
        if accepted >= prepared.target:
            larger = "larger budget.quotas" if config.budget.quotas else f"budget.target={2 * accepted}"
            say(f"the run already has its {prepared.target} samples; {larger} would make it larger")
        check_adapters(prepared)
        check_workers(prepared)
        compile_grammars(prepared)
        with Ledger.open(folder / "ledger.sqlite") as ledger:
            write_config(prepared, folder)
            _warn(folder, say)
            ledger.set_meta("config", to_json(prepared.config))
            ledger.set_meta("target", prepared.target)
            with taking_answers(folder, ledger):
                return Session(prepared, folder, ledger, make_loop=make_loop).run()


def fork(source: Path, config: Config, say: Callable[[str], None]) -> int:
    """Start a new run with the accepted samples of another run, and return the exit code.

    `config` may differ, except for the eval rows. Samples that do not fit the new task, or that are among its seeds,
    are not taken over, nor is the lineage that leads to them.
    """
    check_tracking(config)
    prepared = prepare(config, [])
    with Reader(source / "ledger.sqlite") as reader:
        if reader.meta("fingerprint")["eval"] != fingerprint(prepared)["eval"]:
            raise RunFolderError(
                f"{prepared.task.eval}: these rows differ from the eval rows of {source}, so its samples were never "
                "checked against them and cannot be taken over; restore the file, or start a new run"
            )
        accepted = [sample for sample in reader.samples() if sample.origin == "synthetic"]
        same_space = from_saved(reader.meta("config"), []).diversity.embedder == config.diversity.embedder
        vectors = reader.embeddings() if same_space else {}
        answers = reader.people_answers()
        asked = intents(reader, prepared.task.labels)
        origin = {"run": (reader.meta("run") or {}).get("name"), "folder": str(source)}
    folder = new_folder(config)
    fitting, left = asyncio.run(_fitting(prepared, accepted))
    check_adapters(prepared)
    check_workers(prepared)
    compile_grammars(prepared)
    fit_prompts(prepared)
    behind = "".join(f", {number} not taken over ({reason})" for reason, number in left.most_common())
    say(f"{len(fitting)} of {len(accepted)} accepted samples are taken over from {source}{behind}")
    taken = _taken_over(prepared, fitting)
    ids = {sample.id for sample in taken}
    kept = [answer for answer in answers if answer.sample_id in ids]
    # The ledger gets the seeds now, so that it yields a dataset even where the target is reached at once.
    return _begin(
        prepared,
        folder,
        {
            "forked_from": {**origin, "taken": len(taken)},
            INTENTS: {key: label for key, label in asked.items() if key in ids},
        },
        [*prepared.seeds, *taken],
        vectors,
        say,
        kept,
    )


def _taken_over(prepared: Prepared, fitting: Sequence[Sample]) -> list[Sample]:
    """Return the samples as the new run records them: before its first slot, with parents only from its own ledger."""
    corpus = {sample.id for sample in [*prepared.seeds, *fitting]}
    return [
        sample.model_copy(
            update={
                "slot": INHERITED,
                "item": item,
                "label": prepared.task.asked_of(sample.data, sample.label),
                "parents": tuple(parent for parent in sample.parents if parent in corpus),
            }
        )
        for item, sample in enumerate(fitting)
    ]


def retrain(folder: Path, config: Config, selecting: bool, say: Callable[[str], None]) -> Json:
    """Train and score the student again with people's annotations, write dataset and report, and return the summary.

    `selecting` is True when the config's selection differs from the run's; it then becomes the run's selection.
    """
    with (
        run_lock(folder),
        signals_interrupt(),
        Ledger.open(folder / "ledger.sqlite") as ledger,
        taking_answers(folder, ledger),
    ):
        prepared = prepare(config, [], begun=True)
        asyncio.run(embed_missing(prepared, ledger))  # corrections have no vectors yet, and the weights need them
        metrics = train(prepared, folder, say, again=True)
        ledger.set_meta(GAINS, strategy_gains(prepared, folder, say))
        if selecting:
            with Reader(folder / "ledger.sqlite") as reader:
                ledger.set_meta("config", {**reader.meta("config"), "select": vars(config.select)})
        ledger.set_meta("student", metrics).result()
    summary = report.write_reports(folder, to_yaml)
    report.export_dataset(folder, config.run.validation_share, config.run.seed, summary)
    return summary


def keep_bias(folder: Path, config: Config, figures: Json) -> None:
    """Write figures of the student's bias to the ledger, and report and dataset card anew."""
    with run_lock(folder), signals_interrupt(), Ledger.open(folder / "ledger.sqlite") as ledger:
        with Reader(folder / "ledger.sqlite") as reader:
            record = bias_record(figures, reader.meta("student"))
        ledger.set_meta(BIAS, record).result()
    summary = report.write_reports(folder, to_yaml)
    report.export_dataset(folder, config.run.validation_share, config.run.seed, summary)


def _begin(
    prepared: Prepared,
    folder: Path,
    meta: Json,
    samples: list[Sample],
    vectors: dict[str, Vector],
    say: Callable[[str], None],
    answers: Sequence[PersonAnswer] = (),
    make_loop: LoopFactory = Running,
) -> int:
    """Make the run folder and its ledger, and run the first session."""
    if is_unnamed(prepared.config):
        prepared = reserved(prepared)
        folder = Path(prepared.config.run.dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder):
        _warn(folder, say)
        clear(folder)
        with (
            Ledger.create(folder / "ledger.sqlite", beginning(prepared) | meta, samples, vectors, answers) as ledger,
            _resumable(folder, prepared.config),
        ):
            write_config(prepared, folder)
            with taking_answers(folder, ledger):
                return Session(prepared, folder, ledger, make_loop=make_loop).run()


@contextmanager
def _resumable(folder: Path, config: Config) -> Iterator[None]:
    """Print the command that continues the run where a signal comes before or after the session."""

    def advise() -> None:
        print(resume_command(folder, config.budget, "signal"), flush=True)

    with signals_interrupt(advise):
        try:
            yield
        except KeyboardInterrupt:
            advise()
            raise


def beginning(prepared: Prepared) -> Json:
    """Return the metadata that a new run writes to its ledger."""
    config = prepared.config
    return {
        "run": {"name": config.run.name, "seed": config.run.seed, "versions": versions()},
        "fingerprint": fingerprint(prepared),
        "sources": sources(prepared),
        "config": to_json(config),
        "task": prepared.task.definition(),
        "target": prepared.target,
    }


def _refuse_changed(reader: Reader, prepared: Prepared, folder: Path) -> None:
    """Raise RunFolderError, with the differences, where a resume would mix samples of two different setups."""
    changed = changes(reader, prepared)
    shown = folder / "config.yaml"
    if shown.is_file():
        saved = reader.meta("config")
        edited = differences(saved, _edited(shown))
        changed += [f"  {shown} was edited:", *(f"  {line}" for line in edited)] if edited else []
    if changed:
        raise RunFolderError(
            "the run cannot be resumed, because these things have changed since it was started:\n"
            + "\n".join(changed)
            + f"\nundo the changes (on the command line, {in_words()} may be changed), "
            "or start a new run from the accepted samples of this one:" + f"\n  synthgen resume {folder} --fork NEW_RUN"
        )


def _edited(path: Path) -> Json:
    """Return the content of config.yaml. A run does not use this file, so a user's edit would have no effect."""
    try:
        return from_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{path}: cannot be read ({error}); delete it, and synthgen writes it again") from error


async def _fitting(prepared: Prepared, samples: list[Sample]) -> tuple[list[Sample], Counter[str]]:
    """Return the samples that pass the rule checks and are not seeds, and count the reasons against the others."""
    order = SampleOrder()
    shown: dict[str, Sample] = {}  # empty, because the demonstrations belong to the other run
    filters, exact = rule_checks(prepared, shown.__getitem__), ExactDuplicate(prepared.task, order.id)
    for seed in prepared.seeds:
        exact.add(seed, order.add(seed))
    fitting: list[Sample] = []
    left: Counter[str] = Counter()
    for sample in samples:
        verdicts = [await check(_candidate(sample)) for check in [*filters, exact]]
        refused = [verdict.reason or verdict.check for verdict in verdicts if verdict.outcome != "pass"]
        if refused:
            left[refused[0]] += 1
        else:
            fitting.append(sample)
    return fitting, left


def _candidate(sample: Sample) -> Candidate:
    """Return a sample as a candidate for the checks, without its demonstrations, which belong to the other run."""
    return Candidate(
        id=sample.id, slot=INHERITED, item=0, label=sample.label, text=json.dumps(sample.data, ensure_ascii=False),
        data=sample.data, finish_reason="stop", parents=(), depth=sample.depth, strategy=sample.strategy,
        template=sample.template,
    )  # fmt: skip


def _warn(folder: Path, say: Callable[[str], None]) -> None:
    if warning := network_warning(folder):
        say(f"warning: {warning}")
