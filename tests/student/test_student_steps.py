"""Test how many steps a training has, and the order of its rows: chosen on held-out training rows, alike in both arms."""

from collections import Counter

import pytest

from synthgen.student import ClassifierConfig, StudentConfig, TrainingConfig, TrainingRow
from synthgen.student.config import planned_steps
from synthgen.student.learner import Experiment
from synthgen.student.plan import Plan, Probe
from synthgen.student.steps import chosen_steps, split_of
from synthgen.student.work import Work


class Curve:
    """A learner whose held-out losses are least at a step that is told; keeps what it was asked to fit."""

    def __init__(self, best, most=40, noise=0.0):
        self.noise = noise
        self.cfg = ClassifierConfig(min_steps=most, epochs=0.1)
        self.best = best
        self.fits = []

    def steps(self, rows):
        return planned_steps(rows, self.cfg)

    def stratum(self, row):
        return row.data["label"]

    def fit(self, rows, plan, place, probe=None):
        self.fits.append((rows, plan, probe))
        for step in range(1, plan.steps + 1):
            if probe.due(step):
                sides = [(-1) ** int(row.data["text"]) for row in probe.rows]
                probe.note(step, [abs(step - self.best) * (0.1 + self.noise * side) for side in sides], [])
                if probe.over():
                    return


def rows_of(count, labels="ab", **fields):
    return [TrainingRow({"text": f"{index}", "label": labels[index % len(labels)]}, **fields) for index in range(count)]


@pytest.fixture
def choose(tmp_path):
    def go(learner, rows, **knobs):
        work = Work(tmp_path / "student", 60, lambda _: None)
        work.open({})
        cfg = StudentConfig(training=TrainingConfig(**knobs))
        experiment = Experiment(learner, cfg, [], 7, work, lambda _: None)
        return chosen_steps(experiment, "arm", rows, split_of(experiment, rows))

    return go


def test_few_rows_are_cross_validated_and_the_step_of_the_least_loss_is_taken(choose):
    learner = Curve(best=21)
    steps = choose(learner, rows_of(12))
    assert steps.count == 21
    assert steps.facts["steps_chosen_by"] == "3-fold cross-validation"
    assert steps.facts["most_steps"] == 40
    held = [row.data["text"] for _, _, probe in learner.fits for row in probe.rows]
    assert sorted(held, key=int) == [str(index) for index in range(12)], "each row is held out once"
    for kept, _, probe in learner.fits:
        assert not {row.data["text"] for row in kept} & {row.data["text"] for row in probe.rows}
        assert Counter(row.data["label"] for row in probe.rows) == {"a": 2, "b": 2}


def test_a_loss_that_rises_within_what_the_rows_can_tell_does_not_shorten_the_training(choose):
    assert choose(Curve(best=21, noise=1.0), rows_of(12)).count == 40


def test_many_rows_hold_out_a_share_once_and_patience_ends_that(choose):
    learner = Curve(best=9)
    steps = choose(learner, rows_of(400), validation_share=0.1, patience=2)
    [(kept, _, probe)] = learner.fits
    assert (len(kept), len(probe.rows)) == (360, 40)
    assert steps.count == 9
    assert [step for step, _ in probe.losses] == [3, 6, 9, 12, 15]
    assert steps.facts["held_out_loss"][:3] == [[3, 0.6], [6, 0.3], [9, 0.0]]
    assert steps.facts["steps_chosen_by"] == "10% of the rows held out"


def test_copies_of_a_row_are_never_on_both_sides(choose):
    learner = Curve(best=9)
    seeds = rows_of(6)
    choose(learner, [*seeds, *seeds, *rows_of(30, synthetic=True)[6:]])
    for kept, _, probe in learner.fits:
        assert not {row.data["text"] for row in kept} & {row.data["text"] for row in probe.rows}


def test_the_only_row_of_a_label_is_not_held_out(choose):
    learner = Curve(best=9)
    choose(learner, [*rows_of(8), TrainingRow({"text": "99", "label": "c"})])
    assert all("99" in {row.data["text"] for row in kept} for kept, _, _ in learner.fits)


