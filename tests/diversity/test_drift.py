"""Alarms on made-up runs: which one, when, once, and the same again after a resume."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from synthgen.diversity.drift import Alarm, AlarmsConfig, DriftMonitor
from synthgen.diversity.metrics import Vectors
from synthgen.diversity.rounds import ROWS, Accepted, Rounds
from synthgen.errors import ConfigError
from synthgen.records import Sample

DIM = 16
SLOTS = 32
LABELS = ["a", "b"]
WORDS = [f"w{number}" for number in range(4_000)]
Slot = tuple[int, list[Accepted], int]
Make = Callable[[int, np.random.Generator], Accepted]


def near(centre: Vectors, spread: float, rng: np.random.Generator) -> Vectors:
    """A unit vector about `centre`; far from it in all directions where `spread` is large."""
    vector = centre + spread * rng.normal(size=DIM) / DIM**0.5
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def sample(text: str, vector: Vectors, label: str = "a", depth: int = 1) -> Accepted:
    return Sample(id=text, data={"text": text}, origin="synthetic", label=label, depth=depth), vector


CENTRE = np.eye(DIM, dtype=np.float32)[0]
SEEDS = np.stack([near(CENTRE, 1.0, np.random.default_rng(seed)) for seed in range(8)])


def varied(number: int, rng: np.random.Generator) -> Accepted:
    """New words, all about the seeds' centre, labels by turns."""
    text = " ".join(WORDS[word] for word in rng.integers(len(WORDS), size=10))
    return sample(text, near(CENTRE, 1.0, rng), LABELS[number % 2])


def alike(number: int, rng: np.random.Generator) -> Accepted:
    """Texts that differ in their last word, vectors that hardly differ."""
    text = f"turn on the light in the room {WORDS[number % len(WORDS)]}"
    return sample(text, near(CENTRE, 0.1, rng), LABELS[number % 2])


def astray(number: int, rng: np.random.Generator) -> Accepted:
    """As varied as ever, about something that no seed is about."""
    text, _ = varied(number, rng)
    return text, near(-CENTRE, 1.0, rng)


def one_label(number: int, rng: np.random.Generator) -> Accepted:
    text, vector = varied(number, rng)
    return text.model_copy(update={"label": "a"}), vector


def slots(*parts: tuple[int, Make], each: int = 4) -> Iterator[Slot]:
    """A run of so many slots of each kind; every slot has `each` candidates and all are accepted."""
    rng, slot = np.random.default_rng(0), 0
    for count, make in parts:
        for _ in range(count):
            yield slot, [make(slot * each + item, rng) for item in range(each)], each
            slot += 1


def watch(cfg: AlarmsConfig | None = None, labels: Sequence[str] = LABELS) -> DriftMonitor:
    return DriftMonitor(cfg or AlarmsConfig(), SLOTS, lambda data: data["text"], labels, SEEDS)


def told(run: Iterator[Slot], cfg: AlarmsConfig | None = None) -> list[Alarm]:
    return watch(cfg).restore(run)


def test_a_run_that_stays_as_it_began_raises_no_alarm() -> None:
    assert told(slots((20 * SLOTS, varied))) == []


def test_a_collapse_is_seen_in_words_and_in_vectors() -> None:
    alarms = told(slots((6 * SLOTS, varied), (4 * SLOTS, alike)))
    assert {alarm.alarm for alarm in alarms} == {"collapse"}
    assert {alarm.figure for alarm in alarms} == {"vendi", "distinct_2", "self_repetition", "mean_similarity"}
    for alarm in alarms:  # in the second round of the collapse, and once
        assert alarm.slot == 8 * SLOTS - 1
        assert (alarm.value < alarm.bound) == (alarm.figure in ("vendi", "distinct_2"))


def test_moving_away_from_the_seeds_is_drift_and_no_collapse() -> None:
    alarms = told(slots((6 * SLOTS, varied), (4 * SLOTS, astray)))
    assert {(alarm.alarm, alarm.figure) for alarm in alarms} == {
        ("drift", "seed_distance"),
        ("drift", "centroid_distance"),
    }


def test_a_label_that_takes_over_is_a_collapse() -> None:
    (alarm,) = told(slots((6 * SLOTS, varied), (30 * SLOTS, one_label)))
    assert (alarm.alarm, alarm.figure, alarm.bound) == ("collapse", "label_balance", 0.6)
    assert alarm.value < 0.6


def test_labels_raise_no_alarm_before_there_are_ten_samples_of_each() -> None:
    cfg = AlarmsConfig(label_balance=0.99, patience=1)
    many = [f"label {number}" for number in range(100)]
    quiet = watch(cfg, many).restore(slots((7 * SLOTS, one_label)))
    assert quiet == []
    assert watch(cfg, many).restore(slots((8 * SLOTS, one_label)))[0].slot == 8 * SLOTS - 1


