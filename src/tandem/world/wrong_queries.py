"""Wrong queries beside a right one: of another relation, in the wrong direction, about another thing, or broken.

A wrong form is a right one with one part changed; whether what is written of it is wrong is decided by running it, not
here. What cannot go wrong in one way (the spouse of a spouse, read backwards) has to go wrong in another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, TypeAlias

from tandem.world.forms import Form, Pattern, Term, Thing, Value
from tandem.world.noise import Draws
from tandem.world.schema import NUMBER, RELATION, RELATIONS, TERMS
from tandem.world.table_schemas import GROUP
from tandem.world.world import World

Mistake: TypeAlias = Literal["predicate", "direction", "entity", "invalid"]
MISTAKES: tuple[Mistake, ...] = ("predicate", "direction", "entity", "invalid")
_TRIES = 12


def wrong_forms(world: World, form: Form, mistake: Mistake, draws: Draws) -> Iterator[Form]:
    """Forms with one mistake, the most plausible first."""
    make = {"predicate": _predicate, "direction": _direction, "entity": _entity}.get(mistake)
    return iter(()) if make is None else make(world, form, draws)


def _with(form: Form, place: int, pattern: Pattern) -> Form:
    return replace(form, patterns=(*form.patterns[:place], pattern, *form.patterns[place + 1 :]))


def _predicate(world: World, form: Form, draws: Draws) -> Iterator[Form]:
    """Another relation of the same subjects, before all one with the same kind of object."""
    for _ in range(_TRIES):
        place = draws.below(len(form.patterns))
        pattern = form.patterns[place]
        old = RELATION[pattern.relation]
        near = [
            r.name
            for r in RELATIONS
            if GROUP[r.domain[0]] == GROUP[old.domain[0]] and r.name != old.name and _fits(r.name, pattern)
        ]
        same = [name for name in near if RELATION[name].range[0] == old.range[0]]
        if pattern.object == form.by:
            near = same  # years are ordered by and compared
        if near:
            yield _with(form, place, replace(pattern, relation=draws.choose(same or near)))


def _fits(relation: str, pattern: Pattern) -> bool:
    """Whether a relation can stand in a pattern: with dates where it has a year, with words where it has a word."""
    if pattern.year is not None and not RELATION[relation].temporal:
        return False
    return not isinstance(pattern.object, Value) or not RELATION[relation].to_entity


def _direction(world: World, form: Form, draws: Draws) -> Iterator[Form]:
    """A pattern read from its object to its subject."""
    for place in draws.shuffled(range(len(form.patterns))):
        pattern = form.patterns[place]
        if not isinstance(pattern.object, Value) and pattern.object != form.by:
            yield _with(form, place, pattern.reversed)


def _entity(world: World, form: Form, draws: Draws) -> Iterator[Form]:
    """Another thing of the same kind, or another word, that the same relation has."""
    for _ in range(_TRIES):
        pattern = form.patterns[0]
        if isinstance(pattern.subject, Thing):
            yield _with(form, 0, replace(pattern, subject=_another(world, pattern.subject, draws)))
        elif isinstance(pattern.object, Thing):
            yield _with(form, 0, replace(pattern, object=_another(world, pattern.object, draws)))
        elif isinstance(pattern.object, Value):
            words = TERMS[RELATIONS[NUMBER[pattern.relation]].range[0]]
            yield _with(form, 0, replace(pattern, object=Value(draws.choose(words))))


def _another(world: World, thing: Thing, draws: Draws) -> Term:
    numbers = world.numbers(world.kind(thing.number))
    return Thing(numbers[draws.below(len(numbers))])


_BREAK: tuple[Callable[[str], str], ...] = (
    lambda query: query[:-1] if query.endswith("}") else query.replace("WHERE", "WHEN", 1),
    lambda query: query.replace("SELECT", "SELEKT", 1),
    lambda query: query.replace(" WHERE ", " WHERE AND ", 1) if "FROM" in query else query.replace("{", "(", 1),
    lambda query: query.replace(" FROM ", " FORM ", 1) if "FROM" in query else query.replace(" ?", " ? ", 1),
)


def broken(query: str, draws: Draws) -> Iterator[str]:
    """The query as no engine takes it."""
    for cut in draws.shuffled(_BREAK):
        yield cut(query)
