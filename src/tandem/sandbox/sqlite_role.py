"""One query on a SQLite file, in a confined child: read-only, and held to an allow-list by SQLite's own authorizer.

SQLite asks the authorizer about every step while it compiles a statement, views, common table expressions and
sub-selects included, so no text has to be parsed here. Opening read-only is not enough: `VACUUM INTO` writes a new file
and `ATTACH` opens one. The child opens the file itself: a connection must not be carried over a fork, and opening costs
less than 0.1 ms.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from tandem.sandbox import answer

_ARITHMETIC = """abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling cos cosh count degrees exp floor ln log
log10 log2 max median min mod percentile percentile_cont percentile_disc pi pow power radians random round sign sin sinh
sqrt stddev sum tan tanh total trunc"""
_TEXTS = """char coalesce concat concat_ws format glob group_concat hex ifnull if iif instr length like likelihood
likely lower ltrim nullif octet_length printf quote randomblob replace rtrim soundex string_agg substr substring trim
typeof unhex unicode unistr unlikely upper zeroblob sqlite_version"""
_TIMES = "current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch"
_WINDOWS = """cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"""
_JSON = """-> ->> json json_array json_array_length json_each json_error_position json_extract json_group_array
json_group_object json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set json_tree
json_type json_valid"""
_SEARCH = "bm25 highlight match matchinfo offsets snippet rtreedepth rtreenode"
FUNCTIONS = frozenset(" ".join((_ARITHMETIC, _TEXTS, _TIMES, _WINDOWS, _JSON, _SEARCH)).split())
"""Functions a query may call: those that only calculate."""
_TELLING = "table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list"
PRAGMAS = frozenset(_TELLING.split())
"""Pragmas that tell of tables and change nothing."""
_ASKED_BY_SEARCH = "data_version"
_MADE_FIRST = ("json_each", "json_tree", *(f"pragma_{p}" for p in ("table_info", "index_list", "foreign_key_list")))
"""Tables without a place in the file: SQLite declares them at first use, by steps no query may take."""

_CHANGES = """ALTER_TABLE ANALYZE ATTACH CREATE_INDEX CREATE_TABLE CREATE_TEMP_INDEX CREATE_TEMP_TABLE
CREATE_TEMP_TRIGGER CREATE_TEMP_VIEW CREATE_TRIGGER CREATE_VIEW CREATE_VTABLE DELETE DETACH DROP_INDEX DROP_TABLE
DROP_TEMP_INDEX DROP_TEMP_TABLE DROP_TEMP_TRIGGER DROP_TEMP_VIEW DROP_TRIGGER DROP_VIEW DROP_VTABLE INSERT PRAGMA
REINDEX SAVEPOINT TRANSACTION UPDATE"""
_STEPS = {getattr(sqlite3, f"SQLITE_{name}"): name.replace("_", " ") for name in _CHANGES.split()}
_STEPS[sqlite3.SQLITE_ATTACH] = "ATTACH or VACUUM"
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 300_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 2000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 5_000_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_LONGEST_VALUE = 64 << 20
_STEPS_BETWEEN_LOOKS = 10_000

_path = ""
_problem = ""
_off: frozenset[str] = frozenset()
_virtual: tuple[str, ...] = ()
_hidden: frozenset[str] = frozenset()


def prepare(settings: dict[str, Any]) -> None:
    """Note the file, and see whether it is a database; find its virtual tables and those of the engine's own."""
    global _path, _off, _virtual, _hidden, _problem
    _path, _off = settings["path"], frozenset(settings["off"])
    # closed here, whatever is found: the warm process reuses the numbers of its files, and a connection that the
    # collector found later would close somebody else's
    with contextlib.closing(_connect()) as connection:
        try:
            kept = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        except sqlite3.Error as error:
            _problem = str(error)
            return
        _virtual = tuple(n for n, sql in kept if sql and sql.lstrip()[:14].upper() == "CREATE VIRTUAL")
        modules = {row[0].lower() for row in connection.execute("PRAGMA module_list")}
    _hidden = frozenset(modules | {"dbstat", "sqlite_dbpage"}) - {n.lower() for n, _ in kept} - {*_MADE_FIRST}


def play(handles: list[int]) -> None:
    """Handles: the request, the answer."""
    answer.serve(handles, _answer)


def _answer(request: dict[str, Any]) -> bytes:
    if _problem:
        raise answer.Stop("unusable", _problem)
    connection = _connect()
    if request.get("check"):
        return answer.rows((), (), request)
    if request.get("describe"):
        return answer.rows(("name", "text"), _describe(connection), request)
    guard = _Guard()
    deadline = answer.Deadline(request)
    _hold(connection, request, guard, deadline)
    try:
        cursor = connection.execute(request["query"])
        if cursor.description is None:
            raise answer.Stop("invalid", "there is no statement that gives rows")
        return answer.rows((d[0] for d in cursor.description), cursor, request)
    except sqlite3.Warning as error:  # an older Python's word for several statements
        raise answer.Stop("refused", f"only one statement is allowed: {error}") from None
    except sqlite3.Error as error:
        raise _named(error, guard, deadline) from None


