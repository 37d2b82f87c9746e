"""From the fork to the first line nobody trusts: every layer that a single run puts on, then its role.

Runs in the child. A layer that cannot be put on ends the child with `NOT_CONFINED`, which is never a verdict.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tandem.sandbox import candidate, examiner, filter, kernel, limits, plain

NOT_CONFINED = 97
"""Exit status of a child that could not be confined."""


@dataclass(frozen=True)
class Confinement:
    """What the warm process knows about confining its children."""

    layers: frozenset[str]
    """Layers to put on."""
    mapped: int
    """Bytes of address space the warm process maps."""
    landlock: int
    """Rules with the scratch folder writable; -1 without."""
    landlock_reading: int
    """Rules without any writable folder; -1 without."""
    scratch: str
    """The scratch folder."""
    devnull: int
    """An open `/dev/null`."""


def become(role: str, place: Confinement, held: dict[str, Any], handles: Sequence[int]) -> None:
    """Confine this process and play a role until it ends. Never returns."""
    try:
        ready = _confine(place, held, handles, scratch=role in ("candidate", "program"))
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"sandbox: {error}\n".encode())
        os._exit(NOT_CONFINED)
    status = 0
    try:
        _ROLES[role](ready)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        status = 1
        with contextlib.suppress(BaseException):
            sys.excepthook(*sys.exc_info())
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    os._exit(status & 0xFF)


def _confine(place: Confinement, held: dict[str, Any], handles: Sequence[int], *, scratch: bool) -> list[int]:
    """Put on every layer; the handles for the role, renumbered from 3 on, everything else closed."""
    os.setsid()
    rules = place.landlock if scratch else place.landlock_reading
    spare = [os.dup2(h, 32 + i) for i, h in enumerate((place.devnull, rules if rules >= 0 else place.devnull, *handles))]
    os.dup2(spare[0], 0)
    for i, handle in enumerate(spare[1:]):
        os.dup2(handle, 3 + i, inheritable=False)
    os.closerange(3 + len(spare) - 1, 4096)
    os.chdir(place.scratch if scratch else "/")
    on = place.layers
    if "limits" in on:
        limits.hold(held["cpu"], held["memory"], place.mapped)
    if "landlock" in on or "privileges" in on or "seccomp" in on:
        kernel.no_new_privileges() if kernel.LINUX else None
    if "landlock" in on:
        kernel.landlock_enforce(3)
    os.close(3)
    if "privileges" in on:
        kernel.drop_capabilities()
    if "seccomp" in on:
        kernel.install_filter(filter.program(os.getpid(), also=tuple(held.get("also_calls", ()))))
    signal.set_wakeup_fd(-1)
    gc.enable()
    return list(range(4, 4 + len(handles)))


def _all(handle: int) -> str:
    """The whole text behind a handle."""
    parts, position, size = [], 0, os.fstat(handle).st_size
    while position < size and (part := os.pread(handle, size - position, position)):
        parts.append(part)
        position += len(part)
    os.close(handle)
    return b"".join(parts).decode("utf-8", "surrogatepass")


def _candidate(handles: list[int]) -> None:
    """Handles: the program's text, the channel to the examiner, where stray output goes."""
    code, channel, out = handles
    _outputs(out, out)
    candidate.serve(plain.Channel(channel), _all(code))


def _examine(handles: list[int]) -> None:
    """Handles: the tests, the channel to the candidate, the report."""
    tests, channel, report = handles
    examiner.examine(plain.Channel(channel), json.loads(_all(tests)), examiner.reporter(report))


def _keep_examining(handles: list[int]) -> None:
    """Handle: a channel to the warm process, which sends an examination's handles and hears when it is over."""
    orders = socket.socket(fileno=handles[0])
    while True:
        message, given, _, _ = socket.recv_fds(orders, 16, 3)
        if not message:
            return
        _examine(given)
        for handle in given[1:]:
            os.close(handle)
        orders.send(b"done")


def _program(handles: list[int]) -> None:
    """Handles: the program's text, standard output, standard error, standard input."""
    code, out, err, stdin = handles
    _outputs(out, err)
    os.dup2(stdin, 0)
    os.close(stdin)
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", errors="replace", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    sys.argv = ["program"]
    candidate.load(_all(code), "__main__")


def _outputs(out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    for handle in {out, err}:
        os.close(handle)


_ROLES = {"candidate": _candidate, "examine": _examine, "keep-examining": _keep_examining, "program": _program}
