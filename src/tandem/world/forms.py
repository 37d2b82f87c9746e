"""What a query asks, before it is written in any language: patterns over facts, and what is wanted of their answers.

    Form(shape="values", select=x, patterns=(Pattern(Thing(12), "born_in", x),))

A form is answered on the facts themselves (`answers`), and written as SPARQL (`sparql`) and SQL (`sql`); that the three
agree is tested, not assumed. Patterns say what holds now, or with `year` what held then. What this does not do: any
negation, path or aggregate besides counting and the first or last by year.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from tandem.world.history import CONTRADICTED, CURRENT
from tandem.world.noise import I64
from tandem.world.schema import NOW, NUMBER, RELATION, RELATIONS, TERMS
from tandem.world.table_schemas import GROUP
from tandem.world.world import World


@dataclass(frozen=True)
class Thing:
    """An entity, by number."""

    number: int
    """Its number in the world."""


@dataclass(frozen=True)
class Value:
    """A year or a word of a closed list."""

    value: int | str
    """Itself."""


@dataclass(frozen=True)
class Var:
    """What is not known."""

    name: str
    """Its name in the query."""


Term: TypeAlias = Thing | Value | Var
Shape: TypeAlias = Literal["values", "count", "first", "last"]


@dataclass(frozen=True)
class Pattern:
    """A fact with something unknown in it."""

    subject: Term
    """Subject."""
    relation: str
    """Name of the relation."""
    object: Term
    """Object."""
    year: int | None = None
    """The year it shall have held in; None: it holds now."""

    @property
    def reversed(self) -> Pattern:
        """The pattern read in the wrong direction."""
        return replace(self, subject=self.object, object=self.subject)


@dataclass(frozen=True)
class Form:
    """What is asked."""

    select: Var
    """What is wanted."""
    patterns: tuple[Pattern, ...]
    """What must hold; each but the first shares a term with those before."""
    shape: Shape = "values"
    """All values, how many there are, or the one that is first or last by `by`."""
    by: Var | None = None
    """The year to order or filter by."""
    after: int | None = None
    """`by` is later than this."""
    before: int | None = None
    """`by` is earlier than this."""


def groups(form: Form) -> dict[Var, str]:
    """For each variable its group of things, or `value`: as the first pattern that has it says."""
    found: dict[Var, str] = {}
    for pattern in form.patterns:
        relation = RELATION[pattern.relation]
        if isinstance(pattern.subject, Var):
            found.setdefault(pattern.subject, GROUP[relation.domain[0]])
        if isinstance(pattern.object, Var):
            found.setdefault(pattern.object, GROUP[relation.range[0]] if relation.to_entity else "value")
    return found


@dataclass(frozen=True)
class _Index:
    """Facts of each relation by object."""

    facts: I64
    keys: I64


@lru_cache(maxsize=4)
def _index(world: World) -> list[_Index]:
    made, c = [], world.columns
    for number in range(len(RELATION)):
        facts = np.flatnonzero((c.relation == number) & (c.status != CONTRADICTED))
        facts = facts[np.argsort(c.object[facts], kind="stable")]
        made.append(_Index(facts, c.object[facts]))
    return made


def matching(world: World, pattern: Pattern, bound: dict[Var, Term]) -> Iterator[int]:
    """Numbers of the facts that fit a pattern, its variables filled in where they are bound."""
    c, number = world.columns, NUMBER[pattern.relation]
    subject = bound.get(pattern.subject, pattern.subject) if isinstance(pattern.subject, Var) else pattern.subject
    object_ = bound.get(pattern.object, pattern.object) if isinstance(pattern.object, Var) else pattern.object
    code = _code(pattern.relation, object_)
    if isinstance(subject, Value) or (code is None and not isinstance(object_, Var)):
        return
    if isinstance(subject, Thing):
        facts = [f for f in world.facts_of(subject.number) if c.relation[f] == number]
    else:
        index = _index(world)[number]
        low, high = (0, len(index.facts)) if code is None else np.searchsorted(index.keys, [code, code + 1])
        facts = index.facts[low:high].tolist()
    for fact in facts:
        if c.status[fact] != CONTRADICTED and (code is None or c.object[fact] == code) and _holds(world, fact, pattern):
            yield fact


def _code(relation: str, term: Term) -> int | None:
    """A term as the object column writes it; None for a variable, and for what is no object of the relation."""
    kind = RELATION[relation].range[0]
    if isinstance(term, Thing):
        return term.number if RELATION[relation].to_entity else None
    if isinstance(term, Value):
        if kind == "year":
            return term.value if isinstance(term.value, int) else None
        return TERMS[kind].index(str(term.value)) if kind in TERMS and term.value in TERMS[kind] else None
    return None


def _holds(world: World, fact: int, pattern: Pattern) -> bool:
    c = world.columns
    if pattern.year is None or not RELATION[pattern.relation].temporal:
        return bool(c.status[fact] == CURRENT)
    return bool(c.since[fact] <= pattern.year < (c.until[fact] or NOW + 1))


def term(world: World, fact: int) -> Term:
    """A fact's object."""
    c = world.columns
    relation = RELATIONS[c.relation[fact]]
    if relation.to_entity:
        return Thing(int(c.object[fact]))
    kind = relation.range[0]
    return Value(int(c.object[fact]) if kind == "year" else TERMS[kind][int(c.object[fact])])


def shown(world: World, term: Term) -> str:
    """A term in words."""
    assert not isinstance(term, Var), term
    return world.names[term.number] if isinstance(term, Thing) else str(term.value)


def solutions(world: World, form: Form) -> list[dict[Var, Term]]:
    """All ways to fill the variables so that every pattern and filter holds."""
    found: list[dict[Var, Term]] = [{}]
    for pattern in form.patterns:
        found = [
            bound | {v: t for v, t in _bindings(world, pattern, fact) if v not in bound}
            for bound in found
            for fact in matching(world, pattern, bound)
        ]
    return [bound for bound in found if form.by is None or _between(form, bound[form.by])]


def _bindings(world: World, pattern: Pattern, fact: int) -> Iterator[tuple[Var, Term]]:
    if isinstance(pattern.subject, Var):
        yield pattern.subject, Thing(int(world.columns.subject[fact]))
    if isinstance(pattern.object, Var):
        yield pattern.object, term(world, fact)


def _between(form: Form, year: Term) -> bool:
    assert isinstance(year, Value) and isinstance(year.value, int), year
    return (form.after is None or year.value > form.after) and (form.before is None or year.value < form.before)


def answers(world: World, form: Form) -> tuple[str, ...]:
    """The answer by the facts, in words, sorted: several values, one number, or the first or last (all that tie)."""
    found = solutions(world, form)
    if form.shape in ("first", "last"):
        assert form.by is not None, form
        years = {int(shown(world, bound[form.by])) for bound in found}
        best = None if not years else min(years) if form.shape == "first" else max(years)
        found = [bound for bound in found if int(shown(world, bound[form.by])) == best]
    values = sorted({shown(world, bound[form.select]) for bound in found})
    return (str(len(values)),) if form.shape == "count" else tuple(values)
