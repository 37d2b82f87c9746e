"""How long the rest of a run takes."""

import pytest

from tandem.cli.counting import PACE_OVER, Pace


def test_the_rest_takes_as_long_as_the_pace_says():
    pace = Pace(0.0)
    assert pace.left(0.0, 0, 100) is None
    assert pace.left(10.0, 20, 100) == pytest.approx(40.0)


def test_what_was_recorded_before_does_not_count_as_pace_for_long():
    pace = Pace(0.0)
    pace.left(1.0, 6000, 14000)  # recorded, all at once
    for second in range(2, 200):
        left = pace.left(float(second), 6000 + 2 * second, 14000)
    assert left == pytest.approx((14000 - 6000 - 2 * 199) / 2)


def test_a_pace_is_taken_over_the_latest_minute_however_rare_the_looks():
    pace = Pace(0.0)
    pace.left(100.0, 100, 1000)
    assert pace.left(100.0 + 2 * PACE_OVER, 220, 1000) == pytest.approx(780.0)


def test_without_progress_for_a_while_nothing_is_claimed():
    pace = Pace(0.0)
    pace.left(1.0, 5, 10)
    for second in range(2, 200):
        left = pace.left(float(second), 5, 10)
    assert left is None
