"""One query on a DuckDB data set, in a confined child.

A small data set is copied into memory by the warm process and shared with each run by the fork, which takes 15 ms
off every query; a large one is opened read-only by each run. With one thread and no asynchronous readers the engine
starts no thread, so that a forked copy of it is whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import duckdb

from tandem.sandbox import answer, duckdb_guard

_START: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "async_threads": "0",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "max_expression_depth": "250",
}
_AT_ONCE = 256
_FUNCTIONS = "SELECT function_name, function_type, has_side_effects FROM duckdb_functions()"

_connection: duckdb.DuckDBPyConnection | None = None
_settings: dict[str, Any] = {}
_problem = ""


def prepare(settings: dict[str, Any]) -> None:
    """Take the data set into memory where it is to be shared; learn the engine's functions."""
    global _connection, _settings, _problem
    _settings = settings
    try:
        _connection = _share() if settings["shared"] else None
        functions = _connection or _open()
        duckdb_guard.learn(functions.execute(_FUNCTIONS).fetchall())
        functions.execute("SELECT json_serialize_sql('SELECT 1')").fetchall()
    except duckdb.Error as error:
        _problem = str(error)


def _share() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config=_START)
    name = _settings["path"].replace("'", "''")
    connection.execute(f"ATTACH '{name}' AS given (READ_ONLY)")
    connection.execute("COPY FROM DATABASE given TO memory")
    connection.execute("DETACH given")
    _lock(connection)
    return connection


def _open() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(_settings["path"], read_only="read-only" not in _settings["off"], config=_START)
    _lock(connection)
    return connection


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Settings that hold whatever a query says."""
    (used,) = connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone() or (0,)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{int(used or 0) + _settings['memory'] // 2}B'")
    if "configuration" in _settings["off"]:
        return
    connection.execute("SET enable_external_access = false")
    if _settings["shared"]:
        connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
    connection.execute("SET lock_configuration = true")


def play(handles: list[int]) -> None:
    """Handles: the request, the answer."""
    answer.serve(handles, _answer)


def _answer(request: dict[str, Any]) -> bytes:
    if _problem:
        raise answer.Stop("unusable", _problem)
    deadline = answer.Deadline(request)
    try:
        connection = _connection or _open()
        if request.get("check"):
            return answer.rows((), (), request)
        if request.get("describe"):
            return answer.rows(("name", "text"), _describe(connection), request)
        with contextlib.nullcontext() if "interrupt" in _settings["off"] else deadline.armed():
            return _query(connection, request)
    except duckdb.Error as error:
        raise _named(error, deadline) from None
    except RuntimeError as error:
        if "interrupted" in str(error):  # how the engine passes on what a signal raised
            raise answer.Stop("timeout", deadline.text) from None
        raise


def _query(connection: duckdb.DuckDBPyConnection, request: dict[str, Any]) -> bytes:
    query, off = request["query"], _settings["off"]
    if "tree" not in off:
        found = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
        assert found is not None, "a scalar gives a row"
        duckdb_guard.check(found[0], query, connection)
    if "read-only" not in off:
        connection.execute("BEGIN TRANSACTION READ ONLY")
    connection.execute(query)
    return answer.rows((d[0] for d in connection.description or ()), _fetch(connection), request)


def _fetch(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while part := connection.fetchmany(_AT_ONCE):
        yield from part


def _named(error: duckdb.Error, deadline: answer.Deadline) -> answer.Stop:
    """What an error of the engine means."""
    text = str(error)
    if isinstance(error, duckdb.InterruptException):
        return answer.Stop("timeout", deadline.text)
    if isinstance(error, duckdb.OutOfMemoryException):
        return answer.Stop("too-large", text.split("\n")[0])
    if duckdb_guard.TOO_DEEP in text.lower() or "stack overflow" in text.lower():
        return answer.Stop("too-large", text.split(". ")[0])
    if isinstance(error, duckdb.PermissionException):
        first = text.split("\n")[0]
        return answer.Stop("refused", f"nothing but the data set's own tables can be reached ({first})")
    if "configuration has been locked" in text or "read-only" in text:
        return answer.Stop("refused", text)
    if isinstance(error, duckdb.IOException | duckdb.FatalException):
        return answer.Stop("failed", text)
    return answer.Stop("invalid", text)


_COLUMNS = """
SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal
ORDER BY schema_name, table_oid, column_index"""
_KEYS = """
SELECT schema_name, table_name, constraint_text FROM duckdb_constraints()
WHERE constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY')"""
_SIZES = "SELECT schema_name, table_name, estimated_size FROM duckdb_tables() WHERE NOT internal"


def _describe(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    """Each table and view with its columns, keys and number of rows."""
    parts: dict[tuple[str, str], list[str]] = {}
    for schema, table, column, kind in connection.execute(_COLUMNS).fetchall():
        parts.setdefault((schema, table), []).append(f"{column} {kind}")
    with contextlib.suppress(duckdb.Error):
        for schema, table, text in connection.execute(_KEYS).fetchall():
            parts.setdefault((schema, table), []).append(text)
    sizes = {(schema, table): size for schema, table, size in connection.execute(_SIZES).fetchall()}
    for (schema, table), told in parts.items():
        size = f"{sizes[schema, table]:,} rows" if (schema, table) in sizes else "a view"
        yield table if schema == "main" else f"{schema}.{table}", f"{', '.join(told)}; {size}"
