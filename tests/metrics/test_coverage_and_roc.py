"""The two areas: published toy value and bounds, their definitions, and what a score without information gives."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.metrics.coverage import auc_over_coverage, roc_auc

scored = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=12)
QUICK = settings(max_examples=40, deadline=None)


def test_the_published_toy_vector_gives_75():
    assert auc_over_coverage([4, 3, 2, 1], [1, 0, 1, 1]).value == 0.75


@pytest.mark.parametrize(("right", "bound"), [(98, 68.3), (116, 74.5)])
def test_perfect_scores_reach_the_published_upper_bounds(right, bound):
    # 308 questions with 31.8 and 37.7 % right
    found = auc_over_coverage(range(308), [0] * (308 - right) + [1] * right)
    assert 100 * found.value == pytest.approx(bound, abs=0.05)


def test_more_than_a_thousand_items_are_looked_at_in_a_thousand_shares():
    n, rng = 3500, np.random.default_rng(0)
    scores, right = rng.permutation(n), rng.integers(0, 2, n)
    ranked = right[np.argsort(-scores)]
    expected = np.mean([ranked[: n * k // 1000].mean() for k in range(1, 1001)])
    assert auc_over_coverage(scores, right).value == pytest.approx(expected, abs=1e-12)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=5))
def test_equal_scores_count_as_the_mean_over_their_orders(items):
    n = len(items)
    orders = [o for o in itertools.permutations(items) if all(a[0] >= b[0] for a, b in itertools.pairwise(o))]
    segments = min(1000, n - 1)
    areas = []
    for order in orders:
        tops = [n * k // segments for k in range(1, segments + 1)]
        areas.append(sum(sum(right for _, right in order[:m]) / m for m in tops) / segments)
    found = auc_over_coverage([s for s, _ in items], [float(r) for _, r in items])
    assert found.value == pytest.approx(sum(areas) / len(areas), abs=1e-12)


@QUICK
@given(scored)
def test_roc_auc_is_the_share_of_pairs_in_order(items):
    good, bad = ([s for s, right in items if right is which] for which in (True, False))
    if good and bad:
        pairs = [(a > b) + (a == b) / 2 for a in good for b in bad]
        found = roc_auc([s for s, _ in items], [float(r) for _, r in items])
        assert found.value == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@QUICK
@given(scored, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_count(items, random):
    mixed = random.sample(items, len(items))
    assert auc_over_coverage(*zip(*items, strict=True)) == auc_over_coverage(*zip(*mixed, strict=True))


@QUICK
@given(scored)
def test_intervals_hold_the_figure_and_lie_between_nought_and_one(items):
    scores, right = zip(*items, strict=True)
    found = [auc_over_coverage(scores, right)] + ([roc_auc(scores, right)] if len(set(right)) == 2 else [])
    for each in found:
        assert -1e-12 <= each.low <= each.value <= each.high <= 1 + 1e-12 and each.n == len(items)


@QUICK
@given(scored)
def test_turning_the_scores_round_turns_roc_auc_round(items):
    scores, right = zip(*items, strict=True)
    if len(set(right)) == 2:
        assert roc_auc([-s for s in scores], right).value == pytest.approx(1 - roc_auc(scores, right).value)


def test_one_score_for_all_gives_the_accuracy_and_one_half():
    right = [1, 0, 0, 1, 0]
    assert auc_over_coverage([7] * 5, right).value == pytest.approx(0.4)
    assert roc_auc([7] * 5, right).value == 0.5


def test_a_score_may_be_infinite():
    assert roc_auc([-math.inf, 0.0, math.inf], [0, 1, 1]).value == 1


@pytest.mark.parametrize("area", [auc_over_coverage, roc_auc])
@pytest.mark.parametrize(
    ("scores", "right", "told"),
    [
        ([1, math.nan, 2], [1, 0, 1], "1 of 3 scores are not a number, the first is item 2"),
        ([1, 2], [1, math.nan], "verdicts are not a number"),
        ([1, 2, 3], [1, 0], "3 scores, 2 verdicts"),
    ],
)
def test_values_that_have_no_order_are_refused(area, scores, right, told):
    with pytest.raises(UserError, match=told):
        area(scores, right)


def test_what_is_not_defined_is_refused():
    with pytest.raises(UserError, match="at least two"):
        auc_over_coverage([1], [1])
    with pytest.raises(UserError, match="all 2 answers are wrong"):
        roc_auc([1, 2], [0, 0])
    with pytest.raises(UserError, match="right or wrong"):
        roc_auc([1, 2], [0.5, 1])
