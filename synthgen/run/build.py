"""Build the parts of the loop from the prepared run and from the earlier sessions in its ledger."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from synthgen.config import Config
from synthgen.diversity.drift import Alarm, DriftMonitor
from synthgen.diversity.embedder import Embedder
from synthgen.diversity.metrics import Vectors
from synthgen.diversity.near import NearDuplicate
from synthgen.diversity.off_task import OffTask, background_texts
from synthgen.diversity.pair import PairCheck
from synthgen.diversity.restated import Restated
from synthgen.engines.prices import PricesConfig
from synthgen.filters.rules import ExactDuplicate
from synthgen.generate.mix import Mix
from synthgen.generate.planner import Planner
from synthgen.generate.pool import Pool
from synthgen.generate.strategies.contrast import Contrast
from synthgen.generate.strategy import FOUND, Resources
from synthgen.judge.endpoints import answering
from synthgen.judge.judge import Judge
from synthgen.labels.config import decides
from synthgen.labels.decide import LabelDecider
from synthgen.labels.pool import MEANINGS, anchors, label_records, votes
from synthgen.ledger import Ledger, Reader, Samples
from synthgen.ledger.order import SampleOrder
from synthgen.records import Check, Json, Request
from synthgen.report.strategies import WEIGHTS
from synthgen.run.budget import StopRules
from synthgen.run.chain import Chain
from synthgen.run.checks import ARRIVING, SETTLING, ChainParts, made
from synthgen.run.corpus import Corpus, take_in
from synthgen.run.declared import tools_of
from synthgen.run.exchange import Exchange
from synthgen.run.prepare import Prepared, labels_of, rule_checks
from synthgen.run.restore import inherited_labels, settled_by_strategy, settled_slots
from synthgen.tasks.task import in_words


async def load_corpus(
    prepared: Prepared, ledger: Ledger, embedder: Embedder, planner: Planner, exchange: Exchange | None = None
) -> tuple[list[Check], Corpus, Vectors]:
    """Return the rule checks, the samples in memory (seeds and earlier accepted ones), and the seeds' vectors.

    With an `exchange`, the samples in memory include those that were taken over from other runs.
    """
    task, cfg = prepared.task, prepared.config.diversity
    reach = (
        planner.reach * prepared.config.generate.items
    )  # most candidates settled between a candidate's arrival and its own
    if exchange is not None:
        reach += exchange.reach(planner.reach)
    order, samples = SampleOrder(), Samples(ledger, exchange.ledgers if exchange is not None else ())
    filters, exact = rule_checks(prepared, samples.__getitem__), ExactDuplicate(task, order.id)
    near = NearDuplicate(task, cfg, embedder, order, samples.__getitem__, planner.horizon, reach, ledger.path.parent)
    corpus = Corpus(
        order,
        samples,
        Pool(prepared.config.pool, order, samples.__getitem__, labels_of(task), prepared.config.run.part),
        exact,
        near,
    )
    try:
        await near.keep_clear_of([task.text(row) for row in prepared.eval_rows])
        foreign = (exchange.earlier(), exchange.count) if exchange is not None else ()
        vectors = await take_in(corpus, prepared.seeds, task, ledger, embedder, *foreign)
        near.calibrate(prepared.seeds, vectors)
    except BaseException:
        corpus.close()
        raise
    return filters, corpus, vectors


async def on_task(prepared: Prepared, embedder: Embedder, seeds: Vectors) -> list[OffTask]:
    """Return the off-task check, or an empty list where it is off, the embeddings carry no meaning, or no seed limits it."""
    task, cfg = prepared.task, prepared.config.diversity
    if not cfg.off_task.enabled or cfg.embedder == "hash" or not prepared.seeds:
        return []
    names = await embedder.embed_all([*task.label_texts.values(), task.description or in_words(task.name)])
    background = await embedder.embed_all(background_texts())
    # a grade is no word of its texts: "4" in a text says nothing of the text's grade
    labels = {label: "" if task.grades else in_words(label) for label in task.labels}
    of = [seed.label for seed in prepared.seeds]
    return [OffTask(cfg.off_task, task.text, labels, seeds, of, names, background)]


async def deciding(
    prepared: Prepared, ledger: Ledger, embedder: Embedder, seeds: Vectors, planner: Planner
) -> LabelDecider | None:
    """Return the label decider, restored with earlier accepted samples; None where only the label check decides."""
    task, cfg = prepared.task, prepared.config
    if not decides(cfg.labels, task, cfg.diversity.embedder):
        return None
    meanings = np.stack(list(await embedder.embed_all(list(task.label_texts.values()))))
    ledger.set_meta(MEANINGS, [[round(float(value), 7) for value in vector] for vector in meanings])
    known = anchors(list(task.labels), prepared.seeds, seeds, meanings)

    def people() -> Mapping[str, Mapping[str, float]]:
        with Reader(ledger.path) as reader:
            return votes(reader)

    decider = LabelDecider(cfg.labels, known, planner.horizon, people)
    with Reader(ledger.path) as reader:
        decider.restore(label_records(reader, decider.window))
    return decider


def restating(prepared: Prepared, ledger: Ledger, corpus: Corpus) -> list[Restated]:
    """Return the check on texts that restate a sample of their prompt, restored from the ledger; empty if it is off."""
    task, cfg = prepared.task, prepared.config.diversity.restated
    if not cfg.enabled:
        return []
    check = Restated(cfg, task.text, corpus.samples.__getitem__, prepared.seeds, list(task.labels))
    with Reader(ledger.path) as reader:
        check.restore(*reader.restating())
    return [check]


def pairs(prepared: Prepared, corpus: Corpus) -> list[PairCheck]:
    """Return the check on counterfactuals, or an empty list where no strategy makes any."""
    if Contrast.name not in prepared.config.generate.strategies.shares():
        return []
    return [PairCheck(prepared.config.diversity.pair_overlap, prepared.task.text, corpus.samples.__getitem__)]


def count_planned(strategies: Mix, ledger: Ledger) -> None:
    """Restore the number of slots that each strategy planned."""
    with Reader(ledger.path) as reader:
        rows = reader.rows("SELECT strategy, label, COUNT(*) FROM slots GROUP BY strategy, label")
        strategies.restore({(name, label): slots for name, label, slots in rows})


async def begin_strategies(strategies: Mix, resources: Resources, ledger: Ledger) -> None:
    """Restore the weights of the strategies, and prepare those that need it before the first slot.

    The ledger keeps the results for a resume.
    """
    with Reader(ledger.path) as reader:
        known: dict[str, Json] = reader.meta(FOUND) or {}
        strategies.adapt(settled_by_strategy(reader), partial(ledger.set_meta, WEIGHTS))
    found = await strategies.begin(resources, known)
    if found != known:
        await ledger.set_meta(FOUND, known | found)


async def chain(
    prepared: Prepared,
    ledger: Ledger,
    embedder: Embedder,
    seeds: Vectors,
    filters: Sequence[Check],
    corpus: Corpus,
    decider: LabelDecider | None,
    judge: Judge,
    rules: StopRules,
) -> Chain:
    """Return the checks of a run as `run.checks` lists them, and the objects to notify of accepted samples."""
    deciders = [decider] if decider is not None else []
    restated = restating(prepared, ledger, corpus)
    off_task, tools = await on_task(prepared, embedder, seeds), tools_of(embedder, judge)
    parts = ChainParts(
        corpus, off_task, prepared.declared, tools, judge, deciders, restated, pairs(prepared, corpus), rules
    )
    return Chain(
        arriving=[*filters, *made(ARRIVING, parts)],
        settling=made(SETTLING, parts),
        followers=[corpus, *deciders, *restated],
        relabelled=prepared.task.labelled,
    )


def price_of(config: Config) -> Callable[[Request], PricesConfig | None]:
    """Return a function that returns the prices of the endpoint that answers a request; None where they are not known."""
    prices: Mapping[str, PricesConfig] = config.engine.capabilities.prices
    judge = config.judge.engine.prices if config.judge.engine.enabled else None
    members = {member.name: member.prices for member in config.judge.panel if member.url is not None}
    listed = [*prices.values(), judge, *members.values()]
    if not any(each is not None and each.known for each in listed):
        return lambda _: None

    def found(request: Request) -> PricesConfig | None:
        own = answering(request, prices.get(request.model or ""), judge, members)
        return own if own is not None and own.known else None

    return found


async def drift_monitor(prepared: Prepared, ledger: Ledger, seeds: Vectors) -> tuple[DriftMonitor, list[Alarm]]:
    """Return the drift monitor, restored with the earlier rounds, and the alarms that those rounds raised."""
    config, labels = prepared.config, list(prepared.task.asked)
    drift = DriftMonitor(config.diversity.alarms, config.run.round_slots, prepared.task.text, labels, seeds)
    with Reader(ledger.path) as reader:
        drift.inherited(inherited_labels(reader))
    alarms = await asyncio.to_thread(lambda: drift.restore(settled_slots(ledger.path)))
    return drift, alarms
