"""Read and check everything about a run that can be checked before an engine starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthgen.config import Config
from synthgen.engines.adapters import Adapter, distinct
from synthgen.engines.base import Capabilities, EngineConfig
from synthgen.engines.grammar.backends import Selected, choose
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.generate.adapt import Bandit
from synthgen.generate.kinds import REWRITING, Materials, make_strategies
from synthgen.generate.mix import Mix, group_rng
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import group_size
from synthgen.generate.strategies.grounded import Grounded, lengths
from synthgen.generate.strategies.label_text import LabelText
from synthgen.generate.strategies.taxonomy import Taxonomy
from synthgen.generate.strategy import Chained
from synthgen.generate.topics import Topics, read_topics
from synthgen.judge.judge import grammars, read_calibration, render_once
from synthgen.judge.labelled import Rated
from synthgen.judge.pairwise import PairPrompt
from synthgen.ledger.order import SampleOrder
from synthgen.prepare import Settings
from synthgen.records import Check, Grammar, Json, Sample, content_id
from synthgen.run.adapters import Adapters, configured_adapters
from synthgen.run.budget import StopRules
from synthgen.run.checks import RULES, RuleParts, made
from synthgen.run.cleaning import clean_passages, clean_texts, load_steps, settings_file
from synthgen.run.continues import check_continues
from synthgen.run.files import read_task_rows
from synthgen.run.shares import check as check_shares
from synthgen.student.adapter import rows_trained_on
from synthgen.tasks.assets import find
from synthgen.tasks.documents import read_documents
from synthgen.tasks.loading import load_task
from synthgen.tasks.passages import Passage, passages
from synthgen.tasks.rows import Place
from synthgen.tasks.rows.remote import is_url
from synthgen.tasks.rows.source import Source, find_source
from synthgen.tasks.schemas import blank
from synthgen.tasks.seeds import Rows
from synthgen.tasks.task import Task
from synthgen.tasks.texts import read_texts


@dataclass(frozen=True)
class Prepared:
    """Hold a checked run: config, task, seeds, eval rows, prompts and strategies."""

    config: Config
    task: Task
    seeds: list[Sample]
    eval_rows: list[Json]
    rated: list[Rated]
    """The rated rows to calibrate the judge on."""
    prompts: Prompts
    prompting: Prompting
    strategies: Mix
    declared: DeclaredChecks
    """The checks that the task declares on its fields."""
    adapters: Adapters = field(default_factory=Adapters)
    places: Sequence[Place] = ()
    """The place of each seed in its file."""
    begun: bool = False
    """True for a run that is continued."""
    warnings: Sequence[str] = ()
    """Faults of the rows of a run that has begun."""
    tree: Topics | None = None
    """The topics of `generate.taxonomy.tree`; None where the run has none or the model writes them."""
    texts: Rows = field(default_factory=Rows)
    """The rows of task.texts."""
    passages: Sequence[Passage] = ()
    """The passages of task.documents, where they are used."""

    @property
    def capabilities(self) -> Capabilities:
        """Return the capabilities of the engine."""
        engine: EngineConfig = self.config.engine
        return engine.capabilities

    @property
    def in_flight(self) -> int:
        return self.capabilities.in_flight

    @property
    def structured_outputs(self) -> Selected:
        """Return the library that enforces the grammars; it is unknown for endpoints and the replay engine."""
        backend = self.capabilities.grammar_backend
        return Selected("outlines") if backend is None else choose(backend, self.grammars())

    @property
    def group_size(self) -> int:
        """Return the most slots of a group."""
        return group_size(self.config.generate, len(self.task.asked))

    @property
    def target(self) -> int:
        """Return the number of accepted samples that ends the run."""
        return StopRules(self.config.budget, self.task.asked).target

    def grammars(self) -> list[Grammar]:
        """Return every grammar that the run will send."""
        return [*self.strategies.grammars, *self.judge_grammars]

    @property
    def judge_grammars(self) -> list[Grammar]:
        """Return every grammar of the judge's requests."""
        return grammars(self.config.judge, self.task, bool(self.declared.questions), self.declared.compares)

    @property
    def engine_grammars(self) -> list[Grammar]:
        """Return every grammar that the run sends to its engine, and not to the judge's own endpoints."""
        return list(self.strategies.grammars) if self.config.judge.engine.enabled else self.grammars()

    @property
    def engine_adapters(self) -> list[Adapter]:
        """Return the adapters that requests to the engine name."""
        own = [self.adapters.generate] if self.config.judge.engine.enabled else vars(self.adapters).values()
        return distinct(list(own))

    @property
    def judge_adapters(self) -> list[str]:
        """Return the names of the adapters that requests to the judge's own endpoints name."""
        return [self.adapters.judge.name] if self.adapters.judge else []


