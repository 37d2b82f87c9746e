"""What a form asks has one answer, whether facts, graph or tables give it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tandem.world import RELATIONS, World, table_schemas
from tandem.world.engines import Broken, Engines
from tandem.world.forms import Form, Pattern, Thing, Var, answers, term
from tandem.world.history import CONTRADICTED, CURRENT
from tandem.world.noise import Draws
from tandem.world.sparql import sparql
from tandem.world.sql import sql
from tandem.world.table_schemas import GROUP

X, Y, YEAR = Var("x"), Var("y"), Var("year")


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(11, 1500)


def forms(world: World, n: int) -> Iterator[Form]:
    """Forms of every kind about random facts, sensible or not."""
    draws, c = Draws(1, "forms"), world.columns
    for _ in range(n):
        fact = draws.below(len(c))
        if c.status[fact] == CONTRADICTED:
            continue
        r, subject, object_ = RELATIONS[c.relation[fact]], Thing(int(c.subject[fact])), term(world, fact)
        if r.temporal:
            yield Form(X, (Pattern(subject, r.name, X, int(c.since[fact]) + 1),))
            yield Form(X, (Pattern(X, r.name, object_, int(c.since[fact]) + 1),), "count")
        if c.status[fact] != CURRENT:
            continue
        yield Form(X, (Pattern(subject, r.name, X),))
        yield Form(X, (Pattern(X, r.name, object_),), "count")
        yield Form(X, (Pattern(X, r.name, subject),))
        for other in RELATIONS:
            if r.to_entity and GROUP[other.domain[0]] == GROUP[r.range[0]]:
                yield Form(Y, (Pattern(subject, r.name, X), Pattern(X, other.name, Y)))
                yield Form(Y, (Pattern(X, r.name, subject), Pattern(X, other.name, Y)))
            if other.range == ("year",) and other != r and GROUP[other.domain[0]] == GROUP[r.domain[0]]:
                patterns = (Pattern(X, r.name, object_), Pattern(X, other.name, YEAR))
                yield Form(X, patterns, "first", YEAR)
                yield Form(X, patterns, "last", YEAR)
                yield Form(X, patterns, "values", YEAR, after=1950)
                yield Form(X, patterns, "count", YEAR, before=1960)


def test_facts_graph_and_tables_of_all_schemas_give_the_same_answer(world: World) -> None:
    schemas = table_schemas(world, 6)
    engines = Engines(world, schemas)
    kinds: Counter[tuple[str, bool]] = Counter()
    for form in forms(world, 70):
        right = answers(world, form)
        found = [engines.sparql(sparql(world, form)), *(engines.sql(sql(world, form, s), s.name) for s in schemas)]
        if form.shape in ("first", "last"):  # engines take one of those that tie
            assert all(set(one) <= set(right) and len(one) == min(1, len(right)) for one in found), form
        else:
            assert found == [right] * 7, form
        kinds[form.shape, bool(right) and right != ("0",)] += 1
    engines.close()
    assert all(kinds[shape, True] > 20 for shape in ("values", "count", "first", "last"))
    assert kinds["values", False] > 20


def test_an_engine_says_when_it_does_not_understand(world: World) -> None:
    engines = Engines(world, table_schemas(world, 1))
    with pytest.raises(Broken):
        engines.sparql("SELECT ?x { ?x")
    with pytest.raises(Broken):
        engines.sql("SELECT nothing FROM person", "normalised")
    engines.close()
