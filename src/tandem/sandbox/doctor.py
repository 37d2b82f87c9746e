"""What this machine can do to confine a program: every layer, and small attempts to break each property.

The attempts are harmless programs that say what they could do. A machine where one succeeds is named, not excused.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import dataclass

from tandem.sandbox.layers import GUARDS, Layers
from tandem.sandbox.limits import MIB, Limits
from tandem.sandbox.pool import Sandbox

_ATTEMPTS = {
    "files": "open({planted!r}).read()",
    "network": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "other processes": "import os; os.kill(os.getppid() or {parent}, 0)",
    "the kernel": "import ctypes; assert ctypes.CDLL(None).syscall({tracing}, 0, 0, 0, 0) != -1, 'ptrace is refused'",
    "rights": "import os; os.chroot('/')",
    "memory and time": "x = bytearray({memory}); x[::4096] = b'1' * len(x[::4096])",
    "the deadline": "while True: pass",
}


@dataclass(frozen=True)
class Examination:
    """What was found."""

    layers: Layers
    """What is in force."""
    held: dict[str, str]
    """Property → what became of an attempt to break it; "" when it succeeded."""
    start: float
    """Median seconds from a request to the end of an empty program."""
    verdicts: float
    """Verdicts a second, one at a time, on a program of one line."""


async def examine() -> Examination:
    """Try every property. Raises `UserError` or `Failure` where nothing can be run at all."""
    limits = Limits(cpu=1, wall=5, memory=256 * MIB)
    with tempfile.NamedTemporaryFile("w", prefix="tandem-doctor-", suffix=".txt") as file:
        file.write("planted")
        file.flush()
        facts = {
            "planted": file.name,
            "parent": os.getpid(),
            "tracing": {"x86_64": 101, "aarch64": 117}.get(os.uname().machine, 101),
            "memory": 2 * limits.memory,
        }
        async with Sandbox(workers=1, limits=limits, required=("limits", "deadline")) as sandbox:
            held = {}
            for name in GUARDS:
                ran = await sandbox.run(_ATTEMPTS[name].format(**facts))
                last = ran.err.strip().splitlines()
                held[name] = "" if ran.outcome == "passed" else (last[-1][:100] if last else ran.text)
            spent = []
            for _ in range(30):
                began = time.perf_counter()
                await sandbox.run("")
                spent.append(time.perf_counter() - began)
            return Examination(sandbox.layers(), held, statistics.median(spent), 1 / statistics.median(spent))
