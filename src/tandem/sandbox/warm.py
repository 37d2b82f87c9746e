"""One warm process, seen from the parent: started clean, given jobs, its outputs read, ended.

The programs travel in files without a name and their outputs in pipes, both handed over with the job, so that the warm
process never touches a byte of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import Failure
from tandem.sandbox.layers import Layers
from tandem.sandbox.limits import Limits

_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0


class Lost(Exception):  # noqa: N818 — a named outcome
    """The warm process has ended in the middle of a job."""


@dataclass(frozen=True)
class Job:
    """One run, as the warm process is asked for it."""

    roles: tuple[str, ...]
    texts: tuple[bytes, ...]
    """What each role reads first."""
    outputs: tuple[tuple[int, ...], ...]
    """For each role, how many bytes are kept of each pipe it writes to."""
    limits: Limits
    large: bool = False
    """Whether the program names one of the large modules."""
    stdin: bytes | None = None
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Ended:
    """What is known of a job when its processes have ended."""

    told: Mapping[str, Any]
    """The warm process's report."""
    outputs: tuple[bytes, ...]
    """What came through each pipe, its beginning."""
    dropped: int
    """Bytes beyond that."""


class Warm:
    """One warm process, seen from the parent."""

    def __init__(self, settings: Mapping[str, Any], note: Callable[[Layers], None]) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = here
        self._folder = ""
        clean = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": "/"}
        clean |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        clean |= {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
        path = [*(p for p in sys.path if p and Path(p).exists()), str(Path(__file__).parents[2])]
        start = f"import sys; sys.path[:] = {path!r}; from tandem.sandbox import worker; worker.main()"
        command = [sys.executable, "-s", "-S", "-P", "-c", start, str(there.fileno())]
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                command, env=clean, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                cwd="/", start_new_session=True,
            )  # fmt: skip
            there.close()
            self._control.send(json.dumps(settings).encode())
            self._control.settimeout(_START_SECONDS)
            try:
                told = json.loads(self._control.recv(1 << 20) or b"{}")
            except (OSError, ValueError) as error:
                told = {"failed": str(error)}
            if "active" not in told:
                self.close()
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace").strip().splitlines()
                reason = told.get("failed") or (said[-1] if said else "it ended at once")
                raise Failure(
                    f"a warm process could not be started: {reason}", where="sandbox", remedy="tandem sandbox doctor"
                )
        self._control.settimeout(None)
        self._folder = told["folder"]
        note(Layers(frozenset(told["active"]), told["missing"]))

    def do(self, job: Job) -> Ended:
        """Run one job to its end. Raises `Lost` when the warm process ends first."""
        kept = [size for sizes in job.outputs for size in sizes]
        pipes = [os.pipe() for _ in kept]
        reading, writing = [r for r, _ in pipes], [w for _, w in pipes]
        files = [_file(text) for text in job.texts]
        stdin = [_file(job.stdin)] if job.stdin is not None else []
        handles, counts, taken = [], [], 0
        for file, sizes in zip(files, job.outputs, strict=True):
            mine = [file, *writing[taken : taken + len(sizes)], *stdin]
            taken += len(sizes)
            handles += mine
            counts.append(len(mine))
        request = {"roles": job.roles, "handles": counts, "limits": vars(job.limits) | dict(job.extra or {})}
        try:
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], handles)
            except OSError as error:
                raise Lost(f"the warm process has gone: {error}") from None
            finally:
                for handle in (*writing, *files, *stdin):
                    os.close(handle)
            return self._collect(dict(zip(reading, kept, strict=True)), job.limits.wall)
        finally:
            for handle in reading:
                os.close(handle)

    def _collect(self, reading: Mapping[int, int], wall: float) -> Ended:
        """Read each output up to its size, drop the rest, until the warm process reports and the pipes are closed."""
        poll = select.poll()
        kept: dict[int, bytearray] = {}
        for handle in reading:
            os.set_blocking(handle, False)
            poll.register(handle, select.POLLIN)
            kept[handle] = bytearray()
        poll.register(self._control, select.POLLIN)
        open_, dropped, told = set(reading), 0, None
        while told is None or open_:
            events = poll.poll(1000 * (wall + _GRACE_SECONDS if told is None else _GRACE_SECONDS))
            if not events:
                if told is not None:
                    break  # a pipe that something still holds open: what came is what there is
                self.kill()
                raise Lost("the warm process does not answer")
            for handle, _ in events:
                if handle == self._control.fileno():
                    message = self._control.recv(1 << 16)
                    if not message:
                        raise Lost("the warm process ended in the middle of a run")
                    told = json.loads(message)
                    if "failed" in told:
                        raise Lost(f"the warm process failed: {told['failed']}")
                    poll.unregister(self._control)
                    continue
                part = os.read(handle, 1 << 16)
                if not part:
                    open_.discard(handle)
                    poll.unregister(handle)
                room = reading[handle] - len(kept[handle])
                kept[handle] += part[: max(0, room)]
                dropped += max(0, len(part) - max(0, room))
        return Ended(told, tuple(bytes(kept[h]) for h in reading), dropped)

    def kill(self) -> None:
        """End it and all it runs, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @property
    def status(self) -> int | None:
        """How it ended; None while it lives."""
        return self._process.poll()

    def close(self) -> None:
        """End it: closing the channel is enough, a signal makes sure."""
        self._control.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _file(text: bytes) -> int:
    """A file without a name that holds a text."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("text")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    view = memoryview(text)
    while view:
        view = view[os.write(handle, view) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
