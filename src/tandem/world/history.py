"""The facts of a world as columns: who was born where, who founded what, who lives where since when.

Everything is drawn with numpy from counters, then sorted by subject, relation and year. Dates agree with each other:
nobody works before the age of 20, founds anything after death, or joins an organisation before it exists. The number of
facts is met exactly: what the other relations leave is filled with residences, one to seven for a person (mostly two),
each but the last outdated. Every fiftieth fact is a contradiction: a false claim beside the true one.

What this does not do: name anything, or decide how often a fact is mentioned.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np

from tandem.world.noise import I64, below, draw, permutation, uniform
from tandem.world.schema import GENRES, KINDS, NOW, NUMBER, OCCUPATIONS, RELATIONS, Kind

CURRENT, OUTDATED, CONTRADICTED = range(3)
"""Codes of the status column."""
CONTRADICTED_PER = 50
"""One fact in so many is a false claim."""
_MOST_RESIDENCES = 7


@dataclass(frozen=True)
class Census:
    """How many entities of each kind, and where their numbers begin."""

    counts: dict[Kind, int]
    """Entities per kind, in the order of `KINDS`."""

    def first(self, kind: Kind) -> int:
        """Number of the first entity of a kind; the others follow."""
        return sum(self.counts[k] for k in KINDS[: KINDS.index(kind)])

    @property
    def total(self) -> int:
        """All entities."""
        return sum(self.counts.values())

    @staticmethod
    def of(facts: int) -> Census:
        """The census of a world with so many facts: 7.5 facts for a person, 4 for an organisation or a work."""
        towns, organisations, works = max(6, facts // 50), max(4, facts // 60), max(4, facts // 25)
        countries = min(200, 4 + isqrt(facts) // 20)
        schools = max(2, organisations // 4)
        true = facts - facts // CONTRADICTED_PER
        people = (true - countries - 2 * towns - 4 * organisations - 4 * works) * 2 // 15
        return Census(
            {
                "person": people, "town": towns, "country": countries,
                "school": schools, "company": organisations - schools, "work": works,
            }
        )  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Facts by column, sorted by (subject, relation, status = contradicted, since); all of one length."""

    subject: I64
    """Entity number."""
    relation: I64
    """Number of a relation, its place in `RELATIONS`."""
    object: I64
    """Entity number, year, or number of the word in its list."""
    since: I64
    """Year, 0 where the relation has no dates."""
    until: I64
    """Year, 0 while it lasts."""
    status: I64
    """0 current, 1 outdated, 2 contradicted."""

    def __len__(self) -> int:
        return len(self.subject)


class _Ledger:
    """Collects facts relation by relation."""

    def __init__(self) -> None:
        self.parts: list[tuple[I64, ...]] = []
        self.size = 0

    def add(
        self, relation: str, subject: I64, object_: I64, since: I64 | None = None, until: I64 | None = None
    ) -> None:
        none = np.zeros(len(subject), np.int64)
        since, until = none if since is None else since, none if until is None else until
        status = np.where(until > 0, OUTDATED, CURRENT)
        self.extend(subject, np.full_like(subject, NUMBER[relation]), object_, since, until, status)

    def extend(self, *columns: I64) -> None:
        self.parts.append(columns)
        self.size += len(columns[0])

    def columns(self) -> Columns:
        return Columns(*(np.concatenate(c) for c in zip(*self.parts, strict=True)))


@dataclass(frozen=True)
class _Lives:
    """Years of birth and of the end: death, or the present for the living."""

    born: I64
    died: I64
    end: I64


def columns(seed: int, facts: int, census: Census) -> Columns:
    """Exactly `facts` facts over the entities of `census`."""
    ledger = _Ledger()
    lives = _lives(seed, census.counts["person"])
    founded = _organisations(seed, census, lives, ledger)
    _places(seed, census, ledger)
    _works(seed, census, lives, ledger)
    _people(seed, census, lives, founded, ledger)
    false = facts // CONTRADICTED_PER
    _residences(seed, census, lives, facts - false - ledger.size, ledger)
    _contradictions(seed, census, false, ledger)
    found = ledger.columns()
    assert len(found) == facts, (len(found), facts)
    key = ((found.subject * len(RELATIONS) + found.relation) * 2 + (found.status == CONTRADICTED)) * 4096 + found.since
    order = np.argsort(key, kind="stable")
    return Columns(*(getattr(found, name)[order] for name in Columns.__dataclass_fields__))