def prepare(
    config: Config, bases: Sequence[Path], begun: bool = False, recorded: Mapping[str, str] | None = None
) -> Prepared:
    """Read and check the task and its files. Look for relative paths under `bases` first.

    If the run has `begun`, an earlier version may have accepted rows that are not allowed today: warn about these rows.
    `recorded` has the texts of the prompt files that a resumed run started with. Raise ConfigError or InputError where something is wrong.
    """
    check_prices(config)
    task = _thinking_task(config, load_task(config.task, bases))
    declared = DeclaredChecks(task)
    steps = load_steps(config.run.prepare, bases)
    rows, eval_rows, warnings = read_task_rows(task, declared, begun, steps)
    task = task.with_label_sets(rows)
    adapters = configured_adapters(config, bases)
    trained_on = rows_trained_on(adapters.judge.folder) if adapters.judge and adapters.judge.folder else frozenset()
    rated = read_calibration(config.judge, task, eval_rows, bases, trained_on)
    seeds = [
        Sample(id=content_id(row), data=row, origin="seed", label=task.asked_of(row), given=origin)
        for row, origin in zip(rows, rows.origins, strict=True)
    ]
    prompts = Prompts(task.prompts, task.language, recorded)
    prompting = Prompting(
        task,
        config.generate,
        prompts,
        config.run.own_seed,
        adapters.names()["generate"],
        config.model.asked_to_think,
        config.model.thinking_tokens,
    )
    shares = config.generate.strategies.shares()
    models = config.engine.capabilities.models
    tree = _tree(config, task, bases)
    texts = read_texts(task.texts, task) if task.texts is not None and LabelText.name in shares else Rows()
    if steps and texts:
        texts = clean_texts(texts, task, steps, warnings)
    cut = _passages(config, task, steps, warnings) if Grounded.name in shares else []
    part, own_seed = config.run.part, config.run.own_seed
    materials = Materials(
        config.generate, task, prompts, prompting, seeds, own_seed, tree=tree, models=tuple(models),
        texts=part.slice(texts), passages=part.slice(cut), pairs=PairPrompt(task, prompts, own_seed),
        evaluates=declared.evaluates, part=part, shared_seed=config.run.seed,
    )  # fmt: skip
    generate, run = config.generate, config.run
    bandit = Bandit(shares, generate.adapt_floor, run.round_slots, own_seed) if generate.adapt else None
    strategies = Mix(make_strategies(materials), shares, own_seed, models, bandit)
    check_continues(strategies, config.engine)
    # Rendering every prompt once finds a missing variable or block now and not in the middle of the run.
    _ask_once(strategies, config, task, seeds)
    row = rows[0] if rows else blank(task.schema)
    render_once(config.judge, task, prompts, row, bool(declared.questions), declared.compares)
    check_shares(config, list(task.asked), StopRules(config.budget, task.asked).target)
    found = _with_found_paths(config, task, adapters, bases)
    return Prepared(
        found,
        task,
        seeds,
        eval_rows,
        rated,
        prompts,
        prompting,
        strategies,
        declared,
        adapters,
        rows.places,
        begun,
        warnings,
        tree=tree,
        texts=texts,
        passages=cut,
    )


def _tree(config: Config, task: Task, bases: Sequence[Path]) -> Topics | None:
    """Return the topics of the file that the config names; None where it names none or no strategy uses it."""
    cfg = config.generate.taxonomy
    if cfg.tree is None or Taxonomy.name not in config.generate.strategies.shares():
        return None
    return read_topics(find(cfg.tree, bases, "generate.taxonomy.tree"), list(task.labels))


def _thinking_task(config: Config, task: Task) -> Task:
    """Return the task as model.thinking changes it. Raise ConfigError where the model cannot think as the config asks."""
    if not config.model.asked_to_think:
        return task
    engine: EngineConfig = config.engine
    if reason := engine.capabilities.no_thinking:
        raise ConfigError(f"model.thinking: {reason}")
    task = task.with_thinking()
    if task.takes_thinking and config.generate.items > 1:
        raise ConfigError(
            f"generate.items: must be 1, because the model's thinking about a reply becomes the field 'thinking' of its "
            f"sample; got {config.generate.items}"
        )
    return task


