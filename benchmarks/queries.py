"""Guarded queries on a small table or graph: time of one, with the fork of its process, and how many a second.

    python benchmarks/queries.py [--queries 300] [--workers 2]

Beside each stands the plain engine, asked the same in this process without any guard.
"""

import argparse
import asyncio
import contextlib
import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
import pyoxigraph

from tandem.sandbox import Graph, Tables

SELECT = "SELECT kind, count(*) AS n, sum(size) FROM items WHERE size > 10 GROUP BY kind ORDER BY n DESC LIMIT 10"
SPARQL = "SELECT ?kind (COUNT(?s) AS ?n) { ?s <urn:kind> ?kind ; <urn:size> ?size FILTER(?size > 10) } GROUP BY ?kind"
ITEMS = [(i, f"kind {i % 7}", i % 100) for i in range(1000)]


def made(folder):
    """A file for each engine, and its plain answer's function."""
    with contextlib.closing(sqlite3.connect(folder / "items.db")) as to:
        to.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, kind TEXT, size INTEGER)")
        to.executemany("INSERT INTO items VALUES (?, ?, ?)", ITEMS)
        to.commit()
    rows = "".join(f"{i},{kind},{size}\n" for i, kind, size in ITEMS)
    (folder / "items.csv").write_text(f"id,kind,size\n{rows}")
    integer = "http://www.w3.org/2001/XMLSchema#integer"
    (folder / "items.nt").write_text(
        "".join(
            f'<urn:{i}> <urn:kind> "{kind}" .\n<urn:{i}> <urn:size> "{size}"^^<{integer}> .\n'
            for i, kind, size in ITEMS
        )
    )
    plain = sqlite3.connect(folder / "items.db")
    duck = duckdb.connect()
    duck.execute(f"CREATE TABLE items AS SELECT * FROM read_csv('{folder}/items.csv')")
    store = pyoxigraph.Store()
    store.load(path=str(folder / "items.nt"))
    yield "SQLite", Tables, folder / "items.db", SELECT, lambda: plain.execute(SELECT).fetchall()
    yield "DuckDB", Tables, folder / "items.csv", SELECT, lambda: duck.execute(SELECT).fetchall()
    yield "Oxigraph", Graph, folder / "items.nt", SPARQL, lambda: list(store.query(SPARQL))


async def measured(kind, data, query, count, workers):
    """Seconds to open, median seconds of one query, queries a second with all workers busy."""
    began = time.perf_counter()
    async with kind(data, workers=workers) as opened:
        start = time.perf_counter() - began
        await asyncio.gather(*(opened.query(query) for _ in range(4 * workers)))
        times = []
        for _ in range(count):
            began = time.perf_counter()
            assert len(await opened.query(query))
            times.append(time.perf_counter() - began)
        began = time.perf_counter()
        await asyncio.gather(*(opened.query(query) for _ in range(count)))
        return start, statistics.median(times), count / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for name, kind, data, query, plain in made(Path(folder)):
            times = []
            for _ in range(chosen.queries):
                began = time.perf_counter()
                plain()
                times.append(time.perf_counter() - began)
            start, one, rate = asyncio.run(measured(kind, data, query, chosen.queries, chosen.workers))
            print(
                f"{name:9} plain {1e3 * statistics.median(times):6.2f} ms   guarded {1e3 * one:6.2f} ms, "
                f"{rate:6.0f} a second with {chosen.workers} workers; opened in {1e3 * start:.0f} ms"
            )


if __name__ == "__main__":
    main()
