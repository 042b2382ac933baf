"""Finished runs as `synthgen review` finds them: ledgers with accepted samples, without the loop that made them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.cli.composing import compose
from synthgen.cli.reviewing import NO_FLAGS
from synthgen.config import Config
from synthgen.ledger import Ledger
from synthgen.records import INHERITED, Json, Sample, content_id
from synthgen.run.lifecycle import beginning
from synthgen.run.prepare import prepare

SENTENCES: dict[str, list[Json]] = {
    "relations": [
        {
            "text": f"{person} works for {company}, which {founder} founded.",
            "entities": [
                {"text": person, "type": "person"},
                {"text": company, "type": "organisation"},
                {"text": founder, "type": "person"},
            ],
            "relations": [
                {"head": person, "type": "works_for", "tail": company},
                {"head": founder, "type": "founded", "tail": company},
            ],
        }
        for person, company, founder in (
            ("Lena Brandt", "Ostwind Marine", "Carl Voss"),
            ("Tariq Aziz", "Bluepeak Robotics", "Sana Mir"),
            ("Mei Tanaka", "Kodama Press", "Ren Abe"),
        )
    ],
    "news_topic": [
        {"text": text, "label": label}
        for text, label in (
            ("The bank raised its rates for the third time this year.", "business"),
            ("The keeper saved a penalty in the last minute of the final.", "science"),
            ("Divers found a coral that glows in warm water.", "science"),
        )
    ],
    "instruction": [
        {"instruction": instruction, "input": "", "output": output}
        for instruction, output in (
            ("Name three trees that keep their leaves in winter.", "Spruce, holly and yew."),
            ("Say in one sentence why bread rises.", "Yeast makes gas, and the dough holds it."),
            ("Give a polite way to end a phone call.", "Thank you for your time; I have to go now."),
            ("List two uses for old newspapers.", "Cleaning windows and wrapping glasses."),
        )
    ],
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "anna")


@pytest.fixture
def task_run(tmp_path: Path) -> Callable[[str], Path]:
    """`task_run("relations")`: the folder of a run of a shipped task, with a few sentences of that task."""

    def make(task: str) -> Path:
        def work(config: Config, bases: list[Path]) -> int:
            prepared = prepare(config, bases)
            made = [
                Sample(
                    id=content_id(row), data=row, origin="synthetic", slot=INHERITED, item=item, depth=1, strategy="fewshot",
                    parents=(prepared.seeds[0].id,), label=row.get("label"),
                )
                for item, row in enumerate(SENTENCES[task])
            ]  # fmt: skip
            samples = [*prepared.seeds, *made]
            meta = beginning(prepared) | {"stopped_by": "target"}
            (tmp_path / task).mkdir()
            Ledger.create(tmp_path / task / "ledger.sqlite", meta, samples).close()
            return 0

        compose("run", ["experiment=smoke", f"task={task}", f"run.dir={tmp_path / task}"], dict(NO_FLAGS), work)
        return tmp_path / task

    return make