@pytest.mark.parametrize(("rows", "knobs"), [(12, {"early_stopping": False}), (2, {})])
def test_all_steps_are_made_where_nothing_is_to_be_chosen(rows, knobs, choose):
    learner = Curve(best=9)
    assert choose(learner, rows_of(rows), **knobs).count == 40
    assert learner.fits == []


def test_a_labels_name_is_taught_and_never_held_out(choose):
    learner = Curve(best=21)
    names = [
        TrainingRow({"text": f"{900 + index}", "label": label}, 5.0, sample=False) for index, label in enumerate("aabb")
    ]
    choose(learner, [*rows_of(12), *names])
    for rows, _, probe in learner.fits:
        assert {row.data["text"] for row in names} <= {row.data["text"] for row in rows}
        assert not [row for row in probe.rows if not row.sample]


def test_a_few_heavy_rows_among_many_light_ones_are_cross_validated(choose):
    light = [
        TrainingRow({"text": f"{500 + index}", "label": "ab"[index % 2]}, 0.05, synthetic=True) for index in range(300)
    ]
    steps = choose(Curve(best=21), [*rows_of(20), *light])
    assert steps.facts["steps_chosen_by"] == "3-fold cross-validation"


def test_as_many_rows_of_the_same_weight_hold_out_a_share(choose):
    steps = choose(Curve(best=21), rows_of(320))
    assert steps.facts["steps_chosen_by"] == "10% of the rows held out"


def test_two_phases_are_not_stopped_in_the_first(choose):
    learner = Curve(best=3)
    rows = [*rows_of(12), *rows_of(60, synthetic=True)[12:]]
    steps = choose(learner, rows, phases="synthetic_then_real")
    assert steps.count > 30, "a quarter of 40 steps is on real rows, and comes last"


def test_each_pass_takes_every_row_once_in_an_order_of_its_own():
    order = Plan(steps=6, seed=1).order(rows_of(10), batch=5, weighted=False)
    passes = [order[:10], order[10:20], order[20:]]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert passes[0] != passes[1]
    assert order == Plan(steps=6, seed=1).order(rows_of(10), batch=5, weighted=False)
    assert order != Plan(steps=6, seed=2).order(rows_of(10), batch=5, weighted=False)


def test_a_row_occurs_in_proportion_to_its_weight():
    rows = [*rows_of(9, weight=1.0), TrainingRow({"text": "heavy", "label": "a"}, weight=3.0)]
    counts = Counter(Plan(steps=120, seed=0).order(rows, batch=10, weighted=True))
    assert counts[9] == pytest.approx(300, abs=30)
    assert all(counts[index] == pytest.approx(100, abs=30) for index in range(9))


def test_real_rows_come_last_in_two_phases_and_have_a_quarter_of_the_steps():
    rows = [*rows_of(2), *rows_of(40, synthetic=True)]
    plan = Plan(steps=40, seed=0, phases="synthetic_then_real")
    real = [not rows[index].synthetic for index in plan.order(rows, batch=4, weighted=False)]
    assert real == [False] * 120 + [True] * 40
    assert plan.last_phase(rows) == 30


@pytest.mark.parametrize("rows", [rows_of(8), rows_of(8, synthetic=True)])
def test_rows_of_one_kind_are_one_phase(rows):
    plan = Plan(steps=4, seed=0, phases="synthetic_then_real")
    assert plan.order(rows, 4, False) == Plan(steps=4, seed=0).order(rows, 4, False)
    assert plan.last_phase(rows) == 0


def test_a_probe_continues_from_the_losses_of_a_checkpoint():
    probe, history = Probe(rows=rows_of(2), every=2, patience=2), [{"step": 1, "loss": 3.0}]
    for step, losses in ((2, [0.1, 0.9]), (4, [0.5, 0.9]), (6, [0.5, 1.1])):
        probe.note(step, losses, history)
    again = Probe(rows=rows_of(2), every=2, patience=2)
    again.recall(history)
    assert again.losses == probe.losses
    assert again.over()
