"""From the fork to the first line nobody trusts: every layer that a single run puts on, then its role.

Runs in the child. A layer that cannot be put on ends the child before it has set its mark; that is never a verdict.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import mmap
import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tandem.sandbox import candidate, examiner, filter, kernel, limits, plain


@dataclass(frozen=True)
class Confinement:
    """What the warm process has prepared for its children."""

    layers: frozenset[str]
    """Layers in force."""
    mapped: int
    """Bytes of address space the warm process maps."""
    memory: int
    """Bytes a run may take unless it is told otherwise."""
    marks: mmap.mmap
    """Shared bytes, one for each child of a run: set by a child that is confined, which then lets go of them."""


def become(role: str, place: Confinement, held: dict[str, Any], handles: Sequence[int], mark: int) -> None:
    """Confine this process, set its mark, and play a role until it ends. Never returns."""
    try:
        _confine(place, held, handles)
        place.marks[mark] = 1
        place.marks.close()
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"sandbox: {error}\n".encode())
        os._exit(1)
    leave, status = os._exit, 1  # held here: a program may have emptied every module it can find
    try:
        status = _play(role, handles)
    finally:
        leave(status & 0xFF)


def _play(role: str, handles: Sequence[int]) -> int:
    """Play a role to its end; the exit status it asks for."""
    status = 0
    try:
        (_ROLES.get(role) or sys.modules[role].play)(list(handles))
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException as error:
        status = 1
        with contextlib.suppress(BaseException):
            error.__traceback__ = _from_program(error.__traceback__)
            sys.excepthook(type(error), error, error.__traceback__)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    return status


def _confine(place: Confinement, held: dict[str, Any], handles: Sequence[int]) -> None:
    """Put on what a run does not inherit: keep nothing open but its own, limits, no capabilities, the second filter."""
    last = 2
    for handle in sorted(handles):
        if handle > last + 1:
            os.closerange(last + 1, handle)
        last = handle
    os.closerange(last + 1, 1 << 16)
    if "limits" in place.layers:
        limits.hold(held["cpu"], None if held["memory"] == place.memory else held["memory"], place.mapped)
    if "privileges" in place.layers:
        kernel.drop_capabilities()
    if "seccomp" in place.layers:
        kernel.install_filter(filter.run(os.getpid()))


def _from_program(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the program's own first frame on."""
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith("<"):
        trace = trace.tb_next
    return trace


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
    try:
        candidate.load(_all(code), "__main__")
    finally:  # what an interpreter does at its end
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()


def _outputs(out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    for handle in {out, err}:
        os.close(handle)


# other roles are modules that the warm process has prepared: their `play` gets the request's text and the output
_ROLES = {"candidate": _candidate, "examine": _examine, "keep-examining": _keep_examining, "program": _program}
