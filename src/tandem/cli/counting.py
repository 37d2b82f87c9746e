"""Progress of many prompts: one live line on a terminal, a plain line now and then everywhere else.

120/500 · 1.42 K tokens/s · 3 re-used · 1 failed · cost 0.0123 · 2 min 5 s left
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from tandem.cli.asking import columns, cost_of
from tandem.cli.progress import BETWEEN_LINES
from tandem.text import count, duration, quantity

if TYPE_CHECKING:
    from tandem.lm.answer_file import Standing
    from tandem.lm.model import Model

BETWEEN_DRAWINGS = 0.2
"""Seconds between two looks of the live line."""
PACE_OVER = 60.0
"""Seconds that the pace is taken over."""


class Pace:
    """How long the rest takes, by the pace of the latest minute: what was recorded before comes all at once."""

    def __init__(self, now: float) -> None:
        self._looks = deque([(now, 0)])

    def left(self, now: float, done: int, total: int) -> float | None:
        """Seconds for the rest; None while nothing tells."""
        self._looks.append((now, done))
        while len(self._looks) > 2 and self._looks[1][0] <= now - PACE_OVER:
            self._looks.popleft()
        then, before = self._looks[0]
        return (now - then) / (done - before) * (total - done) if done > before else None


def describe(
    model: Model, standing: Standing, total: int, seconds: float, left: float | None = None, seen: int = 0
) -> str:
    """One look at a run in words; `seen` are the tokens that were seen coming in answers not yet complete, too."""
    done, written = standing.done, max(seen, model.usage.completion_tokens)
    parts = [f"{count(done)}/{count(total)}"]
    if written and seconds > 0:
        parts.append(f"{quantity(round(written / seconds, 1))} tokens/s")
    if written and not done:
        parts.append(f"{quantity(written)} tokens so far")
    parts += [f"{count(n)} {name}" for name in ("re-used", "refusal") if (n := model.tally[name])]
    if standing.failures:
        parts.append(f"{count(standing.failures)} failed")
    if cost := cost_of(model):
        parts.append(cost)
    if left is not None and done < total:
        parts.append(f"{duration(left)} left")
    return " · ".join(parts)


@contextlib.contextmanager
def counting(model: Model, standing: Standing, total: int) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
    """Gives a coroutine function that shows progress on standard error until it is cancelled."""
    from tandem.lm.growing import watching

    begun = time.monotonic()
    live = sys.stderr.isatty()
    pace, seen = Pace(begun), 0

    def token(_: str) -> None:
        nonlocal seen
        seen += 1

    def look() -> str:
        now = time.monotonic()
        return describe(model, standing, total, now - begun, pace.left(now, standing.done, total), seen)

    async def show() -> None:
        while True:
            await asyncio.sleep(BETWEEN_DRAWINGS if live else BETWEEN_LINES)
            if live:
                width = columns() - 1
                print(f"\r\x1b[K{look()[:width]}", end="", file=sys.stderr, flush=True)
            else:
                print(look(), file=sys.stderr, flush=True)

    try:
        with watching(token):
            yield show
    finally:
        print(f"\r\x1b[K{look()}" if live else look(), file=sys.stderr, flush=True)
