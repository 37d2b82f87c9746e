"""Needs for a query: what is asked, in words, as a form, with its answer; drawn from a world by shape.

    lookup   an object: a question, or a step of reasoning that states it (half of the steps state a wrong one)
    join     the object of an object
    count    how many subjects have an object
    extreme  which of them is first or last by a year
    filter   which of them are before or after a year
    dated    an object in a year of the past

Answers are never empty, extremes never tie, years fall inside a span, never on its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from tandem.world.forms import Form, Pattern, Term, Thing, Var, answers, matching, shown, solutions, term
from tandem.world.history import CONTRADICTED, CURRENT
from tandem.world.noise import Draws
from tandem.world.pair_wordings import (
    AFTER,
    BEFORE,
    COUNT,
    DATED,
    DOES,
    FIRST,
    GROUPS,
    LAST,
    Worded,
    dated,
    grouped,
    lookups,
    steps,
)  # fmt: skip
from tandem.world.questions import walk
from tandem.world.schema import NOW, RELATION, RELATIONS
from tandem.world.table_schemas import GROUP
from tandem.world.templates import WORDINGS, sentence
from tandem.world.world import World

_MOST = 12
"""Filters give at most so many names."""
_LARGEST = 400
"""Groups of which one is first or last, or some are before a year, have at most so many members."""
_X, _Y, _YEAR = Var("x"), Var("y"), Var("year")


@dataclass(frozen=True)
class Need:
    """Something to look up."""

    shape: str
    """One of `SHAPES`."""
    text: str
    """In words: a question, or a step."""
    form: Form
    """What it asks."""
    answers: tuple[str, ...]
    """The answer by the facts."""
    template: Worded
    """How it is worded."""
    relations: tuple[str, ...]
    """Relations of the patterns, in order."""
    about: Term
    """The thing or word that it names."""
    facts: tuple[int, ...] = ()
    """The facts of a lookup or join, in order."""
    step: bool | None = None
    """For a step: whether what it states is true; None for a question."""


Wanted: TypeAlias = Callable[[tuple[str, ...], Term], bool]
"""Whether a need of these relations, about this thing or word, is of use: asked before it is worked out."""


@dataclass(frozen=True)
class _Choice:
    """What a draw may choose."""

    wanted: Wanted
    worded: Callable[[list[Worded]], Worded]


def draw(world: World, shape: str, draws: Draws, held_out: bool, wanted: Wanted) -> Need | None:
    """One need of a shape in a usual or a held-out wording; None when the draw leads nowhere, or is not `wanted`."""

    def choose(wordings: list[Worded]) -> Worded:
        return draws.choose([w for w in wordings if w.held_out == held_out])

    return _DRAW[shape](world, draws, _Choice(wanted, choose))


def _current(world: World, draws: Draws, relations: Collection[str]) -> int | None:
    """A fact that holds now, of a relation drawn evenly."""
    held = world.holding(draws.choose(tuple(relations)))
    return int(held[draws.below(len(held))]) if len(held) else None


def _lookup(world: World, draws: Draws, may: _Choice) -> Need | None:
    fact = _current(world, draws, RELATION)
    if fact is None:
        return None
    c = world.columns
    relation, about = RELATIONS[c.relation[fact]].name, Thing(int(c.subject[fact]))
    if not may.wanted((relation,), about):
        return None
    step = bool(draws.below(2)) if draws.below(2) else None
    template = may.worded(lookups(relation) if step is None else steps(relation))
    said = fact if step is not False else _other(world, fact, draws)
    if said is None:
        return None
    text = sentence(template.text, s=shown(world, about), o=world.object_text(said))
    form = Form(_X, (Pattern(about, relation, _X),))
    return Need("lookup", text, form, answers(world, form), template, (relation,), about, (fact,), step)


def _other(world: World, fact: int, draws: Draws) -> int | None:
    """A fact of the same relation with another object, which the subject of this one never had."""
    c = world.columns
    held = world.holding(RELATIONS[c.relation[fact]].name)
    had = {int(c.object[f]) for f in world.facts_of(int(c.subject[fact])) if c.relation[f] == c.relation[fact]}
    for _ in range(20):
        other = int(held[draws.below(len(held))])
        if int(c.object[other]) not in had and c.object[other] != c.subject[fact]:
            return other
    return None


def _join(world: World, draws: Draws, may: _Choice) -> Need | None:
    chain = walk(world, 2, draws)
    if chain is None:
        return None
    c = world.columns
    first, second = (RELATIONS[c.relation[f]].name for f in chain)
    about = Thing(int(c.subject[chain[0]]))
    if not may.wanted((first, second), about):
        return None
    template = may.worded(lookups(second))
    text = sentence(template.text, s=WORDINGS[first].phrase.format(s=shown(world, about)))
    form = Form(_Y, (Pattern(about, first, _X), Pattern(_X, second, _Y)))
    template = Worded(f"join/{template.id}", template.text, template.held_out)
    return Need("join", text, form, answers(world, form), template, (first, second), about, tuple(chain))


def _group(world: World, draws: Draws, relations: Collection[str]) -> tuple[str, Term] | None:
    """A relation and an object that some subject has."""
    fact = _current(world, draws, relations)
    return None if fact is None else (RELATIONS[world.columns.relation[fact]].name, term(world, fact))


def _count(world: World, draws: Draws, may: _Choice) -> Need | None:
    found = _group(world, draws, GROUPS)
    if found is None or not may.wanted(found[:1], found[1]):
        return None
    relation, about = found
    template = may.worded(grouped("count", relation, COUNT))
    form = Form(_X, (Pattern(_X, relation, about),), "count")
    text = sentence(template.text, s=shown(world, about))
    return Need("count", text, form, answers(world, form), template, (relation,), about)


def _years(world: World, draws: Draws, may: _Choice) -> tuple[str, Term, str, tuple[Pattern, ...], list[int]] | None:
    """A group with a year that its members have: relation, object, relation of the year, patterns, the years."""
    found = _group(world, draws, GROUPS)
    if found is None:
        return None
    relation, about = found
    of = draws.choose([y for y in DOES if GROUP[RELATION[y].domain[0]] == GROUP[RELATION[relation].domain[0]]])
    if not may.wanted((relation, of), about):
        return None
    if len(list(matching(world, Pattern(_X, relation, about), {}))) > _LARGEST:
        return None
    patterns = (Pattern(_X, relation, about), Pattern(_X, of, _YEAR))
    years = sorted(int(shown(world, bound[_YEAR])) for bound in solutions(world, Form(_X, patterns)))
    return (relation, about, of, patterns, years) if len(years) > 1 else None


def _extreme(world: World, draws: Draws, may: _Choice) -> Need | None:
    found = _years(world, draws, may)
    if found is None:
        return None
    relation, about, of, patterns, _ = found
    last = bool(draws.below(2))
    template = may.worded(grouped("last" if last else "first", relation, LAST if last else FIRST))
    form = Form(_X, patterns, "last" if last else "first", _YEAR)
    text = sentence(template.text, s=shown(world, about), does=DOES[of][0])
    right = answers(world, form)
    return Need("extreme", text, form, right, template, (relation, of), about) if len(right) == 1 else None


def _filter(world: World, draws: Draws, may: _Choice) -> Need | None:
    found = _years(world, draws, may)
    if found is None:
        return None
    relation, about, of, patterns, years = found
    after, cut = bool(draws.below(2)), draws.choose(years)
    template = may.worded(grouped("after" if after else "before", relation, AFTER if after else BEFORE))
    limits = {"after": cut} if after else {"before": cut}
    form = Form(_X, patterns, "values", _YEAR, **limits)
    text = sentence(template.text, s=shown(world, about), do=DOES[of][1], year=str(cut))
    right = answers(world, form)
    return Need("filter", text, form, right, template, (relation, of), about) if 0 < len(right) <= _MOST else None


def _dated(world: World, draws: Draws, may: _Choice) -> Need | None:
    relation = draws.choose(tuple(DATED))
    held, c = (world.ended(relation), world.holding(relation)), world.columns
    chosen = held[draws.below(2)]
    if not len(chosen):
        return None
    fact = int(chosen[draws.below(len(chosen))])
    assert c.status[fact] in (CURRENT, CURRENT + 1) and c.status[fact] != CONTRADICTED
    since, until = int(c.since[fact]), int(c.until[fact]) or NOW
    if until - since < 2:
        return None
    year, about = since + 1 + draws.below(until - since - 1), Thing(int(c.subject[fact]))
    if not may.wanted((relation,), about):
        return None
    template = may.worded(dated(relation))
    form = Form(_X, (Pattern(about, relation, _X, year),))
    text = sentence(template.text, s=shown(world, about), year=str(year))
    return Need("dated", text, form, answers(world, form), template, (relation,), about, (fact,))


_DRAW = {"lookup": _lookup, "join": _join, "count": _count, "extreme": _extreme, "filter": _filter, "dated": _dated}
SHAPES = tuple(_DRAW)
"""Shapes of needs."""