def _connect() -> sqlite3.Connection:
    """Read-only; unchangeable besides, unless that is switched off: no locks, no journal, nothing written beside it."""
    how = "mode=rw" if "read-only" in _off else "mode=ro&immutable=1"
    connection = sqlite3.connect(f"file:{quote(_path)}?{how}", uri=True, isolation_level=None, cached_statements=0)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _hold(connection: sqlite3.Connection, request: dict[str, Any], guard: _Guard, deadline: answer.Deadline) -> None:
    """Settings that the engine keeps, then the limits, the deadline and the authorizer."""
    memory = request["memory"]
    settings = ("temp_store = MEMORY", "trusted_schema = OFF", "mmap_size = 0", "cell_size_check = ON")
    for setting in (*settings, *(() if "read-only" in _off else ("query_only = ON",))):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(f"PRAGMA hard_heap_limit = {memory // 2}").fetchone()
    for name in (*_MADE_FIRST, *_virtual):
        try:
            connection.execute(f"SELECT 1 FROM {_quoted(name)} LIMIT 0")
        except sqlite3.Error:  # a module this engine lacks: the query that names it hears so itself
            continue
    if "limits" not in _off:
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(_LONGEST_VALUE, memory // 4))
    if "interrupt" not in _off:
        connection.set_progress_handler(deadline.passed, _STEPS_BETWEEN_LOOKS)
    if "authorizer" not in _off:
        connection.set_authorizer(guard)


class _Guard:
    """The authorizer: what may be done, and what was asked for first that may not."""

    def __init__(self) -> None:
        self.refused = ""

    def __call__(self, step: int, one: str | None, two: str | None, base: str | None, inside: str | None) -> int:
        if step in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if step == sqlite3.SQLITE_READ:
            if not _may_read((one or "").lower()):
                return self._refuse(f"the table {one} is the engine's own and may not be read")
            return sqlite3.SQLITE_OK
        if step == sqlite3.SQLITE_FUNCTION:
            if (two or "").lower() not in FUNCTIONS:
                return self._refuse(f"the function {two} is not allowed")
            return sqlite3.SQLITE_OK
        if step == sqlite3.SQLITE_PRAGMA:
            if (one or "").lower() in PRAGMAS or (one == _ASKED_BY_SEARCH and two is None):
                return sqlite3.SQLITE_OK
            return self._refuse(f"PRAGMA {one} is not allowed")
        if one in ("sqlite_master", "sqlite_temp_master"):  # a virtual table declares itself by a step on them, too
            return self._refuse("the schema cannot be changed, nor tables of the engine's own be read")
        what = _STEPS.get(step, "this step")
        return self._refuse(f"{what} is not allowed: the tables can only be read")

    def _refuse(self, text: str) -> int:
        self.refused = self.refused or text
        return sqlite3.SQLITE_DENY


def _may_read(table: str) -> bool:
    if table.startswith("pragma_"):
        return table.removeprefix("pragma_") in PRAGMAS
    return table not in _hidden


def _named(error: sqlite3.Error, guard: _Guard, deadline: answer.Deadline) -> answer.Stop:
    """What an error of the engine means."""
    text, code = str(error), getattr(error, "sqlite_errorname", None) or ""
    if guard.refused:
        return answer.Stop("refused", guard.refused)
    if "one statement at a time" in text:
        return answer.Stop("refused", "only one statement is allowed")
    if code.startswith("SQLITE_INTERRUPT"):
        return answer.Stop("timeout", deadline.text)
    if code.startswith(("SQLITE_READONLY", "SQLITE_AUTH")):
        return answer.Stop("refused", f"{text}: the tables can only be read")
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_IOERR", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_BUSY")):
        return answer.Stop("failed", text)
    if code.startswith(("SQLITE_TOOBIG", "SQLITE_NOMEM", "SQLITE_FULL")) or any(w in text for w in _LARGE):
        return answer.Stop("too-large", text)
    return answer.Stop("invalid", text)


_LARGE = ("too large", "too many", "stack overflow", "too big", "too complex", "too long")


def _describe(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Each table and view with its columns, keys and number of rows."""
    kept = connection.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'"
    ).fetchall()
    shadows = {n for n, _ in kept for v in _virtual if n.startswith(f"{v}_")}
    for name, kind in kept:
        if name in shadows:
            continue
        columns = connection.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
        parts = [f"{column} {declared}".strip() for _, column, declared, *_ in columns]
        keys = [c[1] for c in sorted(columns, key=lambda c: c[5]) if c[5]]
        parts += [f"PRIMARY KEY ({', '.join(keys)})"] if keys else []
        for row in connection.execute(f"PRAGMA foreign_key_list({_quoted(name)})"):
            parts.append(f"{row[3]} REFERENCES {row[2]}" + (f"({row[4]})" if row[4] else ""))
        yield name, ", ".join(parts) + _size(connection, name, kind)


def _size(connection: sqlite3.Connection, name: str, kind: str) -> str:
    if kind == "view":
        return "; a view"
    found: Iterable[Any] = connection.execute(f"SELECT count(*) FROM {_quoted(name)}")
    return "; {:,} rows".format(*next(iter(found)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
