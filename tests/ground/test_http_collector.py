"""The garbage collector looks less often while somebody calls, and as often as before when nobody does."""

import asyncio
import gc

import pytest

from loopback_server import Act, LoopbackServer
from tandem.http import Caller
from tandem.http.collector import OBJECTS


@pytest.fixture(autouse=True)
def thresholds():
    found = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*found)


def seen(*, between=lambda: None):
    """Thresholds before, during and after the calls of two callers."""
    thresholds = [gc.get_threshold()]

    async def main():
        async with LoopbackServer(lambda request: Act(body={"ok": True})) as server:
            callers = [Caller(server.url, {}) for _ in range(2)]
            for caller in callers:
                await caller.post("/chat", {})
            between()
            thresholds.append(gc.get_threshold())
            for caller in callers:
                await caller.close()
                await caller.close()

    asyncio.run(main())
    return [*thresholds, gc.get_threshold()]


def test_it_looks_less_often_until_the_last_caller_is_closed():
    assert seen() == [(700, 10, 10), (OBJECTS, 10, 10), (700, 10, 10)]
    assert seen()[1:] == [(OBJECTS, 10, 10), (700, 10, 10)]


@pytest.mark.parametrize("own", [0, 9000])
def test_what_a_program_has_set_itself_stays(own):
    gc.set_threshold(own, 10, 10)
    assert seen() == [(own, 10, 10)] * 3


def test_what_a_program_sets_meanwhile_stays():
    assert seen(between=lambda: gc.set_threshold(9000, 10, 10))[2] == (9000, 10, 10)
