"""Show the progress of a run: a live panel on a terminal, plain lines elsewhere."""

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from synthgen.numerics.dollars import of_budget
from synthgen.numerics.durations import duration
from synthgen.run.budget import time_left
from synthgen.run.progress import Progress
from synthgen.safety.secrets import mask
from synthgen.safety.untrusted import printable

_PLAIN_SECONDS = 15.0
_RATE_SECONDS, _LEFT_SECONDS = 30.0, 600.0
"""The latest seconds over which the display measures tokens per second, and from which it estimates the time left."""


class Display:
    """Show a run's progress. Use it as a context manager. Without a `target`, show neither a target nor a time left."""

    def __init__(self, name: str, target: int | None, console: Console | None = None) -> None:
        self._console = console or Console(stderr=False, highlight=False)
        self._name = name
        self._target = target
        self._news = ""
        self._printed = ""
        self._printed_at = 0.0
        self._progress: Progress | None = None
        self._then = ""
        self._then_seconds: float | None = None
        self._history: list[tuple[float, int, int]] = []
        self._live = Live(console=self._console, get_renderable=self._panel, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def say(self, news: str) -> None:
        """Replace the message shown. Without a terminal, print the same kind of message at most once in 15 s."""
        self._news = clean(news)
        kind = re.sub(r"[\d.]+ s\b.*", "", news)
        if not self._console.is_terminal and (
            kind != self._printed or time.monotonic() - self._printed_at > _PLAIN_SECONDS
        ):
            self._print(news)
            self._printed = kind

    def then(self, what: str, seconds: float | None = None) -> None:
        """Set the words for the step after the loop, and its time if it is known. The time left then includes it."""
        self._then, self._then_seconds = what, seconds

    def student(self, line: str) -> None:
        """Show the progress of the student's training; without a terminal, print a line once in 15 s."""
        self._news = clean(line)
        if not self._console.is_terminal and time.monotonic() - self._printed_at > _PLAIN_SECONDS:
            self._print(line)

    def engine_started(self, name: str, seconds: float) -> None:
        self._news = ""
        self._print(f"engine {name} ready after {seconds:.0f} s")

    def progress(self, progress: Progress) -> None:
        self._progress = progress
        now = time.monotonic()
        self._history.append((now, progress.accepted, progress.output_tokens))
        self._history = [entry for entry in self._history if now - entry[0] <= _LEFT_SECONDS]
        done = self._target is not None and progress.accepted >= self._target
        if not self._console.is_terminal and (done or now - self._printed_at > _PLAIN_SECONDS):
            self._print(self._line(progress))

    def close(self, lines: Sequence[str], failure: str, advice: str | None) -> None:
        """Print the closing lines. The last line is `advice`, the command that continues the run."""
        for line in lines:
            self._console.print(Text(clean(line)), soft_wrap=True)
        if failure:
            print(clean(failure, keep_lines=True), file=sys.stderr)
        if advice:
            print(advice)

    def leave(self, advice: str) -> None:
        """Print the command that continues the run, without locks and buffers, so that a signal handler can do it."""
        output = sys.__stdout__
        if output is None:
            return
        with contextlib.suppress(RuntimeError):  # the signal interrupted a write, which holds the buffer
            output.flush()
        panel = "\x1b[?25h\n" if self._console.is_terminal else ""  # show the cursor, which the panel hides
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(output.fileno(), f"{panel}{advice}\n".encode())

    def _print(self, text: str) -> None:
        self._printed_at = time.monotonic()
        self._console.print(Text(clean(text)), soft_wrap=True)

    def _token_rate(self) -> float:
        """Return the output tokens per second over the last half minute."""
        last, _, tokens = self._history[-1]
        first, _, before = next(entry for entry in self._history if last - entry[0] <= _RATE_SECONDS)
        return (tokens - before) / max(last - first, 1e-6)

    def _left(self) -> float | None:
        """Return the seconds to the target at the pace of the last ten minutes; None while there is no estimate."""
        if self._target is None:
            return None
        (first, before, _), (last, accepted, _) = self._history[0], self._history[-1]
        return time_left(self._target - accepted, accepted - before, last - first)

    def _left_in_words(self) -> str:
        """Return `6 min 05 s left: loop 2 min 05 s, then the student, about 4 min`, or less where less is known."""
        left = self._left()
        if not left:
            return ""
        if self._then_seconds is not None:
            return f"{duration(left + self._then_seconds)} left: loop {duration(left)}, then {self._then}"
        return f"loop {duration(left)} left, then {self._then}" if self._then else f"{duration(left)} left"

    def _line(self, p: Progress) -> str:
        parts = [
            f"{p.accepted} accepted" if self._target is None else f"{p.accepted}/{self._target} accepted",
            f"{p.candidates} candidates",
            f"{p.acceptance:.0%} accepted" if p.acceptance is not None else "",
            f"{self._token_rate():.0f} output tokens/s",
            of_budget(p.usd, p.budget_usd),
            self._left_in_words(),
            " ".join(f"{reason} {count}" for reason, count in p.rejected.most_common(5)),
        ]
        return ", ".join(part for part in parts if part)

    def _panel(self) -> Group:
        rows: list[Text | Table] = []
        if (p := self._progress) is not None:
            left = self._left()
            if self._target is not None:
                bar = Table.grid()  # a progress bar outside a table does not end its line
                bar.add_row(ProgressBar(total=self._target, completed=p.accepted, width=60))
                rows.append(bar)
            table = Table.grid(padding=(0, 2))
            accepted = str(p.accepted) if self._target is None else f"{p.accepted} / {self._target}"
            table.add_row("accepted", accepted, "candidates", str(p.candidates))
            share = f"{p.acceptance:.0%}" if p.acceptance is not None else "-"
            table.add_row("acceptance", share, "output tokens/s", f"{self._token_rate():.0f}")
            rest = left + (self._then_seconds or 0.0) if left else None
            table.add_row("time", duration(p.seconds), "left", duration(rest) if rest else "-")
            if cost := of_budget(p.usd, p.budget_usd):
                table.add_row("cost", cost)
            for reason, count in p.rejected.most_common(6):
                table.add_row("rejected", reason, "", str(count))
            rows.append(table)
            if self._then:
                loop = f"loop {duration(left)}, " if left else ""
                rows.append(Text(clean(f"{loop}then {self._then}")))
        if self._news:
            rows.append(Text(self._news))
        return Group(Text(f"synthgen {self._name}", style="bold"), *rows)


def following(pages: Iterable[Sequence[str]], console: Console | None = None) -> None:
    """Show pages of lines: on a terminal each page replaces the previous one, elsewhere they follow one another."""
    console = console or Console(highlight=False)
    last: Sequence[str] = ()
    with Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else nullcontext() as live:
        for count, last in enumerate(pages):
            text = Text("\n".join(clean(line) for line in last))
            if live:
                live.update(text, refresh=True)
            else:
                console.print(Text("\n" if count else "", end="") + text, soft_wrap=True)
    if console.is_terminal:
        console.print(Text("\n".join(clean(line) for line in last)), soft_wrap=True)


def clean(text: str, keep_lines: bool = False) -> str:
    """Return a text that is safe to print: without terminal escapes and secrets."""
    return printable(mask(text), keep_lines)
