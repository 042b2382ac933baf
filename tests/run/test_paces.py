"""Test that a run can tell how long its student takes from what an earlier one on this machine took."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.config import Config
from synthgen.ledger import Reader
from synthgen.run import lifecycle
from synthgen.run.paces import remember, remembered
from synthgen.run.prepare import Prepared, prepare
from synthgen.student.clock import SCORE, START, Paces

PACES = Paces({START: 30.0, SCORE: 1.0}, {START: 10.0, SCORE: 100.0})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "paces"


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Prepared:
    found: list[Prepared] = []

    def start(config: Config, bases: list[Path], *_: object) -> int:
        found.append(prepare(config, bases))
        return 0

    monkeypatch.setattr(lifecycle, "start", start)
    assert dispatch(["run", "experiment=smoke", "student=frozen"]) == 0
    return found[0]


def test_paces_are_kept_for_students_like_this_one(prepared: Prepared) -> None:
    assert remembered(prepared) is None
    remember(prepared, PACES)
    assert remembered(prepared) == PACES
    config = prepared.config
    student = config.student
    longer = replace(prepared, config=replace(config, student=replace(student, max_minutes=5.0)))
    other = replace(prepared, config=replace(config, student=replace(student, label_rows=1.0)))
    assert (remembered(longer), remembered(other)) == (PACES, None)


def test_a_damaged_cache_or_one_that_cannot_be_written_is_no_error(prepared: Prepared, cache: Path) -> None:
    remember(prepared, PACES)
    (file,) = cache.iterdir()
    for content in ("{", "[]", '{"seconds": 1, "units": {}}'):
        file.write_text(content)
        assert remembered(prepared) is None
    file.unlink()
    cache.rmdir()
    cache.write_text("a file where the folder should be")
    remember(prepared, PACES)
    assert remembered(prepared) is None


@pytest.mark.slow
def test_a_second_run_tells_the_time_of_its_student_during_its_loop() -> None:
    words = ["run", "experiment=smoke", "student=frozen", "diversity.embedder=hash", "budget.target=60"]
    for name, said in (("first", "^3 fits, time known after its first fit$"), ("second", r"^about .* \(3 fits\)$")):
        assert dispatch([*words, f"run.name={name}"]) == 0
        with Reader(Path("runs", name, "ledger.sqlite")) as reader:
            assert re.search(said, reader.meta("student_outlook"))
