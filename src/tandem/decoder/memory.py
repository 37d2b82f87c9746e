"""Freed memory that stays with the process: a training step's activations are the same every step.

glibc gives large blocks back to the kernel when they are freed, and asks again a millisecond later; each new page is
zeroed and mapped anew, which on a CPU costs a training step more than its norms and activations do. What this does
not do: touch CUDA's or macOS's allocators. Rejected: LD_PRELOAD of another allocator (the user would set it up).
"""

from __future__ import annotations

import ctypes
import sys

from tandem.decoder.shape import Shape

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let malloc keep what is freed for the rest of the process; True where that is possible (Linux with glibc).

    Call it once, before the first large tensor. The peak is unchanged; between peaks the process holds on to it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = (
        (_M_MMAP_THRESHOLD, 2**30),
        (_M_TRIM_THRESHOLD, _LARGEST),
        (_M_TOP_PAD, 64 * 2**20),
        (_M_ARENA_MAX, 1),  # what one thread frees (the one that loads a model) serves the next (the engine's)
    )
    return all(mallopt(name, value) == 1 for name, value in settings)


_CACHED_TOKENS = 2048
"""Tokens whose activations, at the widths a CPU trains, pass from one step to the next through its cache."""


def advised_rows(shape: Shape, context: int, device: str) -> int:
    """Rows of `context` tokens per micro-batch: on a CPU what its cache holds; elsewhere what fills the device.

    Accumulating over micro-batches costs one addition of the gradients each; activations that stay in the cache gain
    more. On accelerators it is 32,768 tokens: beyond it a matrix product of these widths is no faster.
    """
    return max(1, (_CACHED_TOKENS if device == "cpu" else 32_768) // context)
