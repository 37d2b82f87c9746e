"""Gold queries pass the sandbox's guards and give their answer there: SQLite, DuckDB on the CSV files, Oxigraph."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.errors import UserError
from tandem.sandbox import Graph, Tables
from tandem.world import Pair, World, pairs, write_knowledge


async def disagreeing(folder: Path, made: list[Pair]) -> tuple[int, list[str]]:
    """How many queries were asked, and those that the sandbox answers otherwise."""
    asked, wrong = 0, []
    async with (
        Graph(folder / "triples.nt", workers=1) as graph,
        Tables(folder / "world.sqlite", workers=1) as sqlite,
        Tables(sorted((folder / "tables").glob("*.csv")), workers=1) as duckdb,
    ):
        for pair in made:
            for source in [graph] if pair.language == "sparql" else [sqlite, duckdb]:
                rows = (await source.query(pair.query)).rows
                asked += 1
                if sorted(str(row[0]) for row in rows if row[0] is not None) != list(pair.answers):
                    wrong.append(pair.query)
    return asked, wrong


def test_gold_queries_are_answered_in_the_sandbox_as_by_the_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    world = World.make(7, 1000)
    write_knowledge(world, tmp_path, without=("claims", "strata", "table-questions", "mixed", "queries"))
    found = pairs(world, "train", 140, languages=("sparql", "sql"))
    made = [p for p in found if p.language == "sparql"][::5] + [p for p in found if p.schema == "normalised"][:14]
    try:
        asked, wrong = asyncio.run(disagreeing(tmp_path, made))
    except UserError as error:
        pytest.skip(f"NOT TESTED: {error}")
    assert asked > 30 and not wrong
