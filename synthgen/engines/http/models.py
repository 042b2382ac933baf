"""Use several models, each with its own endpoints, as one engine."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from synthgen.engines.http.fleet import Fleet
from synthgen.errors import EngineGoneError
from synthgen.records import Completion, Grammar, Json, Request


class Models:
    """Send each request to the model that it names. The first model answers requests that name none."""

    name = "openai"

    def __init__(self, fleets: Mapping[str, Fleet]) -> None:
        self._fleets = dict(fleets)
        self._first = next(iter(self._fleets.values()))

    async def complete(self, request: Request) -> Completion:
        if request.model is None:
            return await self._first.complete(request)
        try:
            return await self._fleets[request.model].complete(request)
        except EngineGoneError as error:
            raise EngineGoneError(_named(request.model, error)) from error

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None:
        """Prepare every model, as `Fleet.warm_up` does; only the first one has `adapters`."""
        await asyncio.gather(*(self._warm(name, grammars, say, adapters) for name in self._fleets))

    async def _warm(
        self, name: str, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str]
    ) -> None:
        fleet = self._fleets[name]
        try:
            await fleet.warm_up(
                grammars, lambda words: say(f"{name}: {words}"), adapters if fleet is self._first else ()
            )
        except EngineGoneError as error:
            raise EngineGoneError(_named(name, error)) from error

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


def _named(name: str, error: EngineGoneError) -> str:
    return f"model '{name}' of engine.models: {error}"
