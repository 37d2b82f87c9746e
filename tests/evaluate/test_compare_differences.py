"""Differences of paired scores: laws, hand-worked cases, and the verdicts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.evaluate.compare import compare, holm
from tandem.evaluate.compare.difference import DRAWS, resampled_means, sign_flips

BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60)
SHARES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40)


def columns(pairs):
    return tuple(np.array(side, dtype=float) for side in zip(*pairs, strict=True))


@given(SHARES)
@settings(max_examples=40, deadline=None)
def test_a_run_compared_with_itself_differs_in_nothing(pairs):
    scores, _ = columns(pairs)
    found = compare(scores, scores)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p) == (0, 0, 0, 1)
    assert (len(found.fixed), len(found.broken), found.verdict) == (0, 0, "within noise")


@pytest.mark.parametrize("kind", [BITS, SHARES])
def test_swapping_the_two_negates_the_difference_and_keeps_p(kind):
    @given(kind)
    @settings(max_examples=40, deadline=None)
    def law(pairs):
        a, b = columns(pairs)
        there, back = compare(a, b), compare(b, a)
        assert there.difference.value == pytest.approx(-back.difference.value, abs=1e-12)
        assert (there.fixed.tolist(), there.broken.tolist()) == (back.broken.tolist(), back.fixed.tolist())
        assert there.p == pytest.approx(back.p, abs=0.03)
        opposite = {"better": "worse", "worse": "better", "within noise": "within noise"}
        if min(abs(there.difference.low), abs(there.difference.high)) > 0.05:  # ends are drawn
            assert there.verdict == opposite[back.verdict]

    law()


def test_scores_of_zero_and_one_are_tested_by_the_binomial():
    a, b = np.zeros(50), np.zeros(50)
    a[:3], b[10:22] = 1, 1  # 3 broken, 12 fixed
    by_hand = 2 * sum(math.comb(15, k) for k in range(4)) / 2**15
    found = compare(a, b)
    assert found.p == pytest.approx(by_hand, rel=1e-12) == pytest.approx(0.03515625)
    assert found.test == "McNemar"
    assert found.verdict == "better"


def test_three_items_all_fixed_are_within_noise():
    found = compare(np.zeros(3), np.ones(3))
    assert (found.difference.low, found.p) == (1, 0.25)
    assert found.verdict == "within noise"


def test_where_lower_is_better_a_rise_is_worse():
    rng = np.random.default_rng(0)
    losses = rng.random(200)
    found = compare(losses, losses + 0.1 + 0.01 * rng.random(200), lower=True)
    assert found.difference.value > 0
    assert (found.verdict, len(found.fixed), len(found.broken)) == ("worse", 0, 200)


def test_signs_of_few_differences_are_all_tried():
    # Of the 8 ways to sign 3, 2, 1 only +6 and -6 are as far from 0 as 6.
    assert sign_flips(np.array([3.0, 2.0, 1.0, 0.0])) == 2 / 8
    assert sign_flips(np.array([3.0, -2.0, 1.0])) == 6 / 8


def test_many_random_signs_agree_with_the_normal_distribution():
    d = np.random.default_rng(3).normal(0.1, 1, 400)
    z = abs(d.sum()) / math.sqrt((d**2).sum())
    assert sign_flips(d) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.015)


def test_drawing_how_often_values_occur_is_drawing_items():
    x = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], 400, p=[0.1, 0.7, 0.2])
    fast = resampled_means(x)
    rng = np.random.default_rng(2)
    slow = np.array([x[rng.integers(0, 400, 400)].mean() for _ in range(DRAWS)])
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.002)
    assert np.quantile(fast, [0.025, 0.975]) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.006)


def test_the_interval_covers_the_true_difference_about_95_times_in_100():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        a = (rng.random(200) < 0.5).astype(float)
        b = np.where(rng.random(200) < 0.2, rng.random(200) < 0.7, a).astype(float)  # true difference 0.2 × 0.2
        interval = compare(a, b).difference
        held += interval.low <= 0.04 <= interval.high
    assert 0.91 <= held / 300 <= 0.98


def test_items_that_share_a_source_widen_the_interval():
    rng = np.random.default_rng(7)
    groups = [f"g{n // 25}" for n in range(500)]
    a = np.zeros(500)
    b = np.repeat(rng.random(20) < 0.4, 25).astype(float)  # whole groups move together
    alone, together = compare(a, b), compare(a, b, groups)
    assert (alone.groups, together.groups) == (None, 20)
    assert together.difference.value == alone.difference.value
    width = [found.difference.high - found.difference.low for found in (alone, together)]
    assert width[1] > 3 * width[0]
    assert together.p > alone.p
    assert together.mcnemar == alone.p


@pytest.mark.parametrize("n_groups", [9, 500])
def test_few_groups_and_groups_of_one_are_not_clustered(n_groups):
    a, b = np.zeros(500), (np.arange(500) % 7 == 0).astype(float)
    assert compare(a, b, [f"g{n % n_groups}" for n in range(500)]).groups is None


def test_holm_by_hand():
    # 0.01 × 4, then 0.02 × 3, then 0.03 × 2 (not below the one before), then 0.04 × 1 the same way.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
