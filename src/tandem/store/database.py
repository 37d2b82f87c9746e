"""The SQLite file: its tables, views for people, opening it safely, and what SQLite's errors mean.

    models      names of models                    served     which models a name turned out to be, first one first
    requests    what was asked, as canonical JSON
    draws       answers, by request and sample     setbacks   refusals, filtered texts and failures
    scored      scores of continuations            lookups     what sources were asked (see `store.lookups`)
    answers, refusals, failures, scores: views that join these for people (`select * from answers limit 5`)

Write-ahead logging with synchronous=FULL: what is committed survives `kill -9` and power loss. What this does not do:
change a file of another format version. Rejected: one table for answers and other outcomes (one forgotten condition
would make a failure an answer), compressed or pickled cells (nobody could read them).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tandem.errors import Failure, TandemError, UserError
from tandem.store import lookups

VERSION = 1
"""Of the tables; a file of a later one is refused."""
_SHORTEST = 512
"""Bytes of the smallest page of a database."""
APPLICATION = 0x54414E44
"""Marks the file as ours (`TAND`)."""

_MARKS = (
    "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
    "FROM pragma_user_version, pragma_application_id"
)
"""In one statement: between several, another process may make the tables."""

_OUTCOME = """(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  request INTEGER NOT NULL REFERENCES requests,
  sample INTEGER NOT NULL,
  max_tokens INTEGER NOT NULL,
  logprobs INTEGER NOT NULL,
  finish TEXT NOT NULL CHECK (finish IN ({finishes})),
  text, read INTEGER, written INTEGER, cached INTEGER, reasoning INTEGER,
  served INTEGER REFERENCES served,
  tokens TEXT,
  notes TEXT,
  error TEXT,
  at REAL NOT NULL,
  UNIQUE (request, sample, max_tokens, logprobs)
)"""
_SHOWN = """
  SELECT {table}.id, models.name AS model,
    substr(coalesce(json_extract(requests.request, '$.prompt.text'),
      json_extract(requests.request, '$.prompt.chat[#-1][1]')), -200) AS prompt_end,
    sample, {columns}, datetime(at, 'unixepoch') AS at
  FROM {table} JOIN requests ON requests.id = {table}.request JOIN models ON models.id = requests.model
