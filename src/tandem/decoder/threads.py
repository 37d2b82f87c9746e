"""How torch's idle worker threads wait: briefly spinning on a quiet machine, asleep on a busy one.

GNU's OpenMP, which torch brings along, lets a thread that has nothing to do spin for milliseconds. On a machine that
does anything else besides, two spinning threads take the cores from the one that works: a whole training loop made 354
tokens/s spinning and 2,465 sleeping. On a quiet machine waking a thread costs more than a short spin: 3,700 tokens/s
sleeping, 6,500 after a spin of 10,000 turns, and no more after the 300,000 that are the default.

Each thread that computes has a team of workers of its own, and when teams outnumber the cores nobody spins: a model
loaded in one thread and served in another took 102 ms a step instead of 66. So what is done once is done `apart`.

What this does not do: choose how many threads there are, or notice a load that comes later; `OMP_WAIT_POLICY=passive`
in the environment is for machines that are always shared.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

BUSY = 0.75
"""Runnable processes per core, over the last minute, from which the machine counts as busy."""
SHORT_SPIN = "10000"
"""Turns a thread spins on a quiet machine before it sleeps."""


def sleep_while_idle() -> bool:
    """Ask OpenMP for threads that soon sleep, or at once on a busy machine, unless the environment says otherwise.

    It is read once, when torch is loaded: call this first. False when it is too late.
    """
    if "torch" in sys.modules:
        return False
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        busy = hasattr(os, "getloadavg") and os.getloadavg()[0] >= BUSY * (os.cpu_count() or 1)
        if busy:
            os.environ["OMP_WAIT_POLICY"] = "passive"
        else:
            os.environ["GOMP_SPINCOUNT"] = SHORT_SPIN
    return True


def apart(work: Callable[[], T]) -> T:
    """Do something in a thread that ends with it, whose team of workers ends too; what it raises is raised here."""
    with ThreadPoolExecutor(1, thread_name_prefix="tandem-apart") as thread:
        return thread.submit(work).result()