def test_a_dip_of_one_round_raises_no_alarm_and_a_second_collapse_is_reported_again() -> None:
    dip = [(6 * SLOTS, varied), (SLOTS, alike), (4 * SLOTS, varied)]
    assert told(slots(*dip)) == []
    again = told(slots(*dip, (2 * SLOTS, alike), (2 * SLOTS, varied), (2 * SLOTS, alike)))
    assert [alarm.slot for alarm in again if alarm.figure == "vendi"] == [13 * SLOTS - 1, 17 * SLOTS - 1]


def test_a_bound_of_null_raises_no_alarm() -> None:
    cfg = AlarmsConfig(vendi_fall=None, distinct_fall=None, repetition_rise=None, similarity_rise=None)
    assert told(slots((6 * SLOTS, varied), (4 * SLOTS, alike)), cfg) == []


def test_a_lasting_alarm_ends_a_run_only_where_configured() -> None:
    run = [*slots((6 * SLOTS, varied), (2 * SLOTS, alike), (SLOTS, varied))]
    stopping, going_on = watch(AlarmsConfig(stop=True)), watch()
    for slot in run[: 8 * SLOTS - 1]:
        stopping.settled(*slot)
        assert stopping.reached() is None
    stopping.settled(*run[8 * SLOTS - 1])
    assert stopping.reached() == "collapse"
    going_on.restore(iter(run[: 8 * SLOTS]))
    assert going_on.reached() is None
    stopping.restore(iter(run[8 * SLOTS :]))
    assert stopping.reached() is None


def test_a_run_ended_by_drift_names_the_alarm() -> None:
    watching = watch(AlarmsConfig(stop=True))
    watching.restore(slots((6 * SLOTS, varied), (2 * SLOTS, astray)))
    assert watching.reached() == "drift"


@pytest.mark.parametrize("killed", [1, 5 * SLOTS, 7 * SLOTS - 1, 7 * SLOTS, 8 * SLOTS - 1])
def test_a_resumed_run_raises_the_alarms_of_an_uninterrupted_one(killed: int) -> None:
    run = [*slots((6 * SLOTS, varied), (4 * SLOTS, alike))]
    first, second = watch(), watch()
    before = first.restore(iter(run[:killed]))
    assert second.restore(iter(run[:killed])) == before
    after = [alarm for slot in run[killed:] for alarm in second.settled(*slot)]
    assert before + after == told(iter(run))


def test_an_event_says_which_figure_crossed_which_bound_and_where() -> None:
    alarm = Alarm("collapse", "vendi", 3.14159265, 10 / 3, 127)
    assert alarm.event() == {
        "alarm": "collapse", "figure": "vendi", "value": 3.14159, "bound": 3.33333, "slot": 127,
    }  # fmt: skip


def test_a_round_is_about_as_many_samples_whatever_was_accepted_in_it() -> None:
    rounds = Rounds(SLOTS)
    closed = [found for slot in slots((3 * SLOTS, varied), each=1) if (found := rounds.settled(*slot)) is not None]
    assert [(found.first, found.last) for found in closed] == [(0, 31), (32, 63), (64, 95)]
    assert [(len(found.accepted), len(found.rows), found.full) for found in closed] == [
        (32, 32, False), (32, ROWS, True), (32, ROWS, True),
    ]  # fmt: skip
    assert list(closed[1].rows) == [*closed[0].accepted, *closed[1].accepted]
    assert list(closed[2].rows) == [*closed[1].accepted, *closed[2].accepted]
    rich = Rounds(SLOTS)
    (whole,) = [found for slot in slots((SLOTS, varied)) if (found := rich.settled(*slot)) is not None]
    assert list(whole.rows) == list(whole.accepted)[::2]  # 128 were accepted


def test_a_round_of_failures_still_ends_and_the_last_one_may_be_short() -> None:
    rounds = Rounds(4)
    for slot in range(6):
        found = rounds.settled(slot, [], 0)
        assert (found is not None) == (slot == 3)
    rest = rounds.close()
    assert rest is not None
    assert (rest.first, rest.last, rest.candidates, len(rest.rows)) == (4, 5, 0, 0)
    assert rounds.close() is None


@pytest.mark.parametrize(
    ("key", "value", "most"),
    [("vendi_fall", 1.5, 1), ("distinct_fall", 0.0, 1), ("seed_distance", 2.1, 2), ("label_balance", -1.0, 1)],
)
def test_a_bound_that_can_never_or_always_be_crossed_is_refused(key: str, value: float, most: int) -> None:
    with pytest.raises(ConfigError, match=rf"diversity\.alarms\.{key}: must be above 0 and at most {most}, or null"):
        AlarmsConfig(**{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["baseline", "patience"])
def test_counts_of_rounds_begin_at_one(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"diversity\.alarms\.{key}: must be 1 or more, got 0"):
        AlarmsConfig(**{key: 0})  # type: ignore[arg-type]
