"""Answer the judge's questions at other endpoints than the run's engine: configure them, and route the requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from synthgen.engines.base import Tell
from synthgen.engines.http.config import ServersConfig
from synthgen.engines.http.fleet import Fleet
from synthgen.judge.panel import MEMBER, PanelMemberConfig
from synthgen.records import Completion, Engine, Grammar, Json, Request

_T = TypeVar("_T")


@dataclass
class JudgeEngineConfig(ServersConfig):
    """Hold the endpoints of the judge. Without `urls` and `model`, the run's engine judges."""

    def __post_init__(self) -> None:
        if self.enabled:
            self.check("judge.engine")

    @property
    def enabled(self) -> bool:
        return bool(self.urls or self.model)


def answering(request: Request, main: _T, judge: _T | None, members: Mapping[str, _T]) -> _T:
    """Return the engine that answers a request: a panel member's own endpoint, the judge's endpoints, or the run's
    engine."""
    member = MEMBER.search(request.id)
    if member is not None and member[1] in members:
        return members[member[1]]
    is_generated = request.id.partition("/")[2].startswith("generate")
    return main if judge is None or is_generated else judge


class Router:
    """Send the judge's requests to `judge`, if there is one, and those of panel members to their own endpoints."""

    def __init__(self, main: Engine, judge: Engine | None, members: Mapping[str, Engine]) -> None:
        self.name = main.name
        self._main = main
        self._judge = judge
        self._members = members

    async def complete(self, request: Request) -> Completion:
        engine = answering(request, self._main, self._judge, self._members)
        if engine in self._members.values():  # they do not have the judge's adapter
            request = request.model_copy(update={"adapter": None})
        return await engine.complete(request)

    async def aclose(self) -> None:
        for engine in (*self._members.values(), self._judge, self._main):
            if engine is not None:
                await engine.aclose()


class JudgeEngines:
    """Start the judge's own endpoints, and route requests to them."""

    def __init__(self, cfg: JudgeEngineConfig, panel: Sequence[PanelMemberConfig]) -> None:
        self._cfg = cfg
        self._panel = panel
        self._judge: Fleet | None = None
        self._members: dict[str, Fleet] = {}

    async def started(
        self,
        main: Engine,
        grammars: Sequence[Grammar],
        adapters: Sequence[str],
        say: Callable[[str], None],
        tell: Tell,
    ) -> Engine:
        """Return an engine that routes to `main` and to the judge's endpoints, after each endpoint has answered once.

        The judge's requests have these `grammars`, and name these `adapters`. Raise EngineDeadError when an endpoint
        cannot be used.
        """
        try:
            if self._cfg.enabled:
                self._judge = self._cfg.fleet(tell, key="judge.engine")
                await self._judge.warm_up(grammars, say, adapters)
            for member in self._panel:
                if member.url is not None and member.model is not None:
                    cfg = ServersConfig(urls=[member.url], model=member.model, api_key_env=member.api_key_env)
                    self._members[member.name] = cfg.fleet(tell, key=f"judge.panel ({member.name})")
                    await self._members[member.name].warm_up(grammars[-1:], say)
        except BaseException:
            for fleet in (self._judge, *self._members.values()):
                if fleet is not None:
                    await fleet.aclose()
            raise
        return Router(main, self._judge, self._members) if self._judge or self._members else main

    def about(self) -> Json:
        """Return the facts that the ledger stores about the judge's endpoints; empty if there are none."""
        return {"model": self._cfg.model, **self._judge.about()} if self._judge is not None else {}
