"""Calls that are under way, shared by everybody who waits for one of their results.

Who asks for something that is being asked already joins that call, from any thread or event loop of the process. A
call ends early only when nobody waits for it any more; one caller's cancelling is no other caller's business. When the
event loop that carries a call ends, those who wait in other loops ask again themselves.

What this does not do: know what is asked. Slots are anything hashable; looking up, grouping and sending are functions
of the caller. Looking up happens under the lock: what has just been committed is found, what is not yet is joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from tandem.errors import CallFailed, UserError
from tandem.lm.worker import refuse_fork

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Outcome: TypeAlias = V | Exception


@dataclass(frozen=True, slots=True)
class Got(Generic[V]):
    """One result, and how it was come by."""

    how: Literal["re-used", "joined", "answered"]
    """Found on record, out of somebody else's call, or out of a call of one's own."""
    outcome: Outcome[V]
    """The result, or why there is none."""


@dataclass(eq=False, slots=True)
class _Call(Generic[K, V]):
    home: InFlight[K, V]
    slots: Sequence[K]
    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[Mapping[K, Outcome[V]]] | None = None
    outcomes: Mapping[K, Outcome[V]] | None = None
    """None until it has landed, and after it was cancelled."""
    waiters: int = 0
    given_up: bool = False
    bells: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = field(default_factory=list)

    def bell(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """A future of a loop that resolves when the call has landed."""
        bell: asyncio.Future[None] = loop.create_future()
        self.bells.append((loop, bell))
        return bell

    def land(self, task: asyncio.Task[Mapping[K, Outcome[V]]]) -> None:
        """Take it off the list and ring its bells."""
        self.home._land(self, task)

    def give_up(self) -> None:
        """Cancel it."""
        self.given_up = True
        assert self.task is not None
        with contextlib.suppress(RuntimeError):  # its event loop is closed
            self.loop.call_soon_threadsafe(self.task.cancel)


class InFlight(Generic[K, V]):
    """The calls of one model that are under way."""

    def __init__(self) -> None:
        self._calls: dict[K, _Call[K, V]] = {}
        self._lock = threading.RLock()
        self._closed = False
        self._process = os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this is another process than the one it was made in: nothing is under way here."""
        return os.getpid() != self._process

    async def gather(
        self,
        slots: Iterable[K],
        *,
        recorded: Callable[[list[K]], Mapping[K, Outcome[V]]],
        grouped: Callable[[list[K]], Iterable[list[K]]],
        send: Callable[[list[K]], Coroutine[Any, Any, Mapping[K, Outcome[V]]]],
    ) -> dict[K, Got[V]]:
        """The outcome of every slot: off the record, out of a call under way, or out of new ones, one per group.

        When a failure is on record it is returned with what was found, and nothing is sent. Exceptions of `send` are
        outcomes of the slots it was for; those of `recorded` are raised. Raises UserError in a process made by a fork.
        """
        refuse_fork(self._process)
        loop = asyncio.get_running_loop()
        got: dict[K, Got[V]] = {}
        missing = list(dict.fromkeys(slots))
        while missing:
            with self._lock:
                if self._closed:
                    raise UserError("the model was closed", remedy="connect again")
                for slot, outcome in recorded(missing).items():
                    got[slot] = Got("re-used", outcome)
                if any(isinstance(one.outcome, Exception) for one in got.values()):
                    return got
                parts, own = self._parts([slot for slot in missing if slot not in got], loop, grouped, send)
                bells = [call.bell(loop) for call in parts]
            try:
                for bell in bells:
                    await bell
            except asyncio.CancelledError:
                self._leave(parts)
                raise
            for call, part in parts.items():
                outcomes = call.outcomes
                if outcomes is None and call.loop is loop and not call.given_up and not self._closed:
                    problem = CallFailed("the back end gave the call up", kind="cancelled")
                    outcomes = dict.fromkeys(part, problem)
                if outcomes is not None:
                    for slot in part:
                        got[slot] = Got("answered" if call in own else "joined", outcomes[slot])
            missing = [slot for slot in missing if slot not in got]
        return got

    async def close(self) -> None:
        """Cancel what is under way, wait until it has landed, and refuse what comes later."""
        if self.forked:
            return
        loop = asyncio.get_running_loop()
        with self._lock:
            self._closed = True
            calls = {call for call in self._calls.values() if call.loop.is_running()}
            bells = [call.bell(loop) for call in calls]
            for call in calls:
                call.give_up()
        for bell in bells:
            await bell

    def _parts(
        self,
        slots: list[K],
        loop: asyncio.AbstractEventLoop,
        grouped: Callable[[list[K]], Iterable[list[K]]],
        send: Callable[[list[K]], Coroutine[Any, Any, Mapping[K, Outcome[V]]]],
    ) -> tuple[dict[_Call[K, V], list[K]], tuple[_Call[K, V], ...]]:
        """Calls and which of the slots are waited for in each: joined ones and new ones, which come also by themselves.

        Not a part of `gather`: a coroutine that waits keeps everything it has named.
        """
        parts: dict[_Call[K, V], list[K]] = {}
        new = []
        for slot in slots:
            call = self._calls.get(slot)
            if call is None or not call.loop.is_running():
                new.append(slot)
            else:
                parts.setdefault(call, []).append(slot)
        own = tuple([self._start(group, loop, send) for group in grouped(new)]) if new else ()
        for call in own:
            parts[call] = list(call.slots)
        for call in parts:
            call.waiters += 1
        return parts, own

    def _start(
        self,
        group: list[K],
        loop: asyncio.AbstractEventLoop,
        send: Callable[[list[K]], Coroutine[Any, Any, Mapping[K, Outcome[V]]]],
    ) -> _Call[K, V]:
        call: _Call[K, V] = _Call(self, group, loop)
        for slot in group:
            self._calls[slot] = call
        call.task = loop.create_task(send(group))
        # Not a `finally` in the task: one that is cancelled before its first step never gets there.
        call.task.add_done_callback(call.land)
        return call

    def _land(self, call: _Call[K, V], task: asyncio.Task[Mapping[K, Outcome[V]]]) -> None:
        with self._lock:
            for slot in call.slots:
                if self._calls.get(slot) is call:
                    del self._calls[slot]
            if not task.cancelled():
                problem = task.exception()
                if problem is None:
                    call.outcomes = task.result()
                elif isinstance(problem, Exception):
                    call.outcomes = dict.fromkeys(call.slots, problem)
            bells, call.bells = call.bells, []
        for loop, bell in bells:
            if loop is call.loop:
                _ring(bell)
            else:
                with contextlib.suppress(RuntimeError):  # a closed loop has nobody waiting
                    loop.call_soon_threadsafe(_ring, bell)

    def _leave(self, calls: Iterable[_Call[K, V]]) -> None:
        """One who waited goes away; a call that nobody waits for is cancelled."""
        with self._lock:
            for call in calls:
                call.waiters -= 1
                if not call.waiters and call.bells:
                    call.give_up()


def _ring(bell: asyncio.Future[None]) -> None:
    if not bell.done():
        bell.set_result(None)
