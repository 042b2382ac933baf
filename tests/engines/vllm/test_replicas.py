"""Several replicas as one engine: one dies and comes back, a request that kills is found, and nothing waits for the dead."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from synthgen.engines.vllm import replicas as module
from synthgen.engines.vllm import supervisor
from synthgen.engines.vllm.replicas import Replicas
from synthgen.errors import EngineDeadError, EngineGoneError, MachineLostError, PoisonError, RetryableError
from synthgen.records import Completion, Engine, Message, Request

News = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(module, "_PAUSE", 0.01)


class Server:
    """An engine that answers until it is killed; requests in flight then raise `death`."""

    name = "vllm"

    def __init__(self, limit: int = 8) -> None:
        self.death: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.limit = limit
        self.asked: list[str] = []
        self.closed = False

    async def complete(self, request: Request) -> Completion:
        if self.death.done():
            raise EngineGoneError("died before")
        self.asked.append(request.id)
        if request.messages[0].content == "poison":
            self.die(EngineDeadError("poisoned"))
        done, _ = await asyncio.wait([self.death], timeout=0.02)
        if done:
            raise self.death.result()
        return Completion(text="hello", finish_reason="stop", prompt_tokens=10, cached_tokens=5, completion_tokens=2)

    def die(self, error: Exception) -> None:
        if not self.death.done():
            self.death.set_result(error)

    def on_limit(self, callback: Callable[[int], None]) -> None:
        callback(self.limit)

    async def aclose(self) -> None:
        self.closed = True


class Rack:
    """Starts servers; holds those of each replica, the newest last."""

    def __init__(self, count: int) -> None:
        self.servers: list[list[Server]] = [[] for _ in range(count)]
        self.broken: set[int] = set()
        self.open = asyncio.Event()
        self.open.set()

    def starts(self) -> list[Callable[[], Awaitable[Engine]]]:
        return [lambda number=number: self._start(number) for number in range(len(self.servers))]

    async def _start(self, number: int) -> Engine:
        if self.servers[number]:
            await self.open.wait()
        if number in self.broken:
            raise EngineDeadError(f"replica {number} is broken")
        self.servers[number].append(Server())
        return self.servers[number][-1]


def request(number: int, content: str = "?", group: int | None = None) -> Request:
    return Request(id=f"{number}/generate", messages=(Message(role="user", content=content),), group=group)


async def persist(engine: Replicas, asked: Request) -> Completion | str:
    """Send a request until it is answered or quarantined."""
    while True:
        try:
            return await engine.complete(asked)
        except RetryableError as error:
            assert error.charge == 0
            await asyncio.sleep(0)
        except PoisonError:
            return "quarantined"


async def test_a_dead_replica_loses_its_work_to_the_others_and_comes_back() -> None:
    rack, news = Rack(3), News()
    engine = await Replicas.started(rack.starts(), 4, lambda *words: news.append(words))
    rack.open.clear()  # until then the dead one does not start
    asking = [asyncio.create_task(persist(engine, request(n))) for n in range(24)]
    await asyncio.sleep(0.005)
    rack.servers[1][0].die(EngineDeadError("killed"))
    answers = await asyncio.gather(*asking)
    assert {answer.engine for answer in answers if isinstance(answer, Completion)} == {"replica 0", "replica 2"}
    assert [one["state"] for one in engine.states().values()] == ["up", "starting", "up"]
    assert engine.limit == 16
    rack.open.set()
    await asyncio.sleep(0.1)
    assert [one["state"] for one in engine.states().values()] == ["up", "up", "up"]
    assert rack.servers[1][0].closed
    assert [kind for kind, _ in news] == ["engine_restart", "replica_up"]
    await engine.aclose()


async def test_of_many_requests_the_one_that_kills_is_quarantined_and_no_other() -> None:
    rack, news = Rack(3), News()
    engine = await Replicas.started(rack.starts(), 9, lambda *words: news.append(words))
    asked = [request(n, "poison" if n == 11 else "?") for n in range(30)]
    fates = await asyncio.wait_for(asyncio.gather(*(persist(engine, one) for one in asked)), 10)
    assert [n for n, fate in enumerate(fates) if fate == "quarantined"] == [11]
    assert [words for kind, words in news if kind == "quarantined"] == [
        "11/generate is not sent any more: in flight at 3 engine deaths, alone at the last"
    ]
    await engine.aclose()


async def test_a_machine_that_is_lost_blames_no_request_and_costs_no_restart() -> None:
    rack, news = Rack(2), News()
    engine = await Replicas.started(rack.starts(), 0, lambda *words: news.append(words))
    for turn in range(6):
        asking = [asyncio.create_task(persist(engine, request(n))) for n in range(8)]
        await asyncio.sleep(0.005)
        rack.servers[turn % 2][-1].die(MachineLostError("its node is gone"))
        assert "quarantined" not in await asyncio.gather(*asking)
        await asyncio.sleep(0.05)
    assert {kind for kind, _ in news} == {"replica_down", "replica_up"}
    await engine.aclose()


async def test_a_replica_past_its_restarts_is_left_out_and_the_last_one_ends_the_engine() -> None:
    rack, news = Rack(2), News()
    engine = await Replicas.started(rack.starts(), 1, lambda *words: news.append(words))
    rack.broken = {0, 1}
    for victim in (0, 1):
        rack.servers[victim][0].die(EngineDeadError("killed"))
    with pytest.raises(
        EngineGoneError, match="no replica is left: after 1 restarts within the hour: replica 0 is broken"
    ):
        await persist(engine, request(1))
    assert [kind for kind, _ in news].count("replica_lost") == 2
    await engine.aclose()


async def test_a_replica_that_does_not_start_ends_the_start_and_closes_the_others() -> None:
    rack = Rack(3)
    rack.broken = {2}
    with pytest.raises(EngineDeadError, match="replica 2 is broken"):
        await Replicas.started(rack.starts(), 4, lambda *_: None)
    assert all(server.closed for servers in rack.servers for server in servers)


async def test_requests_wait_while_no_replica_is_up_but_no_longer_than_the_patience() -> None:
    rack = Rack(1)
    engine = Replicas(lambda *_: None, patience=0.05)
    engine.add("replica 0", rack.starts()[0], 4).begin()
    assert (await engine.complete(request(1))).text == "hello"
    rack.open.clear()
    rack.servers[0][0].die(MachineLostError("gone"))
    with pytest.raises(EngineGoneError, match="no replica was up for 0 s"):
        await persist(engine, request(2))
    await engine.aclose()


async def test_replicas_join_a_run_that_has_begun() -> None:
    rack = Rack(2)
    engine = Replicas(lambda *_: None, patience=5)
    first, second = rack.starts()
    engine.add("replica 0", first, 4).begin()
    await engine.ready(1, lambda _: None)
    heard: list[int] = []
    engine.on_limit(heard.append)
    engine.add("replica 1", second, 4).begin()
    await engine.ready(2, lambda _: None)
    assert heard == [8, 16]
    await engine.aclose()


async def test_the_requests_of_a_group_meet_at_one_replica() -> None:
    rack = Rack(3)
    engine = await Replicas.started(rack.starts(), 4, lambda *_: None)
    homes = [{(await engine.complete(request(n, group=group))).engine for n in range(4)} for group in range(12)]
    assert all(len(home) == 1 for home in homes)
    assert len(set.union(*homes)) == 3
    await engine.aclose()
