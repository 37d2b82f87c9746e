"""Coroutines that end together: all results in order, or the first error, with the others given up.

    results = await together(one(item) for item in items)
    results = await each(items, one, at_once=64)

Nothing is left running behind whoever waited, also where that one is cancelled. `asyncio.TaskGroup` would do the same
and wrap the error in a group, which would hide from callers what they are to catch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """What all of it gives, in order; where one fails, the others are given up before its error is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def each(items: Sequence[T], do: Callable[[T], Awaitable[R]], at_once: int) -> list[R]:
    """`do` for every item, so many at once, begun in order; results in order. The first error ends all."""
    results: dict[int, R] = {}
    rest = iter(enumerate(items))

    async def work() -> None:
        for place, item in rest:
            results[place] = await do(item)

    await together(work() for _ in range(min(at_once, len(items))))
    return [results[place] for place in range(len(items))]
