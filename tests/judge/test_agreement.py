"""Agreement beyond chance, against the values that the literature prints for its own examples."""

import pytest

from synthgen.judge.agreement import cohens_kappa, fleiss_kappa, krippendorffs_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers, twelve units.
OBSERVERS = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]
UNITS = [[int(x) for x in unit if x != "."] for unit in zip(*(line.split() for line in OBSERVERS), strict=True)]

# Fleiss (1971), as often reprinted: ten subjects, fourteen raters, five categories.
FLEISS = """
0 0 0 0 14
0 2 6 4 2
0 0 3 5 6
0 3 9 2 0
2 2 8 1 1
7 7 0 0 0
3 2 6 3 0
2 5 3 2 2
6 5 2 1 0
0 2 2 3 7
"""


def test_cohens_kappa_of_fifty_grant_proposals() -> None:
    """Both yes 20, only the first 5, only the second 10, neither 15: 0.4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohens_kappa(first, second) == pytest.approx(0.4)


def test_fleiss_kappa_of_the_table_of_1971() -> None:
    rows = [[int(n) for n in line.split()] for line in FLEISS.split("\n") if line]
    units = [[category for category, n in enumerate(row) for _ in range(n)] for row in rows]
    assert fleiss_kappa(units) == pytest.approx(0.210, abs=0.0005)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_alpha_of_his_own_example(level: str, alpha: float) -> None:
    assert krippendorffs_alpha(UNITS, level) == pytest.approx(alpha, abs=0.0005)  # type: ignore[arg-type]


def test_two_raters_who_always_agree_are_at_one_and_who_never_do_below_zero() -> None:
    same, other = ["a", "b", "a", "b"], ["b", "a", "b", "a"]
    assert cohens_kappa(same, same) == 1
    assert cohens_kappa(same, other) == -1
    for measure in (fleiss_kappa, krippendorffs_alpha):
        assert measure(list(zip(same, same, strict=True))) == 1
        below = measure(list(zip(same, other, strict=True)))
        assert below is not None
        assert below < 0


def test_agreement_without_anything_to_disagree_about_is_unknown() -> None:
    assert cohens_kappa([], []) is None
    assert cohens_kappa(["a", "a"], ["a", "a"]) is None
    assert fleiss_kappa([]) is None
    assert fleiss_kappa([["a", "a"], ["a", "a"]]) is None
    assert krippendorffs_alpha([["a"], ["b"]]) is None
    assert krippendorffs_alpha([[0.1, 0.1], [0.1, 0.1]], "interval") is None


def test_fleiss_kappa_needs_the_same_number_of_answers_for_every_item() -> None:
    with pytest.raises(ValueError, match="same number of answers"):
        fleiss_kappa([["a", "b"], ["a"]])


def test_small_differences_of_large_numbers_are_not_lost() -> None:
    near = [[1.0, 1.1], [2.0, 2.1], [3.0, 2.9]]
    far = [[1e8 + x for x in unit] for unit in near]
    assert krippendorffs_alpha(far, "interval") == pytest.approx(krippendorffs_alpha(near, "interval"), abs=1e-5)
