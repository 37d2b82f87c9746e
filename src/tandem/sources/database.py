"""A database server that SQL asks, through SQLAlchemy: PostgreSQL, or another whose owner says that it is safe.

    source = Database("postgresql://reader@/history")

A server cannot be put into the sandbox, so the server has to protect itself. What holds, in this order:

1. the role: one that is superuser, or may touch the server's files or programs, is refused;
2. the transaction is read-only, asked back before every query, and always rolled back;
3. a time limit of the server's own, and one for locks; at most `limit` rows come over, by a cursor of the server;
4. the text is one SELECT, read by a parser, without functions that act on the server or reach others.

The last is a courtesy to models (an error they can mend), not a guarantee. A dialect whose read-only mode is not known
here is refused unless `trust` says that the role itself can only read. What this does not do: keep a query from reading
whatever its role may read. Give it a role for this purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

from tandem.errors import SourceFailed, UserError
from tandem.http.redact import Secrets
from tandem.sandbox import QueryInvalid, QueryRefused, QueryTimeout
from tandem.sandbox.rows import QueryError
from tandem.sources import urls, worded
from tandem.sources.blocking import Once
from tandem.sources.sql import DESCRIBED, SAMPLED, SAMPLES, samples
from tandem.text import fingerprint
from tandem.types import Question, Result, Schema, Source

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

INSTALL = "pip install 'tandem-llm[sql]'"
_READ_ONLY = {
    "postgresql": (
        "SET TRANSACTION READ ONLY",
        "SET LOCAL statement_timeout = {milliseconds}",
        "SET LOCAL lock_timeout = {milliseconds}",
    )
}
_IS_READ_ONLY = {"postgresql": "SHOW transaction_read_only"}
_MIGHTY = {
    "postgresql": "SELECT rolsuper OR pg_has_role(oid, 'pg_execute_server_program', 'member') "
    "OR pg_has_role(oid, 'pg_write_server_files', 'member') OR pg_has_role(oid, 'pg_read_server_files', 'member') "
    "FROM pg_roles WHERE rolname = current_user"
}
_ACTS = re.compile(r"(?:pg_(?!typeof$)|lo_|dblink|set_config|setval|nextval|query_to_|cursor_to_|xp_|load_file|sys_)")
LARGEST = 4 << 20
"""Characters of an answer; rows beyond are left."""


class Database:
    """See the top of this module."""

    language: Literal["text", "sparql", "sql"] = "sql"

    def __init__(
        self, url: str, *, seconds: float = 10.0, connections: int = 4, trust: bool = False, name: str = ""
    ) -> None:
        """`seconds` is the time limit of a query, and of a connection to PostgreSQL.

        Raises UserError for a missing package, a bad URL, a refused dialect.
        """
        try:
            import sqlalchemy
            from sqlalchemy.exc import ArgumentError, NoSuchModuleError
        except ImportError:
            raise UserError("needs packages that are not installed", where="sql", remedy=INSTALL) from None
        try:
            address = sqlalchemy.make_url(url)
            if address.drivername in ("postgresql", "postgres"):
                address = address.set(drivername="postgresql+psycopg")
            self.dialect = address.get_backend_name()
            shown = address.set(drivername=self.dialect, password=None, query={}).render_as_string()
            if self.dialect not in _READ_ONLY and not trust:
                problem = f"no read-only mode of {self.dialect} is known, so nothing would protect the server"
                remedy = f"use {', '.join(_READ_ONLY)}, or say trust = true when its role can only read"
                raise UserError(problem, where=shown, remedy=remedy)
            waits = self.dialect == "postgresql" and "connect_timeout" not in address.query
            self._engine: Engine = sqlalchemy.create_engine(
                address,
                pool_size=connections,
                max_overflow=0,
                pool_timeout=seconds * 4,
                pool_pre_ping=True,
                connect_args={"connect_timeout": max(2, math.ceil(seconds))} if waits else {},
            )
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as e:
            if isinstance(e, UserError):
                raise
            problem = "no such kind of database" if isinstance(e, NoSuchModuleError) else "is no database's URL"
            remedy = INSTALL if isinstance(e, ImportError) else "write it as in postgresql://role@host/database"
            raise UserError(problem, where="sql", remedy=remedy) from None
        self.name = name or f"sql:{shown}"
        self._shown = shown
        told = {name: value for name, value in address.query.items() if not urls.is_key(name)}
        plain = address.set(drivername=self.dialect, password=None, query=told)
        self.identity = fingerprint(plain.render_as_string())
        """Its URL without keys."""
        keys = [value for name, value in address.query.items() if urls.is_key(name)]
        keys += [address.password] if address.password else []
        self._secrets = Secrets(part for key in keys for part in ([str(key)] if not isinstance(key, tuple) else key))
        self._seconds = seconds
        self._trust = trust
        self._known = False  # whether the role has been looked at
        self._threads = ThreadPoolExecutor(connections, "tandem-database")
        self._description = Once(self._described_beside)

    def describe(self) -> Schema:
        """Tables, columns, types, and the first rows, as far as they are few. The caller waits."""
        return self._description.known_or(self._described)

    async def schema(self) -> Schema:
        """The same in an event loop, which goes on meanwhile; asked for once."""
        return await self._description.get()

    async def _described_beside(self) -> Schema:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._described)

    def _described(self) -> Schema:
        import sqlalchemy

        with self._named(), self._reading() as connection:
            look = sqlalchemy.inspect(connection)
            names = sorted(look.get_table_names() + look.get_view_names())
            parts: dict[str, str] = {}
            for table in names[:DESCRIBED]:
                columns = [f"{column['name']} {column['type']}" for column in look.get_columns(table)]
                key = look.get_pk_constraint(table).get("constrained_columns") or []
                columns += [f"PRIMARY KEY ({', '.join(key)})"] if key else []
                columns += [
                    f"{', '.join(one['constrained_columns'])} REFERENCES {one['referred_table']}"
                    for one in look.get_foreign_keys(table)
                ]
                parts[table] = ", ".join(columns)
            quote = connection.dialect.identifier_preparer.quote
            for table in names[:SAMPLED]:
                try:
                    with connection.begin_nested():
                        found = connection.exec_driver_sql(f"SELECT * FROM {quote(table)} LIMIT {SAMPLES}")
                        parts[table] += samples(found.keys(), found.fetchall())
                except sqlalchemy.exc.ProgrammingError:
                    parts[table] += "; this role may not read it"
        cut = f" The first {DESCRIBED} are told." if len(names) > DESCRIBED else ""
        return Schema(f"A {self.dialect} database of {len(names):,} tables, for one SELECT at a time.{cut}", parts)

    def about(self, question: Question) -> Source:
        """Itself: it is the same for all."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """A finding for each row. Raises QueryError for the query's own fault, SourceFailed for the source's."""
        checked(query, self.dialect, self.name)
        loop = asyncio.get_running_loop()
        columns, rows, complete = await loop.run_in_executor(self._threads, self._select, query, limit)
        found = worded.findings(columns, rows, source=self.name, where=self._shown, query=query)
        return Result(found, complete)

    async def close(self) -> None:
        """Close its connections."""
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._engine.dispose)

    def _select(self, query: str, limit: int) -> tuple[tuple[str, ...], list[tuple[Any, ...]], bool]:
        with self._named(), self._reading() as connection:
            options = {"stream_results": True, "no_parameters": True, "max_row_buffer": 100}
            found = connection.execution_options(**options).exec_driver_sql(query.strip().rstrip(";"))
            rows: list[tuple[Any, ...]] = []
            size = 0
            for row in found:
                size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
                if len(rows) == limit or size > LARGEST:
                    return tuple(found.keys()), rows, False
                rows.append(tuple(row))
            return tuple(found.keys()), rows, True

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads and is rolled back."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            for statement in _READ_ONLY.get(self.dialect, ()):
                connection.exec_driver_sql(statement.format(milliseconds=round(self._seconds * 1000)))
            if self.dialect in _IS_READ_ONLY:
                if connection.exec_driver_sql(_IS_READ_ONLY[self.dialect]).scalar() != "on":
                    raise SourceFailed("the transaction is not read-only", kind="refused", where=self.name)
                if not self._known and not self._trust and connection.exec_driver_sql(_MIGHTY[self.dialect]).scalar():
                    problem = "its role is superuser, or may touch the server's files or programs"
                    remedy = "give a role that can only read: CREATE ROLE reader LOGIN; GRANT SELECT ON …"
                    raise UserError(problem, where=self._shown, remedy=remedy)
                self._known = True
            try:
                yield connection
            finally:
                with contextlib.suppress(Exception):  # a connection that is lost has rolled back
                    transaction.rollback()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Turn the driver's errors into those of the query or of the source; nothing is chained to them."""
        from sqlalchemy.exc import SQLAlchemyError

        failed: QueryError | SourceFailed | None = None
        try:
            yield
        except SQLAlchemyError as e:
            failed = self._meant(e)
        if failed is not None:
            raise failed

    def _meant(self, e: Exception) -> QueryError | SourceFailed:
        from sqlalchemy.exc import DataError, ProgrammingError

        cause = getattr(e, "orig", None)
        said = self._secrets.remove(" ".join(str(cause or e).split()))[:500]
        state = str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")
        if state == "57014":
            return QueryTimeout(f"the query took more than {self._seconds:g} s", where=self.name)
        if state in ("25006", "42501"):
            return QueryRefused(said, where=self.name)
        if state[:2] in ("42", "22", "0A") or (not state and isinstance(e, ProgrammingError | DataError)):
            return QueryInvalid(said, where=self.name)
        kind = {"28": "key", "53": "rate-limit", "55": "timeout"}.get(state[:2], "server" if state else "connection")
        if kind == "connection" and re.search(r'password|authentication|role "[^"]*" does not exist', said):
            kind = "key"
        return SourceFailed(said, kind=kind, where=self.name, remedy="check that the server runs, its address and role")


def checked(query: str, dialect: str, where: str) -> None:
    """Raise QueryInvalid or QueryRefused for what is not a single SELECT that only calculates."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        trees = [
            tree for tree in sqlglot.parse(query, dialect="postgres" if dialect == "postgresql" else dialect) if tree
        ]
    except (SqlglotError, ValueError, RecursionError) as e:
        said = re.sub(r"\x1b\[\d*m", "", str(e)).strip() or "nested too deeply"
        raise QueryInvalid(said[:500], where=where) from None
    if len(trees) != 1:
        raise QueryRefused(f"one SELECT at a time, this has {len(trees)} statements", where=where)
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise QueryRefused(f"only SELECT is allowed, not {tree.key.upper()}", where=where)
    for node in tree.walk():
        if isinstance(node, exp.DML | exp.DDL | exp.Command | exp.Into | exp.Lock) and not isinstance(node, exp.Query):
            raise QueryRefused(f"{node.key.upper()} is not allowed: the database can only be read", where=where)
        name = str(
            node.this if isinstance(node, exp.Anonymous) else node.sql_name() if isinstance(node, exp.Func) else ""
        )
        if _ACTS.match(name.lower()):
            raise QueryRefused(f"the function {name} is not allowed: it acts on the server", where=where)
