"""Pairs in the forms of the usual data sets: WikiSQL's questions and tables, LC-QuAD's questions.

WikiSQL: a file of questions, `{"question", "table_id", "sql": {"sel", "agg", "conds"}}` a line, and one of tables,
`{"id", "header", "types", "rows"}` a line. The query is written out from its parts; the tables become one SQLite file
in which columns have their headings and texts compare without case, as they do in the data set's own evaluation.

LC-QuAD: a JSON array or lines with `sparql_query` and `corrected_question` (version 1), or `sparql_wikidata` and
`question` (version 2). Things are linked as the query names them, in alphabetical order, so that their order tells
nothing. Its graph is not part of it: without one the queries can be trained on, not run.

What this does not do: fetch them, or split them; the data sets come in parts already.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tandem.errors import Failure, UserError
from tandem.reason.query_pairs import PairReading, QueryPair, RowError, collected, rows, text_of
from tandem.types import Schema

AGGREGATES = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")
"""What `agg` numbers."""
COMPARISONS = ("=", ">", "<")
"""What the middle of a condition numbers."""
_RESOURCE = re.compile(r"<http://dbpedia\.org/resource/([^<>\s]+)>|\bdbr:([^\s;.}]+)|\b(wd:Q\d+)\b")


# ── WikiSQL ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def wikisql(path: Path, tables: Path, database: Path, *, skip: bool = False) -> tuple[PairReading, dict[str, Schema]]:
    """The pairs of a file of questions, and descriptions of their tables, which are written into `database`.

    Raises UserError that names each row which cannot be used (unless `skip`), Failure when the disk is full.
    """
    held: dict[str, _Table] = {}
    for number, row in rows(tables):
        try:
            if isinstance(row, RowError):
                raise row
            table = _Table(row)
        except RowError as e:
            raise UserError(str(e), where=f"{tables}:{number}", remedy="mend the table or remove it") from e
        held[table.id] = table
    reading = collected(path, lambda row, n: _wikisql(row, held, f"{path.stem}-{n}", path.stem), skip=skip)
    used = {pair.schema: held[pair.schema] for pair in reading.pairs}
    _write(used.values(), database)
    return reading, {name: table.schema for name, table in used.items()}


class _Table:
    """One table of the data set."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.id = text_of(row, "id")
        header, types, held = row.get("header"), row.get("types"), row.get("rows")
        if not isinstance(header, list) or not isinstance(types, list) or len(header) != len(types) or not header:
            raise RowError("`header` and `types` are no lists of one length")
        if not isinstance(held, list) or any(not isinstance(r, list) or len(r) != len(header) for r in held):
            raise RowError("`rows` are no lists as long as the header")
        self.rows: list[list[Any]] = held
        self.name = "table_" + re.sub(r"\W", "_", self.id)
        self.real = [kind == "real" for kind in types]
        self.columns: list[str] = []
        for at, heading in enumerate(header):
            plain = " ".join(str(heading).split()) or f"column {at}"
            taken = {column.lower() for column in self.columns}
            self.columns.append(plain if plain.lower() not in taken else f"{plain} {at}")

    @property
    def schema(self) -> Schema:
        """What a writer is shown."""
        told = ", ".join(f"{quoted(c)} {'real' if r else 'text'}" for c, r in zip(self.columns, self.real, strict=True))
        return Schema("A SQLite database of 1 table; texts compare without case.", {self.name: told})


