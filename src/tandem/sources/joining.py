"""A call that several want at once: made once, joined by who comes later, given up when nobody waits for it any more.

What this does not do: remember what came (`recorded`, `blocking.Once`), or join callers of two event loops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


@dataclass(eq=False)
class _Call(Generic[T]):
    """A call under way, and how many wait for it."""

    task: asyncio.Task[T]
    waiting: int = 0


class Joined(Generic[T]):
    """Calls under way, by key."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Call[T]]] = WeakKeyDictionary()

    def __contains__(self, key: str) -> bool:
        """Whether a call is under way in the running event loop."""
        return key in self._calls()

    async def join(self, key: str, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the call under way gives, or the one that begins now. Raises what it raises."""
        calls = self._calls()
        call = calls.get(key)
        if call is None:
            call = calls[key] = _Call(asyncio.create_task(begin()))
            call.task.add_done_callback(lambda task: _landed(calls, key, task))
        call.waiting += 1
        try:
            return await asyncio.shield(call.task)
        except asyncio.CancelledError:
            if call.waiting == 1 and not call.task.done():
                if calls.get(key) is call:
                    del calls[key]  # who comes next does not join what is being given up
                call.task.cancel()
            raise
        finally:
            call.waiting -= 1

    def _calls(self) -> dict[str, _Call[T]]:
        return self._loops.setdefault(asyncio.get_running_loop(), {})


def _landed(calls: dict[str, _Call[T]], key: str, task: asyncio.Task[T]) -> None:
    if key in calls and calls[key].task is task:
        del calls[key]
    if not task.cancelled():
        task.exception()  # everybody who waited may be gone
