"""The label model on planted truth: it keeps labels that are right, corrects those that are not, and knows how sure it is."""

import numpy as np
import pytest
from planted import LABELS, Planted, planted

from synthgen.labels.model import CHECK, LabelModel, Texts, fit

EYE = np.eye(len(LABELS))


def anchored_right(found: LabelModel, case: Planted) -> float:
    """Return the share of texts that the regression on seeds and meanings alone labels right."""
    line = found.anchored
    return case.right(case.texts.vectors @ line[0].T + line[1])


@pytest.mark.parametrize("seed", range(3))
def test_a_perfect_prompt_is_not_overruled_by_a_regression_on_few_seeds(seed: int) -> None:
    case = planted(prompt=1.0, noise=0.5, seed=seed)
    found = fit(case.anchors, case.texts)
    assert anchored_right(found, case) < 0.75
    assert case.right(found.posterior) > 0.97
    assert found.intent.rate >= 0.96


@pytest.mark.parametrize("seed", range(3))
def test_random_errors_of_the_prompt_are_corrected(seed: int) -> None:
    case = planted(prompt=0.7, noise=0.35, seed=seed)
    found = fit(case.anchors, case.texts)
    assert case.right(EYE[case.texts.intents]) < 0.72
    assert case.right(found.posterior) > 0.9 > anchored_right(found, case)
    assert found.intent.rate == pytest.approx(0.7, abs=0.06)


def test_the_label_check_helps_as_far_as_it_is_reliable() -> None:
    alone, able, lot = (planted(prompt=0.7, noise=0.5, check=check) for check in (None, 0.8, 0.25))
    right = [case.right(fit(case.anchors, case.texts).posterior) for case in (alone, able, lot)]
    assert right[1] > right[0] + 0.05
    assert right[2] > right[0] - 0.05, "a check that names labels by lot does little harm"


@pytest.mark.parametrize("seed", range(3))
def test_the_prompts_label_counts_only_as_far_as_the_label_check_confirms_it(seed: int) -> None:
    """Half of the texts are of no label, and prompt and classifier take them for what was asked for all the same."""
    case = planted(texts=400, prompt=1.0, nowhere=0.5, check=0.9, seed=seed)
    found, texts = fit(case.anchors, case.texts), case.texts
    others = (texts.vectors @ found.anchored[0].T + found.anchored[1]).argmax(1) != texts.intents
    assert found.disagreed is not None and found.disagreed.right < 0.6
    assert found.posterior[others, texts.intents[others]].mean() == pytest.approx(found.disagreed.right, abs=0.1)
    undisputed = found.posterior[~others, texts.intents[~others]].mean()
    assert undisputed > found.disagreed.right + 0.3
    assert undisputed > (case.truth == texts.intents)[~others].mean(), (
        "seeds and prompt agree on some texts of no label, too"
    )


def test_errors_towards_one_label_are_learned() -> None:
    case = planted(prompt=1.0, noise=0.25, texts=400)
    intents = np.where((case.truth == 1) & (np.arange(400) % 3 == 0), 2, case.truth)
    found = fit(case.anchors, case.texts.__class__(case.texts.vectors, intents))
    assert case.right(found.posterior) > case.right(EYE[intents]) + 0.05
    assert found.intent.confusion[1].argmax() == 2


@pytest.mark.parametrize("noise", [0.35, 0.5])
def test_the_label_model_is_calibrated(noise: float) -> None:
    case = planted(prompt=0.7, noise=noise, texts=600)
    posterior = fit(case.anchors, case.texts).posterior
    assert posterior.max(1).mean() == pytest.approx(case.right(posterior), abs=0.06)


# -- people ----------------------------------------------------------------------------------------


def with_votes(case: Planted, votes: dict[int, list[float]]) -> Texts:
    people = np.zeros((len(case.texts), len(LABELS)))
    for number, shares in votes.items():
        people[number] = shares
    return Texts(case.texts.vectors, case.texts.intents, case.texts.named, people)


def test_peoples_answers_are_taken_as_they_are() -> None:
    case = planted(prompt=1.0, noise=0.25)
    texts = with_votes(case, {0: [0, 0, 0, 1], 1: [0.5, 0, 0.5, 0]})
    posterior = fit(case.anchors, texts).posterior
    assert case.truth[0] != 3 and case.truth[1] == 1
    assert posterior[0].tolist() == [0, 0, 0, 1]
    assert posterior[1].tolist() == [0.5, 0, 0.5, 0]
    assert texts.answered().nonzero()[0].tolist() == [0, 1]


