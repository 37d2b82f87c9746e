"""Idle threads that sleep: torch's workers give their core back between two parallel regions.

GNU's OpenMP, which torch brings along, lets a thread that has nothing to do spin for milliseconds. On a machine that
does anything else besides, two spinning threads take the cores from the one that works: a training step on 2 busy cores
took 6.8 s spinning and 2.0 s sleeping (small shape of `benchmarks/training.py`). What this does not do: choose how many
threads there are. Rejected: a shorter spin (2.7 s in the same place).
"""

from __future__ import annotations

import os
import sys


def sleep_while_idle() -> bool:
    """Ask OpenMP to put idle threads to sleep, unless the user's environment says otherwise already.

    It is read once, when torch is loaded: call this first. False when it is too late.
    """
    if "torch" in sys.modules:
        return False
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"
    return True
