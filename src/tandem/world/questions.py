"""Questions of one to six hops, with everything known about their answers.

A chain of facts is walked from a random fact along relations that have one true object now; the question nests the noun
phrases of all but the last relation ("Where was the author of The Devan Lantern born?"). Facts that have ended and
false claims are never part of a chain, so the answer is what holds now. `meta` of a question:

    hops, relations     number and names of the relations walked
    facts, mentions     fact ids along the chain, and how often the passages mention each
    evidence            per fact: its id, a plain sentence, ids of up to three passages that mention it
    chain               the reasoning as sentences, the last one stating the answer
    distractors         sentences about other facts, none of which holds the answer: fact ids and text
    kind                kind of the answer: `town`, `person`, `year`, …
    template_held_out   whether the question is worded as no text to train on is
    contested           whether passages may also state a false or ended rival of a fact in the chain

`context` holds the sentences of evidence and distractors in random order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tandem.errors import UserError
from tandem.types import Question
from tandem.world.history import CURRENT
from tandem.world.noise import Draws
from tandem.world.passages import plan
from tandem.world.schema import RELATIONS
from tandem.world.templates import WORDINGS, sentence
from tandem.world.world import World

HOPS = (1, 2, 3)
"""Hops of the questions that a world's folder holds."""
MOST_HOPS = 6
_DISTRACTORS = 3
_ATTEMPTS = 200
_LONG_ATTEMPTS = 20_000
"""Walks in a row that may come to nothing; long chains are rare."""


def questions(
    world: World, hops: Sequence[int] = HOPS, n: int = 1000, seed: int = 0, *, held_out: bool = False
) -> list[Question]:
    """`n` distinct questions, shared evenly among the numbers of hops; fewer when a small world has no more.

    With `held_out` they are worded as no text to train on is. Raises UserError for hops other than 1 … 6.
    """
    if not hops or not set(hops) <= set(range(1, MOST_HOPS + 1)):
        remedy = f"choose among 1 … {MOST_HOPS}"
        raise UserError(f"questions of {list(hops)} hops are not made", where="hops", remedy=remedy)
    if n < 0 or seed < 0:
        raise UserError(f"cannot make {n} questions from seed {seed}", where="questions", remedy="give numbers ≥ 0")
    made: list[Question] = []
    for place, count in enumerate(hops):
        wanted = n // len(hops) + (place < n % len(hops))
        name = f"q{'h' if held_out else ''}{count}"
        draws = Draws(world.seed, f"questions {seed} {name}")
        for number, (chain, text) in enumerate(_distinct(world, count, wanted, draws, held_out)):
            made.append(question(world, f"{name}-{number:06d}", text, chain, draws, held_out))
    return made


def _distinct(world: World, hops: int, n: int, draws: Draws, held_out: bool) -> Iterator[tuple[list[int], str]]:
    """Up to `n` chains with the question about each, no chain twice."""
    seen: set[tuple[int, ...]] = set()
    misses, most = 0, _ATTEMPTS if hops in HOPS else _LONG_ATTEMPTS
    while len(seen) < n and misses < most:
        chain = walk(world, hops, draws)
        if chain is None or tuple(chain) in seen:
            misses += 1
            continue
        misses = 0
        seen.add(tuple(chain))
        yield chain, ask(world, chain, draws, held_out)


def walk(world: World, hops: int, draws: Draws) -> list[int] | None:
    """A chain of facts that hold now, each about the object of the one before, no entity twice; None at a dead end."""
    c = world.columns
    chain = [draws.below(len(c))]
    if c.status[chain[0]] != CURRENT:
        return None
    seen = {int(c.subject[chain[0]])}
    while len(chain) < hops:
        if not RELATIONS[c.relation[chain[-1]]].to_entity:
            return None
        entity = int(c.object[chain[-1]])
        seen.add(entity)
        onward = [
            f
            for f in world.facts_of(entity)
            if c.status[f] == CURRENT and not (RELATIONS[c.relation[f]].to_entity and int(c.object[f]) in seen)
        ]
        if not onward:
            return None
        chain.append(draws.choose(onward))
    return chain


