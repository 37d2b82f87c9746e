"""Cohen's κ and Krippendorff's α on textbook examples, and their laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.metrics.agreement import MOST, WEIGHTS, kappa, table_kappa
from tandem.metrics.alpha import LEVELS, krippendorff

_ = None
FOUR_OBSERVERS = [  # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example D: 12 units
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
FUN = [[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]]
"""Agresti's table of 91 couples' ratings (1990, p. 386)."""
QUICK = settings(max_examples=40, deadline=None)
pairs = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=20)
units = st.lists(st.lists(st.none() | st.integers(1, 5), min_size=2, max_size=4), min_size=2, max_size=10)


def by_unit(raters):
    return list(zip(*raters, strict=True))


def value(function, *arguments, **options):
    """The figure, None where it is not defined."""
    try:
        return function(*arguments, **options).value
    except UserError:
        return None


def test_fifty_proposals_read_by_two_people():
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: agreement 0.7, by chance 0.5
    assert table_kappa(np.array([[20, 5], [10, 15]])).value == pytest.approx(0.4)


@pytest.mark.parametrize(("weights", "expected"), [("plain", 0.1293), ("linear", 0.2374), ("quadratic", 0.3320)])
def test_couples_ratings_of_fun(weights, expected):
    assert table_kappa(np.array(FUN), weights=weights).value == pytest.approx(expected, abs=5e-5)


def test_six_labels_as_in_scikit_learns_documentation():
    assert kappa([2, 0, 2, 2, 0, 1], [0, 0, 2, 2, 0, 2]).value == pytest.approx(0.4285714286)


@pytest.mark.parametrize(("level", "expected"), list(zip(LEVELS, (0.743, 0.815, 0.849, 0.797), strict=True)))
def test_krippendorffs_four_observers_with_ratings_missing(level, expected):
    assert krippendorff(by_unit(FOUR_OBSERVERS), level).value == pytest.approx(expected, abs=5e-4)


def test_krippendorffs_two_observers_of_ten_items():
    raters = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    assert krippendorff(by_unit(raters)).value == pytest.approx(0.095, abs=5e-4)


def test_krippendorffs_two_observers_of_twelve_articles():
    raters = [list("aabbdcccedda"), list("babbbccceddd")]
    assert krippendorff(by_unit(raters)).value == pytest.approx(0.692, abs=5e-4)


@QUICK
@given(pairs, st.sampled_from(WEIGHTS))
def test_kappa_is_symmetric_and_at_most_one(given_pairs, weights):
    first, second = zip(*given_pairs, strict=True)
    there, back = (value(kappa, a, b, weights=weights) for a, b in ((first, second), (second, first)))
    assert there == pytest.approx(back, abs=1e-9) if there is not None else back is None
    assert there is None or -1 - 1e-9 <= there <= 1 + 1e-9


@QUICK
@given(pairs)
def test_with_two_labels_all_weights_are_the_same(given_pairs):
    first, second = ([x > 2 for x in side] for side in zip(*given_pairs, strict=True))
    first, second = ([int(x) for x in side] for side in (first, second))
    found = [value(kappa, first, second, weights=weights, labels=[0, 1]) for weights in WEIGHTS]
    assert found == [pytest.approx(found[0])] * 3 if found[0] is not None else found == [None] * 3


@QUICK
@given(pairs, st.permutations([1, 2, 3, 4]))
def test_other_names_for_the_labels_change_nothing_in_plain_kappa_and_nominal_alpha(given_pairs, names):
    renamed = [(names[a - 1], names[b - 1]) for a, b in given_pairs]
    one, other = (value(kappa, *zip(*p, strict=True)) for p in (given_pairs, renamed))
    assert one == pytest.approx(other, abs=1e-9) if one is not None else other is None
    one, other = (value(krippendorff, p) for p in (given_pairs, renamed))
    assert one == pytest.approx(other, abs=1e-9) if one is not None else other is None


@QUICK
@given(units, st.sampled_from(LEVELS), st.randoms(use_true_random=False))
def test_the_order_of_units_and_of_raters_does_not_count(ratings, level, random):
    mixed = [random.sample(unit, len(unit)) for unit in random.sample(ratings, len(ratings))]
    one, other = (value(krippendorff, r, level) for r in (ratings, mixed))
    assert one == pytest.approx(other, abs=1e-9) if one is not None else other is None


@QUICK
@given(units)
def test_moving_and_stretching_a_scale_changes_nothing_in_interval_alpha(ratings):
    moved = [[None if r is None else 100 + 3 * r for r in unit] for unit in ratings]
    one, other = (value(krippendorff, r, "interval") for r in (ratings, moved))
    assert one == pytest.approx(other, abs=1e-9) if one is not None else other is None


@QUICK
@given(units, st.sampled_from(LEVELS))
def test_units_with_one_rating_do_not_count(ratings, level):
    assert value(krippendorff, ratings, level) == value(krippendorff, [*ratings, [5, None], [None]], level)


@QUICK
@given(units, pairs)
def test_intervals_hold_the_figure(ratings, given_pairs):
    for function, arguments in ((krippendorff, (ratings,)), (kappa, tuple(zip(*given_pairs, strict=True)))):
        if value(function, *arguments) is not None:
            found = function(*arguments)
            assert found.low <= found.value <= found.high


@pytest.mark.parametrize("level", LEVELS)
def test_full_agreement_is_one(level):
    assert krippendorff([[1, 1], [2, 2, 2], [7, 7]], level).value == pytest.approx(1)
    assert kappa([1, 2, 7], [1, 2, 7]).value == pytest.approx(1)


def test_the_interval_of_kappa_covers_the_truth_in_about_95_of_100_repetitions():
    rng, truth, held = np.random.default_rng(3), 0.6, 0  # labels are even, and copied with chance 0.6
    for _repetition in range(200):
        first = rng.integers(0, 2, 200)
        second = np.where(rng.random(200) < truth, first, rng.integers(0, 2, 200))
        found = kappa(first.tolist(), second.tolist())
        held += found.low <= truth <= found.high
    assert 180 <= held <= 199


def test_one_unit_says_nothing_of_others():
    assert krippendorff([[1, 2, 1]]).low == -math.inf


def test_labels_that_were_never_given_keep_their_place():
    first, second = [1, 5, 1, 5], [5, 5, 1, 1]
    apart = kappa([1, 3, 3], [2, 3, 1], weights="linear", labels=[1, 2, 3]).value
    assert apart != pytest.approx(kappa([1, 3, 3], [2, 3, 1], weights="linear", labels=[1, 2, 9, 3]).value)
    assert kappa(first, second, weights="linear").value == kappa(first, second).value


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: kappa([1, 2], [1]), "different length"),
        (lambda: kappa([1, 1], [1, 1]), "not defined"),
        (lambda: kappa(["a"], ["b"], labels=["a", "c"]), "'b' is not among the given ones: a, c"),
        (lambda: kappa(range(MOST + 1), range(MOST + 1)), "different labels, more than"),
        (lambda: krippendorff([[1, None], [None, None]]), "no unit has two ratings"),
        (lambda: krippendorff([[2, 2], [2, 2]]), "not defined"),
        (lambda: krippendorff([["low", "high"]], "ordinal"), "'high' is not a number"),
        (lambda: krippendorff([[1, math.nan]], "interval"), "not a number"),
        (lambda: krippendorff([[1, math.inf]], "interval"), "infinite"),
        (lambda: krippendorff([[1, -2]], "ratio"), "-2 is negative"),
        (lambda: krippendorff([["a", "b"]], labels=["a", "c"]), "'b' is not among"),
    ],
)
def test_ratings_that_cannot_be_measured_are_refused(call, told):
    with pytest.raises(UserError, match=told):
        call()


def test_words_have_an_order_when_it_is_given():
    words = [["low", "mid"], ["mid", "mid"], ["high", "high"], ["low", "low"]]
    numbers = [[("low", "mid", "high").index(r) for r in unit] for unit in words]
    found = krippendorff(words, "ordinal", labels=["low", "mid", "high"])
    assert found == krippendorff(numbers, "ordinal")
