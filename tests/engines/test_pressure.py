"""Test how many requests are under way, against a simulated server: a batch, a KV cache, a queue, and preemption."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from synthgen.engines.pressure import InFlight, Load, read_load

STEPS_A_READING = 10


@dataclass(eq=False)
class Job:
    """A request: its length in tokens, and how many are to come."""

    length: int
    left: int
    is_judges: bool = False
    is_running: bool = False


@dataclass
class Server:
    """Like vLLM's scheduler: takes in what fits, the judge's first; a step is a token for each that runs.

    Where the KV cache has no room for the next token, the youngest generation request goes back into the queue.
    """

    batch: int
    kv_tokens: int = 10**9
    replies: tuple[int, int] = (20, 80)
    judge: int = 0
    """Questions of one token asked about every reply."""
    prompt: int = 40
    queue: deque[Job] = field(default_factory=deque)
    questions: deque[Job] = field(default_factory=deque)
    running: list[Job] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    used = preemptions = done = 0

    def ask(self, count: int) -> None:
        self.queue.extend(Job(self.prompt, self.rng.randint(*self.replies)) for _ in range(count))

    def step(self) -> int:
        """One step; how many replies it finished."""
        while (line := self.questions or self.queue) and len(self.running) < self.batch:
            if self.used + line[0].length > self.kv_tokens:
                break
            job = line.popleft()
            job.is_running = True
            self.used += job.length
            self.running.append(job)
        batch = self.running
        finished = [job for job in batch if self._write(job, batch)]
        self.running = [job for job in batch if job.is_running]
        replies = sum(not job.is_judges for job in finished)
        self.done += replies
        self.questions.extend(Job(self.prompt, 1, is_judges=True) for _ in range(replies * self.judge))
        return replies

    def _write(self, job: Job, batch: list[Job]) -> bool:
        """One more token of `job`, if it still runs; whether it was the last one."""
        while job.is_running and self.used + 1 > self.kv_tokens:
            youngest = next(other for other in reversed(batch) if other.is_running and not other.is_judges)
            self._take_out(youngest)
            self.queue.appendleft(youngest)
            self.preemptions += 1
        if not job.is_running:
            return False
        job.length, job.left, self.used = job.length + 1, job.left - 1, self.used + 1
        if job.left == 0:
            self._take_out(job)
        return job.left == 0

    def _take_out(self, job: Job) -> None:
        job.is_running = False
        self.used -= job.length

    @property
    def load(self) -> Load:
        waiting = len(self.queue) + len(self.questions)
        return Load(len(self.running), waiting, self.used / self.kv_tokens, self.preemptions)

    @property
    def ahead(self) -> int:
        return len(self.questions) + sum(job.is_judges for job in self.running)


@dataclass
class Reading:
    """Hold what was so at one reading and in the steps before it."""

    limit: int
    running: float
    waiting: int
    preempted: int
    finished: int


def follow(
    server: Server, most: int, readings: int, meanwhile: Callable[[int], None] = lambda _: None, demand: int = 10**9
) -> list[Reading]:
    """A loop that has as many requests under way as it is told, and is a step late in asking."""
    in_flight, under_way, on_the_wire, history = InFlight(most), 0, 0, list[Reading]()
    for reading in range(readings):
        meanwhile(reading)
        running, preempted, done = 0, server.preemptions, server.done
        for _ in range(STEPS_A_READING):
            server.ask(on_the_wire)
            running += min(server.batch, len(server.running) + len(server.queue))
            under_way -= server.step()
            on_the_wire = max(0, min(in_flight.limit, demand) - under_way)
            under_way += on_the_wire
        limit = in_flight.update(server.load, server.ahead)
        waiting = server.load.waiting
        history.append(
            Reading(limit, running / STEPS_A_READING, waiting, server.preemptions - preempted, server.done - done)
        )
    return history


def limits(history: list[Reading]) -> set[int]:
    return {reading.limit for reading in history}


def preempted(history: list[Reading]) -> int:
    return sum(reading.preempted for reading in history)


# -- a batch to fill -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [16, 64, 256])
def test_the_batch_is_filled_with_a_short_queue_behind_it_and_then_left_alone(batch: int) -> None:
    history = follow(Server(batch), most=512, readings=80)[40:]
    assert len(limits(history)) == 1
    assert all(reading.running == batch for reading in history)
    assert all(0 < reading.waiting <= 2 + batch // 4 for reading in history)


def test_the_limit_stops_at_its_maximum_where_the_batch_is_larger() -> None:
    history = follow(Server(1024), most=300, readings=60)
    assert max(limits(history)) == history[-1].limit == 300


def test_a_low_maximum_is_where_the_limit_starts() -> None:
    assert InFlight(3).limit == 3
    assert limits(follow(Server(64), most=3, readings=20)) == {3}


def test_a_limit_of_512_is_reached_within_ten_seconds() -> None:
    assert follow(Server(1024), most=512, readings=20)[-1].limit == 512


def test_a_loop_that_has_less_to_ask_does_not_raise_the_limit() -> None:
    assert limits(follow(Server(256), most=512, readings=60, demand=20)) == {64}


# -- a KV cache to stay within ---------------------------------------------------------------------


def test_a_small_kv_cache_is_used_well_without_preemption() -> None:
    server = Server(batch=256, kv_tokens=12_000)  # room for 180 requests of mean length, all at once
    history = follow(server, most=512, readings=200)
    assert preempted(history) == 0
    assert min(limits(history[60:])) > 135
    assert server.load.kv_usage > 0.75


def test_a_start_that_is_too_high_preempts_for_a_moment_only() -> None:
    history = follow(Server(batch=256, kv_tokens=4_000), most=512, readings=200)  # 64 at the start need 5,000
    assert 0 < preempted(history[:10]) < 40
    assert preempted(history[10:]) == 0
    assert min(limits(history[60:])) > 40


def test_replies_of_very_different_lengths_are_hardly_ever_preempted() -> None:
    server = Server(batch=256, kv_tokens=12_000, replies=(10, 400))
    history = follow(server, most=512, readings=600)
    fixed = Server(batch=256, kv_tokens=12_000, replies=(10, 400))
    fixed.ask(512)
    for _ in range(600 * STEPS_A_READING):
        fixed.ask(fixed.step())
    assert preempted(history[100:]) < 0.05 * server.done
    assert fixed.preemptions > 2 * fixed.done  # what all 512 at once would do


def test_the_limit_follows_a_kv_cache_that_shrinks_and_grows_again() -> None:
    server = Server(batch=256, kv_tokens=12_000)

    def change(reading: int) -> None:
        server.kv_tokens = 3_000 if 100 <= reading < 250 else 12_000

    history = follow(server, most=512, readings=450, meanwhile=change)
    before, small, after = history[99].limit, history[249].limit, history[449].limit
    assert 30 <= small <= 45  # of 45 that fit, at their mean length
    assert preempted(history[150:]) == 0
    assert abs(after - before) < 20


def test_the_limit_does_not_oscillate() -> None:
    """Between the largest and the smallest limit of a steady engine lies one cut at most, and what led to it."""
    for server in (Server(64), Server(64, judge=3), Server(256, 12_000), Server(256, 12_000, judge=3)):
        found = limits(follow(server, most=512, readings=300)[150:])
        assert max(found) < 1.3 * min(found)


# -- the judge -------------------------------------------------------------------------------------


def test_the_judges_questions_count_towards_a_full_batch() -> None:
    server = Server(64, judge=3)
    history = follow(server, most=512, readings=100)[50:]
    assert all(reading.running == 64 for reading in history)


def test_generation_makes_room_where_the_judges_questions_queue_up() -> None:
    in_flight = InFlight(512)
    for _ in range(4):
        in_flight.update(Load(running=64, waiting=2))
    assert in_flight.limit == 64
    for _ in range(4):
        in_flight.update(Load(running=64, waiting=40), ahead=42)
    assert in_flight.limit == int(0.8 * 64)


# -- readings --------------------------------------------------------------------------------------


def test_unreadable_metrics_change_nothing() -> None:
    in_flight = InFlight(512)
    for _ in range(50):
        assert in_flight.update(None) == 64
    readings = [Load(running=64), None, None, Load(running=64), Load(running=64), None, Load(running=64)]
    assert [in_flight.update(load) for load in readings] == [64] * 6 + [128]


def test_preemptions_before_the_first_reading_do_not_count() -> None:
    in_flight = InFlight(64)
    assert in_flight.update(Load(running=64, preemptions=7)) == 64
    assert in_flight.update(Load(running=50, preemptions=8)) == 40


def test_the_limit_is_not_cut_again_before_requests_above_it_have_finished() -> None:
    in_flight = InFlight(64)
    in_flight.update(Load(running=60, waiting=4))
    assert in_flight.update(Load(running=50, waiting=14, preemptions=1)) == 40
    for more in range(2, 10):  # the 24 that are too many go on preempting until they are done
        assert in_flight.update(Load(running=50, waiting=14, preemptions=more)) == 40
    assert in_flight.update(Load(running=40, preemptions=11)) == 32


PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 350947.0
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.795329096e+09
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 313408.0
vllm:num_preemptions_total{engine="0",model_name="m"} 2.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 1.5e+06
vllm:generation_tokens_total{engine="0",model_name="m"} 10.0
process_cpu_seconds_total 12.5
"""


def test_a_metrics_page_is_read_over_all_engines() -> None:
    load = read_load(PAGE)
    assert load == Load(7, 1, 0.5, 2, 1_500_000, 10, 350_947, 313_408)
    assert load is not None
    assert load.tokens == 1_500_010


@pytest.mark.parametrize("page", ["", "vllm:num_requests_running 2.0\n", "<html>busy</html>"])
def test_a_metrics_page_without_running_and_waiting_counts_is_ignored(page: str) -> None:
    assert read_load(page) is None
