"""Let the model write topics for the strategy `taxonomy` without a run, or read the topics of a run."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from synthgen.config import Config
from synthgen.diversity.embedder import Embedder, make_encoder
from synthgen.engines.base import LearnedLimits, at_once
from synthgen.errors import EngineDeadError, ExitCode, UserError
from synthgen.generate.kinds import StrategiesConfig
from synthgen.generate.strategies.taxonomy import Taxonomy
from synthgen.generate.strategy import FOUND, Preparing, Resources
from synthgen.generate.topics import Topics, from_json, to_yaml
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.ledger.recorder import Recorder
from synthgen.report import plain
from synthgen.report.asked import leaf_lines, taxonomy_figures, taxonomy_sentence
from synthgen.run.engine import start_engine
from synthgen.run.lifecycle import beginning
from synthgen.run.preflight import check_adapters, compile_grammars
from synthgen.run.prepare import Prepared, prepare
from synthgen.run.runtime import event_loop
from synthgen.run.runtime.signals import signals_interrupt


def write_topics(config: Config, bases: list[Path], out: Path | None, say: Callable[[str], None]) -> int:
    """Let the model write the topics, and write them to `out`, or print them if it is None. Return the exit code."""
    with signals_interrupt():
        prepared = prepare(_alone(config), bases)
        check_adapters(prepared)
        compile_grammars(prepared)
        folder = Path(tempfile.mkdtemp(prefix="synthgen-taxonomy-"))
        try:
            with run_lock(folder), Ledger.create(folder / "ledger.sqlite", beginning(prepared)) as ledger:
                topics = event_loop.run(_grown(prepared, folder, ledger, say))
        except EngineDeadError as error:
            say(plain.clean(f"{error}\nthe engine failed; its log is in {folder}"))
            return ExitCode.ENGINE_FAILED
        except BaseException:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)
    return _deliver(topics, prepared.task.name, out, say)


def _alone(config: Config) -> Config:
    """Return the config with `taxonomy` as the only strategy, whose topics the model writes."""
    generate = replace(
        config.generate,
        strategies=StrategiesConfig(taxonomy=1.0),
        taxonomy=replace(config.generate.taxonomy, tree=None),
    )
    return replace(config, engine=at_once(config.engine), generate=generate)


async def _grown(prepared: Prepared, folder: Path, ledger: Ledger, say: Callable[[str], None]) -> Topics:
    config, strategies = prepared.config, list(prepared.strategies)
    (strategy,) = (one for one in strategies if isinstance(one, Preparing) and one.name == Taxonomy.name)
    embedder = Embedder(await asyncio.to_thread(make_encoder, config.diversity))
    try:
        grammars = list(prepared.strategies.grammars)
        engine = await start_engine(
            config, grammars, folder, LearnedLimits(), say, lambda _, words: say(words), prepared.engine_adapters
        )
        try:
            recorder = Recorder(engine, ledger, config.engine.attempts)
            return from_json(await strategy.begin(Resources(recorder.complete, embedder.embed_all, say)))
        finally:
            await engine.aclose()
    finally:
        embedder.close()


def show_topics(folder: Path, out: Path | None, say: Callable[[str], None]) -> int:
    """Print a run's topics with their figures, or write them to `out` as a file to edit. Return the exit code."""
    with Reader(folder / "ledger.sqlite") as reader:
        found = (reader.meta(FOUND) or {}).get(Taxonomy.name)
        if found is None:
            raise UserError(f"{folder}: the run has no topics, because it does not use the strategy taxonomy")
        if out is not None:
            return _deliver(from_json(found), str((reader.meta("task") or {}).get("name", "")), out, say)
        figures = taxonomy_figures(reader)
    assert figures is not None
    for line in [*leaf_lines(figures), taxonomy_sentence(figures) or ""]:
        print(plain.clean(line))
    return ExitCode.OK


def _deliver(topics: Topics, task: str, out: Path | None, say: Callable[[str], None]) -> int:
    text = to_yaml(topics, task)
    if out is None:
        print(text, end="")
        return ExitCode.OK
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    say(f"{out}: edit it, and use it with: synthgen run generate=taxonomy generate.taxonomy.tree={out}")
    return ExitCode.OK