def ask(world: World, chain: Sequence[int], draws: Draws, held_out: bool = False) -> str:
    """A question for the object of the last fact of a chain."""
    c = world.columns
    about = world.names[c.subject[chain[0]]]
    for fact in chain[:-1]:
        about = WORDINGS[RELATIONS[c.relation[fact]].name].phrase.format(s=about)
    w = WORDINGS[RELATIONS[c.relation[chain[-1]]].name]
    return sentence(draws.choose(w.held_out_questions if held_out else w.questions), s=about)


def plain(world: World, fact: int) -> str:
    """A fact that holds, in its relation's plain wording."""
    c = world.columns
    name = RELATIONS[c.relation[fact]].name
    return sentence(WORDINGS[name].plain, s=world.names[c.subject[fact]], o=world.object_text(fact))


def answers(world: World, fact: int) -> tuple[str, ...]:
    """The object of a fact in words, then its other names."""
    c = world.columns
    to_entity = RELATIONS[c.relation[fact]].to_entity
    return (world.object_text(fact), *(world.aliases(int(c.object[fact])) if to_entity else ()))


def answer_kind(world: World, fact: int) -> str:
    """Kind of a fact's object: an entity's kind, `year`, `occupation` or `genre`."""
    relation = RELATIONS[world.columns.relation[fact]]
    return world.kind(int(world.columns.object[fact])) if relation.to_entity else relation.range[0]


def question(world: World, id_: str, text: str, chain: list[int], draws: Draws, held_out: bool) -> Question:
    """A question that is worded already, with everything known about the chain that it asks for."""
    c, placed = world.columns, plan(world)
    accepted = answers(world, chain[-1])
    evidence = [{"fact": f"f{f:07d}", "text": plain(world, f), "passages": placed.of_fact(f)[:3]} for f in chain]
    distractors = [{"fact": f"f{f:07d}", "text": plain(world, f)} for f in _distractors(world, chain, draws)]
    return Question(
        id_,
        text,
        accepted,
        context=tuple(draws.shuffled([str(e["text"]) for e in evidence + distractors])),
        meta={
            "hops": len(chain),
            "relations": [RELATIONS[c.relation[f]].name for f in chain],
            "facts": [f"f{f:07d}" for f in chain],
            "mentions": [int(world.mentions[f]) for f in chain],
            "evidence": evidence,
            "chain": [*(str(e["text"]) for e in evidence), f"So the answer is {accepted[0]}."],
            "distractors": distractors,
            "kind": answer_kind(world, chain[-1]),
            "template_held_out": held_out,
            "contested": any(rivals(world, f) for f in chain),
        },
    )


def rivals(world: World, fact: int) -> list[int]:
    """Other facts and claims with the same subject and relation that some passage mentions."""
    c = world.columns
    same = (f for f in world.facts_of(int(c.subject[fact])) if f != fact and c.relation[f] == c.relation[fact])
    return [f for f in same if world.mentions[f] > 0]


def _distractors(world: World, chain: list[int], draws: Draws) -> list[int]:
    """Facts that look related: others about the entities of the chain, and the asked relation of other subjects."""
    c = world.columns
    answer, last = world.object_text(chain[-1]), int(c.relation[chain[-1]])
    close = [f for link in chain for f in world.facts_of(int(c.subject[link])) if f not in chain]
    candidates = draws.shuffled([f for f in close if c.status[f] == CURRENT and c.relation[f] != last])[:1]
    same = world.holding(RELATIONS[last].name)
    for _ in range(4 * _DISTRACTORS):
        fact = int(same[draws.below(len(same))])
        if fact not in candidates and fact not in chain:
            candidates.append(fact)
    return [f for f in candidates if answer not in plain(world, f)][:_DISTRACTORS]
