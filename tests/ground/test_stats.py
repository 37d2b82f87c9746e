import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.stats import Interval, bootstrap, mean, proportion, t_quantile


@pytest.mark.parametrize(
    ("p", "df", "expected"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.30265),
        (0.975, 3, 3.18245),
        (0.975, 10, 2.22814),
        (0.995, 7, 3.49948),
        (0.975, 120, 1.97993),
        (0.975, 1_000_000, 1.95997),
    ],
)
def test_t_quantiles_match_the_printed_tables(p, df, expected):
    assert t_quantile(p, df) == pytest.approx(expected, abs=1e-5)
    assert t_quantile(1 - p, df) == pytest.approx(-expected, abs=1e-5)


def test_wilson_matches_the_worked_value():
    interval = proportion(8, 10)
    assert (interval.low, interval.high) == pytest.approx((0.490162, 0.943318), abs=1e-6)


@given(st.integers(0, 200), st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_a_proportion_lies_inside_its_interval_and_the_interval_in_the_unit_range(k, n):
    k = min(k, n)
    interval = proportion(k, n)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_an_interval_of_a_mean_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        interval = mean(list(rng.normal(1.0, 2.0, 8)))
        covered += interval.low <= 1.0 <= interval.high
    assert 930 <= covered <= 970


def test_one_value_has_no_finite_interval_and_none_is_an_error():
    assert math.isinf(mean([3.0]).high)
    with pytest.raises(ValueError, match="at least one"):
        mean([])


def test_the_bootstrap_repeats_with_its_seed_and_holds_the_estimate():
    x = list(np.random.default_rng(1).exponential(size=60))
    first, again = bootstrap(x, seed=4), bootstrap(x, seed=4)
    assert first == again
    assert first.low < first.value < first.high


def test_an_interval_without_ends_survives_json():
    one = mean([2.0])
    assert Interval.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False))) == one
