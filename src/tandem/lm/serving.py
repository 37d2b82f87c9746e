"""An engine on a thread of its own, for callers on event loops: whoever asks is batched with whoever else is waiting.

What this does not do: text, stores or budgets. Rejected: the engine on the event loop (a pass takes as long as many
calls of a server), and a process of its own (the weights would travel).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from tandem.decoder.continuations import Scored
from tandem.decoder.engine import Engine
from tandem.decoder.jobs import Scoring, Writing, Written
from tandem.errors import Failure

GATHER = 0.002
"""Seconds an idle engine waits for the callers beside the first one, who often ask in the same moment."""


@dataclass(eq=False)
class _Pending:
    job: Writing | Scoring
    future: Future[Any] = field(default_factory=Future)
    written: dict[int, Written] = field(default_factory=dict)


class Serving:
    """Runs requests of many event loops on one engine. The thread starts with the first request."""

    def __init__(self, engine: Engine, turn: threading.Lock | None = None) -> None:
        """`turn` is held during each pass: engines that share weights share it, so that they do not compete."""
        self.engine = engine
        self._turn = turn or threading.Lock()
        self._wake = threading.Condition()
        self._inbox: list[_Pending] = []
        self._open: dict[Writing | Scoring, _Pending] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    async def write(self, job: Writing) -> list[Written]:
        """The samples of a request in order. Cancelling the caller frees its rows. Raises UserError as `Engine.add`."""
        pending = _Pending(job)
        if not job.samples:
            return []

        def ended(written: Written) -> None:
            pending.written[written.sample] = written
            if len(pending.written) == len(job.samples):
                self._resolve(pending, [pending.written[sample] for sample in job.samples])

        job.ended = ended
        answers: list[Written] = await self._wait(pending)
        return answers

    async def score(self, job: Scoring) -> list[Scored]:
        """One result per sequence. Raises UserError as `Engine.add`."""
        pending = _Pending(job)
        job.ended = lambda result: self._resolve(pending, result)
        scores: list[Scored] = await self._wait(pending)
        return scores

    async def close(self) -> None:
        """End the thread; who still waits gets a Failure."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def _wait(self, pending: _Pending) -> Any:
        pending.job.failed = lambda e: self._refuse(pending, e)
        with self._wake:
            if self._closed:
                raise Failure("the model was closed", remedy="connect to it again")
            self._inbox.append(pending)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tandem-engine", daemon=True)
                self._thread.start()
                # A daemon that is inside a product when the interpreter goes takes the process down with it.
                atexit.register(_end, weakref.ref(self))
            self._wake.notify()
        try:
            return await asyncio.wrap_future(pending.future)
        except asyncio.CancelledError:
            pending.job.cancelled = True
            raise

    # ── the thread ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while self._collect():
            try:
                with self._turn:
                    self.engine.step()
                for job in [job for job in self._open if job.cancelled]:
                    del self._open[job]
            except Exception as e:  # whatever went wrong, those who wait must hear of it
                self._fail(e)
        self._fail(Failure("the model was closed", remedy="connect to it again"))

    def _collect(self) -> bool:
        """Take new requests in, waiting for one when there is nothing to do; False when closed."""
        with self._wake:
            idle = not self.engine.busy
            while idle and not self._inbox and not self._closed:
                self._wake.wait()
            if self._closed:
                return False
        if idle:
            seen = 0
            while seen < (seen := len(self._inbox)):
                time.sleep(GATHER)
        with self._wake:
            new, self._inbox = self._inbox, []
        for pending in new:
            if pending.job.cancelled:
                continue
            try:
                self.engine.add(pending.job)
                self._open[pending.job] = pending
            except Exception as e:
                _settle(pending.future.set_exception, e)
        return True

    def _refuse(self, pending: _Pending, e: Exception) -> None:
        self._open.pop(pending.job, None)
        _settle(pending.future.set_exception, e)

    def _resolve(self, pending: _Pending, result: Any) -> None:
        self._open.pop(pending.job, None)
        _settle(pending.future.set_result, result)

    def _fail(self, e: Exception) -> None:
        self.engine.abandon()
        with self._wake:
            waiting, self._inbox = [*self._open.values(), *self._inbox], []
        self._open.clear()
        for pending in waiting:
            _settle(pending.future.set_exception, e)


def _end(serving: weakref.ref[Serving]) -> None:
    """Let a thread that is still at work finish its pass before the interpreter goes."""
    left = serving()
    if left is not None and left._thread is not None:
        with left._wake:
            left._closed = True
            left._wake.notify()
        left._thread.join()


def _settle(settle: Callable[[Any], None], value: Any) -> None:
    """Give a future its outcome, unless its caller has gone."""
    with contextlib.suppress(InvalidStateError):
        settle(value)