"""
_TEXT = "finish, text, written, max_tokens, notes, (SELECT name FROM served WHERE id = {table}.served) AS served_model"
_ERROR = "json_extract(error, '$.kind') AS kind, json_extract(error, '$.problem') AS problem, max_tokens"
_SCHEMA = (
    "CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE served (id INTEGER PRIMARY KEY, model INTEGER NOT NULL REFERENCES models, name TEXT NOT NULL, "
    "UNIQUE (model, name))",
    "CREATE TABLE requests (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "
    "model INTEGER NOT NULL REFERENCES models, request TEXT NOT NULL)",
    "CREATE TABLE draws " + _OUTCOME.format(finishes="'stop', 'length'"),
    "CREATE TABLE setbacks " + _OUTCOME.format(finishes="'refusal', 'filter', 'failed'"),
    "CREATE TABLE scored (id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES requests, "
    "digest TEXT NOT NULL, continuation NOT NULL, logprob NOT NULL, tokens INTEGER NOT NULL, "
    "greedy INTEGER NOT NULL, at REAL NOT NULL, UNIQUE (request, digest))",
    "CREATE VIEW answers AS" + _SHOWN.format(table="draws", columns=_TEXT.format(table="draws")),
    "CREATE VIEW refusals AS"
    + _SHOWN.format(table="setbacks", columns=_TEXT.format(table="setbacks"))
    + "WHERE finish != 'failed'",
    "CREATE VIEW failures AS" + _SHOWN.format(table="setbacks", columns=_ERROR) + "WHERE finish = 'failed'",
    "CREATE VIEW scores AS SELECT scored.id, models.name AS model, "
    "substr(coalesce(json_extract(request.request, '$.context.text'), "
    "json_extract(request.request, '$.context.chat[#-1][1]')), -200) AS context_end, continuation, logprob, tokens, "
    "greedy, datetime(at, 'unixepoch') AS at FROM scored JOIN requests AS request ON request.id = scored.request "
    "JOIN models ON models.id = request.model",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)


def connect(path: Path, patience: float, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode that waits at most `patience` seconds for other processes' locks.

    Raises UserError when the file is missing (read-only) or cannot be opened.
    """
    if read_only:
        if not path.is_file():
            raise UserError("no such file", where=str(path), remedy="check the path of the recorded answers")
        log = path.with_name(path.name + "-wal")
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            mode = "mode=rw"  # so that SQLite can clear its side files away; `query_only` keeps the content as it is
        elif log.exists() and log.stat().st_size:
            mode = "mode=ro"
        else:
            mode = "immutable=1"  # SQLite could not make its side files here, and needs none where nobody writes
        target = f"{path.absolute().as_uri()}?{mode}"
    else:
        _check_foreign(path)
        target = path.absolute().as_uri()
    connection = sqlite3.connect(target, timeout=patience, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _check_foreign(path: Path) -> None:
    """Refuse a file that is too short for a database; SQLite takes one byte for an empty one, and would overwrite it.

    By its size only. What a process has open through SQLite must never be opened and closed there by other means: that
    drops all the locks that the process holds on the file (POSIX), and another process that ends would take itself for
    the last one and remove the log that is still written to.
    """
    if path.is_file() and 0 < path.stat().st_size < _SHORTEST and not path.with_name(path.name + "-journal").exists():
        raise _foreign(path)


def _foreign(path: Path) -> UserError:
    return UserError("not a file of recorded answers", where=str(path), remedy="name another file, or a new one")


def prepare(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    """Make the tables in a new file, check mark and version of an old one, and switch to write-ahead logging."""
    if not check(connection, path):
        with transaction(connection):
            if not check(connection, path):  # another process may have been first
                for statement in _SCHEMA:
                    connection.execute(statement)
    if not lookups.present(connection):
        with transaction(connection):
            for statement in lookups.SCHEMA:
                connection.execute(statement)
    until = time.monotonic() + patience
    while True:  # the switch does not wait for other processes' locks by itself
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as e:
            if not _is(e, sqlite3.SQLITE_BUSY) or time.monotonic() > until:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "PRAGMA cache_size = -16384"
    )  # KiB; keys are hashes, so that an insert may touch any page of theirs


def check(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file holds our tables; False for an empty one. Raises UserError on any other file."""
    version, application, tables = connection.execute(_MARKS).fetchone()
    if not application and not version and not tables:
        return False
    if application != APPLICATION:
        raise UserError(
            "a SQLite file of another program, not recorded answers", where=str(path), remedy="name another file"
        )
    if version > VERSION:
        raise UserError(
            f"written by a newer version of Tandem (format {version}; this version reads up to {VERSION})",
            where=str(path),
            remedy="upgrade Tandem, or name another file",
        )
    return True


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write inside: committed at the end, or nothing of it."""
    if connection.in_transaction:  # left by an error that could not be rolled back then
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # some errors have rolled back already
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    """Write inside, within a transaction: an error undoes what was written here, and only that."""
    connection.execute("SAVEPOINT work")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # some errors have rolled back everything already
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
        raise
    connection.execute("RELEASE work")


@contextlib.contextmanager
def explained(path: Path, patience: float) -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours, with the place and the remedy."""
    try:
        yield
    except TandemError:
        raise
    except sqlite3.Error as e:
        raise explanation(e, path, patience) from e
    except OverflowError as e:
        raise misfit(e, path) from e
    except ValueError as e:  # a cell that somebody changed, or that the disk did
        raise Failure(f"a row cannot be read ({e})", where=str(path), remedy="mend or delete that row") from e
    except OSError as e:
        raise UserError(
            f"cannot be opened ({e.strerror or e})", where=str(path), remedy="check the folder and its permissions"
        ) from e


def misfit(e: Exception, path: Path) -> Failure:
    """What it means that a value fits no cell: a whole number beyond 64 bits, an ending that is none."""
    return Failure(
        f"a value cannot be recorded ({e})", where=str(path), remedy="look at what was asked, and at what answered"
    )


def explanation(e: sqlite3.Error, path: Path, patience: float) -> TandemError:
    """What an error of SQLite means to the user."""
    where = str(path)
    if _is(e, sqlite3.SQLITE_NOTADB):
        return _foreign(path)
    if _is(e, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Failure(
            f"another process has kept the recorded answers locked for more than {patience:g} s",
            where=where,
            remedy="end that process (or its open transaction), then run the same command again: it continues",
        )
    if _is(e, sqlite3.SQLITE_FULL):
        return Failure(
            "the disk is full", where=where, remedy="free some space, then run the same command again: it continues"
        )
    if _is(e, sqlite3.SQLITE_IOERR):
        return Failure(
            f"cannot read or write ({e}): the disk is full or failing, or a quota or a limit on file size is reached",
            where=where,
            remedy="free some space or raise the limit, then run the same command again: it continues",
        )
    if _is(e, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return UserError(
            f"cannot be opened or written ({e})", where=where, remedy="check the path, the folder and its permissions"
        )
    if _is(e, sqlite3.SQLITE_CORRUPT):
        return Failure(
            "the file is damaged",
            where=where,
            remedy=f'rescue what can be read: sqlite3 "{path}" .recover | sqlite3 rescued.db',
        )
    return Failure(f"the recorded answers cannot be used ({e})", where=where)


def _is(e: sqlite3.Error, *codes: int) -> bool:
    """Whether an error has one of the primary codes; extended codes hold theirs in the low byte."""
    code = getattr(e, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in codes
