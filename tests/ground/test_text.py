import pytest

from tandem import text


@pytest.mark.parametrize(("n", "shown"), [(6895702016, "6.90 B"), (3300, "3.30 K"), (12, "12"), (1.5e12, "1.50 T")])
def test_a_quantity_has_three_digits_and_a_unit(n, shown):
    assert text.quantity(n) == shown


@pytest.mark.parametrize(
    ("s", "shown"), [(3.21, "3.2 s"), (59.7, "1 min 0 s"), (3725, "1 h 2 min"), (200_000, "2 d 7 h")]
)
def test_a_duration_is_shown_in_its_two_largest_units(s, shown):
    assert text.duration(s) == shown
