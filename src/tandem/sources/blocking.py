"""Waiting, outside of an event loop, for what only coroutines can do: a description, say, that has to be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def finished(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine returns, run to its end in a thread with an event loop of its own; the caller waits."""
    with ThreadPoolExecutor(1, "tandem-source") as threads:
        return threads.submit(lambda: asyncio.run(begin())).result()
