"""The facts as a graph: N-Triples with opaque names, labels, other names, and statements that carry years.

    :Q4711 rdfs:label "Tavi Kelmard"       things are Q and a number that tells nothing; their names are labels
    :Q4711 skos:altLabel "T. Kelmard"      other names
    :Q4711 rdf:type :person                one of six kinds
    :Q4711 :P7 :Q302                       what holds now
    :Q4711 :H7 :S88                        what held at some time, of relations that begin and end:
    :S88 :value :Q302                      … the object
    :S88 :since 1980                       … since when
    :S88 :until 1991                       … until when; none while it lasts

Years and numbers are xsd:integer, so that they compare; words of closed lists are plain literals. False claims are in
no graph: they are only ever said in passages. All names begin with `BASE`. Turtle was rejected: it saves a third of the
bytes, and lines that stand alone can be cut, sorted and compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from tandem.types import Schema
from tandem.world.history import CONTRADICTED, CURRENT
from tandem.world.noise import permutation
from tandem.world.passages import Mask
from tandem.world.schema import KINDS, RELATION, RELATIONS, TERMS, Relation
from tandem.world.templates import WORDINGS
from tandem.world.world import World

BASE = "http://tandem.example/"
"""What all names of the graph begin with."""
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
_ALIAS = "http://www.w3.org/2004/02/skos/core#altLabel"
_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
_INTEGER = "http://www.w3.org/2001/XMLSchema#integer"
PREFIXES = f"PREFIX : <{BASE}> PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>"
"""What queries begin with."""
_FIRST = 100
"""Things are numbered from here on."""
_BLOCK = 1 << 16


def label(relation: str) -> str:
    """A relation in words: `birthplace`, `year of settlement`."""
    return WORDINGS[relation].phrase.removeprefix("the ").removesuffix(" of {s}")


@lru_cache(maxsize=4)
def items(world: World) -> list[str]:
    """For each entity its name in the graph: Q and a number drawn from the seed."""
    return [f"Q{_FIRST + number}" for number in permutation(world.seed, "items", world.census.total).tolist()]


@lru_cache(maxsize=4)
def predicates(world: World) -> dict[str, str]:
    """For each relation its number in the graph, which `P` or `H` stands before."""
    order = permutation(world.seed, "predicates", len(RELATIONS)).tolist()
    return {r.name: str(1 + number) for r, number in zip(RELATIONS, order, strict=True)}


def triples(world: World, told: Mask | None = None) -> Iterator[str]:
    """The graph as lines, in blocks of many: what predicates mean, all things, then the facts in `told` (else all)."""
    yield "".join(_meanings(world))
    yield from _things(world)
    yield from _facts(world, told)


def graph_schema(world: World, told: Mask | None = None) -> Schema:
    """What the graph holds, in words a model can use to write a query: each predicate with its label and kinds."""
    used = range(len(RELATIONS)) if told is None else sorted(set(world.columns.relation[told].tolist()))
    relations, number = [RELATIONS[i] for i in used], predicates(world)
    parts = {f":P{number[r.name]}": f"{label(r.name)}: from {_kinds(r)}" for r in relations}
    parts |= {f":H{number[r.name]}": f"{label(r.name)} at some time: a statement" for r in relations if r.temporal}
    if any(r.temporal for r in relations):
        parts |= {
            ":value": "what a statement says",
            ":since": "year a statement began to hold",
            ":until": "year it ceased",
        }
    summary = f"An RDF graph; `:` is {BASE}; things are :Q… with rdfs:label, of the kinds " + ", ".join(
        f":{kind}" for kind in KINDS
    )
    return Schema(summary + ".", parts | {"rdfs:label": "name of a thing", "skos:altLabel": "other name"})


def _kinds(relation: Relation) -> str:
    return f"{' or '.join(relation.domain)} to {' or '.join(relation.range)}"


def _meanings(world: World) -> Iterator[str]:
    """Labels of predicates and kinds."""
    for name, number in predicates(world).items():
        yield f'<{BASE}P{number}> <{LABEL}> "{label(name)}" .\n'
        if RELATION[name].temporal:
            yield f'<{BASE}H{number}> <{LABEL}> "{label(name)} at some time" .\n'
    for kind in KINDS:
        yield f'<{BASE}{kind}> <{LABEL}> "{kind}" .\n'


def _things(world: World) -> Iterator[str]:
    names = world.names
    for kind in KINDS:
        numbers, lines = world.numbers(kind), []
        for entity in numbers:
            node = f"<{BASE}{items(world)[entity]}>"
            lines.append(f"{node} <{_TYPE}> <{BASE}{kind}> .\n{node} <{LABEL}> {_text(names[entity])} .\n")
            lines.extend(f"{node} <{_ALIAS}> {_text(alias)} .\n" for alias in world.aliases(entity))
            if len(lines) > _BLOCK:
                yield "".join(lines)
                lines = []
        yield "".join(lines)


def _facts(world: World, told: Mask | None) -> Iterator[str]:
    c, number = world.columns, predicates(world)
    nodes = [f"<{BASE}{item}>" for item in items(world)]
    direct = [f"<{BASE}P{number[r.name]}>" for r in RELATIONS]
    dated = [f"<{BASE}H{number[r.name]}>" if r.temporal else "" for r in RELATIONS]
    words: list[list[str] | None] = [
        nodes if r.to_entity else [_text(t) for t in TERMS[r.range[0]]] if r.range[0] in TERMS else None
        for r in RELATIONS
    ]
    for start in range(0, len(c), _BLOCK):
        block = slice(start, start + _BLOCK)
        columns = (c.subject, c.relation, c.object, c.since, c.until, c.status)
        rows = zip(*(column[block].tolist() for column in columns), strict=True)
        wanted = [True] * len(c.subject[block]) if told is None else told[block].tolist()
        lines = []
        for fact, (subject, relation, object_, since, until, status) in enumerate(rows, start):
            if status == CONTRADICTED or not wanted[fact - start]:
                continue
            known = words[relation]
            value = _number(object_) if known is None else known[object_]
            if status == CURRENT:
                lines.append(f"{nodes[subject]} {direct[relation]} {value} .\n")
            if dated[relation]:
                node = f"<{BASE}S{fact}>"
                lines.append(f"{nodes[subject]} {dated[relation]} {node} .\n{node} <{BASE}value> {value} .\n")
                lines.append(f"{node} <{BASE}since> {_number(since)} .\n")
                if until:
                    lines.append(f"{node} <{BASE}until> {_number(until)} .\n")
        yield "".join(lines)


def _number(value: int) -> str:
    return f'"{value}"^^<{_INTEGER}>'


def _text(value: str) -> str:
    """A literal; names of a world hold letters, spaces and full stops, the rest is escaped all the same."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
