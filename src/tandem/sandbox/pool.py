"""Run programs nobody trusts: warm processes, one thread each, and a queue of jobs before them.

    async with Sandbox() as sandbox:
        verdict = await sandbox.examine("def f(x): return x + 1", Tests(("assert f(1) == 2",), entry=("f",)))

The parent makes every verdict. A warm process that is lost is started again and its job run once more; a second loss is
reported as what it is, never as a wrong answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tandem.errors import Failure, UserError
from tandem.sandbox import places
from tandem.sandbox.layers import ALL, Layers, demand
from tandem.sandbox.limits import Limits
from tandem.sandbox.verdict import UNCONFINED, Outcome, Ran, Tests, Verdict, infrastructure, judge
from tandem.sandbox.warm import Ended, Job, Lost, Warm

_CALCULATING = "bisect cmath decimal fractions heapq itertools math numbers operator random statistics"
_CONTAINING = "abc array collections copy dataclasses enum functools types typing"
_WORDS_AND_TIME = "calendar datetime json re string struct textwrap time unicodedata"
PRELOAD = tuple(f"{_CALCULATING} {_CONTAINING} {_WORDS_AND_TIME}".split())
"""Modules a warm process imports, so that no run pays for it."""
LARGE = ("numpy",)
"""Modules that a second warm process imports besides, for programs that name one: a fork costs what it copies."""


_REPORT = 64 << 20


class Sandbox:
    """A pool of warm processes that run untrusted programs.

    `unsafe` runs with nothing but limits and a deadline, for programs of one's own. `required` names layers that must
    be in force; by default every property in `layers.GUARDS` needs one. `off` switches layers off, to show what they
    guard.
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
        large: Iterable[str] = LARGE,
        prepare: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.unsafe = unsafe
        self._required = None if required is None else tuple(required)
        switched_off = set(off) | (set(ALL) - {"limits", "deadline"} if unsafe else set())
        for name in (*switched_off, *(self._required or ())):
            if name not in ALL:
                raise UserError(f"{name!r} is not a layer", where="sandbox", remedy=f"layers are {', '.join(ALL)}")
        self._settings: dict[str, Any] = {
            "off": sorted(switched_off),
            "places": places.readable(str(Path(p).resolve()) for p in readable),
            "preload": list(preload),
            "large": list(large),
            "prepare": [dict(p) for p in prepare],
            "limits": asdict(self.limits),
        }
        self._processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._count = workers or len(self._processors) or os.cpu_count() or 1
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Ended]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._layers: Layers | None = None
        self._warm: set[Warm] = set()
        self._spare: list[Warm] = []
        self._turn = itertools.count()
        self._closed = False
        self._process = os.getpid()
        self.losses: list[str] = []
        """Warm processes lost so far: how, each."""

    @property
    def lost(self) -> int:
        """How many warm processes were lost so far."""
        return len(self.losses)

    # ── what it does ──

    async def examine(self, program: str, tests: Tests, limits: Limits | None = None) -> Verdict:
        """Whether a program passes tests. Never raises for what the program does."""
        return await asyncio.wrap_future(self.submit(program, tests, limits))

    def submit(self, program: str, tests: Tests, limits: Limits | None = None) -> Future[Verdict]:
        """The same as a future of a thread."""
        spec = {"setup": tests.setup, "tests": list(tests.tests), "entry": list(tests.entry), "all": tests.all}
        texts = (_utf8(program), json.dumps(spec).encode())
        roles = "candidate", "keep-examining" if tests.trusted else "examine"
        held = limits or self.limits
        job = Job(roles, texts, ((held.output,), (_REPORT,)), held, self._is_large(program))

        def verdict(ended: Ended) -> Verdict:
            try:
                report = [json.loads(line) for line in ended.outputs[1].split(b"\n")[:-1]]
                return judge(tests, report, ended.told, _text(ended.outputs[0]))
            except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
                return Verdict("broken", (), "a test wrote into its own report")

        return self._submit(job, verdict, infrastructure)

    async def run(self, program: str, *, stdin: str = "", limits: Limits | None = None) -> Ran:
        """Run a program as a script: standard input in, outputs and exit status out."""
        held = limits or self.limits
        kept = ((held.output, held.output),)
        job = Job(("program",), (_utf8(program),), kept, held, self._is_large(program), stdin=_utf8(stdin))

        def lost(text: str) -> Ran:
            return Ran("infrastructure", -1, "", "", 0, text, 0, 0, 0)

        return await asyncio.wrap_future(self._submit(job, _ran, lost))

    async def play(self, role: str, text: str, limits: Limits | None = None, **extra: Any) -> Ended:
        """Run a prepared role over a text: its output and how it ended. Raises `Failure` when the sandbox fails."""

        def fail(text: str) -> Ended:
            raise Failure(text, where="sandbox")

        held = limits or self.limits
        job = Job((role,), (_utf8(text),), ((held.output,),), held, extra=extra)
        return await asyncio.wrap_future(self._submit(job, lambda ended: ended, fail))

    def layers(self) -> Layers:
        """What is in force here; starts a warm process if there is none."""
        with self._lock:
            if self._layers is None:
                self._spare.append(self._start(large=False))
            assert self._layers is not None, "a started process has told"
            return self._layers

    # ── the pool ──

    def _submit(self, job: Job, make: Callable[[Ended], Any], failed: Callable[[str], Any]) -> Future[Any]:
        if self._closed:
            raise Failure("the sandbox is closed", where="sandbox")
        if self._process != os.getpid():
            raise Failure("the sandbox was made in another process", where="sandbox", remedy="make one here")
        self._check()
        inner: Future[Ended] = Future()
        outer: Future[Any] = Future()

        def finish(done: Future[Ended]) -> None:
            try:
                if done.cancelled():
                    return
                try:
                    result = make(done.result())
                except Lost as error:
                    result = failed(str(error))
                if outer.set_running_or_notify_cancel():
                    outer.set_result(result)
            except BaseException as error:
                if not outer.done():
                    outer.set_exception(error)

        inner.add_done_callback(finish)
        outer.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        with self._lock:
            if len(self._threads) < self._count:
                thread = threading.Thread(target=self._work, name="tandem-sandbox", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put((job, inner))
        return outer

    def _is_large(self, program: str) -> bool:
        return any(name in program for name in self._settings["large"])

    def _check(self) -> None:
        """Refuse where too little is in force."""
        demand(self.layers(), ("limits", "deadline") if self.unsafe else self._required)

    def _note(self, layers: Layers) -> None:
        self._layers = layers

    def _work(self) -> None:
        warm: dict[bool, Warm] = {}
        while (item := self._jobs.get()) is not None:
            job, future = item
            if not future.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            for attempt in (1, 2):
                try:
                    if job.large not in warm:
                        warm[job.large] = self._start(job.large)
                    future.set_result(warm[job.large].do(job))
                    break
                except Lost as error:
                    gone = warm.pop(job.large)
                    self._end(gone)
                    self.losses.append(f"{error} (status {gone.status})")
                    if attempt == 2 or self._closed:
                        future.set_exception(error)
                        break
                except BaseException as error:
                    future.set_exception(error)
                    break
        for one in warm.values():
            self._end(one)

    def _start(self, large: bool) -> Warm:
        with contextlib.suppress(IndexError):
            if not large:
                return self._spare.pop()
        preload = self._settings["preload"] + (self._settings["large"] if large else [])
        turn = next(self._turn)
        processor = self._processors[turn % len(self._processors)] if self._processors else None
        warm = Warm(self._settings | {"preload": preload, "processor": processor}, self._note)
        self._warm.add(warm)
        return warm

    def _end(self, warm: Warm) -> None:
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
        while self._spare:
            self._end(self._spare.pop())

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(self, *details: object) -> None:
        if details[0] is not None:  # cancelled: what runs is ended, not waited for
            self._closed = True
            for warm in list(self._warm):
                warm.kill()
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    if not ended.told["confined"]:
        outcome, text = "infrastructure", UNCONFINED
    elif stopped in ("wall", "cpu"):
        outcome, text = "timeout", {"wall": "out of time on the clock", "cpu": "out of processor time"}[stopped]
    elif stopped or status < 0:
        outcome, text = "died", f"ended by {stopped or f'signal {-status}'}"
    elif status:
        outcome, text = "error", f"exit status {status}"
    used = child["cpu"], ended.told["wall"], child["peak"]
    return Ran(outcome, status, out, err, ended.dropped, text, *used)