def quoted(name: str) -> str:
    """A table's or column's name in SQL; plain words stand as they are."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name) and name.upper() not in _RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


_RESERVED = frozenset(
    """ALL AND AS ASC BETWEEN BY CASE CAST CHECK CROSS DEFAULT DELETE DESC DISTINCT DROP ELSE END EXCEPT EXISTS FOR
    FOREIGN FROM FULL GLOB GROUP HAVING IN INDEX INNER INSERT INTERSECT INTO IS ISNULL JOIN KEY LEFT LIKE LIMIT MATCH
    NATURAL NOT NOTNULL NULL OF OFFSET ON OR ORDER OUTER OVER PRIMARY REFERENCES RIGHT SELECT SET TABLE THEN TO UNION
    UNIQUE UPDATE USING VALUES VIEW WHEN WHERE WITH""".split()  # noqa: SIM905
)


def _wikisql(row: Mapping[str, Any], held: Mapping[str, _Table], name: str, split: str) -> QueryPair:
    table = held.get(text_of(row, "table_id"))
    if table is None:
        raise RowError(f"asks the table {row['table_id']!r}, which the file of tables does not hold")
    sql = row.get("sql")
    if not isinstance(sql, dict) or not isinstance(sql.get("conds"), list):
        raise RowError("has no `sql` with sel, agg and conds")
    column = quoted(_of(table.columns, sql.get("sel"), "column"))
    aggregate = _of(AGGREGATES, sql.get("agg"), "aggregate")
    query = f"SELECT {f'{aggregate}({column})' if aggregate else column} FROM {quoted(table.name)}"
    conditions = [_condition(one, table) for one in sql["conds"]]
    if conditions:
        query += " WHERE " + " AND ".join(conditions)
    return QueryPair(name, "sql", text_of(row, "question"), query, table.id, split=split)


def _condition(given: Any, table: _Table) -> str:
    if not isinstance(given, list) or len(given) != 3 or isinstance(given[2], list | dict):
        raise RowError("a condition is [column, comparison, value]")
    column, comparison = _of(table.columns, given[0], "column"), _of(COMPARISONS, given[1], "comparison")
    real = table.real[given[0]]
    value = str(given[2])
    number = re.fullmatch(r"-?\d+(\.\d+)?", value.replace(",", "")) if real else None
    return f"{quoted(column)} {comparison} " + (number[0] if number else "'" + value.replace("'", "''") + "'")


def _of(names: Sequence[str], number: Any, what: str) -> str:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(names):
        raise RowError(f"{what} {number!r} is none of 0 to {len(names) - 1}")
    return names[number]


def _write(tables: Iterable[_Table], database: Path) -> None:
    database.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(database)
        with connection:
            for table in tables:
                kinds = zip(table.columns, table.real, strict=True)
                columns = ", ".join(f"{quoted(c)} {'REAL' if r else 'TEXT COLLATE NOCASE'}" for c, r in kinds)
                connection.execute(f"CREATE TABLE {quoted(table.name)} ({columns})")
                places = ", ".join("?" * len(table.columns))
                values = ([_cell(v, r) for v, r in zip(row, table.real, strict=True)] for row in table.rows)
                connection.executemany(f"INSERT INTO {quoted(table.name)} VALUES ({places})", values)
        connection.close()
    except (sqlite3.Error, OSError) as e:
        raise Failure(f"the tables could not be written ({e})", where=str(database), remedy="free some space") from e


def _cell(value: Any, real: bool) -> Any:
    if value is None or not real:
        return None if value is None else str(value)
    try:
        return float(str(value).replace(",", ""))
    except ValueError:
        return str(value)


# ── LC-QuAD ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def lcquad(path: Path, schema: str, *, skip: bool = False) -> PairReading:
    """The pairs of a file; `schema` names the description of the graph that they ask."""
    return collected(path, lambda row, n: _lcquad(row, schema, f"{path.stem}-{n}", path.stem), skip=skip)


def _lcquad(row: Mapping[str, Any], schema: str, name: str, split: str) -> QueryPair:
    second = "sparql_wikidata" in row
    query = text_of(row, "sparql_wikidata" if second else "sparql_query")
    asked = "question" if second or "corrected_question" not in row else "corrected_question"
    if second and not (isinstance(row.get("question"), str) and row["question"].strip()):
        asked = "paraphrased_question"  # some rows of version 2 have no other
    things = {match[0] for match in _RESOURCE.finditer(query)}
    id_ = row.get("uid", row.get("_id", name))
    return QueryPair(
        str(id_), "sparql", text_of(row, asked), " ".join(query.split()), schema,
        names=tuple((_name(thing), thing) for thing in sorted(things)), split=split,
    )  # fmt: skip


def _name(thing: str) -> str:
    """What a person calls a thing, as far as its IRI tells."""
    end = thing.strip("<>").rpartition("/" if thing.startswith("<") else ":")[2]
    return unquote(end).replace("_", " ")
