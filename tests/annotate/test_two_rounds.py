"""Two rounds of review by two scripted people with known error rates, and what they are worth to the student.

A third person decides the disagreements, with few errors. The generator's labels are wrong at a known rate.
"""

import io
import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from synthgen.annotate import adjudicate, batches
from synthgen.cli import dispatch
from synthgen.cli.composing import compose
from synthgen.cli.reviewing import NO_FLAGS
from synthgen.config import Config
from synthgen.labels.answers import NOT_A_SAMPLE, settled
from synthgen.ledger import Ledger, Reader
from synthgen.records import INHERITED, Json, PersonAnswer, Sample, content_id
from synthgen.run.lifecycle import beginning
from synthgen.run.prepare import prepare
from synthgen.tasks.assets import root

ERRORS = {"anna": 0.1, "ben": 0.2}
THIRD_ERROR, GENERATOR_ERROR = 0.02, 0.5
SHIPPED = root() / "examples" / "voice_intent"
LABELS = ["alarm", "lights", "message", "music", "navigation", "weather"]
SAMPLES, REVIEWED = 84, 36
Run = tuple[Path, dict[str, str]]


def rows_of(name: str) -> list[Json]:
    return [json.loads(line) for line in (SHIPPED / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with samples whose labels are often wrong, and the right label of each by its id."""
    rng = random.Random(0)
    rows = rows_of("eval.jsonl")
    rng.shuffle(rows)
    truth: dict[str, str] = {}
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[SAMPLES:]))
    seeds = [next(row for row in rows_of("seeds.jsonl") if row["label"] == label) for label in LABELS]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in seeds))

    def work(config: Config, bases: list[Path]) -> int:
        prepared = prepare(config, bases)
        made = []
        for item, row in enumerate(rows[:SAMPLES]):
            wrong = rng.random() < GENERATOR_ERROR
            label = rng.choice([one for one in LABELS if one != row["label"]]) if wrong else row["label"]
            data = {"text": row["text"], "label": label}
            truth[content_id(data)] = row["label"]
            made.append(
                Sample(id=content_id(data), data=data, origin="synthetic", label=label, slot=INHERITED, item=item)
            )
        meta = beginning(prepared) | {"stopped_by": "target"}
        Path(config.run.dir).mkdir()
        Ledger.create(Path(config.run.dir) / "ledger.sqlite", meta, [*prepared.seeds, *made]).close()
        return 0

    files = [f"task.{name}={tmp_path / f'{name}.jsonl'}" for name in ("seeds", "eval")]
    words = ["experiment=smoke", "task=voice_intent", "student=frozen", f"run.dir={tmp_path / 'run'}", *files]
    compose("run", words, dict(NO_FLAGS), work)
    return tmp_path / "run", truth


def typed(truth: dict[str, str], keys: list[str], error: float, rng: random.Random) -> str:
    """The labels that a person types for these samples."""
    return "".join(
        f"{rng.choice([one for one in LABELS if one != truth[key]]) if rng.random() < error else truth[key]}\n"
        for key in keys
    )


def answered(folder: Path) -> list[PersonAnswer]:
    with Reader(folder / "ledger.sqlite") as reader:
        return reader.people_answers()


def rounds(folder: Path, truth: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let anna and ben answer two batches, and carla decide what they differ on."""
    rng = random.Random(1)

    def asked(*options: str, lines: str = "") -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert dispatch(["review", "run", *options]) == 0

    for method in ("stratified", "uncertain"):
        asked("--sample", method, "--count", str(REVIEWED), "--annotators", "anna,ben")
        for name, error in ERRORS.items():
            keys = batches.left(batches.read(folder), name, answered(folder))
            asked("--annotator", name, lines=typed(truth, keys, error, rng))
        keys, _ = adjudicate.to_decide(answered(folder), "carla")
        asked("--adjudicate", "carla", lines=typed(truth, keys, THIRD_ERROR, rng))


def alpha_by_hand(answers: list[PersonAnswer]) -> float:
    """Krippendorff's alpha from the coincidence matrix, for nominal data and two answers a unit."""
    units: defaultdict[str, list[str | None]] = defaultdict(list)
    for one in answers:
        if one.role is None:
            units[one.sample_id].append(one.answer)
    matrix: Counter[tuple[str | None, str | None]] = Counter()
    for first, second in units.values():
        matrix[first, second] += 1
        matrix[second, first] += 1
    n = sum(matrix.values())
    margins: Counter[str | None] = Counter()
    for (first, _), count in matrix.items():
        margins[first] += count
    observed = sum(count for (first, second), count in matrix.items() if first != second) / n
    expected = sum(margins[a] * margins[b] for a in margins for b in margins if a != b) / (n * (n - 1))
    return 1 - observed / expected


@pytest.mark.slow
def test_alpha_is_as_by_hand_and_adjudicated_labels_are_right(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, truth = run
    rounds(folder, truth, monkeypatch)
    capsys.readouterr()
    assert dispatch(["review", "run", "--agreement", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    given = answered(folder)
    assert found["shared"] == 2 * REVIEWED
    assert found["alpha"]["value"] == pytest.approx(alpha_by_hand(given), abs=0.05)
    # Two people agree when both are right, or both wrong in the same of five ways.
    agree = (1 - 0.1) * (1 - 0.2) + 0.1 * 0.2 / 5
    assert found["percent"]["low"] <= agree <= found["percent"]["high"]
    decided = settled(given)
    right = [
        shares != NOT_A_SAMPLE and max(shares, key=shares.__getitem__) == truth[key] for key, shares in decided.items()
    ]
    assert len(right) == 2 * REVIEWED and sum(right) / len(right) >= 0.95
    assert not adjudicate.disputed(given)
    generated = sum(sample.label == truth[sample.id] for sample in _samples(folder)) / len(truth)
    assert generated < 0.65, "without people, many labels are wrong"


def _samples(folder: Path) -> list[Sample]:
    with Reader(folder / "ledger.sqlite") as reader:
        return [sample for sample in reader.samples() if sample.origin == "synthetic"]


@pytest.mark.slow
@pytest.mark.thorough
def test_the_student_is_better_after_two_rounds_than_before(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, truth = run
    assert dispatch(["train", "run"]) == 0
    before = json.loads((folder / "summary.json").read_text())["student"]["synthetic"]["mean"]
    rounds(folder, truth, monkeypatch)
    assert dispatch(["train", "run"]) == 0
    after = json.loads((folder / "summary.json").read_text())["student"]["synthetic"]["mean"]
    assert after > before, (before, after)
    with capsys.disabled():
        print(f"\nstudent before {before:.3f}, after {after:.3f}")