def test_the_models_own_prediction_does_not_depend_on_a_persons_answer() -> None:
    """Of each text that somebody labelled wrong the model still says what all other evidence says."""
    case = planted(prompt=1.0, noise=0.25)
    wrong = {number: EYE[(case.truth[number] + 1) % 4].tolist() for number in range(0, 240, 30)}
    found = fit(case.anchors, with_votes(case, wrong))
    asked = list(wrong)
    assert (found.unaided[asked].argmax(1) == case.truth[asked]).all()
    assert (found.posterior[asked].argmax(1) != case.truth[asked]).all()
    others = np.setdiff1d(np.arange(240), asked)
    assert found.posterior[others] == pytest.approx(found.unaided[others])


def test_answers_teach_about_other_texts() -> None:
    """One seed a label and a prompt that is mostly wrong leave much to be learned."""
    right = []
    for people in (range(0), range(120)):
        case = planted(texts=400, prompt=0.4, noise=0.5, seeds=1, people=people)
        right.append((fit(case.anchors, case.texts).posterior.argmax(1) == case.truth)[120:].mean())
    assert right[1] > right[0] + 0.1


# -- texts that it did not see ---------------------------------------------------------------------


@pytest.mark.parametrize("check", [None, 0.8])
def test_texts_outside_the_fit_are_decided_as_if_they_were_in_it(check: float | None) -> None:
    case = planted(texts=400, prompt=0.7, noise=0.35, check=check)
    texts, half = case.texts, 300
    first = Texts(texts.vectors[:half], texts.intents[:half], {name: said[:half] for name, said in texts.named.items()})
    later = {name: said[half:] for name, said in texts.named.items()}
    decided = fit(case.anchors, first).decide(texts.vectors[half:], texts.intents[half:], later)
    posterior = fit(case.anchors, texts).posterior[half:]
    assert decided.sum(1) == pytest.approx(1)
    assert (decided.argmax(1) == posterior.argmax(1)).mean() > 0.94
    assert (decided.argmax(1) == case.truth[half:]).mean() > 0.88


def test_a_check_that_was_asked_about_one_text_changes_that_one_alone() -> None:
    case = planted(check=0.9, noise=0.5)
    found = fit(case.anchors, case.texts)
    vectors, intents = case.texts.vectors[:2], case.texts.intents[:2]
    silent = found.decide(vectors, intents, {})
    heard = found.decide(vectors, intents, {CHECK: np.vstack([EYE[(intents[0] + 1) % 4], np.zeros(4)])})
    assert heard[0] != pytest.approx(silent[0], abs=0.01)
    assert heard[1] == pytest.approx(silent[1])


# -- little or nothing -----------------------------------------------------------------------------


def test_before_anything_was_accepted_seeds_label_meanings_and_prompt_decide() -> None:
    case = planted(texts=0, noise=0.25)
    found = fit(case.anchors, case.texts)
    assert found.posterior.shape == found.unaided.shape == (0, 4)
    assert found.disagreed is None and found.intent.rate == 0.9
    new = planted(texts=200, prompt=1.0, noise=0.25, seed=1)
    shares = found.decide(new.texts.vectors, new.texts.intents, {})
    assert shares.sum(1) == pytest.approx(1)
    assert new.right(shares) > 0.97


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_texts_are_enough_to_fit(count: int) -> None:
    case = planted(texts=count, prompt=1.0, check=0.9, noise=0.25)
    found = fit(case.anchors, case.texts)
    assert np.isfinite(found.posterior).all() and found.posterior.sum(1) == pytest.approx(1)
    assert case.right(found.posterior) == 1


def test_a_label_that_was_never_asked_for_is_not_given_to_every_text() -> None:
    case = planted(texts=60, prompt=1.0, noise=0.25)
    only = Texts(case.texts.vectors[case.truth == 2], case.texts.intents[case.truth == 2])
    found = fit(case.anchors, only)
    assert (found.posterior.argmax(1) == 2).all()
    seed = case.anchors.seeds[[0]]  # a text of another label, asked for as such
    assert found.decide(seed, np.array([0]), {})[0].argmax() == 0


def test_the_same_texts_give_the_same_model() -> None:
    case = planted(check=0.8)
    first, again = fit(case.anchors, case.texts), fit(case.anchors, case.texts)
    assert (first.posterior == again.posterior).all()