def _passages(config: Config, task: Task, steps: Settings | None, said: list[str]) -> list[Passage]:
    """Return the passages of the task's documents, cleaned by `steps`. Raise ConfigError where there are no documents."""
    if not task.documents:
        raise ConfigError(
            "generate.strategies.grounded: needs documents; set task.documents to a folder, a file or a glob"
        )
    least, most = lengths(config.generate.grounded, task)
    cut = passages(read_documents(task.documents), most, min(config.generate.grounded.overlap, most // 2), least)
    return clean_passages(cut, least, steps, said) if steps and cut else cut


def _ask_once(strategies: Mix, config: Config, task: Task, seeds: Sequence[Sample]) -> None:
    """Make the first request of each strategy with a pool of seeds. Raise InputError where a prompt is faulty."""
    known = {seed.id: seed for seed in seeds}
    pool = Pool(config.pool, SampleOrder(), known.__getitem__, labels_of(task), config.run.part)
    for position, seed in enumerate(seeds):
        pool.add(seed, position)
    group = Group(0, 0, 1, next(iter(task.asked), None), 0)
    for strategy in strategies:
        planned = strategy.plan(group, group_rng(config.run.seed, 0), pool)[0]
        asking = strategy.ask(planned, [known[parent] for parent in planned.parents])
        next(asking, None)
        asking.close()


def labels_of(task: Task) -> Callable[[Json], Sequence[str]] | None:
    """Return the function that gives all values of `task.assign` that a seed fits; None where each has one label."""
    return task.assigned.keys_of if task.assign else None


def check_prices(config: Config) -> None:
    """Raise ConfigError where a budget in US dollars lacks the prices of the judge's own endpoints."""
    if config.engine.capabilities.budget_usd is None:
        return
    lacking = [
        *(["judge.engine.prices"] if config.judge.engine.enabled and not config.judge.engine.prices.known else []),
        *(f"judge.panel: {one.name}: prices" for one in config.judge.panel if one.url and not one.prices.known),
    ]
    if lacking:
        raise ConfigError(
            f"engine.budget_usd: needs {lacking[0]} too, in US dollars per million tokens, such as "
            "{prompt: 2.5, completion: 10}; 0 for tokens that cost nothing"
        )


def _with_found_paths(config: Config, task: Task, adapters: Adapters, bases: Sequence[Path]) -> Config:
    """Return the config with absolute paths, as a run folder keeps it."""
    folders = {key: str(one.folder) for key, one in vars(adapters).items() if one and one.folder}
    generate = replace(config.generate, adapter=folders.get("generate", config.generate.adapter))
    if (tree := generate.taxonomy.tree) is not None and Taxonomy.name in generate.strategies.shares():
        found = find(tree, bases, "generate.taxonomy.tree")
        generate = replace(generate, taxonomy=replace(generate.taxonomy, tree=str(found)))
    judge = replace(config.judge, adapter=folders.get("judge", config.judge.adapter))
    if judge.calibration is not None:
        found_rows = find_source(judge.calibration, bases, "judge.calibration")
        judge = replace(judge, calibration=_as_kept(judge.calibration, found_rows))
    own_eval = _as_kept(config.task.eval, task.eval)
    own_texts = _as_kept(config.task.texts, task.texts)
    own_seeds = _as_kept(config.task.seeds, task.seeds)
    own_task = replace(config.task, seeds=own_seeds, prompts=str(task.prompts), eval=own_eval, texts=own_texts)
    if task.documents:
        own_task = replace(own_task, documents=list(task.documents))
    run = config.run
    if run.prepare:
        run = replace(run, prepare=settings_file(run.prepare, bases))
    return replace(config, task=own_task, generate=generate, judge=judge, run=run)


def _as_kept(given: str | None, found: Source | None) -> str | None:
    """Return the absolute path of a file, or its address in a store, because a copy in the cache may go away."""
    return given if given is not None and is_url(given) else str(found) if found else None


def rule_checks(prepared: Prepared, find: Callable[[str], Sample]) -> list[Check]:
    """Return the checks that need no model, cheapest first. `find` returns a sample by its id."""
    schema, config = prepared.prompting.schema, prepared.config
    rewrites = any(name in REWRITING for name in config.generate.strategies.shares())
    chains = any(isinstance(strategy, Chained) for strategy in prepared.strategies)
    parts = RuleParts(
        prepared.task,
        config.filters,
        schema,
        prepared.seeds,
        prepared.eval_rows,
        prepared.declared,
        find,
        rewrites,
        chains,
    )
    return made(RULES, parts)
