"""Measure how clients cope with an endpoint that answers 429 above some number of requests at once.

    python benchmarks/endpoints.py --out endpoints.json

The server is the stand-in. Its limit is 4, 32 or 256 requests at once, without Retry-After, and 32 with
`Retry-After: 1`. No client knows the limit: each may have `--in-flight` requests in flight and has to find out. The peer
is NeMo Data Designer, whose client adapts itself as well (AIMD); another line tells it the limit. All send the same
messages, grammars and sampling, and check the label of every row with a second request. Each line is the median of
`--runs` runs.

`of the server` is the share of the server's places in use: answers, times the seconds of one answer, over the limit and
the seconds of the run. The time for starting a client is not counted; the few answers to synthgen's questions at the start
are. `at best` is the share that a client could reach which fills the server from its first request, is refused once, and
keeps to `Retry-After`: no client that does not know the limit can do better. `refused` is the share of all requests that
were answered with 429.

`--slower 10` makes answers and `Retry-After` take ten times as long. The shares stay the same, and clients need a tenth of
the CPU, so that a busy machine does not change them. `--share 4` makes four times the rows.
"""

import argparse
import statistics
import sys
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures
from benchmarks.peer.comparison import Outcome
from benchmarks.peer.environments import interpreter
from benchmarks.peer.plan import plan
from benchmarks.peer.servers import Server, stand_in
from benchmarks.peer.settings import Setting, data_designer
from benchmarks.peers import ask, run_synthgen

CLIENTS = {
    "synthgen": "synthgen",
    "data_designer": "Data Designer",
    "data_designer_told": "Data Designer, told the limit",
}


@dataclass(frozen=True)
class Endpoint:
    """Hold the limit of a server and how it refuses requests."""

    limit: int
    delay: float
    """Seconds of one answer."""
    rows: int
    retry_after: float | None = None

    @property
    def key(self) -> str:
        return f"{self.limit}" if self.retry_after is None else f"{self.limit}_retry_after"

    @property
    def title(self) -> str:
        return f"{self.limit} at once" if self.retry_after is None else f"{self.limit} at once, Retry-After"

    @property
    def habits(self) -> list[str]:
        after = [] if self.retry_after is None else [f"retry_after={self.retry_after:g}"]
        return [f"busy={self.limit}", *after]

    def slower(self, factor: float) -> "Endpoint":
        after = None if self.retry_after is None else factor * self.retry_after
        return replace(self, delay=factor * self.delay, retry_after=after)

    def at_best(self, answers: int) -> float:
        """Return the share of the server that a client can reach that has to be refused once to know the limit."""
        work = answers * self.delay / self.limit
        return work / (work + (self.retry_after or 0.0))


ENDPOINTS = (
    Endpoint(4, 0.05, 120), Endpoint(32, 0.2, 600), Endpoint(32, 0.2, 600, retry_after=1), Endpoint(256, 1.0, 3000),
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """Hold the figures of one run."""

    accepted: int
    accepted_per_s: float
    of_the_server: float
    at_best: float
    refused: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=512, help="most requests in flight that a client may have")
    parser.add_argument("--limits", type=int, nargs="+", default=[4, 32, 256])
    parser.add_argument("--clients", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument(
        "--share", type=float, default=1.0, help="make only this share of the rows of a full run, for a quick try"
    )
    parser.add_argument(
        "--slower", type=float, default=1.0, help="answers and Retry-After take this many times as long"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    python = str(interpreter("data_designer")) if set(options.clients) - {"synthgen"} else ""
    table, figures = [], dict[str, float]()
    for endpoint in (each.slower(options.slower) for each in ENDPOINTS if each.limit in options.limits):
        for client in options.clients:
            runs = []
            for number in range(options.runs):
                runs.append(measure(endpoint, client, python, options.in_flight, number, options.share))
                print(f"{endpoint.title}, {CLIENTS[client]}: {runs[-1]}", file=sys.stderr, flush=True)
            found = {key: statistics.median(getattr(run, key) for run in runs) for key in vars(runs[0])}
            figures |= {f"{endpoint.key}.{client}.{key}": round(value, 4) for key, value in found.items()}
            rates = [run.accepted_per_s for run in runs]
            table.append(
                (endpoint.title, CLIENTS[client], f"{endpoint.limit / endpoint.delay / 2:.0f}",
                 f"{found['accepted_per_s']:.1f}", f"{min(rates):.1f} to {max(rates):.1f}",
                 f"{found['of_the_server']:.2f}", f"{found['at_best']:.2f}", f"{100 * found['refused']:.1f} %")
            )  # fmt: skip
    columns = ["server", "client", "rows/s it can give", "accepted/s", "range", "of the server", "at best", "refused"]
    print_table(f"Medians of {options.runs} runs, up to {options.in_flight} requests in flight", columns, table)
    print(machine())
    write_figures(options.out, {**figures, "runs": options.runs, "in_flight": options.in_flight})


def measure(endpoint: Endpoint, client: str, python: str, in_flight: int, number: int, share: float) -> Figures:
    """Run a client once, against a server of its own."""
    rows = max(20, round(share * endpoint.rows))
    with stand_in(endpoint.delay, endpoint.habits) as server:
        if client == "synthgen":
            knobs = {"in_flight": in_flight, "from_first_request": True}
            line = Setting(client, client, client, knobs, judge=True)
            outcome = run_synthgen(server, line, rows, seed=number)
        else:
            most = endpoint.limit if client == "data_designer_told" else in_flight
            line = Setting(client, "data_designer", client, data_designer(most), judge=True)
            outcome = ask(server, line, python, plan(rows, True, first_group=number * rows))
        answers, refusals = counted(server)
    return summed_up(endpoint, outcome, answers, refusals)


def summed_up(endpoint: Endpoint, outcome: Outcome, answers: int, refusals: int) -> Figures:
    places = answers * endpoint.delay / (endpoint.limit * outcome.seconds)
    best = endpoint.at_best(answers)
    return Figures(outcome.accepted, outcome.rate, places, best, refusals / (answers + refusals))


def counted(server: Server) -> tuple[int, int]:
    """Return how many requests the stand-in answered, and how many it refused."""
    with urllib.request.urlopen(server.url.removesuffix("/v1") + "/metrics", timeout=10) as response:
        lines = dict(line.rsplit(" ", 1) for line in response.read().decode().splitlines())
    return int(lines["stand_in:answers_total"]), int(lines["stand_in:refusals_total"])


if __name__ == "__main__":
    main()
