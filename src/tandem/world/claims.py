"""Claims to be judged against the passages: SUPPORTS, REFUTES or NOT ENOUGH INFO, with all of their evidence.

    SUPPORTS          a fact that holds and that passages mention
    REFUTES           such a fact with a wrong object of the right kind; a subject has one object at a time
    NOT ENOUGH INFO   what no passage says anything about, half of it true

A third of the claims has each label, and so has a third of each relation's, so that neither words nor relations tell
the label. Claims of two hops join a fact to the noun phrase of another ("The birthplace of Tavi Kelmard lies in
Melnoria."); of an unsupported one either hop may be untold. Nothing contested is claimed: no passage states a false or
ended rival of a claim's facts. Labels are about passages. Triples and tables tell everything that is true, so a method
that asks them, too, needs claims made with `over="sources"`: their NOT ENOUGH INFO is of facts that do not exist in any
view (one hop; of schools, employers and spouses, as far as there are people without any).

`choices` are the labels, `meta["answer"]` is `label`, and `meta` holds

    hops, relations, facts   as of questions; facts that nothing tells are listed, too
    mentions                 how often passages mention each fact
    evidence                 per hop: fact, a plain sentence, and `sentences`: [passage id, number of the sentence], all
    untold                   for NOT ENOUGH INFO: which hops (from 0) no passage tells
    template_held_out        whether the claim is worded as no text to train on is
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, Literal

import numpy as np

from tandem.errors import UserError
from tandem.types import Question
from tandem.world.history import CURRENT
from tandem.world.noise import I64, Draws
from tandem.world.partition import mentioned
from tandem.world.passages import Mask, passage_id, plan
from tandem.world.questions import plain, rivals
from tandem.world.schema import NUMBER, RELATIONS
from tandem.world.templates import WORDINGS, sentence
from tandem.world.world import World

LABELS = ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO")
"""The labels, in the order of `choices`."""
_ATTEMPTS = 60
_OPEN = ("studied_at", "works_for", "married_to")
"""Relations that not everyone has an object of."""


@dataclass(frozen=True)
class _Claim:
    """What is claimed: a chain of facts, the object claimed in place of the last one's, the label."""

    chain: tuple[int, ...]
    subject: int
    relation: int
    object: int
    label: str


