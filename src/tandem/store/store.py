"""The recorded answers of models: looked up before anything is sent, committed before anybody sees an answer.

Several models, event loops, threads and processes share one file. Reading is a few point look-ups, done at once by
whoever asks; writing goes through one thread (`writer`), whose futures resolve after the commit. An answer that stands
is never replaced: of two processes that asked the same, the later one gets the earlier one's answer. Refusals, filtered
texts and failures are kept apart from answers, come back as what they are, and give way to an answer.

What this does not do: send anything, hold a key of a provider, or forget. Rejected: a copy of the file in memory (it
grows with the run), entries that expire (an answer does not get old; a model that changes gets another name).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sqlite3
import threading
import weakref
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

from tandem.errors import CallFailed, UserError
from tandem.store import database, lookups, rows
from tandem.store.lookups import Lookup
from tandem.store.records import Record, Request, Sample, Scored, cell_text, digest, text_cell
from tandem.store.writer import Writer
from tandem.types import Completion, Score

Part: TypeAlias = Literal["answers", "setbacks", "scores"]
_TABLES: Mapping[Part, str] = {"answers": "draws", "setbacks": "setbacks", "scores": "scored"}
_BATCH = 500
"""Records read or taken over at a time."""


class Store:
    """An open file of recorded answers; made when there is none. Use as a context manager, or call `close`."""

    def __init__(
        self, path: str | Path, *, retry_failed: bool = False, read_only: bool = False, patience: float = 60.0
    ) -> None:
        """Open the file.

        With `retry_failed`, refusals, filtered texts and failures recorded before now are passed over. Waits at most
        `patience` seconds for other processes. Raises UserError when the file is of something else, of a newer version,
        cannot be opened or written, or is open in the process that this one was forked from; Failure when it stays
        locked or the disk is full.
        """
        self.path = Path(path)
        self.retry_failed = retry_failed
        self._patience = patience
        self._process = os.getpid()
        self._lock = threading.Lock()
        """Guards the reading connection."""
        with database.explained(self.path, patience), contextlib.ExitStack() as undo:
            if self.path.is_file() and _identity(self.path) in _inherited:
                raise UserError(
                    "is open in the process that this one was forked from, and SQLite's locks do not survive a fork",
                    where=str(self.path),
                    remedy="start the process by spawning it (multiprocessing.get_context('spawn'))",
                )
            writing = None
            if not read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                writing = database.connect(self.path, patience)
                undo.callback(writing.close)
                database.prepare(writing, self.path, patience)
                rows.prepare(writing)
            self._reader = database.connect(self.path, patience, read_only=read_only)
            undo.callback(self._reader.close)
            if not database.check(self._reader, self.path):
                raise UserError("holds no recorded answers", where=str(self.path), remedy="name another file")
            (self._setbacks,) = self._reader.execute("SELECT coalesce(max(id), 0) FROM setbacks").fetchone()
            self._lookup_failures = 0
            if lookups.present(self._reader):
                query = "SELECT coalesce(max(id), 0) FROM lookup_failures"
                (self._lookup_failures,) = self._reader.execute(query).fetchone()
            undo.pop_all()
            self._file = _identity(self.path)
        self._writer = (
            None if writing is None else Writer(writing, self.path, patience, rows.put_at_once, rows.put_sample)
        )
        self._end = weakref.finalize(self, _close, self._process, self._reader, self._lock, self._writer)
        _opened.add(self)

    # ── Samples ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def find(
        self,
        request: Request,
        indices: Collection[int],
        *,
        max_tokens: int,
        logprobs: bool = False,
        retry_failed: bool = False,
    ) -> dict[int, Completion | CallFailed]:
        """What is recorded for these samples and serves (see `fits`); an answer before any other outcome.

        A failure is returned, for the caller to raise. Tokens come only with `logprobs`. With `retry_failed`, setbacks
        recorded before the store was opened are passed over.
        """
        found: dict[int, Completion | CallFailed] = {}
        if not indices:
            return found
        span = (min(indices), max(indices))
        passed_over = self._setbacks if retry_failed or self.retry_failed else 0
        with self._reading() as reader:
            known = reader.execute("SELECT id FROM requests WHERE key = ?", (request.key,)).fetchone()
            for table, after in (("draws", 0), ("setbacks", passed_over)) if known is not None else ():
                for row in reader.execute(rows.FIND[table], (logprobs, *known, *span, after)):
                    index = row[0]
                    if index in indices and index not in found and rows.serves(row, max_tokens, logprobs):
                        found[index] = rows.outcome(row[4:])
                if len(found) == len(indices):
                    break
        return found

    def put(self, samples: Sequence[Sample]) -> asyncio.Future[list[Completion | CallFailed]]:
        """Record samples; the future of the running event loop resolves after the commit.

        It gives what stands: an answer that was recorded before, or the new outcome. It raises Failure when nothing
        could be written. What was handed in is written even if nobody waits for it.
        """
        if all(sample.answered for sample in samples):
            return self._writing().put(samples)
        return self._writing().schedule(lambda c: [rows.put_sample(c, s) for s in samples])

    # ── Scores ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def find_scores(self, request: Request, continuations: Iterable[str]) -> dict[str, Score]:
        """The recorded scores among continuations of a context."""
        found: dict[str, Score] = {}
        with self._reading() as reader:
            known = reader.execute("SELECT id FROM requests WHERE key = ?", (request.key,)).fetchone()
            for continuation in continuations if known is not None else ():
                row = reader.execute(rows.FIND_SCORE, (*known, digest(continuation))).fetchone()
                if row is not None:
                    found[continuation] = rows.score(row)
        return found

    def put_scores(self, scored: Sequence[Scored]) -> asyncio.Future[list[Score]]:
        """Record scores, like `put`."""
        return self._writing().schedule(lambda c: [rows.put_scored(c, s) for s in scored])

    # ── Look-ups ────────────────────────────────────────────────────────────────────────────────────────────────────

    def find_lookup(self, request: Request, *, retry_failed: bool = False) -> Lookup | None:
        """The look-up on record; with `retry_failed`, failures recorded before the store was opened are passed over."""
        after = self._lookup_failures if retry_failed or self.retry_failed else 0
        with self._reading() as reader:
            return lookups.find(reader, request, failures_after=after) if lookups.present(reader) else None

    def put_lookup(self, lookup: Lookup) -> asyncio.Future[Lookup]:
        """Record a look-up; the future resolves after the commit and gives what stands."""
        return self._writing().schedule(lambda c: lookups.put(c, lookup))

    def put_lookup_now(self, lookup: Lookup) -> Lookup:
        """The same outside of an event loop: waits for the commit."""
        return self._writing().submit(lambda c: lookups.put(c, lookup)).result()

    def lookups(self, source: str | None = None) -> Iterator[Lookup]:
        """All look-ups, of one source or all: results, then failures, each in order of arrival."""
        for table in ("lookups", "lookup_failures"):
            last = 0
            while True:
                with self._reading() as reader:
                    found = lookups.page(reader, table, last, source, _BATCH)
                if not found:
                    break
                yield from (lookup for _, lookup in found)
                last = found[-1][0]

    def sources(self) -> tuple[str, ...]:
        """All sources that were asked, in order of appearance."""
        with self._reading() as reader:
            return lookups.sources(reader)

    # ── Everything ──────────────────────────────────────────────────────────────────────────────────────────────────

    def names(self) -> tuple[str, ...]:
        """All models that were asked, in order of appearance."""
        with self._reading() as reader:
            return tuple(cell_text(name) for (name,) in reader.execute("SELECT name FROM models ORDER BY id"))

    def served(self, name: str) -> tuple[str, ...]:
        """The models that a name turned out to be, in order of appearance."""
        query = "SELECT name FROM served WHERE model = (SELECT id FROM models WHERE name = ?) ORDER BY id"
        with self._reading() as reader:
            return tuple(cell_text(served) for (served,) in reader.execute(query, (text_cell(name),)))

    def holds(self, name: str) -> tuple[bool, bool, int]:
        """What is recorded of a model: scores? log-probabilities? And at most how many alternatives to each token?"""
        with self._reading() as reader:
            scores, logprobs, alternatives = reader.execute(rows.HOLDS, {"name": text_cell(name)}).fetchone()
        return bool(scores), bool(logprobs), int(alternatives)

    def records(self, name: str | None = None, *, only: Part | None = None) -> Iterator[Record]:
        """Everything recorded, of one model or all: answers, then setbacks, then scores, each in order of arrival.

        Reads a few hundred at a time, so that a long look keeps nobody from writing.
        """
        wanted = None if name is None else text_cell(name)
        for table, query in rows.ALL.items():
            if only is not None and _TABLES[only] != table:
                continue
            last = 0
            while True:
                with self._reading() as reader:
                    batch = reader.execute(query, (last, wanted, wanted, _BATCH)).fetchall()
                    found = [rows.record(table, row) for row in batch]
                if not found:
                    break
                yield from found
                last = batch[-1][0]

    def add(self, records: Iterable[Record | Lookup]) -> tuple[int, int]:
        """Take over records of another file: how many are new, and how many stood already. Nothing that stands changes.

        Memory does not grow with their number.
        """
        writer, rest = self._writing(), iter(records)
        new = read = 0
        handed_in: list[Future[int]] = []
        while batch := list(islice(rest, _BATCH)):
            handed_in.append(writer.submit(partial(_add, batch)))
            read += len(batch)
            if len(handed_in) > 2:
                new += handed_in.pop(0).result()
        new += sum(future.result() for future in handed_in)
        return new, read - new

    def stats(self) -> dict[str, Counter[str]]:
        """Per model: requests, answers, truncated, refusal, filter, failures by kind, scores, tokens read, written.

        Per source: look-ups, failures by kind.
        """
        counted: dict[str, Counter[str]] = {}
        with self._reading() as reader:
            for query in (*rows.STATS, *(lookups.STATS if lookups.present(reader) else ())):
                for name, what, n in reader.execute(query):
                    if n:
                        counted.setdefault(cell_text(name), Counter())[what] += n
        return counted

    def caught_up(self) -> asyncio.Future[None]:
        """A future of the running event loop that resolves when everything handed in so far is committed."""
        return self._writing().schedule(lambda _: None)

    def flush(self) -> None:
        """Wait until everything handed in so far is committed."""
        self._check_process()
        if self._writer is not None and self._end.alive:
            self._writer.submit(lambda _: None).result()

    def close(self) -> None:
        """Commit what was handed in and close the file. Closing twice does nothing, nor does closing in a fork."""
        self._end()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The reading connection, for one thread at a time."""
        self._check_process()  # first: the lock may have been taken when the process was forked, for ever
        with self._lock, database.explained(self.path, self._patience):
            self._check_open()
            yield self._reader

    def _writing(self) -> Writer:
        self._check_process()
        self._check_open()
        if self._writer is None:
            raise UserError("the recorded answers are open for reading only", where=str(self.path))
        return self._writer

    def _check_open(self) -> None:
        if not self._end.alive:
            raise UserError("the store of answers is closed", where=str(self.path), remedy="open it again")

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise UserError(
                "the store of answers was opened by the parent of this process",
                where=str(self.path),
                remedy="open a Store in each process, and spawn them rather than fork: they share the file safely",
            )


