"""Make the checks that take seconds, before an engine starts: adapters, the tracker, the student's workers, grammars."""

from pathlib import Path

from synthgen.config import Config
from synthgen.engines import bundled
from synthgen.engines.adapters import check_fits
from synthgen.engines.base import EngineConfig
from synthgen.engines.grammar.schema import preflight
from synthgen.run.prepare import Prepared
from synthgen.student import kinds
from synthgen.student.tracking import tracker
from synthgen.student.workers.config import check_divides
from synthgen.student.workers.together import ALONE


def check_adapters(prepared: Prepared) -> None:
    """Raise ConfigError where an adapter was trained for another model than that of the run."""
    if not prepared.capabilities.loads_model:
        return
    model = prepared.config.model.name
    for key, adapter in vars(prepared.adapters).items():
        if adapter is not None and adapter in prepared.engine_adapters:
            path = Path(bundled.resolve(model))
            check_fits(adapter, model, path if path.is_dir() else None, f"{key}.adapter")


def check_tracking(config: Config) -> None:
    """Raise ConfigError where the student's tracker is not installed."""
    if config.student.kind != "none":
        tracker(config.tracking.report_to)


def check_workers(prepared: Prepared) -> None:
    """Raise ConfigError where the number of the student's workers does not fit to its batches."""
    cfg, rows = prepared.config.student, [*(seed.data for seed in prepared.seeds), *prepared.eval_rows]
    if cfg.kind == "none" or cfg.workers == "1":
        return
    kind = kinds.choose(prepared.task, cfg, rows, lambda _: None)
    if kind not in ALONE:
        check_divides(cfg.workers, *kinds.batch_of(kind, cfg))


def compile_grammars(prepared: Prepared) -> None:
    """Compile every grammar as the engine will, in a child process with limits. Raise ConfigError where one fails."""
    engine: EngineConfig = prepared.config.engine
    grammars, tokenizer = prepared.grammars(), None
    if prepared.capabilities.loads_model:
        model = prepared.config.model.name
        tokenizer = bundled.resolve(model) if model.startswith("bundled:") or Path(model).is_dir() else None
    else:
        grammars = [grammar for grammar in grammars if grammar.kind != "cfg"]  # the endpoints' servers compile these
    backend = prepared.structured_outputs.backend
    preflight(grammars, tokenizer, engine.grammar_seconds, engine.grammar_gigabytes, backend)
