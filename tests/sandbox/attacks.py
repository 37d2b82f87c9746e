"""Programs that try to break out, and what must be true after each: it was refused, in time, and the next run is right.

An attack is a script that ends with status 0 only where it succeeded. What ends it otherwise is said as a pattern, so
that an attack with a mistake in it is not taken for one that was refused; the same text must succeed with its guards
switched off (`test_guards_off`).
"""

import asyncio
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from tandem.sandbox import Limits, Sandbox, Tests

MIB = 1 << 20
LIMITS = Limits(cpu=2, wall=6, memory=256 * MIB, output=64 << 10, scratch=16 * MIB, threads=16, files=40)
RIGHT, WRONG = "def f(x): return x + 1", "def f(x): return 2"
ADDS_ONE = Tests(("assert f(1) == 2", "assert f(2) == 3"), entry=("f",), trusted=True)
REFUSED = r"PermissionError|Errno 1\b"

PRELUDE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def any_of(*attempts):
    last = OSError("nothing was tried")
    for attempt in attempts:
        try:
            attempt()
        except OSError as error:
            last = error
        else:
            return
    raise last
"""


@dataclass(frozen=True)
class Attack:
    """A script, and how it must end."""

    program: str
    ends: str = REFUSED
    """A pattern found in "outcome: text: last line of standard error"."""
    limits: Limits = field(default=LIMITS)
    stdin: str = ""

    def text(self, **facts) -> str:
        """The script with `$NAME` replaced by facts of the machine, as literals."""
        program = self.program
        for name, value in facts.items():
            program = program.replace("$" + name.upper(), repr(value))
        assert "$" not in program.replace("+$", ""), program
        return PRELUDE + program


def attempt(sandbox: Sandbox, attack: Attack, **facts):
    """Run an attack; what came of it."""
    return asyncio.run(sandbox.run(attack.text(**facts), stdin=attack.stdin, limits=attack.limits))


def told(ran) -> str:
    """How a run ended, in one line."""
    last = ran.err.strip().splitlines()[-1:]
    return f"{ran.outcome}: {ran.text}: {''.join(last)}"


def holds(sandbox: Sandbox, attack: Attack, **facts) -> None:
    """Assert that an attack is refused as it should be, in time, and leaves the sandbox as it was."""
    lost, began = sandbox.lost, time.monotonic()
    ran = attempt(sandbox, attack, **facts)
    assert ran.outcome not in ("passed", "infrastructure"), told(ran)
    assert re.search(attack.ends, told(ran)), f"{told(ran)}\n{ran.err}"
    assert time.monotonic() - began < attack.limits.wall + 5
    next_is_right(sandbox, lost)


def next_is_right(sandbox: Sandbox, lost: int) -> None:
    """Assert that the same warm process still tells right from wrong."""
    right, wrong = (sandbox.submit(program, ADDS_ONE).result(timeout=60) for program in (RIGHT, WRONG))
    assert (right.outcome, wrong.outcome) == ("passed", "failed"), (right.text, wrong.text)
    assert sandbox.lost == lost, sandbox.losses


def facts() -> dict:
    """What an attack may know of this machine."""
    return {"parent": os.getpid(), "home": str(Path.home()), "this": __file__}
