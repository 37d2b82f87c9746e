from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.order import Order


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 5000), seed=st.integers(-(2**70), 2**70))
def test_every_place_is_taken_exactly_once(n: int, seed: int) -> None:
    assert sorted(Order(n, seed)(np.arange(n)).tolist()) == list(range(n))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 1 << 62), seed=st.integers(0, 2**32), data=st.data())
def test_the_inverse_finds_the_index_of_a_place_in_any_range(n: int, seed: int, data: st.DataObject) -> None:
    some = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20)), dtype=np.int64)
    order = Order(n, seed)
    assert (order.inverse(order(some)) == some).all()
    assert (order(some) < n).all()


def test_another_seed_or_label_is_another_order() -> None:
    index = np.arange(1000)
    orders = [Order(1000, 1)(index), Order(1000, 2)(index), Order(1000, 1, "second stage")(index)]
    assert all((a != b).mean() > 0.9 for i, a in enumerate(orders) for b in orders[:i])


def test_over_seeds_an_index_goes_everywhere_equally_often() -> None:
    for n in (7, 100):
        places = np.array([Order(n, seed)(np.arange(n)) for seed in range(3000)])
        for index in (0, n // 2, n - 1):
            counts = np.bincount(places[:, index], minlength=n)
            chi_squared = ((counts - 3000 / n) ** 2 / (3000 / n)).sum()
            # Mean n-1, deviation √(2(n-1)); six deviations above.
            assert chi_squared < n - 1 + 6 * np.sqrt(2 * (n - 1))


def test_neighbours_do_not_stay_together() -> None:
    places = Order(1_000_000, 3)(np.arange(20_000)).astype(float)
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(np.arange(20_000), places)[0, 1]) < 0.04


def test_an_index_alone_and_among_others_goes_to_the_same_place() -> None:
    order = Order(12_345, 9)
    together = order(np.arange(12_345))
    assert all(order(np.array([i]))[0] == together[i] for i in range(0, 12_345, 617))
