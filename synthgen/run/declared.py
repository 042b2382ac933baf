"""Give declared checks the models of a run, and check the seeds with the run's embedder before an engine starts."""

import asyncio
from collections.abc import Iterator

from synthgen.diversity.embedder import Embedder, make_encoder
from synthgen.filters.declared.base import Consulting, Tools
from synthgen.judge.judge import Judge
from synthgen.records import UNSCORED
from synthgen.run.prepare import Prepared
from synthgen.tasks.rows import Problems


def tools_of(embedder: Embedder, judge: Judge | None) -> Tools:
    """Return the models that declared checks may ask.

    There is no judge among them if the run has none, or if its config switches questions off.
    """
    if judge is None or judge.yes_no is None or judge.pairs is None:
        return Tools(embedder.embed_all, None, lambda _: UNSCORED.code)
    return Tools(embedder.embed_all, judge.yes_no.ask, judge.yes_no.unanswered, judge.pairs.probabilities)


def check_embedded(prepared: Prepared) -> None:
    """Raise InputError with `file:line` for each seed that fails a declared check of the run's embedder.

    The embedder is loaded only for a task with such a check. The judge is not asked, because it needs the engine. With
    the embedder `hash` the seeds are not checked, because the thresholds of a task are for an embedder of meaning.
    """
    if not prepared.seeds or _spells(prepared) or all(stage != "embedding" for _, stage in prepared.declared.says):
        return
    problems = Problems(prepared.task.seeds, "seed")
    embedder = Embedder(make_encoder(prepared.config.diversity))
    tools = tools_of(embedder, None)
    try:
        for check in prepared.declared.of("embedding", tools):
            assert isinstance(check.declared, Consulting)
            for seed, place in zip(prepared.seeds, prepared.places, strict=True):
                found = asyncio.run(check.declared.consult(seed.data, "seed", tools))
                for _, text in check.problems(found):
                    problems.add(place, text)
    finally:
        embedder.close()
    problems.raise_any()


def results(prepared: Prepared) -> Iterator[str]:
    """Yield a line for each declared check of a run whose seeds were checked, for `synthgen validate`."""
    asks = prepared.config.judge.questions
    done = {
        "rules": "all seeds and eval rows pass",
        "sandbox": "all seeds and eval rows pass",
        "embedding": "is not run on the seeds, because the embedder `hash` compares spelling and not meaning; a run may "
        "reject good samples"
        if _spells(prepared)
        else "all seeds pass",
        "judge": "the judge is asked during the run" if asks else "is left out, because judge.questions is false",
    }
    for says, stage in prepared.declared.says:
        yield f"check {says}: {done[stage]}"


def _spells(prepared: Prepared) -> bool:
    """Return True when the run's embedder compares spelling and not meaning."""
    return prepared.config.diversity.embedder == "hash"