def claims(
    world: World,
    n: int = 1000,
    seed: int = 0,
    *,
    hops: Sequence[int] = (1, 2),
    held_out: bool = False,
    over: Literal["passages", "sources"] = "passages",
) -> list[Question]:
    """`n` distinct claims at most, shared evenly among hops, relations and labels; fewer in a small world.

    Raises UserError for hops other than 1 and 2, and for two hops over all sources.
    """
    if not hops or not set(hops) <= {1, 2} or n < 0 or seed < 0 or (over == "sources" and set(hops) != {1}):
        remedy = "choose 1 and 2, 1 alone over all sources; numbers ≥ 0"
        raise UserError(f"{n} claims of {list(hops)} hops over {over} are not made", where="claims", remedy=remedy)
    made: list[Question] = []
    for place, count in enumerate(hops):
        wanted = n // len(hops) + (place < n % len(hops))
        name = f"{'s' if over == 'sources' else ''}claim{'h' if held_out else ''}{count}"
        draws = Draws(world.seed, f"claims {seed} {name}")
        found = _rounds(world, count, draws, over, -(-wanted // len(LABELS)))
        chosen = draws.shuffled([claim for three in found for claim in three])[:wanted]
        made += [
            _question(world, f"{name}-{number:06d}", claim, draws, held_out) for number, claim in enumerate(chosen)
        ]
    return made


def fever_evidence(claim: Question) -> Iterator[frozenset[tuple[str, int]]]:
    """Groups of sentences, each enough by itself, as FEVER's scorer takes them: one sentence for each hop."""
    if claim.answers != (LABELS[2],):
        for group in product(*(e["sentences"] for e in claim.meta["evidence"])):
            yield frozenset((passage, number) for passage, number in group)


# ── Drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rounds(world: World, hops: int, draws: Draws, over: str, rounds: int) -> Iterator[tuple[_Claim, ...]]:
    """Up to `rounds` triples of claims, one of each label, of one relation each; relations take turns."""
    seen: set[tuple[int, int, int]] = set()
    open_ = [NUMBER[name] for name in _OPEN] if over == "sources" else list(range(len(RELATIONS)))
    made = 0
    while open_ and made < rounds:
        for relation in draws.shuffled(open_):
            three = _three(world, relation, hops, draws, over, seen)
            if three is None:
                open_.remove(relation)
            elif made < rounds:
                made += 1
                yield three


def _three(
    world: World, relation: int, hops: int, draws: Draws, over: str, seen: set[tuple[int, int, int]]
) -> tuple[_Claim, ...] | None:
    found = []
    for label in LABELS:
        for _ in range(_ATTEMPTS):
            claim = _drawn(world, relation, hops, label, draws, over)
            if claim is not None and (claim.subject, claim.relation, claim.object) not in seen:
                break
        else:
            return None
        seen.add((claim.subject, claim.relation, claim.object))
        found.append(claim)
    return tuple(found)


def _drawn(world: World, relation: int, hops: int, label: str, draws: Draws, over: str) -> _Claim | None:
    c, told, lone = world.columns, _told(world), label == LABELS[2]
    if lone and over == "sources":
        return _nothing(world, relation, draws)
    last = _last(world, relation)[int(lone and (hops == 1 or draws.below(2)))]
    if not len(last):
        return None
    fact = int(last[draws.below(len(last))])
    chain = (fact,) if hops == 1 else _led(world, fact, draws)
    if chain is None or bool(lone) == all(told[f] for f in chain) or any(rivals(world, f) for f in chain):
        return None
    if any(told[f] and not world.mentions[f] for f in chain):
        return None  # another fact of its unit is told, and this one follows from it
    subject, object_ = int(c.subject[chain[0]]), int(c.object[fact])
    if label == LABELS[1] or (lone and draws.below(2)):
        wrong = _wrong(world, fact, draws)
        if wrong is None or (lone and _ruled_out(world, relation, wrong, told)):
            return None
        object_ = wrong
    return _Claim(chain, subject, relation, object_, label)


def _nothing(world: World, relation: int, draws: Draws) -> _Claim | None:
    """A subject without any fact of a relation, with an object that others have."""
    c = world.columns
    r = RELATIONS[relation]
    numbers, held = world.numbers(r.domain[0]), world.holding(r.name)
    subject = numbers[draws.below(len(numbers))]
    if not len(held) or any(c.relation[f] == relation for f in world.facts_of(subject)):
        return None
    object_ = numbers[draws.below(len(numbers))] if r.symmetric else int(c.object[held[draws.below(len(held))]])
    if object_ == subject or _ruled_out(world, relation, object_, np.ones(len(c), np.bool)):
        return None
    return _Claim((), subject, relation, object_, LABELS[2])


def _ruled_out(world: World, relation: int, object_: int, told: Mask) -> bool:
    """Whether something told of an object speaks against it: its own spouse, the country that a capital lies in."""
    r, c = RELATIONS[relation], world.columns
    against = relation if r.symmetric else NUMBER["lies_in"] if r.name == "capital" else None
    return against is not None and any(c.relation[f] == against and told[f] for f in world.facts_of(object_))


@lru_cache(maxsize=2)
def _told(world: World) -> Mask:
    return mentioned(world)


@lru_cache(maxsize=2)
def _lasts(world: World) -> list[tuple[I64, I64]]:
    told = _told(world)
    held = [world.holding(r.name) for r in RELATIONS]
    return [(facts[told[facts]], facts[~told[facts]]) for facts in held]


def _last(world: World, relation: int) -> tuple[I64, I64]:
    """Facts of a relation that hold: those that passages tell, those that none does."""
    return _lasts(world)[relation]


@lru_cache(maxsize=2)
def _leading(world: World) -> tuple[I64, I64]:
    """Facts that hold now and lead to an entity, sorted by it, and the entities."""
    c = world.columns
    to_entity = np.array([r.to_entity for r in RELATIONS])
    facts = np.flatnonzero((c.status == CURRENT) & to_entity[c.relation])
    facts = facts[np.argsort(c.object[facts], kind="stable")]
    return facts, c.object[facts]


def _led(world: World, fact: int, draws: Draws) -> tuple[int, ...] | None:
    """A fact that leads to the subject of another, and that one."""
    c = world.columns
    facts, entities = _leading(world)
    low, high = np.searchsorted(entities, [c.subject[fact], c.subject[fact] + 1]).tolist()
    if low == high:
        return None
    first = int(facts[low + draws.below(high - low)])
    circle = RELATIONS[c.relation[fact]].to_entity and c.object[fact] == c.subject[first]
    return None if circle else (first, fact)


def _wrong(world: World, fact: int, draws: Draws) -> int | None:
    """An object that the relation has elsewhere, of the kind of the right one, that is none of the subject's ever."""
    c = world.columns
    r = RELATIONS[c.relation[fact]]
    held = world.holding(r.name)
    subject = int(c.subject[fact])
    had = {int(c.object[f]) for f in world.facts_of(subject) if c.relation[f] == c.relation[fact]}
    for _ in range(_ATTEMPTS):
        other = int(c.object[held[draws.below(len(held))]])
        fits = not r.to_entity or (other != subject and world.kind(other) == world.kind(int(c.object[fact])))
        if other not in had and fits:
            return other
    return None


# ── Wording and evidence ────────────────────────────────────────────────────────────────────────────────────────────


def _question(world: World, id_: str, claim: _Claim, draws: Draws, held_out: bool) -> Question:
    c = world.columns
    about = world.names[claim.subject]
    for fact in claim.chain[:-1]:
        about = WORDINGS[RELATIONS[c.relation[fact]].name].phrase.format(s=about)
    w = WORDINGS[RELATIONS[claim.relation].name]
    wordings = [t for t in (w.held_out if held_out else w.statements) if "{since}" not in t]
    lone = claim.label == LABELS[2]
    evidence = [_evidence(world, fact) for fact in claim.chain]
    return Question(
        id_,
        sentence(draws.choose(wordings), s=about, o=world.value(claim.relation, claim.object)),
        (claim.label,),
        LABELS,
        meta={
            "answer": "label",
            "hops": max(1, len(claim.chain)),
            "relations": [RELATIONS[c.relation[f]].name for f in claim.chain] or [RELATIONS[claim.relation].name],
            "facts": [f"f{f:07d}" for f in claim.chain],
            "mentions": [int(world.mentions[f]) for f in claim.chain],
            "evidence": [] if lone else evidence,
            "untold": [place for place, f in enumerate(claim.chain) if not world.mentions[f]] if lone else [],
            "template_held_out": held_out,
        },
    )


def _evidence(world: World, fact: int) -> dict[str, Any]:
    return {"fact": f"f{fact:07d}", "text": plain(world, fact), "sentences": sentences(world, fact)}


@lru_cache(maxsize=2)
def _places(world: World) -> I64:
    """For each mention its place in the order of passages."""
    order = plan(world).order
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def sentences(world: World, fact: int) -> list[list[str | int]]:
    """Where passages mention a fact: passage id and number of the sentence, from 0."""
    placed, places = plan(world), _places(world)
    mentions = range(int(placed.first[fact]), int(placed.first[fact + 1]))
    found = ((int(placed.passage[m]), int(places[m])) for m in mentions)
    return [[passage_id(p), place - int(placed.bounds[p])] for p, place in found]
