from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.recipes.quantities import BYTE_UNITS, TOKEN_UNITS, n_bytes, tokens


@pytest.mark.parametrize(
    ("given_amount", "wanted"),
    [
        ("800B", 800 * 10**9),
        ("4M", 4_000_000),
        ("4Mi", 4_194_304),
        (879.37e9, 879_370_000_000),
        ("174.52 B", 174_520_000_000),
        ("600_000", 600_000),
        (600_000, 600_000),
        ("1,024", 1024),
        ("2e9", 2 * 10**9),
    ],
)
def test_tokens_are_understood_with_and_without_units(given_amount: object, wanted: int) -> None:
    assert tokens(given_amount) == wanted


@pytest.mark.parametrize(
    ("given_amount", "wanted"), [("6 MB", 6_000_000), ("1.5 GiB", 1_610_612_736), ("7B", 7), (12, 12), ("3kB", 3000)]
)
def test_bytes_are_understood_with_and_without_units(given_amount: object, wanted: int) -> None:
    assert n_bytes(given_amount) == wanted


@pytest.mark.parametrize(
    "bad", ["", "many", "6 MB", "-3", 0, -1, 0.5, 1.5, True, None, [3], float("nan"), float("inf"), "1.0001K"]
)
def test_what_is_no_number_of_tokens_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="number of tokens"):
        tokens(bad)


@given(st.integers(1, 10**6), st.sampled_from(sorted(TOKEN_UNITS)))
def test_a_whole_number_with_a_unit_is_exact(n: int, unit: str) -> None:
    assert tokens(f"{n}{unit}") == n * TOKEN_UNITS[unit]


@given(st.integers(1, 10**6), st.sampled_from(sorted(BYTE_UNITS)))
def test_bytes_are_exact_too(n: int, unit: str) -> None:
    assert n_bytes(f"{n} {unit}") == n * BYTE_UNITS[unit]
