"""Triples and tables say what the facts say, all of it and nothing else, in every schema."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyoxigraph
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.world import (
    RELATION,
    RELATIONS,
    Partition,
    World,
    graph_schema,
    passages,
    table_schemas,
    triples,
    write_csv,
    write_sqlite,
)  # fmt: skip
from tandem.world.partition import SOURCES, units
from tandem.world.triples import BASE, LABEL, items, label, predicates

WORLDS = st.builds(World.make, st.integers(0, 2**63 - 1), st.integers(100, 1200))
few = settings(max_examples=8, deadline=None)
SPAN = tuple[str, str, str, int | None, int | None]


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(7, 3000)


def by_the_facts(world: World) -> tuple[set[tuple[str, str, str]], set[SPAN]]:
    """What holds now, and what held when, in words, from the view `facts` only."""
    names = {e.id: e.name for e in world.entities}
    now, spans = set(), set()
    for fact in world.facts:
        if fact.status == "contradicted":
            continue
        told = (names[fact.subject], fact.relation, names.get(fact.object, fact.object))
        if fact.status == "current":
            now.add(told)
        if RELATION[fact.relation].temporal:
            spans.add((*told, fact.since, fact.until))
    return now, spans


def by_the_graph(lines: str) -> tuple[set[tuple[str, str, str]], set[SPAN]]:
    """The same from the triples alone; relations are known by their labels."""
    relations = {label(r.name): r.name for r in RELATIONS}
    found = list(pyoxigraph.parse(lines.encode(), pyoxigraph.RdfFormat.N_TRIPLES))
    labels = {q.subject.value: q.object.value for q in found if q.predicate.value == LABEL}
    now, histories = set(), []
    parts: dict[str, dict[str, str]] = {}
    for quad in found:
        predicate, value = quad.predicate.value, labels.get(quad.object.value, quad.object.value)
        local = predicate.removeprefix(BASE)
        if re.fullmatch(r"P\d+", local):
            now.add((labels[quad.subject.value], relations[labels[predicate]], value))
        elif re.fullmatch(r"H\d+", local):
            relation = relations[labels[predicate].removesuffix(" at some time")]
            histories.append((labels[quad.subject.value], relation, quad.object.value))
        elif local in ("value", "since", "until"):
            parts.setdefault(quad.subject.value, {})[local] = value
    spans = set()
    for subject, relation, node in histories:
        said = parts.pop(node)
        until = int(said["until"]) if "until" in said else None
        spans.add((subject, relation, said["value"], int(said["since"]), until))
    assert not parts
    return now, spans


@given(WORLDS)
@few
def test_the_graph_says_what_the_facts_say(world: World) -> None:
    assert by_the_graph("".join(triples(world))) == by_the_facts(world)


@given(WORLDS, st.integers(0, 11))
@few
def test_the_tables_of_every_schema_say_what_the_facts_say(world: World, number: int) -> None:
    schema = table_schemas(world, number + 1)[number]
    connection = write_sqlite(world, schema, ":memory:")
    names: dict[object, str] = {}
    for things in schema.things.values():
        names |= dict(connection.execute(f"SELECT {things.key}, {things.name} FROM {things.table}"))
    now, spans = by_the_facts(world)

    def named(relation: str, subject: object, object_: object) -> tuple[str, str, str]:
        return names[subject], relation, names[object_] if RELATION[relation].to_entity else str(object_)

    held = set()
    for relation, place in schema.current.items():
        lasting = f" AND {place.until} IS NULL" if place.until else ""
        query = f"SELECT {place.subject}, {place.object} FROM {place.table} WHERE {place.object} IS NOT NULL{lasting}"
        held |= {named(relation, *row) for row in connection.execute(query)}
    assert held == now
    when = set()
    for relation, place in schema.dated.items():
        query = f"SELECT {place.subject}, {place.object}, {place.since}, {place.until} FROM {place.table}"
        when |= {(*named(relation, s, o), since, until) for s, o, since, until in connection.execute(query)}
    assert when == spans
    connection.close()


def test_aliases_and_kinds_stand_in_graph_and_tables(world: World) -> None:
    aliases = {(e.name, a) for e in world.entities for a in e.aliases}
    kinds = Counter(e.kind for e in world.entities)
    store = pyoxigraph.Store()
    store.bulk_load("".join(triples(world)).encode(), pyoxigraph.RdfFormat.N_TRIPLES)
    prefix = "PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#> PREFIX skos: <http://www.w3.org/2004/02/skos/core#>"
    rows = store.query(f"{prefix} SELECT ?n ?a {{ ?s rdfs:label ?n ; skos:altLabel ?a }}")
    assert {(row[0].value, row[1].value) for row in rows} == aliases
    typed = store.query("SELECT ?k (COUNT(*) AS ?n) { ?s a ?k } GROUP BY ?k")
    assert {row[0].value.removeprefix(BASE): int(row[1].value) for row in typed} == kinds
    for schema in table_schemas(world, 6):
        connection = write_sqlite(world, schema, ":memory:")
        names: dict[object, str] = {}
        for things in schema.things.values():
            names |= dict(connection.execute(f"SELECT {things.key}, {things.name} FROM {things.table}"))
        found = connection.execute(f"SELECT {schema.alias.subject}, {schema.alias.object} FROM {schema.alias.table}")
        assert {(names[key], alias) for key, alias in found} == aliases
        organisations = schema.things["organisation"].table
        counted = connection.execute(f"SELECT {schema.kind}, COUNT(*) FROM {organisations} GROUP BY 1")
        assert dict(counted) == {kind: kinds[kind] for kind in ("school", "company")}
        connection.close()


def test_the_names_of_things_tell_neither_their_kind_nor_their_number(world: World) -> None:
    numbers = np.array([int(item[1:]) for item in items(world)])
    assert len(set(numbers.tolist())) == world.census.total
    assert abs(np.corrcoef(numbers, np.arange(len(numbers)))[0, 1]) < 0.1
    assert items(world) != items(World.make(8, 3000))
    assert predicates(world) != predicates(World.make(8, 3000))


def test_the_schema_of_the_graph_names_every_predicate_with_its_label(world: World) -> None:
    parts = graph_schema(world).parts
    used = set(re.findall(rf"^<[^>]*> <{re.escape(BASE)}(\w+)> ", "".join(triples(world)), re.MULTILINE))
    assert {f":{name}" for name in used} == set(parts) - {"rdfs:label", "skos:altLabel"}
    for relation, number in predicates(world).items():
        assert label(relation) in parts[f":P{number}"]


@given(st.integers(0, 2**32), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_no_table_has_two_columns_of_one_name_and_no_schema_two_such_tables(seed: int, number: int) -> None:
    schema = table_schemas(World.make(seed, 100), number + 1)[number]
    for columns in schema.columns.values():
        assert len(set(columns)) == len(columns)
    assert len({things.table for things in schema.things.values()}) == 5
    assert set(schema.current) == set(RELATION)


def test_schemas_differ_in_layout_or_in_names(world: World) -> None:
    shapes = [tuple(sorted(schema.columns.items())) for schema in table_schemas(world, 9)]
    assert len(set(shapes)) == 9
    assert [s.layout for s in table_schemas(world, 6)] == 2 * ["normalised", "wide", "tall"]


def test_csv_files_hold_the_rows_of_the_database(world: World, tmp_path: Path) -> None:
    schema = table_schemas(world, 1)[0]
    count = write_csv(world, schema, tmp_path)
    connection = write_sqlite(world, schema, ":memory:")
    for table, columns in schema.columns.items():
        with (tmp_path / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
        assert tuple(header) == columns
        held = connection.execute(f"SELECT * FROM {table}").fetchall()
        assert rows == [["" if cell is None else str(cell) for cell in row] for row in held]
        count -= len(rows)
    assert count == 0
    connection.close()


@pytest.mark.parametrize("by", ["relation", "fact"])
def test_a_partition_gives_each_fact_to_one_source_and_keeps_together_what_tells_of_each_other(
    world: World, by: str
) -> None:
    partition = Partition.of(world, by)  # type: ignore[arg-type]
    masks = [partition.told(source) for source in SOURCES]
    assert (sum(mask.astype(int) for mask in masks) == 1).all()
    assert min(int(mask.sum()) for mask in masks) > len(world.facts) // 20
    together: dict[int, set[int]] = {}
    for unit, place in zip(units(world).tolist(), partition.source.tolist(), strict=True):
        together.setdefault(unit, set()).add(place)
    assert all(len(places) == 1 for places in together.values())
    if by == "relation":
        by_relation: dict[int, set[int]] = {}
        for relation, place in zip(world.columns.relation.tolist(), partition.source.tolist(), strict=True):
            by_relation.setdefault(relation, set()).add(place)
        assert all(len(places) == 1 for places in by_relation.values())
    else:
        spoken = {m.fact for p in passages(world) for m in p.mentions}
        silent = [i for i in np.flatnonzero(masks[0]) if f"f{i:07d}" not in spoken]
        unit = units(world)
        told_units = {int(unit[int(f[1:])]) for f in spoken}
        assert all(int(unit[i]) in told_units for i in silent)


def test_passages_of_a_part_state_its_facts_and_no_others(world: World) -> None:
    told = Partition.of(world).told("passages")
    whole = {p.id: p for p in passages(world)}
    seen: Counter[str] = Counter()
    for passage in passages(world, told=told):
        stated = [m.fact for m in passage.mentions]
        assert stated == [m.fact for m in whole[passage.id].mentions if told[int(m.fact[1:])]]
        assert passage.text == " ".join(passage.text[m.start : m.end] for m in passage.mentions)
        first = passage.text[: passage.mentions[0].end]
        assert any(name in first for name in (world.names[int(world.columns.subject[int(stated[0][1:])])],))
        seen.update(stated)
    expected = {f"f{i:07d}": int(world.mentions[i]) for i in np.flatnonzero(told) if world.mentions[i]}
    assert seen == expected
