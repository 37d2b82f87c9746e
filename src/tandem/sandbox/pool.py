"""Run programs nobody trusts: warm processes, one thread each, and a queue of jobs before them.

    async with Sandbox() as sandbox:
        verdict = await sandbox.examine("def f(x): return x + 1", Tests(("assert f(1) == 2",), entry=("f",)))

The parent makes every verdict. A warm process that is lost is started again and its job run once more; a second loss is
reported as what it is, never as a wrong answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tandem.errors import Failure, UserError
from tandem.sandbox.child import NOT_CONFINED
from tandem.sandbox.layers import ALL, Layers, demand
from tandem.sandbox.limits import Limits
from tandem.sandbox.verdict import Outcome, Ran, Tests, Verdict, infrastructure, judge

PRELOAD = (
    "abc array bisect calendar cmath collections copy dataclasses datetime decimal enum fractions functools heapq itertools "
    "json math numbers operator random re statistics string struct textwrap time types typing unicodedata numpy"
).split()
"""Modules the warm process imports, so that no run pays for it; one that is not installed is passed over."""
_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0


class _Lost(Exception):
    """The warm process has ended in the middle of a job."""


@dataclass(frozen=True)
class _Job:
    """One run, as the warm process is asked for it."""

    roles: tuple[str, ...]
    texts: tuple[bytes, ...]
    """What each role reads first."""
    outputs: tuple[int, ...]
    """How many pipes each role writes to."""
    limits: Limits
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


class Sandbox:
    """A pool of warm processes that run untrusted programs.

    `unsafe` runs with nothing but limits and a deadline, for programs of one's own. `required` names layers that must
    be in force; by default every property in `layers.GUARDS` needs one. `off` switches layers off, to show what they guard.
    Raises `UserError` at the first use when too little is in force.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        limits: Limits | None = None,
        unsafe: bool = False,
        required: Iterable[str] | None = None,
        off: Iterable[str] = (),
        readable: Iterable[str | Path] = (),
        preload: Iterable[str] = PRELOAD,
        prepare: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.unsafe = unsafe
        self._required = None if required is None else tuple(required)
        switched_off = set(off) | (set(ALL) - {"limits", "deadline"} if unsafe else set())
        for name in (*switched_off, *(self._required or ())):
            if name not in ALL:
                raise UserError(f"{name!r} is not a layer", where="sandbox", remedy=f"layers are {', '.join(ALL)}")
        self._settings = {
            "off": sorted(switched_off),
            "readable": [str(Path(p).resolve()) for p in readable],
            "preload": list(preload),
            "prepare": [dict(p) for p in prepare],
            "limits": asdict(self.limits),
        }
        self._count = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
        self._jobs: queue.SimpleQueue[tuple[_Job, Future[Ended]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._layers: Layers | None = None
        self._warm: set[_Warm] = set()
        self._closed = False
        self.lost = 0
        """Warm processes lost so far."""

    # ── what it does ──

    async def examine(self, program: str, tests: Tests, limits: Limits | None = None) -> Verdict:
        """Whether a program passes tests. Never raises for what the program does."""
        return await asyncio.wrap_future(self.submit(program, tests, limits))

    def submit(self, program: str, tests: Tests, limits: Limits | None = None) -> Future[Verdict]:
        """The same as a future of a thread."""
        spec = {"setup": tests.setup, "tests": list(tests.tests), "entry": list(tests.entry), "all": tests.all}
        texts = (_utf8(program), json.dumps(spec).encode())
        roles = "candidate", "keep-examining" if tests.trusted else "examine"
        job = _Job(roles, texts, (1, 1), limits or self.limits)

        def verdict(ended: Ended) -> Verdict:
            report = [json.loads(line) for line in ended.outputs[1].split(b"\n")[:-1]]
            return judge(tests, report, ended.told, _text(ended.outputs[0]), NOT_CONFINED)

        return self._submit(job, verdict, infrastructure)

    async def run(self, program: str, *, stdin: str = "", limits: Limits | None = None) -> Ran:
        """Run a program as a script: standard input in, outputs and exit status out."""
        job = _Job(("program",), (_utf8(program),), (2,), limits or self.limits, stdin=_utf8(stdin))
        return await asyncio.wrap_future(self._submit(job, _ran, lambda t: Ran("infrastructure", -1, "", "", 0, t, 0, 0, 0)))

    async def play(self, role: str, text: str, limits: Limits | None = None, **extra: Any) -> Ended:
        """Run a prepared role over a text: its output pipe and how it ended. Raises `Failure` when the sandbox fails."""

        def fail(text: str) -> Ended:
            raise Failure(text, where="sandbox")

        job = _Job((role,), (_utf8(text),), (1,), limits or self.limits, extra=extra)
        return await asyncio.wrap_future(self._submit(job, lambda ended: ended, fail))

    def layers(self) -> Layers:
        """What is in force here; starts a warm process if there is none."""
        with self._lock:
            if self._layers is None:
                _Warm(self._settings, self._note).close()
            assert self._layers is not None, "a started process has told"
            return self._layers

    # ── the pool ──

    def _submit(self, job: _Job, make: Callable[[Ended], Any], failed: Callable[[str], Any]) -> Future[Any]:
        if self._closed:
            raise Failure("the sandbox is closed", where="sandbox")
        self._check()
        inner: Future[Ended] = Future()
        outer: Future[Any] = Future()

        def finish(done: Future[Ended]) -> None:
            try:
                try:
                    result = make(done.result())
                except _Lost as error:
                    result = failed(str(error))
                if outer.set_running_or_notify_cancel():
                    outer.set_result(result)
            except BaseException as error:
                if not outer.done():
                    outer.set_exception(error)

        inner.add_done_callback(finish)
        with self._lock:
            if len(self._threads) < self._count:
                thread = threading.Thread(target=self._work, name="tandem-sandbox", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put((job, inner))
        return outer

    def _check(self) -> None:
        """Refuse where too little is in force."""
        demand(self.layers(), ("limits", "deadline") if self.unsafe else self._required)

    def _note(self, layers: Layers) -> None:
        self._layers = layers

    def _work(self) -> None:
        warm: _Warm | None = None
        while (item := self._jobs.get()) is not None:
            job, future = item
            for attempt in (1, 2):
                try:
                    if warm is None:
                        warm = _Warm(self._settings, self._note)
                        self._warm.add(warm)
                    future.set_result(warm.do(job))
                    break
                except _Lost as error:
                    self.lost += 1
                    if warm is not None:
                        self._warm.discard(warm)
                        warm.close()
                        warm = None
                    if attempt == 2 or self._closed:
                        future.set_exception(error)
                        break
                except BaseException as error:
                    future.set_exception(error)
                    break
        if warm is not None:
            self._warm.discard(warm)
            warm.close()

    def close(self) -> None:
        """End the warm processes once the jobs that wait are done."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is not None:  # cancelled: what runs is ended, not waited for
            for warm in list(self._warm):
                warm.kill()
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Warm:
    """One warm process, seen from the parent."""

    def __init__(self, settings: Mapping[str, Any], note: Callable[[Layers], None]) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = here
        clean = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": "/"}
        clean |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        clean |= {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
        start = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r}); from tandem.sandbox import worker; worker.main()"
        command = [sys.executable, "-E", "-s", "-P", "-c", start, str(there.fileno())]
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
                raise Failure(f"a warm process could not be started: {reason}", where="sandbox", remedy="tandem sandbox doctor")
        self._control.settimeout(None)
        note(Layers(frozenset(told["active"]), told["missing"]))

    def do(self, job: _Job) -> Ended:
        """Run one job to its end. Raises `_Lost` when the warm process ends first."""
        pipes = [os.pipe() for n in job.outputs for _ in range(n)]
        reading, writing = [r for r, _ in pipes], [w for _, w in pipes]
        files = [_file(text) for text in job.texts]
        stdin = [_file(job.stdin)] if job.stdin is not None else []
        handles, counts, taken = [], [], 0
        for file, n in zip(files, job.outputs, strict=True):
            mine = [file, *writing[taken : taken + n], *stdin]
            taken += n
            handles += mine
            counts.append(len(mine))
        request = {"roles": job.roles, "handles": counts, "limits": vars(job.limits) | dict(job.extra or {})}
        try:
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], handles)
            except OSError as error:
                raise _Lost(f"the warm process has gone: {error}") from None
            finally:
                for handle in (*writing, *files, *stdin):
                    os.close(handle)
            return self._collect(reading, job.limits)
        finally:
            for handle in reading:
                os.close(handle)

    def _collect(self, reading: list[int], held: Limits) -> Ended:
        """Read outputs up to the limit, drop the rest, until the warm process reports and the pipes are closed."""
        poll = select.poll()
        kept: dict[int, bytearray] = {}
        for handle in reading:
            os.set_blocking(handle, False)
            poll.register(handle, select.POLLIN)
            kept[handle] = bytearray()
        poll.register(self._control, select.POLLIN)
        open_, dropped, told = set(reading), 0, None
        while told is None or open_:
            events = poll.poll(1000 * (held.wall + _GRACE_SECONDS if told is None else _GRACE_SECONDS))
            if not events:
                if told is not None:
                    break  # a pipe that something still holds open: what came is what there is
                self.kill()
                raise _Lost("the warm process does not answer")
            for handle, _ in events:
                if handle == self._control.fileno():
                    message = self._control.recv(1 << 16)
                    if not message:
                        raise _Lost("the warm process ended in the middle of a run")
                    told = json.loads(message)
                    poll.unregister(self._control)
                    continue
                part = os.read(handle, 1 << 16)
                if not part:
                    open_.discard(handle)
                    poll.unregister(handle)
                room = held.output - len(kept[handle])
                kept[handle] += part[: max(0, room)]
                dropped += max(0, len(part) - max(0, room))
        return Ended(told, tuple(bytes(kept[h]) for h in reading), dropped)

    def kill(self) -> None:
        """End it and all it runs, at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End it: closing the channel is enough, a signal makes sure."""
        self._control.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()


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


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")


def _ran(ended: Ended) -> Ran:
    (child,) = ended.told["children"]
    out, err = (_text(o) for o in ended.outputs)
    status, stopped = child["code"], ended.told["stopped"]
    outcome: Outcome = "passed"
    text = "ended by itself"
    if status == NOT_CONFINED and err.startswith("sandbox: "):
        outcome, text = "infrastructure", err.strip()
    elif stopped in ("wall", "cpu"):
        outcome, text = "timeout", {"wall": "out of time on the clock", "cpu": "out of processor time"}[stopped]
    elif stopped or status < 0:
        outcome, text = "died", f"ended by {stopped or f'signal {-status}'}"
    elif status:
        outcome, text = "error", f"exit status {status}"
    used = child["cpu"], ended.told["wall"], child["peak"]
    return Ran(outcome, status, out, err, ended.dropped, text, *used)
