"""One thread that writes: whatever waits is written in one transaction, and told so after the commit.

Callers of any thread or event loop hand in a function of the connection and get a future of its result. Work that fails
leaves nothing behind (a savepoint each, 2 µs) and spoils no other. What this does not do: read for others, or know the
tables. Rejected: a commit per answer (an fsync each, a few hundred a second), and one wake-up of the event loop per
answer (it costs more than the insert).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from tandem.errors import UserError
from tandem.store.database import explanation, misfit, savepoint, transaction

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], T]
AtOnce: TypeAlias = Callable[[sqlite3.Connection, Sequence[Any]], list[Any] | None]
OneByOne: TypeAlias = Callable[[sqlite3.Connection, Any], Any]

LARGEST_GROUP = 1000
"""Pieces of work in one transaction."""
_ITS_OWN = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError)
"""Errors of a value that fits no cell: they spoil their own work, not their neighbours'."""


@dataclass(slots=True)
class _Item:
    work: Work[Any] | None
    """A function of the connection …"""
    pile: Sequence[Any]
    """… or things that are written together with those of its neighbours."""
    done: Future[Any] | asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop | None
    result: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Resolve the future, unless its owner has given up waiting."""
        if self.loop is None:
            if not self.done.set_running_or_notify_cancel():  # type: ignore[union-attr]
                return
        elif self.done.done():
            return
        if self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(self.result)


class Writer:
    """Owns the connection that writes. Work is done in the order it was handed in."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, patience: float, at_once: AtOnce, one_by_one: OneByOne
    ) -> None:
        """How things of `put` are written: many at once, outside of a transaction, where that can be done; else singly.

        Both return what came of them; `at_once` returns None when it cannot, and leaves nothing behind.
        """
        self.connection = connection
        """For nobody else to use."""
        self._path = path
        self._patience = patience
        self._at_once, self._one_by_one = at_once, one_by_one
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._closed = False
        self._gate = threading.Lock()
        """Held while handing in, so that nothing comes after the end."""
        # A daemon: a program that forgets to close ends all the same; the store closes at exit.
        self._thread = threading.Thread(target=self._run, name="tandem-store", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        """Do some work in a transaction; the future resolves after its commit. For threads."""
        done: Future[T] = Future()
        self._hand_in(_Item(work, (), done, None))
        return done

    def schedule(self, work: Work[T]) -> asyncio.Future[T]:
        """The same for a coroutine of a running event loop. The work is done even if nobody waits for it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._hand_in(_Item(work, (), done, loop))
        return done

    def put(self, things: Sequence[Any]) -> asyncio.Future[list[Any]]:
        """The same with things that are written together with those of others who wait."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Any]] = loop.create_future()
        self._hand_in(_Item(None, things, done, loop))
        return done

    def close(self) -> None:
        """Finish what was handed in, then end the thread and close the connection."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _hand_in(self, item: _Item) -> None:
        with self._gate:
            if self._closed:
                raise UserError("the store of answers is closed", where=str(self._path), remedy="open it again")
            self._queue.put(item)

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._queue.get()
            group = [] if first is None else [first]
            ended = first is None
            with contextlib.suppress(Empty):
                while len(group) < LARGEST_GROUP and not ended:
                    item = self._queue.get_nowait()
                    ended = item is None
                    if item is not None:
                        group.append(item)
            if group:
                self._write(group)
                self._tell(group)
        self.connection.close()

    def _write(self, group: list[_Item]) -> None:
        for piled, run in groupby(group, lambda item: item.work is None):
            items = list(run)
            try:
                if not (piled and self._write_at_once(items)):
                    with transaction(self.connection):
                        for item in items:
                            self._write_one(item)
            except sqlite3.Error as e:
                for item in items:
                    item.error = explanation(e, self._path, self._patience)
            except BaseException as e:
                for item in items:
                    item.error = e

    def _write_at_once(self, items: list[_Item]) -> bool:
        """Whether it went well; nothing of it is left otherwise."""
        try:
            results = self._at_once(self.connection, [thing for item in items for thing in item.pile])
        except _ITS_OWN:  # of one of them, nobody knows whose
            return False
        except sqlite3.Error:
            raise
        except Exception:
            return False
        if results is None:
            return False
        rest = iter(results)
        for item in items:
            item.result = list(islice(rest, len(item.pile)))
        return True

    def _write_one(self, item: _Item) -> None:
        try:
            with savepoint(self.connection):
                if item.work is None:
                    item.result = [self._one_by_one(self.connection, thing) for thing in item.pile]
                else:
                    item.result = item.work(self.connection)
        except _ITS_OWN as e:
            item.error = misfit(e, self._path)
        except sqlite3.Error:
            raise
        except Exception as e:
            item.error = e

    def _tell(self, group: list[_Item]) -> None:
        """Resolve the futures: one wake-up per event loop."""
        loops: dict[asyncio.AbstractEventLoop, list[_Item]] = {}
        for item in group:
            if item.loop is None:
                item.tell()
            else:
                loops.setdefault(item.loop, []).append(item)
        for loop, items in loops.items():
            with contextlib.suppress(RuntimeError):  # a loop that is closed has nobody waiting
                loop.call_soon_threadsafe(_tell_all, items)


def _tell_all(items: list[_Item]) -> None:
    for item in items:
        item.tell()
