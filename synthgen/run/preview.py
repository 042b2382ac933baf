"""Generate a few candidates with the real engine, show prompts and verdicts, estimate the run's time, and keep
nothing."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from synthgen.config import Config
from synthgen.engines.base import at_once
from synthgen.errors import ExitCode
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.records import Json
from synthgen.report import cost, plain, strategies
from synthgen.report.figures import summarise
from synthgen.report.view import TaskView, read_task
from synthgen.run.budget import BudgetConfig
from synthgen.run.fitting import fit_prompts
from synthgen.run.lifecycle import beginning
from synthgen.run.notices import notices
from synthgen.run.paces import remember
from synthgen.run.preflight import check_adapters, compile_grammars
from synthgen.run.prepare import Prepared, prepare
from synthgen.run.runtime.signals import signals_interrupt
from synthgen.run.session import Session
from synthgen.student.estimate import estimate, measured
from synthgen.tasks.task import as_text

_SHOWN = 8
_LEAST = 16
_ENDLESS = 10**9
_MAX_CHARS = 240
_CONFIDENCE = 0.95
_ENDS = {
    "engine": ExitCode.ENGINE_FAILED,
    "signal": ExitCode.INTERRUPTED,
    "candidates": ExitCode.OK,
    "texts": ExitCode.OK,
    "templates": ExitCode.OK,
}


def preview(config: Config, bases: list[Path], say: Callable[[str], None]) -> int:
    """Generate `budget.candidates` candidates, by default as many as are in flight, and print their outcomes.

    Delete all files afterwards, except the folder with the engine's log where the engine failed. Return the exit code;
    raise UserError as a run does.
    """
    with signals_interrupt():
        late, config = config.engine.capabilities.answers_late, replace(config, engine=at_once(config.engine))
        prepared = prepare(config, bases)
        config = prepared.config
        check_adapters(prepared)
        compile_grammars(prepared)
        fit_prompts(prepared)
    for line in notices(prepared):
        say(plain.clean(line))
    if late:
        say("hint: a preview asks the host's chat API; a run sends batches, whose time it cannot estimate")
    target, few = prepared.target, config.budget.candidates or max(_LEAST, prepared.in_flight)
    folder = Path(tempfile.mkdtemp(prefix="synthgen-preview-"))
    few_only = replace(
        config,
        run=replace(config.run, dir=str(folder)),
        budget=BudgetConfig(target=_ENDLESS, candidates=few),
        student=replace(config.student, kind="none"),  # timed below, for the real target
    )
    prepared = replace(prepared, config=few_only)
    try:
        with run_lock(folder), Ledger.create(folder / "ledger.sqlite", beginning(prepared)) as ledger:
            reason, failure = Session(prepared, folder, ledger, endless=True).gather()
    except BaseException:
        shutil.rmtree(folder)
        raise
    if failure:
        say(plain.clean(failure))
    if reason == "engine":
        say(f"the engine failed; its log and everything written until then are in {folder}")
    else:
        for line in lines(folder, target):
            print(plain.clean(line))
        shutil.rmtree(folder)
        if reason != "signal" and config.student.kind != "none":
            return _student(config, prepared, target)
    return _ENDS.get(reason, ExitCode.STOPPED)


def _student(config: Config, prepared: Prepared, target: int) -> int:
    """Time a few real training steps, print how long the student would take, and return the exit code."""
    task, cfg, seeds = prepared.task, config.student, [seed.data for seed in prepared.seeds]
    if not seeds:
        print(
            plain.clean(
                f"student     {estimate(task, cfg, seeds, target, prepared.eval_rows).words()}, after the samples"
            )
        )
        return ExitCode.OK
    try:
        with signals_interrupt():
            paces = measured(task, cfg, seeds, prepared.eval_rows, config.run.seed)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    remember(replace(prepared, config=config), paces)  # for the loop of the run that follows
    found = estimate(task, cfg, seeds, target, prepared.eval_rows, paces)
    print(
        plain.clean(f"student     {found.words()}, after the samples; measured with a few training steps on the seeds")
    )
    return ExitCode.OK


def lines(folder: Path, target: int) -> Iterator[str]:
    """Yield lines with the prompts, the outcomes of the first candidates, and the time for `target` samples."""
    with Reader(folder / "ledger.sqlite") as ledger:
        task = read_task(ledger)
        engine = ledger.meta("engine") or {}
        judge = (engine.get("judge") or {}).get("speaks") or {}
        if engine.get("speaks") or judge:
            yield "── endpoints " + "─" * 60
            yield from (f"{url}: {words}" for url, words in (engine.get("speaks") or {}).items())
            yield from (f"{url} (judge): {words}" for url, words in judge.items())
        for title, messages in _prompts(ledger):
            yield f"── first prompt: {title} " + "─" * 60
            for message in messages:
                yield f"[{message['role']}]"
                yield message["content"]
        yield "── first candidates, check by check " + "─" * 60
        for one in _candidates(ledger, task):
            yield f"{f'{one.label}: ' if one.label else ''}{one.text}"
            yield f"    {', '.join(one.checks)}: {one.outcome}"
    yield "── what that comes to " + "─" * 60
    yield from _outlook(summarise(folder), target)


def _prompts(ledger: Reader) -> Iterator[tuple[str, list[Json]]]:
    """Yield a title and the first prompt for each strategy, then for each kind of request to the judge."""
    sql = (
        "SELECT r.kind, CASE WHEN r.kind LIKE 'generate%' THEN s.strategy END AS strategy, messages, MIN(slot)"
        " FROM requests r JOIN slots s USING (slot) GROUP BY 1, 2 ORDER BY r.kind NOT LIKE 'generate%', MIN(sent_at)"
    )
    for kind, strategy, ids, _ in ledger.rows(sql):
        bodies = [ledger.one("SELECT body FROM texts WHERE id = ?", (name,)) for name in json.loads(ids)]
        yield f"{kind} ({strategy})" if strategy else kind, [json.loads(body) for body in bodies]


@dataclass(frozen=True)
class _Candidate:
    label: str | None
    text: str
    checks: list[str]
    """The checks that ran on the candidate, with their scores."""
    outcome: str


def _candidates(ledger: Reader, task: TaskView) -> Iterator[_Candidate]:
    """Yield the first candidates, taking the labels in turn."""
    turn = "ROW_NUMBER() OVER (PARTITION BY label ORDER BY slot, item) AS turn"
    sql = f"SELECT slot, item, label, text, data, outcome, reason, {turn} FROM candidates ORDER BY turn, slot LIMIT ?"
    for slot, item, label, text, data, outcome, reason, _ in list(ledger.rows(sql, (_SHOWN,))):
        checks = 'SELECT "check", score, details FROM verdicts WHERE slot = ? AND item = ? ORDER BY position'
        passed = [_check(ledger, task, *row) for row in ledger.rows(checks, (slot, item))]
        fields = task.free(json.loads(data)) if data else []
        shown = " | ".join(plain.one_line(as_text(value)) for _, value in fields) or plain.one_line(text)
        end = outcome if outcome == "accepted" else f"rejected, {plain.REASONS.get(reason, reason)}"
        yield _Candidate(label, plain.shorten(shown, _MAX_CHARS), passed, end)


def _check(ledger: Reader, task: TaskView, name: str, score: float | None, details: str) -> str:
    """Return `near 0.91 to "its neighbour"`, or `trust 0.83 for sport`."""
    found = json.loads(details)
    shown = name if score is None else f"{name} {plain.figure(score, 2)}"
    if (label := found.get("label") or found.get("answer")) is not None:
        shown += f" for {plain.one_line(str(label))}"
    if neighbour := found.get("neighbour"):
        data = ledger.one("SELECT data FROM samples WHERE id = ?", (neighbour,))
        if data:
            shown += f' to "{plain.shorten(plain.one_line(task.text(json.loads(data))), 60)}"'
    return shown


def _outlook(summary: Json, target: int) -> Iterator[str]:
    from scipy.stats import binomtest

    counts, rate, seconds = summary["counts"], summary["rate"], summary["seconds"]
    candidates, accepted = counts["candidates"], counts["accepted"]
    if not candidates:
        yield "no candidate was completed"
        return
    yield (
        f"{plain.count(candidates)} candidates in {plain.duration(seconds['loop'])}, after "
        f"{plain.duration(seconds['engine_start'])} for the engine's start: {plain.rate(rate['candidates_per_s'])} candidates/s, "
        f"{plain.rate(rate['output_tokens_per_s'])} tokens/s"
    )
    likely = binomtest(accepted, candidates).proportion_ci(_CONFIDENCE, "wilson")
    yield (
        f"accepted    {plain.count(accepted)}, {plain.percent(rate['acceptance'])} "
        f"(95 % interval {plain.percent(likely.low)} to {plain.percent(likely.high)})"
    )
    if counts["rejected"]:
        yield f"rejected    {plain.top_reasons(counts['rejected'])}"
    yield from (f"strategies  {line}" for line in strategies.lines(summary["strategies"], []))
    yield from (f"models      {line}" for line in strategies.lines(summary["models"], []))
    if spent := cost.sentence(summary["cost"]):
        yield f"cost        {spent}"
    pace = rate["candidates_per_s"]
    if not (accepted and pace):
        yield f"{plain.count(target)} samples cannot be reached at this acceptance rate"
        return
    yield (
        f"time        {plain.duration(target / (pace * rate['acceptance']))} for {plain.count(target)} samples at this pace "
        f"({plain.duration(target / (pace * likely.high))} to {plain.duration(target / (pace * likely.low))})"
    )
    if summary["cost"] and summary["cost"]["usd"] is not None:
        usd, budget = summary["cost"]["usd"] / candidates, summary["cost"]["budget_usd"]
        needed = target * usd / rate["acceptance"]
        above = f"; engine.budget_usd={budget:g} ends the run before" if budget is not None and needed > budget else ""
        yield (
            f"            about {plain.money(needed)} for {plain.count(target)} samples "
            f"({plain.money(target * usd / likely.high)} to {plain.money(target * usd / likely.low)}){above}"
        )
    yield (
        "Over a long run the engine is busier and faster than here, but fewer candidates are new as the pool grows. "
        "Nothing was kept."
    )
