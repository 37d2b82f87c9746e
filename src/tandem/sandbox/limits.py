"""How much one run may take, and the kernel's own limits that hold it to that.

Wall and CPU time are watched from outside (see `worker`); here are the limits a process carries itself. The address
space is limited relative to what the warm process maps already: libraries reserve far more than they use.
"""

from __future__ import annotations

import math
import os
import resource
from dataclasses import asdict, dataclass
from typing import Any

from tandem.errors import UserError

MIB = 1 << 20
DAY = 86_400
_LAST_OF_THE_WARM = 32


@dataclass(frozen=True)
class Limits:
    """How much one run may take."""

    cpu: float = 3.0
    """Seconds of processor time; what a verdict should rest on, since a busy machine does not change it much."""
    wall: float = 15.0
    """Seconds on the clock; ends what sleeps."""
    memory: int = 1024 * MIB
    """Bytes a run may take beyond what the warm process holds already."""
    output: int = MIB
    """Bytes kept of each output; the rest is counted and thrown away."""
    scratch: int = 64 * MIB
    """Bytes in its own writable folder."""
    threads: int = 32
    """Threads at a time. New processes are never allowed."""
    files: int = 64
    """Files open at a time."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise UserError(f"must be a positive number, is {value!r}", where=f"limits.{name}")


def mapped(proc: int) -> int:
    """Bytes of address space this process maps, out of an open `/proc`; 0 where the system does not tell."""
    try:
        with os.fdopen(os.open("self/statm", os.O_RDONLY, dir_fd=proc)) as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def hold_all(held: dict[str, Any], already: int, *, count_processes: bool) -> None:
    """Limits that every run inherits from the warm process; `already` is the address space it maps (see `mapped`)."""
    _set(resource.RLIMIT_FSIZE, held["scratch"])
    _set(resource.RLIMIT_NOFILE, _LAST_OF_THE_WARM + held["files"])
    _set(resource.RLIMIT_CORE, 1)  # 0 would still start the machine's own crash handler, where there is one
    for name in ("RLIMIT_MSGQUEUE", "RLIMIT_MEMLOCK", "RLIMIT_RTPRIO"):
        if hasattr(resource, name):
            _set(getattr(resource, name), 0)
    if count_processes:  # counted per user: only meaningful where the runs have a user to themselves
        _set(resource.RLIMIT_NPROC, held["threads"] + 4)  # beside the warm process and an examiner
    _memory(held["memory"], already)


def hold(cpu: float, memory: int | None, already: int) -> None:
    """Limits of one run: processor time, and memory where it differs from the others'."""
    seconds = math.ceil(cpu) + 1  # whole seconds only: the watch outside is finer, this is its net
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if memory is not None:
        _memory(memory, already)


def _memory(memory: int, already: int) -> None:
    if already:
        _set(resource.RLIMIT_AS, already + memory)
    _set(resource.RLIMIT_DATA, memory + min(already, 256 * MIB))


def _set(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
    resource.setrlimit(which, (value, value))