def _lives(seed: int, n: int) -> _Lives:
    """Births from 1920 to 1970. Everyone reaches 45; every fourth is born late enough to be alive."""
    born = 1920 + uniform(seed, "born", n, 51)
    born[::4] = 1956 + born[::4] % 15
    died = born + 45 + uniform(seed, "span", n, 50)
    died[died >= NOW] = 0
    return _Lives(born, died, np.where(died > 0, died, NOW))


def _in_life(seed: int, stream: str, lives: _Lives, people: I64) -> I64:
    """A year in each person's working life: from 22 years of age to the year before the end, at most 60."""
    first = lives.born[people] + 22
    last = np.minimum(lives.born[people] + 60, lives.end[people] - 1)
    return first + uniform(seed, stream, len(people), last - first + 1)


def _organisations(seed: int, census: Census, lives: _Lives, ledger: _Ledger) -> I64:
    """Founders, years, seats and heads; returns the years, for those who join."""
    n = census.counts["school"] + census.counts["company"]
    numbers = census.first("school") + np.arange(n)
    founder = uniform(seed, "founder", n, census.counts["person"])
    year = _in_life(seed, "founded", lives, founder)
    ledger.add("founded_by", numbers, founder)
    ledger.add("founded_year", numbers, year)
    ledger.add("seat", numbers, census.first("town") + uniform(seed, "seat", n, census.counts["town"]))
    alive = np.flatnonzero(lives.died == 0)
    head = alive[uniform(seed, "head", n, len(alive))]
    earliest = np.maximum(year, lives.born[head] + 25)
    ledger.add("headed_by", numbers, head, earliest + uniform(seed, "head since", n, NOW - earliest))
    return year


def _places(seed: int, census: Census, ledger: _Ledger) -> None:
    """Countries of towns, years of settlement, capitals. The first towns go round the countries: each has one."""
    towns, countries = census.counts["town"], census.counts["country"]
    first_town, first_country = census.first("town"), census.first("country")
    country = uniform(seed, "lies in", towns, countries)
    country[:countries] = np.arange(countries)
    ledger.add("lies_in", first_town + np.arange(towns), first_country + country)
    ledger.add("settled_year", first_town + np.arange(towns), 1000 + uniform(seed, "settled", towns, 800))
    ledger.add("capital", first_country + np.arange(countries), first_town + np.arange(countries))


def _works(seed: int, census: Census, lives: _Lives, ledger: _Ledger) -> None:
    n = census.counts["work"]
    numbers = census.first("work") + np.arange(n)
    author = uniform(seed, "author", n, census.counts["person"])
    ledger.add("written_by", numbers, author)
    ledger.add("published_year", numbers, _in_life(seed, "published", lives, author))
    ledger.add("genre", numbers, uniform(seed, "genre", n, len(GENRES)))
    ledger.add("set_in", numbers, census.first("town") + uniform(seed, "set in", n, census.counts["town"]))


