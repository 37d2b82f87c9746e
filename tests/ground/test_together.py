import asyncio

import pytest

from tandem.together import each, together


async def after(turns, value=None, ended=None, error=None):
    """`value` after some turns of the loop; `ended` hears how it ended."""
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
        if error is not None:
            raise error
        if ended is not None:
            ended.append((value, "done"))
        return value
    except asyncio.CancelledError:
        ended.append((value, "given up"))
        raise


def test_results_come_in_order_whoever_ends_first():
    assert asyncio.run(together(after(9 - n, n) for n in range(9))) == list(range(9))


def test_the_first_error_is_raised_as_it_is_and_nothing_is_left_running():
    async def run():
        ended = []
        with pytest.raises(KeyError, match="here"):
            await together([after(1, "early", ended), after(3, error=KeyError("here")), after(99, "late", ended)])
        return ended, len(asyncio.all_tasks())

    assert asyncio.run(run()) == ([("early", "done"), ("late", "given up")], 1)


def test_whoever_is_cancelled_gives_up_what_it_waits_for():
    async def run():
        ended = []
        waiting = asyncio.ensure_future(together(after(99, n, ended) for n in range(2)))
        await after(3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return ended, len(asyncio.all_tasks())

    assert asyncio.run(run()) == ([(0, "given up"), (1, "given up")], 1)


@pytest.mark.parametrize(("items", "at_once", "most"), [(10, 3, 3), (2, 3, 2), (0, 3, 0), (7, 1, 1)])
def test_so_many_are_under_way_at_once_and_begin_in_order(items, at_once, most):
    begun, under_way, seen = [], set(), [0]

    async def do(item):
        begun.append(item)
        under_way.add(item)
        seen.append(len(under_way))
        await after(1 + item % 4)
        under_way.remove(item)
        return -item

    assert asyncio.run(each(range(items), do, at_once)) == [-n for n in range(items)]
    assert (begun, max(seen)) == (list(range(items)), most)


def test_after_an_error_nothing_more_begins():
    begun = []

    async def do(item):
        begun.append(item)
        await after(1)
        if item == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        asyncio.run(each(range(100), do, 2))
    assert len(begun) < 10