# ── Forks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_opened: weakref.WeakSet[Store] = weakref.WeakSet()
_inherited: set[tuple[int, int]] = set()
"""Files that the process this one was forked from had open. SQLite's lists of locks are copied by a fork, the locks are
not: opened once more here, such a file seems locked for ever, or is read without a lock."""


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def is_open(path: Path) -> bool:
    """Whether this process has the file open as a store."""
    return path.is_file() and any(store._file == _identity(path) for store in list(_opened) if store._end.alive)


def _inherit() -> None:
    _inherited.update(store._file for store in list(_opened) if store._end.alive)
    _opened.clear()


os.register_at_fork(after_in_child=_inherit)


def _add(batch: list[Record | Lookup], connection: sqlite3.Connection) -> int:
    return sum(lookups.add(connection, r) if isinstance(r, Lookup) else rows.add(connection, r) for r in batch)


def _close(process: int, reader: sqlite3.Connection, lock: threading.Lock, writer: Writer | None) -> None:
    """Not a method: it runs also when a store is forgotten, and at the end of the program."""
    if os.getpid() != process:
        # A fork has no right to the parent's connections: closing one might wait for ever for a lock that a thread of
        # the parent held, or drop the parent's. They are kept until the process is gone.
        for connection in (reader, *([] if writer is None else [writer.connection])):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        return
    if writer is not None:
        writer.close()
    with lock:
        reader.close()
