import asyncio
import bisect
import time

import pytest

from tandem.errors import UserError
from tandem.http.pace import Allowance, Limits, LongPause, Pace


async def full_round(pace, outcome="clean"):
    """As many requests as the limit, all in flight at once, then all ended the same way."""
    tickets = [await pace.enter() for _ in range(pace.limit)]
    for ticket in tickets:
        pace.leave(ticket, outcome)


def test_the_limit_doubles_with_every_clean_round_up_to_the_users_limit():
    async def limits():
        pace = Pace(Limits(concurrency=100))
        seen = [pace.limit]
        for _ in range(4):
            await full_round(pace)
            seen.append(pace.limit)
        return seen

    assert asyncio.run(limits()) == [20, 40, 80, 100, 100]


def test_a_limit_that_is_never_reached_does_not_grow():
    async def limit():
        pace = Pace(Limits())
        for _ in range(100):
            pace.leave(await pace.enter(), "clean")
        return pace.limit

    assert asyncio.run(limit()) == 20


def test_all_refusals_of_requests_in_flight_at_a_cut_are_one_cut():
    async def pace_after():
        pace = Pace(Limits(first_pause=0))
        await full_round(pace, "limited")
        return pace

    pace = asyncio.run(pace_after())
    assert (pace.cuts, pace.limit, pace.in_flight) == (1, 16, 0)


def test_after_a_cut_the_limit_grows_by_a_twentieth_a_round():
    async def limits():
        pace = Pace(Limits(start=200, first_pause=0))
        await full_round(pace, "limited")
        seen = [pace.limit]
        for _ in range(3):
            await full_round(pace)
            seen.append(pace.limit)
        return seen

    assert asyncio.run(limits()) == [160, 168, 176, 185]


def test_a_second_episode_cuts_again():
    async def pace_after():
        pace = Pace(Limits(first_pause=0))
        await full_round(pace, "limited")
        await full_round(pace, "limited")
        return pace

    pace = asyncio.run(pace_after())
    assert (pace.cuts, pace.limit) == (2, 12)


def test_the_limit_never_falls_below_one():
    async def limit():
        pace = Pace(Limits(start=2, first_pause=0))
        for _ in range(20):
            pace.leave(await pace.enter(), "limited", 0)
        return pace.limit

    assert asyncio.run(limit()) == 1


def test_pauses_of_our_own_double_while_refusals_outnumber_answers_and_start_anew_after():
    async def pauses():
        pace = Pace(Limits(start=10, first_pause=0.01, longest_pause=60))
        seen = []
        for _ in range(3):
            await full_round(pace, "limited")
            seen.append(pace.pause)
        await full_round(pace)
        await full_round(pace)
        ticket = await pace.enter()
        pace.leave(ticket, "limited")
        seen.append(pace.pause)
        return seen

    assert asyncio.run(pauses()) == pytest.approx([0.01, 0.02, 0.04, 0.01], abs=0.004)


def test_nothing_is_sent_before_the_pause_a_server_asked_for_ends():
    async def waited():
        pace = Pace(Limits())
        first, second = await pace.enter(), await pace.enter()
        pace.leave(first, "limited", 0.1)
        pace.leave(second, "limited", 0.2)  # of the same episode, and longer
        began = time.monotonic()
        await asyncio.gather(*(pace.enter() for _ in range(5)))
        return time.monotonic() - began

    assert 0.19 < asyncio.run(waited()) < 1


def test_a_pause_too_long_to_wait_for_fails_those_who_wait_and_those_who_come():
    async def failures():
        pace = Pace(Limits(start=1, longest_pause=10))
        ticket = await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        pace.leave(ticket, "limited", 3600)
        with pytest.raises(LongPause):
            await pace.enter()
        return await asyncio.gather(*waiting, return_exceptions=True), pace

    failures_, pace = asyncio.run(failures())
    assert [type(e) for e in failures_] == [LongPause] * 3
    assert (pace.in_flight, pace.waiting) == (0, 0)


def test_turns_are_given_in_order_of_arrival_and_repeats_come_first():
    async def order():
        pace, seen = Pace(Limits(start=1)), []

        async def one(name, first=False):
            ticket = await pace.enter(first=first)
            seen.append(name)
            pace.leave(ticket, "clean")

        held = await pace.enter()
        tasks = [asyncio.create_task(one(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(one("repeat", first=True)))
        await asyncio.sleep(0)
        pace.leave(held, "other")
        await asyncio.gather(*tasks)
        return seen

    assert asyncio.run(order()) == ["repeat", "a", "b", "c"]


def test_cancelling_at_any_moment_leaves_no_turn_taken():
    async def pace_after(steps):
        pace = Pace(Limits(start=2))
        tickets = [await pace.enter(), await pace.enter()]
        waiting = [asyncio.create_task(pace.enter()) for _ in range(4)]
        await asyncio.sleep(0)
        for ticket in tickets:
            pace.leave(ticket, "clean")  # two of the waiting have their turn, and do not know yet
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        for task in await asyncio.gather(*waiting, return_exceptions=True):
            if not isinstance(task, BaseException):
                pace.leave(task, "clean")
        return pace

    for steps in range(3):
        pace = asyncio.run(pace_after(steps))
        assert (pace.in_flight, pace.waiting) == (0, 0), steps


def test_in_any_minute_no_more_is_let_go_than_allowed():
    for per_minute in (1, 7, 60, 600, 12_345):
        allowance, now, sent = Allowance(per_minute), 0.0, []
        while now < 150 and len(sent) < 4 * per_minute + 4:
            now += allowance.wait(now, 1)
            allowance.take(1)
            sent.append(now)
        for i, begin in enumerate(sent):
            assert bisect.bisect_left(sent, begin + 59.999) - i <= per_minute
        # and it is used: no less than nine tenths over the whole time
        assert len(sent) >= 0.9 * per_minute * min(now, 150) / 60


def test_requests_per_minute_are_kept_in_time():
    async def waited():
        pace = Pace(Limits(requests_per_minute=600))  # ten at once, then 9.85 a second
        began = time.monotonic()
        await asyncio.gather(*(pace.enter() for _ in range(13)))
        return time.monotonic() - began

    assert 0.28 < asyncio.run(waited()) < 1


def test_tokens_per_minute_are_kept_and_corrected():
    async def waited():
        pace = Pace(Limits(tokens_per_minute=6000))  # 100 at once
        await pace.enter(100)
        pace.settle(100, 90)
        began = time.monotonic()
        await pace.enter(30)  # ten are there, twenty lacking
        return time.monotonic() - began

    assert 0.15 < asyncio.run(waited()) < 0.8


def test_who_waits_behind_a_large_request_goes_at_once_when_that_is_cancelled():
    async def waited():
        pace = Pace(Limits(tokens_per_minute=6000))  # 100 at once, 98 a second
        await pace.enter(1000)
        pace.settle(1000, 90)
        large = asyncio.create_task(pace.enter(100_000))
        small = asyncio.create_task(pace.enter(5))
        await asyncio.sleep(0)
        began = time.monotonic()
        large.cancel()
        await small
        return time.monotonic() - began

    assert asyncio.run(waited()) < 0.3


def test_the_stricter_of_two_users_limits_holds():
    pace = Pace(Limits(concurrency=100, requests_per_minute=50))
    pace.tighten(Limits(concurrency=10, tokens_per_minute=70))
    assert (pace.limit, pace.limits.requests_per_minute, pace.limits.tokens_per_minute) == (10, 50, 70)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"start": 1.5}, {"tries": True}, {"first_pause": float("nan")}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match=r"limits\."):
        Limits(**wrong)
