"""Limits are never passed: the worst case is set aside before a call and what it did cost is charged after."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import BudgetSpent, UserError
from tandem.lm.budget import Budget, Cost, Prices, accounting
from tandem.types import Usage


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 10))


@pytest.mark.parametrize(
    ("limits", "worst", "what"),
    [
        ({"money": 1.0}, Cost(money=1.01), "money"),
        ({"tokens": 100}, Cost(tokens=101), "tokens"),
        ({"calls": 0}, Cost(calls=1), "calls"),
        ({"seconds": 0.0}, Cost(), "seconds"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_with_the_limit_and_the_figures(limits, worst, what):
    with pytest.raises(BudgetSpent, match=f"budget of {what} is spent") as error:
        run(Budget(**limits).reserve(worst))
    assert "raise the limit" in error.value.remedy


def test_a_call_that_fits_exactly_is_allowed():
    async def main():
        budget = Budget(money=0.3)
        for _ in range(3):
            (await budget.reserve(Cost(money=0.1))).settle()
        with pytest.raises(BudgetSpent):
            await budget.reserve(Cost(money=0.001))

    run(main())


def test_what_a_call_did_not_take_is_there_for_the_next():
    async def main():
        budget = Budget(tokens=100)
        for spent in range(0, 91, 10):
            reservation = await budget.reserve(Cost(tokens=10 if spent == 90 else 100 - spent))
            reservation.settle(Cost(tokens=10))
        assert budget.spent == Cost(tokens=100) and budget.reserved == Cost()

    run(main())


def test_only_the_first_of_settling_and_releasing_counts():
    async def main():
        budget = Budget(tokens=100)
        reservation = await budget.reserve(Cost(tokens=50))
        reservation.release()
        reservation.settle()
        assert budget.spent == Cost()

    run(main())


def test_a_call_waits_for_those_under_way_and_is_refused_once_it_cannot_fit():
    async def main():
        budget = Budget(tokens=100)
        first = await budget.reserve(Cost(tokens=80))
        second = asyncio.create_task(budget.reserve(Cost(tokens=60)))
        third = asyncio.create_task(budget.reserve(Cost(tokens=60)))
        await asyncio.sleep(0.01)
        assert not second.done()
        first.settle(Cost(tokens=10))
        (await second).settle(Cost(tokens=60))
        with pytest.raises(BudgetSpent):
            await third

    run(main())


def test_a_later_small_call_does_not_overtake_a_large_one_that_waits():
    async def main():
        budget = Budget(tokens=100)
        first = await budget.reserve(Cost(tokens=80))
        large = asyncio.create_task(budget.reserve(Cost(tokens=90)))
        await asyncio.sleep(0)
        small = asyncio.create_task(budget.reserve(Cost(tokens=5)))
        await asyncio.sleep(0.01)
        assert not small.done()
        first.release()
        await large
        await small

    run(main())


def test_one_who_stops_waiting_leaves_the_line_and_holds_nothing():
    async def main():
        budget = Budget(tokens=100)
        first = await budget.reserve(Cost(tokens=80))
        waiting = [asyncio.create_task(budget.reserve(Cost(tokens=n))) for n in (90, 10)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await waiting[1]  # had stood behind it
        first.release()
        assert budget.reserved == Cost(tokens=10)

    run(main())


def test_one_who_is_cancelled_at_the_very_moment_of_the_grant_gives_it_back():
    async def main():
        budget = Budget(tokens=100)
        first = await budget.reserve(Cost(tokens=80))
        waiting = asyncio.create_task(budget.reserve(Cost(tokens=90)))
        await asyncio.sleep(0)
        first.release()  # the grant is on its way
        waiting.cancel()
        await asyncio.sleep(0.01)
        assert waiting.cancelled() and budget.reserved == Cost()

    run(main())


def test_seconds_begin_with_the_first_call_and_end_the_waiting_too():
    async def main():
        budget = Budget(seconds=0.05, calls=1)
        time.sleep(0.06)
        first = await budget.reserve(Cost(calls=1))
        waiting = asyncio.create_task(budget.reserve(Cost(calls=1)))
        await asyncio.sleep(0.06)
        first.release()
        with pytest.raises(BudgetSpent, match="seconds"):
            await waiting

    run(main())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1), st.sampled_from("srx")), max_size=40), st.integers(0, 120)
)
def test_no_limit_is_ever_passed_and_nothing_stays_set_aside(calls, limit):
    async def main():
        budget = Budget(tokens=limit)
        refused = 0

        async def call(worst, share, end):
            nonlocal refused
            try:
                reservation = await budget.reserve(Cost(tokens=worst))
            except BudgetSpent:
                refused += 1
                assert budget.spent.tokens + worst > limit
                return
            assert budget.spent.tokens + budget.reserved.tokens <= limit
            await asyncio.sleep(random.random() / 1000)
            if end == "r":
                reservation.release()
            else:
                reservation.settle(Cost(tokens=int(worst * share)) if end == "s" else None)

        await asyncio.gather(*(call(*one) for one in calls))
        assert budget.reserved == Cost() and budget.spent.tokens <= limit

    run(main())


def test_threads_with_event_loops_of_their_own_share_a_budget():
    budget, granted = Budget(tokens=1000), []

    async def some():
        for _ in range(40):
            try:
                reservation = await budget.reserve(Cost(tokens=30))
            except BudgetSpent:
                return
            await asyncio.sleep(0)
            reservation.settle(Cost(tokens=10))
            granted.append(1)

    threads = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert budget.spent.tokens == 10 * len(granted) == 980 and budget.reserved == Cost()


def test_prices_are_per_million_tokens_and_cached_ones_are_cheaper():
    prices = Prices(input=3.0, output=15.0, cached=0.3)
    assert prices.money(Usage(1_000_000, 100_000, cached_tokens=400_000)) == pytest.approx(1.8 + 0.12 + 1.5)
    assert Prices(3.0, 15.0).money(Usage(1_000_000, 0, cached_tokens=400_000)) == pytest.approx(3.0)


@pytest.mark.parametrize(
    "make", [lambda: Prices(-1, 1), lambda: Prices(1, float("nan")), lambda: Budget(money=-1), lambda: Budget(calls=-1)]
)
def test_negative_prices_and_limits_are_refused(make):
    with pytest.raises(UserError, match="cannot be"):
        make()


def test_an_account_holds_the_charges_of_calls_made_inside_it_and_in_tasks_begun_there():
    async def call(budget, worst, actual):
        (await budget.reserve(Cost(tokens=worst, calls=1))).settle(Cost(tokens=actual, calls=1))

    async def work(budget, n):
        with accounting() as account:
            await asyncio.gather(*(call(budget, 40, n) for _ in range(3)))
        await call(budget, 40, 1)
        return account

    async def main():
        budget = Budget(tokens=110)  # two fit beside each other: others are granted from whoever settles
        accounts = await asyncio.gather(work(budget, 5), work(budget, 10))
        assert [account.spent for account in accounts] == [Cost(0, 15, 3), Cost(0, 30, 3)]
        assert [account.spare.tokens for account in accounts] == [35, 30]
        assert budget.spent == Cost(0, 47, 8)

    run(main())
