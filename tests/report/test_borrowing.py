"""The figures of what accepted samples take from their prompts, beside what is natural."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synthgen.records import REWRITES, Sample, content_id
from synthgen.report import borrowing, last_lines, summarise
from synthgen.report.view import TaskView

LABELS = ("weather", "play_music")


def task(labels: Sequence[str] = LABELS) -> TaskView:
    kind, target = ("classification", ("label",)) if labels else ("generation", ("answer",))
    return TaskView("t", kind, "", "en", {}, ("text",), target, tuple(labels))


def sample(text: str, label: str | None, parents: Sequence[Sample] = ()) -> Sample:
    data = {"text": text, "label": label} if label else {"text": text}
    origin, ids = ("synthetic" if parents else "seed"), tuple(parent.id for parent in parents)
    return Sample(id=content_id(data), data=data, origin=origin, label=label, parents=ids)  # type: ignore[arg-type]


def at(*degrees: float) -> np.ndarray:
    return np.asarray([[np.cos(np.radians(each)), np.sin(np.radians(each))] for each in degrees], dtype=np.float32)


def vectors(samples: Sequence[Sample], degrees: Sequence[float]) -> Mapping[str, np.ndarray]:
    return {each.id: vector for each, vector in zip(samples, at(*degrees), strict=True)}


SEEDS = [sample("will it rain in Vermont", "weather"), sample("play some songs", "play_music")]
ACCEPTED = [
    sample("the weather of Vermont", "weather", SEEDS),
    sample("is it cold outside", "weather", SEEDS[:1]),
    sample("put on music", "play_music", SEEDS[1:]),
    sample("the weather song", "play_music", SEEDS[1:]),  # another label's word
]


def test_label_words_and_seed_names_are_counted_beside_the_seeds_own() -> None:
    found = borrowing.borrowing(task(), [*SEEDS, *ACCEPTED], {})
    assert (found["label_words"], found["label_words_seeds"]) == (0.5, 0.5)
    assert (found["seed_names"], found["seed_names_natural"]) == (0.25, 0.0)
    assert found["parent_distance"] is None


def test_the_distance_is_that_to_the_nearest_sample_that_the_prompt_showed() -> None:
    held = vectors([*SEEDS, *ACCEPTED], [0, 90, 60, 80, 91, 92])
    found = borrowing.borrowing(task(), [*SEEDS, *ACCEPTED], held)
    cosines = sorted(1 - np.cos(np.radians([30, 80, 1, 2])))
    assert np.isclose(found["parent_distance"], np.median(cosines), atol=1e-5)
    assert found["near_parent"] == 0.75  # 80 degrees is far, though another seed is near
    assert np.isclose(found["parent_distance_seeds"], 1.0, atol=1e-5)


def test_a_task_without_labels_has_no_share_of_label_words() -> None:
    rows = [sample("an old Vermont barn", None)]
    found = borrowing.borrowing(task(()), [*rows, sample("one more barn", None, rows)], {})
    assert found["label_words"] is None
    assert found["seed_names"] == 0.0


def summary(said: float | None, natural: float | None, seeds: int) -> Any:
    return {"diversity": {"borrowed": {"label_words": said, "label_words_seeds": natural}}, "counts": {"seeds": seeds}}


def test_a_line_tells_of_label_words_only_far_above_the_seeds_own_share() -> None:
    assert "90.0 % of the samples contain a word of their label" in str(borrowing.sentence(summary(0.9, 0.3, 20)))
    assert borrowing.sentence(summary(0.9, 0.8, 20)) is None
    assert borrowing.sentence(summary(0.9, 0.3, 4)) is None  # too few seeds to know
    assert borrowing.sentence(summary(None, None, 20)) is None
    assert borrowing.sentence({"diversity": {}, "counts": {"seeds": 20}}) is None  # nothing was accepted


def test_summary_and_page_have_the_figures(run: Any) -> None:
    found = summarise(run.path)
    assert found["diversity"]["borrowed"]["near_parent_bound"] == 0.25
    assert last_lines(found, run.path)


def test_what_a_sample_keeps_of_the_one_that_it_rewrites_is_not_borrowed() -> None:
    rewritten = [each.model_copy(update={"given": {REWRITES: SEEDS[0].id}}) for each in ACCEPTED[:2]]
    held = vectors([*SEEDS, *rewritten], [0, 90, 80, 10])
    found = borrowing.borrowing(task(), [*SEEDS, *rewritten], held)
    assert found["seed_names"] == 0.0
    assert np.isclose(found["parent_distance"], 1 - np.cos(np.radians(10)), atol=1e-5)  # that to the other seed
