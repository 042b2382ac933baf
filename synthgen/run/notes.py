"""Write the events of a session to the ledger and events.jsonl, and show them on the display."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthgen import student
from synthgen.diversity.drift import Alarm
from synthgen.ledger import Ledger, Reader
from synthgen.records import Json
from synthgen.report import trends
from synthgen.run.display import Display
from synthgen.run.progress import Progress
from synthgen.safety.secrets import mask_json
from synthgen.safety.untrusted import escaped

_NOTE_SECONDS = 5.0


@dataclass
class Seconds:
    """Hold the seconds spent, over all sessions of the run."""

    engine_start: float = 0.0
    loop: float = 0.0
    student: float = 0.0
    total: float = 0.0


class Notes:
    """Keep a session's events, seconds and facts about the engine. Progress is written every five seconds."""

    def __init__(self, folder: Path, ledger: Ledger, display: Display) -> None:
        self._folder = folder
        self._ledger = ledger
        self._display = display
        self._began = time.monotonic()
        with Reader(ledger.path) as reader:
            self.seconds = Seconds(**(reader.meta("seconds") or {}))
        self._before = self.seconds.total
        self._noted = 0.0
        self._engine_info: Json = {}

    def event(self, kind: str, data: Json) -> None:
        """Write an event to the ledger and to events.jsonl, without secrets."""
        data = mask_json(data)  # errors quote servers' answers, which may contain secrets
        self._ledger.event(kind, data)
        line = escaped(json.dumps({"at": round(time.time(), 3), "kind": kind, **data}, ensure_ascii=False))
        with (self._folder / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def note_seconds(self) -> None:
        """Write the seconds spent so far to the ledger."""
        self.seconds.total = self._before + time.monotonic() - self._began
        self._ledger.set_meta("seconds", vars(self.seconds))

    def note_engine(self, **info: Any) -> None:
        """Write the known facts about the engine and the judge's own endpoints to the ledger."""
        self._engine_info |= info
        self._ledger.set_meta("engine", self._engine_info)

    def engine_event(self, kind: str, news: str) -> None:
        """Write and show a change of an engine's state."""
        self.event(kind, {"why": news})
        self._display.say(news)

    def alarm(self, alarm: Alarm) -> None:
        """Write and show an alarm about drift."""
        self.event("alarm", alarm.event())
        self._display.say(f"alarm: {trends.sentence(alarm.event())}")

    def tick(self, progress: Progress, servers: Mapping[str, Json] | None = None) -> None:
        """Show the loop's progress, and write it now and then, with the states of several servers."""
        self._display.progress(progress)
        self.seconds.loop = progress.seconds
        if self._is_due():
            self.note_seconds()
            figures = {
                "accepted": progress.accepted,
                "candidates": progress.candidates,
                "output_tokens": progress.output_tokens,
            }
            cost = {"usd": round(progress.usd, 6)} if progress.usd is not None else {}
            replicas = {"replicas": dict(servers)} if servers and len(servers) > 1 else {}
            self.event("progress", {**figures, "rejected": dict(progress.rejected), **cost, **replicas})

    def student_tick(self, progress: student.TrainingProgress) -> None:
        """Show the training's progress, and write it now and then."""
        self._display.student(progress.line())
        if self._is_due():
            self.event("student_progress", {"line": progress.line(), **asdict(progress)})

    def _is_due(self) -> bool:
        if time.monotonic() - self._noted < _NOTE_SECONDS:
            return False
        self._noted = time.monotonic()
        return True
