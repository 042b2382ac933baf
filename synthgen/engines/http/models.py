"""Use several models, each with its own endpoints, as one engine."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from synthgen.engines.http.fleet import Fleet
from synthgen.records import Completion, Grammar, Json, Request


class Models:
    """Send each request to the model that it names. The first model answers requests that name none."""

    name = "openai"

    def __init__(self, fleets: Mapping[str, Fleet]) -> None:
        self._fleets = dict(fleets)
        self._first = next(iter(self._fleets.values()))

    async def complete(self, request: Request) -> Completion:
        fleet = self._first if request.model is None else self._fleets[request.model]
        return await fleet.complete(request)

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None:
        """Prepare every model, as `Fleet.warm_up` does; only the first one has `adapters`."""
        await asyncio.gather(
            *(fleet.warm_up(grammars, say, adapters if fleet is self._first else ()) for fleet in self._fleets.values())
        )

    def about(self) -> Json:
        """Return the endpoints' dialects, as data and in words, by address and model."""
        found = {name: fleet.about() for name, fleet in self._fleets.items()}
        return {
            part: {f"{url} ({name})": value for name, about in found.items() for url, value in about[part].items()}
            for part in ("dialects", "speaks")
        }

    async def aclose(self) -> None:
        for fleet in self._fleets.values():
            await fleet.aclose()
