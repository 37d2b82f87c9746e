"""An engine on a thread of its own, for callers on event loops: whoever asks is batched with whoever else is waiting.

What this does not do: text, stores or budgets. Rejected: the engine on the event loop (a pass takes as long as many
calls of a server), and a process of its own (the weights would travel).
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from tandem.decoder.continuations import Scored
from tandem.decoder.engine import Engine
from tandem.decoder.jobs import Scoring, Writing, Written
from tandem.lm.worker import Worker, closed, fail, resolve


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
        self._open: dict[Writing | Scoring, _Pending] = {}
        self._worker: Worker[_Pending] = Worker(self._run, name="tandem-engine")

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
        """End the thread after the pass it is in; who still waits gets a Failure."""
        await asyncio.to_thread(self._worker.close)

    async def _wait(self, pending: _Pending) -> Any:
        pending.job.failed = lambda e: self._refuse(pending, e)
        self._worker.hand_in(pending)
        try:
            return await asyncio.wrap_future(pending.future)
        except asyncio.CancelledError:
            pending.job.cancelled = True
            raise

    # ── the thread ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while (new := self._worker.take(wait=not self.engine.busy)) is not None:
            for pending in new:
                self._add(pending)
            try:
                with self._turn:
                    self.engine.step()
                for job in [job for job in self._open if job.cancelled]:
                    del self._open[job]
            except Exception as e:  # whatever went wrong, those who wait must hear of it
                self._fail(e)
        self._fail(closed())

    def _add(self, pending: _Pending) -> None:
        if pending.job.cancelled:
            return
        try:
            self.engine.add(pending.job)
            self._open[pending.job] = pending
        except Exception as e:
            fail(pending.future, e)

    def _refuse(self, pending: _Pending, e: Exception) -> None:
        self._open.pop(pending.job, None)
        fail(pending.future, e)

    def _resolve(self, pending: _Pending, result: Any) -> None:
        self._open.pop(pending.job, None)
        resolve(pending.future, result)

    def _fail(self, e: Exception) -> None:
        self.engine.abandon()
        waiting = list(self._open.values())
        self._open.clear()
        for pending in waiting:
            fail(pending.future, e)
