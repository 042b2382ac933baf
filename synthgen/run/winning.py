"""Ask a run's judge which of two answers is better, with the run's engine and outside of its loop."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.engines.base import LearnedLimits
from synthgen.engines.grammar.schema import choice
from synthgen.judge.asking import Questions
from synthgen.judge.endpoints import JudgeEngines
from synthgen.judge.pairwise import PLACES, Pairwise
from synthgen.records import Json
from synthgen.run.engine import start_engine
from synthgen.run.preflight import check_adapters
from synthgen.run.prepare import Prepared
from synthgen.run.runtime.signals import signals_interrupt

_AT_ONCE = 16
"""Most pairs that are judged at the same time; each is two requests."""


def chances(
    prepared: Prepared, folder: Path, pairs: Sequence[tuple[Json, Json]], say: Callable[[str], None]
) -> list[float | None]:
    """Return for each pair the probability that the first sample is better, averaged over both orders.

    It is None where an answer of the judge cannot be read. Start the engine before, and stop it afterwards. Raise
    EngineDeadError where it fails.
    """
    with signals_interrupt():
        check_adapters(prepared)
        return asyncio.run(_chances(prepared, folder, pairs, say))


async def _chances(
    prepared: Prepared, folder: Path, pairs: Sequence[tuple[Json, Json]], say: Callable[[str], None]
) -> list[float | None]:
    config, names = prepared.config, prepared.adapters.names()
    made = [choice(PLACES)]
    limits, room = LearnedLimits(), asyncio.Semaphore(_AT_ONCE)
    engine = await start_engine(config, made, folder, limits, say, lambda _, text: say(text), prepared.engine_adapters)
    try:
        engine = await JudgeEngines(config.judge.engine, ()).started(
            engine, made, prepared.judge_adapters, say, lambda _, text: say(text)
        )
        say(f"the judge compares {len(pairs)} answers with those of the untrained model, in both orders")
        questions = Questions(
            engine, config.judge.attempts, names["judge"], config.judge.votes, config.model.thinking_tokens
        )
        pairwise = Pairwise(prepared.task, questions, prepared.prompts, config.run.seed)

        async def ask(number: int, first: Json, second: Json) -> float | None:
            async with room:
                found = await pairwise.compare(f"-1.{number}", first, second)
                return None if found is None else found.probability

        return await asyncio.gather(*(ask(number, *pair) for number, pair in enumerate(pairs)))
    finally:
        await engine.aclose()
