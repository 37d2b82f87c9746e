"""The world as text to train on: passages of a few sentences about a person, an organisation, a work, a country.

Every mention of a fact is placed by number, so any range of passages is written without writing those before it, and
the passages that mention a fact are known without writing any. Passages on one topic share its mentions evenly: none
has the same fact twice, and wordings and order vary, so hardly two passages are the same. Held-out wordings are never
used. A false claim is stated like any other; so is, now and then, a fact that has ended (stale). Both are labelled in
the data, and only there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.world.history import CONTRADICTED, OUTDATED
from tandem.world.noise import I64, below, draw
from tandem.world.schema import NUMBER, RELATIONS, STATUSES, Status
from tandem.world.templates import sentence, statements
from tandem.world.world import World

Mask: TypeAlias = NDArray[np.bool]
"""One truth value for each fact of a world."""
_SENTENCES = 5
"""Passages of an entity hold about so many sentences on average."""
_STALE_PER = 4
"""One mention in so many of an ended fact is worded as if it held."""
_BLOCK = 4096


@dataclass(frozen=True)
class Mention:
    """Where a passage states a fact."""

    fact: str
    """Fact id."""
    status: Status
    """The fact's status: what is not `current` is outdated or false."""
    stale: bool
    """Whether an ended fact is stated as if it held."""
    template: int
    """Number of the wording among the relation's statements, or past statements."""
    start: int
    """First character of the sentence."""
    end: int
    """One past its last character."""


@dataclass(frozen=True)
class Passage:
    """A few sentences about one entity; a country's are about its towns, too."""

    id: str
    """`p` and eight digits."""
    title: str
    """Name of the entity."""
    text: str
    """The sentences."""
    entity: str
    """Entity id."""
    mentions: tuple[Mention, ...]
    """What it states, in order."""


@dataclass(frozen=True)
class Plan:
    """Which passage mentions which fact, and in which order."""

    passage: I64
    """Passage number of each mention; mentions are in the order of facts."""
    first: I64
    """First mention of each fact, and one past the last: facts + 1 numbers."""
    order: I64
    """Mentions in the order of passages, shuffled inside each."""
    bounds: I64
    """First place in `order` of each passage, and one past the last: passages + 1 numbers."""

    @property
    def passages(self) -> int:
        """Number of passages."""
        return len(self.bounds) - 1

    def of_fact(self, fact: int) -> list[str]:
        """Ids of the passages that mention a fact."""
        return [passage_id(p) for p in self.passage[self.first[fact] : self.first[fact + 1]].tolist()]


def passage_id(number: int) -> str:
    """The id of a passage."""
    return f"p{number:08d}"


@lru_cache(maxsize=2)
def plan(world: World) -> Plan:
    """The plan of all passages of a world.

    A topic (an entity, or a country with its towns, which have too few facts of their own to vary) has as many passages
    as its most mentioned fact needs, or a fifth of its mentions; a fact's mentions take consecutive ones, going round
    from a place of its own.
    """
    counts, topics = world.mentions, world.census.total
    subject = _topics(world)[world.columns.subject]
    most = np.zeros(topics, np.int64)
    np.maximum.at(most, subject, counts)
    total = np.bincount(subject, weights=counts, minlength=topics).astype(np.int64)
    number = np.maximum(most, -(-total // _SENTENCES))
    fact = np.repeat(np.arange(len(counts)), counts)
    first = np.concatenate([[0], np.cumsum(counts)])
    turn = np.arange(len(fact)) - first[fact]
    place = below(draw(world.seed, "place", np.arange(len(counts))), np.maximum(number[subject], 1))
    before = np.cumsum(number) - number
    slot = before[subject[fact]] + (place[fact] + turn) % number[subject[fact]]
    used, passage = np.unique(slot, return_inverse=True)  # a slot that nothing fell into is no passage
    shuffle = draw(world.seed, "order", np.arange(len(fact)))
    order = np.lexsort((shuffle, passage))
    bounds = np.searchsorted(passage[order], np.arange(len(used) + 1))
    return Plan(passage.astype(np.int64), first, order, bounds)


def _topics(world: World) -> I64:
    """For each entity the entity whose passages tell of it: towns are told of with their country."""
    c = world.columns
    topic = np.arange(world.census.total)
    lies = (c.relation == NUMBER["lies_in"]) & (c.status != CONTRADICTED)
    topic[c.subject[lies]] = c.object[lies]
    return topic


def passages(world: World, start: int = 0, stop: int | None = None, told: Mask | None = None) -> Iterator[Passage]:
    """Passages `start` … `stop` − 1 of a world (all from `start` on when `stop` is None), in order.

    With `told`, only sentences that state these facts are written, and passages without any are left out.

    Raises UserError for a range that does not lie inside the world.
    """
    p = plan(world)
    stop = p.passages if stop is None else stop
    if not 0 <= start <= stop <= p.passages:
        remedy = f"stay between 0 and {p.passages}"
        raise UserError(f"there are no passages {start} to {stop}", where="passages", remedy=remedy)
    return _written(world, p, start, stop, told)


def _written(world: World, p: Plan, start: int, stop: int, told: Mask | None) -> Iterator[Passage]:
    topic = _topics(world)
    for low in range(start, stop, _BLOCK):
        high = min(low + _BLOCK, stop)
        mention = p.order[p.bounds[low] : p.bounds[high]]
        fact = np.searchsorted(p.first, mention, side="right") - 1
        rows = _rows(world, mention, fact)
        topics = topic[world.columns.subject[fact[p.bounds[low:high] - p.bounds[low]]]].tolist()
        ends = (p.bounds[low + 1 : high + 1] - p.bounds[low]).tolist()
        begin = 0
        for number, (end, about) in enumerate(zip(ends, topics, strict=True), low):
            kept = rows[begin:end] if told is None else [row for row in rows[begin:end] if told[row[0]]]
            if kept:
                yield _passage(world, number, about, kept)
            begin = end


def _rows(world: World, mention: I64, fact: I64) -> list[tuple[int, ...]]:
    """Per mention: fact, subject, relation, object, since, until, status, stale, draw for the wording, short name."""
    c = world.columns
    bits = draw(world.seed, "wording", mention)
    stale = (c.status[fact] == OUTDATED) & (below(bits << np.uint64(16), _STALE_PER) == 0)
    short = below(bits << np.uint64(24), 3) == 0
    word = below(bits, 1 << 16)
    fields = (fact, *(getattr(c, f)[fact] for f in type(c).__dataclass_fields__), stale, word, short)
    return list(zip(*(f.tolist() for f in fields), strict=True))


def _passage(world: World, number: int, about: int, rows: list[tuple[int, ...]]) -> Passage:
    names, texts, mentions, at, before = world.names, [], [], 0, -1
    for fact, subject, relation, object_, since, until, status, stale, word, short in rows:
        r = RELATIONS[relation]
        wordings = statements(r.name, ended=status == OUTDATED and not stale, held_out=False)
        template = word * len(wordings) >> 16
        text = sentence(
            wordings[template],
            s=world.short(subject) if short and subject == before else names[subject],
            o=names[object_] if r.to_entity else world.value(relation, object_),
            since=str(since),
            until=str(until),
        )
        mentions.append(Mention(f"f{fact:07d}", STATUSES[status], bool(stale), template, at, at + len(text)))
        texts.append(text)
        at += len(text) + 1
        before = subject
    return Passage(passage_id(number), names[about], " ".join(texts), f"e{about:07d}", tuple(mentions))
