"""Compute the vectors that the ledger of a run lacks, for a run whose loop is over or is not needed."""

import asyncio

from synthgen.diversity.embedder import Embedder, make_encoder
from synthgen.ledger import Ledger, Reader
from synthgen.run.corpus import complete, is_complete
from synthgen.run.prepare import Prepared


async def embed_missing(prepared: Prepared, ledger: Ledger) -> None:
    """Write missing seeds and vectors to the ledger: a fork may lack both, and people's corrections have no vectors."""
    with Reader(ledger.path) as reader:
        if is_complete(reader, prepared.seeds):
            return
    embedder = Embedder(await asyncio.to_thread(make_encoder, prepared.config.diversity))
    try:
        await complete(prepared.seeds, prepared.task, ledger, embedder)
    finally:
        embedder.close()
