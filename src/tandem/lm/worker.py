"""A thread that works for callers of any thread or event loop: what they hand in, waking up, and ending in good order.

It starts with the first piece. It ends when it is closed, and before the interpreter does: a daemon that is inside a
product when the interpreter goes takes the process down with it. A process made by a fork has no such thread, though it
has the object; there handing in is refused and closing does nothing.

What this does not do: know what the pieces are, or run several at once. Rejected: a thread that is no daemon (a program
that forgets to close would never end), and an executor's (it begins no batch with those who ask in the same moment).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Generic, Protocol, TypeVar

from tandem.errors import Failure, UserError

GATHER = 0.002
"""Seconds an idle thread waits for the callers beside the first one, who often ask in the same moment."""


class Piece(Protocol):
    """Something to be worked on."""

    @property
    def future(self) -> Future[Any]:
        """Resolves with what came of it."""
        ...


P = TypeVar("P", bound=Piece)


class Worker(Generic[P]):
    """A thread and the pieces that wait for it."""

    def __init__(self, work: Callable[[], None], *, name: str) -> None:
        """The thread calls `work` once; it goes on for as long as `take` gives it something."""
        self._work, self._name = work, name
        self._process = os.getpid()
        self._wake = threading.Condition()
        self._inbox: list[P] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the thread is to end: work that takes long looks here between its steps."""
        return self._closed

    def hand_in(self, piece: P) -> None:
        """Let the thread have a piece. Raises Failure when closed, UserError in a process made by a fork."""
        refuse_fork(self._process)
        with self._wake:
            if self._closed:
                raise closed()
            self._inbox.append(piece)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                _started.add(self)
            self._wake.notify()

    def take(self, *, wait: bool) -> list[P] | None:
        """For the thread: what was handed in since; None at the end.

        With `wait` it sleeps until there is something, and a moment longer for who asks at the same time.
        """
        with self._wake:
            while wait and not self._inbox and not self._closed:
                self._wake.wait()
        seen = 0
        while wait and not self._closed and seen < (seen := len(self._inbox)):
            time.sleep(GATHER)
        with self._wake:
            if self._closed:
                return None
            new, self._inbox = self._inbox, []
            return new

    def close(self) -> None:
        """End the thread after the step it is in and wait for that; pieces that still wait get a Failure."""
        if os.getpid() != self._process:
            return
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        problem: BaseException = closed()
        try:
            self._work()
        except BaseException as e:  # not expected; but nobody is to wait for ever
            problem = e
            raise
        finally:
            with self._wake:
                self._closed = True
                rest, self._inbox = self._inbox, []
            for piece in rest:
                fail(piece.future, problem)


_started: weakref.WeakSet[Worker[Any]] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for worker in list(_started):
        worker.close()


def closed() -> Failure:
    """The error of asking a model that was closed."""
    return Failure("the model was closed", remedy="connect to it again")


def refuse_fork(process: int) -> None:
    """Raise UserError unless this is the process of that number: what was made before a fork lacks its threads here."""
    if os.getpid() != process:
        raise UserError(
            "the model was made in another process, whose threads this one does not have",
            remedy="make a new one in each process, and start processes by spawning rather than forking",
        )


def resolve(future: Future[Any], result: Any) -> None:
    """Give a future its result, unless its caller has gone or it has its outcome."""
    with contextlib.suppress(InvalidStateError):
        future.set_result(result)


def fail(future: Future[Any], problem: BaseException) -> None:
    """Give a future its exception, unless its caller has gone or it has its outcome."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(problem)
