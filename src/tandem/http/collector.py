"""Python's garbage collector while calls are under way: it looks less often.

It goes through all young objects whenever so many more were made than freed (700, or 2,000 in later Pythons), and
through all there are after some rounds of that. A call that waits for its answer is about a hundred objects, none of
which only the collector could free: with 512 calls at once it took a quarter of the processor time and found nothing.

What this does not do: switch it off, or overrule a program that has set its own thresholds. As they were found, they
come back when the last connection is closed. Rejected: `gc.freeze`, after which what is alive is never looked at again.
"""

from __future__ import annotations

import gc
import threading

OBJECTS = 50_000
"""More objects made than freed before it looks."""
_USUAL = 2_000
"""The most that Python itself sets."""

_lock = threading.Lock()
_relaxed = 0
_found: tuple[int, int, int] | None = None


def relax() -> None:
    """Let it look less often; every call needs one of `restore`."""
    global _relaxed, _found
    with _lock:
        _relaxed += 1
        now = gc.get_threshold()
        if _relaxed == 1 and 0 < now[0] <= _USUAL:
            _found = now
            gc.set_threshold(OBJECTS, *now[1:])


def restore() -> None:
    """What `relax` found, when nobody needs it any more and nobody else has changed it."""
    global _relaxed, _found
    with _lock:
        _relaxed -= 1
        if not _relaxed and _found is not None:
            if gc.get_threshold()[0] == OBJECTS:
                gc.set_threshold(*_found)
            _found = None