def _people(seed: int, census: Census, lives: _Lives, founded: I64, ledger: _Ledger) -> None:
    """Births, deaths, occupations, studies, up to two jobs, marriages: at most 6.5 facts a person.

    The census allows 7.5, so a residence is left for everyone whatever the draws.
    """
    n = census.counts["person"]
    everyone = np.arange(n)
    ledger.add("born_in", everyone, census.first("town") + uniform(seed, "born in", n, census.counts["town"]))
    ledger.add("born_year", everyone, lives.born)
    ledger.add("occupation", everyone, uniform(seed, "occupation", n, len(OCCUPATIONS)))
    dead = np.flatnonzero(lives.died)
    ledger.add("died_year", dead, lives.died[dead])

    schools = census.counts["school"]
    student = np.flatnonzero(uniform(seed, "student", n, 2) == 0)[: n // 2]
    school, exists = _existing(seed, "school", founded[:schools], lives.born[student] + 17)
    ledger.add("studied_at", student[exists], census.first("school") + school[exists])

    since = lives.born + 20 + uniform(seed, "job since", n, 9)
    until = since + 2 + uniform(seed, "job length", n, 30)
    job, exists = _existing(seed, "job", founded, since)
    worker = np.flatnonzero(exists & (since < lives.end - 1))
    ended = np.where(until[worker] >= NOW, lives.died[worker], np.minimum(until[worker], lives.end[worker]))
    ledger.add("works_for", worker, census.first("school") + job[worker], since[worker], ended)

    since = until + uniform(seed, "second since", n, 4)
    second, exists = _existing(seed, "second job", founded, since)
    moves = exists & (second != job) & (since < lives.end - 1) & (uniform(seed, "second", n, 4) == 0)
    worker = np.flatnonzero(moves & np.isin(everyone, worker))[: n // 4]
    ended = np.where(lives.died[worker] > 0, lives.died[worker], 0)
    ledger.add("works_for", worker, census.first("school") + second[worker], since[worker], ended)

    by_age = np.argsort(lives.born, kind="stable")
    one, other = by_age[0 : n - 1 : 2], by_age[1::2]
    wed = lives.born[other] + 20 + uniform(seed, "wed", len(one), 12)
    parted = np.minimum(lives.end[one], lives.end[other])
    married = (uniform(seed, "married", len(one), 3) > 0) & (wed < parted)
    one, other, wed = one[married], other[married], wed[married]
    parted = np.where((lives.died[one] > 0) | (lives.died[other] > 0), parted[married], 0)
    ledger.add(
        "married_to", np.concatenate([one, other]), np.concatenate([other, one]), np.tile(wed, 2), np.tile(parted, 2)
    )


def _existing(seed: int, stream: str, founded: I64, year: I64) -> tuple[I64, np.ndarray[tuple[int], np.dtype[np.bool]]]:
    """For each year one of the organisations that exist by then, and whether there is any."""
    order = np.argsort(founded, kind="stable")
    existing = np.searchsorted(founded[order], year, side="right")
    return order[below(draw(seed, stream, np.arange(len(year))), np.maximum(existing, 1))], existing > 0


def _residences(seed: int, census: Census, lives: _Lives, facts: int, ledger: _Ledger) -> None:
    """Exactly `facts` residences, shared out as evenly as they go; moves cut adult life into as many parts."""
    n, towns = census.counts["person"], census.counts["town"]
    assert n <= facts <= _MOST_RESIDENCES * n, (n, facts)
    number = np.full(n, facts // n)
    number[permutation(seed, "movers", n)[: facts % n]] += 1
    person = np.repeat(np.arange(n), number)
    turn = np.arange(facts) - np.repeat(np.cumsum(number) - number, number)
    adult = lives.born + 18
    stretch = ((lives.end - adult) // number)[person]
    since = adult[person] + turn * stretch + uniform(seed, "moved", facts, stretch)
    last = turn == number[person] - 1
    until = np.where(last, lives.died[person], np.roll(since, -1))
    step = 1 + uniform(seed, "way", n, towns - 1)[person]
    town = (uniform(seed, "home", n, towns)[person] + turn * step) % towns
    ledger.add("lives_in", person, census.first("town") + town, since, until)


_CONTRADICTABLE = ("born_in", "born_year", "lies_in", "founded_by", "founded_year", "written_by", "published_year")


def _contradictions(seed: int, census: Census, facts: int, ledger: _Ledger) -> None:
    """False claims: facts of some relations, each at most once, with another object of the right kind."""
    true = ledger.columns()
    eligible = np.flatnonzero(np.isin(true.relation, [NUMBER[name] for name in _CONTRADICTABLE]))
    chosen = eligible[permutation(seed, "contradicted", len(eligible))[:facts]]
    relation, object_ = true.relation[chosen], true.object[chosen]
    bits = draw(seed, "false object", np.arange(facts))
    false = object_ + (2 * below(bits, 2) - 1) * (1 + below(bits << np.uint64(8), 12))
    for name in _CONTRADICTABLE:
        rows = relation == NUMBER[name]
        kind = RELATIONS[NUMBER[name]].range[0]
        if kind in census.counts:
            first, count = census.first(kind), census.counts[kind]
            away = 1 + below(bits[rows] << np.uint64(8), count - 1)
            false[rows] = first + (object_[rows] - first + away) % count
    none = np.zeros(facts, np.int64)
    ledger.extend(true.subject[chosen], relation, false, none, none, np.full(facts, CONTRADICTED, np.int64))
