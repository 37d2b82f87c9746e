"""Data sets, small limits and one way to ask, for the tests of queries."""

import asyncio
import contextlib
import hashlib
import sqlite3
from pathlib import Path

import duckdb

from tandem.errors import TandemError
from tandem.sandbox.limits import Limits
from tandem.sandbox.queries import Graph, Tables

SMALL = Limits(cpu=1, wall=10, memory=512 << 20, output=1 << 20, scratch=1 << 20, threads=16)
"""Enough for any honest query here; a bomb meets them within seconds."""
PEOPLE = [(1, "Ada", 1815), (2, "Bob", 1900), (3, "Cleo", None)]
MANY = 3000
TRIPLES = "".join(f"<urn:n{i}> <urn:next> <urn:n{(7 * i + j) % 200}> .\n" for i in range(200) for j in range(1, 16))
GRAPH = (
    f'<urn:ada> <urn:name> "Ada"@en .\n<urn:ada> <urn:born> "1815" .\n<urn:ada> <urn:service> <urn:desk> .\n{TRIPLES}'
)


def sqlite_file(path):
    """People, and a table of many numbers."""
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, born INTEGER)")
        made.executemany("INSERT INTO people VALUES (?, ?, ?)", PEOPLE)
        made.execute("CREATE TABLE many (i INTEGER)")
        made.executemany("INSERT INTO many VALUES (?)", [(i,) for i in range(MANY)])
        made.commit()
    return path


def duckdb_file(path):
    """The same."""
    with contextlib.closing(duckdb.connect(str(path))) as made:
        made.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR, born INTEGER)")
        made.executemany("INSERT INTO people VALUES (?, ?, ?)", PEOPLE)
        made.execute(f"CREATE TABLE many AS SELECT i::INTEGER AS i FROM range({MANY}) r(i)")
    return path


class Asking:
    """A data set kept open, asked from plain functions."""

    def __init__(self, opened, healthy, answer):
        self._runner = asyncio.Runner()
        self._opened = opened
        self._healthy = (healthy, answer)
        self._runner.run(opened.__aenter__())

    def __call__(self, query, rows=1000):
        """Its rows, or its error raised."""
        return self._runner.run(self._opened.query(query, rows))

    def describe(self):
        """What there is to ask for."""
        return self._runner.run(self._opened.describe())

    def error(self, query):
        """The error a query ends in; the next query is answered."""
        try:
            found = self(query)
        except TandemError as error:
            self.still_answers()
            return error
        raise AssertionError(f"answered: {found.rows[:3]!r}")

    def still_answers(self):
        """Whatever came before, the data is as it was."""
        query, answer = self._healthy
        assert self(query).rows == answer

    def close(self):
        """End its processes."""
        self._runner.run(self._opened.__aexit__(None, None, None))
        self._runner.close()


@contextlib.contextmanager
def tables(data, **settings):
    """Tables kept open; the files are the same afterwards, and none has come beside them."""
    files = [Path(p) for p in ([data] if isinstance(data, str | Path) else data)]
    before = state(files)
    asking = Asking(
        Tables(data, **{"limits": SMALL, "workers": 1} | settings), "SELECT id FROM people ORDER BY id", IDS
    )
    try:
        yield asking
    finally:
        asking.close()
    assert state(files) == before


IDS = ((1,), (2,), (3,))


@contextlib.contextmanager
def graph(data, **settings):
    """A graph kept open."""
    given = Graph(data, **{"limits": SMALL, "workers": 1} | settings)
    asking = Asking(given, 'SELECT ?s { ?s <urn:name> "Ada"@en }', (("urn:ada",),))
    try:
        yield asking
    finally:
        asking.close()


def state(files):
    """Hash of every file, and the names beside them."""
    hashes = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    return hashes, sorted({q.name for p in files for q in p.parent.iterdir()})
