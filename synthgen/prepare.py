"""Everything about a run that can be known, and be wrong, before an engine starts."""

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen import __version__
from synthgen.config import Config, EngineConfig
from synthgen.errors import ConfigError
from synthgen.filters.rules import EvalOverlap, ExactDuplicate, FormCheck, TextRules
from synthgen.generate.fewshot import FewShot
from synthgen.judge.checks import GRADES
from synthgen.llm import bundled
from synthgen.llm.grammar import choice, preflight
from synthgen.llm.prompts import Prompts
from synthgen.llm.vllm_server import VllmConfig, default_in_flight, vllm_version
from synthgen.pool import Pool
from synthgen.records import Check, Grammar, Json, Sample, content_id
from synthgen.seeds import Rows, check_disjoint, check_seeds, read_samples
from synthgen.stopping import StopRules
from synthgen.task import Task, load_task

_PACKAGES = ("torch", "transformers", "outlines", "sentence-transformers", "faiss-cpu", "trl", "peft")


@dataclass(frozen=True)
class Prepared:
    """A checked run: its config, task, seeds and eval rows, and how to ask."""

    config: Config
    task: Task
    seeds: list[Sample]
    eval_rows: list[Json]
    prompts: Prompts
    strategy: FewShot

    @property
    def in_flight(self) -> int:
        engine: EngineConfig = self.config.engine
        return default_in_flight(engine) if isinstance(engine, VllmConfig) else int(engine.in_flight)

    @property
    def target(self) -> int:
        """Accepted samples that end the run."""
        return StopRules(self.config.budget, self.task.labels).target

    def grammars(self) -> list[Grammar]:
        """Every grammar that the run will send."""
        judge = self.config.judge
        found = [self.strategy.grammar]
        if judge.label.enabled and self.task.labels:
            found.append(choice(self.task.labels))
        if judge.rubric.enabled and self.task.rubric:
            found.append(choice(GRADES))
        return found


def prepare(config: Config, bases: Sequence[Path]) -> Prepared:
    """Reads and checks the task and its files; relative paths are looked up under `bases` first.

    Raises ConfigError or InputError.
    """
    task = load_task(config.task, bases)
    rows = read_samples(task.seeds, task, "seed")
    check_seeds(rows, task)
    eval_rows = read_samples(task.eval, task, "eval") if task.eval else Rows()
    check_disjoint(rows, eval_rows, task)
    seeds = [Sample(id=content_id(row), data=row, origin="seed", label=task.label_of(row)) for row in rows]
    prompts = Prompts(task.prompts)
    strategy = FewShot(task, config.generate, prompts, config.run.seed)
    # Rendering everything once finds a missing variable or block now rather than at 4 a.m.
    label = next(iter(task.labels), None)
    strategy.request(strategy.plan(0, label, seeds[:1])[0], seeds[:1])
    _render_judge(config, task, prompts, rows[0])
    StopRules(config.budget, task.labels)
    # The run folder must not depend on where the task's files were found from.
    config.task.seeds, config.task.prompts = str(task.seeds), str(task.prompts)
    config.task.eval = str(task.eval) if task.eval else None
    return Prepared(config, task, seeds, eval_rows, prompts, strategy)


def compile_grammars(prepared: Prepared) -> None:
    """Compiles every grammar in a capped child process. Raises ConfigError."""
    engine: EngineConfig = prepared.config.engine
    tokenizer = None
    if engine.kind in ("vllm", "transformers"):
        model = prepared.config.model.name
        tokenizer = bundled.resolve(model) if model.startswith("bundled:") or Path(model).is_dir() else None
    preflight(prepared.grammars(), tokenizer, engine.grammar_seconds, engine.grammar_gigabytes)


def rule_checks(prepared: Prepared, pool: Pool) -> tuple[list[Check], ExactDuplicate]:
    """The checks that need no model, cheapest first, and the exact-duplicate check, empty."""
    task, cfg = prepared.task, prepared.config.filters
    rules: list[Check] = [
        FormCheck(task),
        TextRules(task, cfg, pool.__getitem__, prepared.strategy.schema),
        EvalOverlap(task, cfg, prepared.eval_rows),
    ]
    return rules, ExactDuplicate(task)


def versions() -> dict[str, str]:
    found = {"synthgen": __version__, "python": platform.python_version(), "vllm": vllm_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return found


def _render_judge(config: Config, task: Task, prompts: Prompts, row: Json) -> None:
    judge = config.judge
    if judge.label.enabled and task.labels:
        prompts.render("label", "system", task=task)
        prompts.render("label", "ask", task=task, text=task.input_text(row), mark="mark")
    if judge.rubric.enabled and task.rubric:
        prompts.render("judge", "system", task=task)
        prompts.render("judge", "ask", task=task, sample=row, mark="mark", criterion=next(iter(task.rubric.values())))
    for name in task.rubric:
        if "/" in name:
            raise ConfigError(f"task.rubric: '{name}' has a slash; name criteria with letters, digits, '-' and '_'")
