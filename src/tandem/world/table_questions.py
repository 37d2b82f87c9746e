"""Questions about a table that are answered by a sentence: several cells put together, as in FeTaQA.

    history   the rows of one person or organisation in a table with years: where someone lived, and when
    record    several cells of one row: who wrote a work, what kind of work it is, and when it came out
    members   the rows that have something in common: which works someone wrote

`context` is the table, at most `ROWS` of its rows, those that matter and others, as lines with bars. `answers` holds
two sentences that say the same. `meta["answer"]` is `sentence`, and `meta` has

    kind       history, record or members
    table      name and columns, and `rows` as in `context`
    rows       places of the rows that matter, and `cells`, the columns that matter
    query      SQL that gives these cells from the SQLite file of schema 1 (wide, names as keys), in order
    relations, facts   what the answer rests on
    template_held_out  whether the question is worded as no text to train on is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tandem.errors import UserError
from tandem.types import Question
from tandem.world.noise import Draws
from tandem.world.schema import NUMBER, RELATION
from tandem.world.table_schemas import GROUP, table_schema
from tandem.world.tables import Cell, Row, tables
from tandem.world.world import World

ROWS = 8
"""Rows of a table that come with a question."""
SCHEMA = 1
"""Number of the schema whose tables are asked: names as keys, so that a table can be read by itself."""
_ATTEMPTS = 300


@dataclass(frozen=True)
class _Asked:
    """Words for one kind of question: `{s}` is what it is about, cells go by the names of relations."""

    kind: str
    relations: tuple[str, ...]
    question: str
    held_out: str
    answers: tuple[str, str]
    item: tuple[str, str] = ("", "")


_RECORDS = (
    _Asked("record", ("born_in", "born_year"), "When and where was {s} born?",
           "What does the table tell about the birth of {s}?",
           ("{s} was born in {born_in} in {born_year}.", "In {born_year}, {s} was born in {born_in}.")),
    _Asked("record", ("occupation", "studied_at", "lives_in"),
           "What does {s} do for a living, where did {s} study, and where does {s} live?",
           "Describe {s} by trade, school and home.",
           ("{s} is a {occupation} who studied at {studied_at} and lives in {lives_in}.",
            "{s}, who lives in {lives_in}, studied at {studied_at} and is a {occupation}.")),
    _Asked("record", ("founded_by", "founded_year", "seat"), "Who founded {s}, when, and where is it based?",
           "Tell how {s} began, and where it can be found.",
           ("{s} was founded by {founded_by} in {founded_year} and is based in {seat}.",
            "{founded_by} founded {s}, which is based in {seat}, in {founded_year}.")),
    _Asked("record", ("written_by", "published_year", "genre"), "Who wrote {s}, what is it, and when did it come out?",
           "Introduce {s} with its author, genre and year.",
           ("{s} is a {genre} by {written_by} that came out in {published_year}.",
            "{written_by} wrote {s}, a {genre} published in {published_year}.")),
    _Asked("record", ("lies_in", "settled_year"), "In which country is {s}, and since when has it been settled?",
           "Say where {s} is and how old it is.",
           ("{s} lies in {lies_in} and was settled in {settled_year}.",
            "{s}, a town in {lies_in}, has been settled since {settled_year}.")),
)  # fmt: skip
_HISTORIES = (
    _Asked("history", ("lives_in",), "Where has {s} lived, and when?", "Trace the homes of {s} through the years.",
           ("{s} lived {items}.", "The homes of {s} were {items}."),
           ("in {o} from {since} until {until}", "in {o} since {since}")),
    _Asked("history", ("works_for",), "For whom has {s} worked, and when?", "Trace the employers of {s}.",
           ("{s} worked {items}.", "The jobs of {s} were {items}."),
           ("for {o} from {since} until {until}", "for {o} since {since}")),
)  # fmt: skip
_MEMBERS = (
    _Asked("members", ("written_by", "published_year"), "Which works did {s} write, and when did they come out?",
           "List the writings of {s} with their years.",
           ("{s} wrote {items}.", "The works of {s} are {items}."), ("{m} ({published_year})", "")),
    _Asked("members", ("founded_by", "founded_year"), "Which organisations did {s} found, and when?",
           "List what {s} called into being, with years.",
           ("{s} founded {items}.", "The organisations that {s} founded are {items}."), ("{m} ({founded_year})", "")),
)  # fmt: skip


@dataclass(frozen=True)
class _Made:
    """What one question is about, found in a table."""

    table: str
    about: str
    rows: tuple[int, ...]
    relations: tuple[str, ...]
    columns: tuple[str, ...]
    parts: dict[str, str]
    where: str
    order: str = ""


def table_questions(world: World, n: int = 300, seed: int = 0, *, held_out: bool = False) -> list[Question]:
    """`n` distinct questions, shared evenly among the three kinds; fewer when a small world has no more.

    Raises UserError for negative numbers.
    """
    if n < 0 or seed < 0:
        raise UserError(f"cannot make {n} questions from seed {seed}", where="tables", remedy="give numbers ≥ 0")
    made: list[Question] = []
    kinds = (("record", _RECORDS, _record), ("history", _HISTORIES, _history), ("members", _MEMBERS, _members))
    for place, (kind, options, find) in enumerate(kinds):
        wanted = n // len(kinds) + (place < n % len(kinds))
        draws = Draws(world.seed, f"table questions {seed} {kind} {held_out}")
        seen: set[tuple[str, str]] = set()
        misses = 0
        while len(seen) < wanted and misses < _ATTEMPTS:
            asked = draws.choose(options)
            found = find(world, asked, draws)
            if found is None or (asked.question, found.about) in seen:
                misses += 1
                continue
            misses = 0
            id_ = f"t{'h' if held_out else ''}-{kind}-{len(seen):06d}"
            seen.add((asked.question, found.about))
            made.append(_question(world, id_, asked, found, draws, held_out))
    return made


@lru_cache(maxsize=2)
def _tables(world: World) -> dict[str, list[Row]]:
    return {table: list(rows) for table, rows in tables(world, table_schema(world, SCHEMA))}


@lru_cache(maxsize=8)
def _by(world: World, table: str, column: int) -> dict[Cell, list[int]]:
    """Places of the rows of a table by a column."""
    found: dict[Cell, list[int]] = {}
    for place, row in enumerate(_tables(world)[table]):
        found.setdefault(row[column], []).append(place)
    return found


def _record(world: World, asked: _Asked, draws: Draws) -> _Made | None:
    schema = table_schema(world, SCHEMA)
    table = schema.things[GROUP[RELATION[asked.relations[0]].domain[0]]].table
    columns = tuple(schema.current[r].object for r in asked.relations)
    rows = _tables(world)[table]
    place = draws.below(len(rows))
    cells = [rows[place][schema.columns[table].index(column)] for column in columns]
    if None in cells:
        return None
    name = str(rows[place][0])
    parts = {r: str(cell) for r, cell in zip(asked.relations, cells, strict=True)}
    return _Made(table, name, (place,), asked.relations, columns, parts, schema.columns[table][0])


def _history(world: World, asked: _Asked, draws: Draws) -> _Made | None:
    schema, (relation,) = table_schema(world, SCHEMA), asked.relations
    place = schema.dated[relation]
    rows = _tables(world)[place.table]
    about = str(rows[draws.below(len(rows))][0])
    found = _by(world, place.table, 0)[about]
    if not 2 <= len(found) <= ROWS - 2:
        return None
    found = sorted(found, key=lambda i: _year(rows[i][2]))
    items = []
    for i in found:
        _, object_, since, until = rows[i]
        items.append(asked.item[until is None].format(o=object_, since=since, until=until))
    columns = (place.object, place.since, place.until)
    parts = {"items": _and(items)}
    return _Made(place.table, about, tuple(found), asked.relations, columns, parts, place.subject, place.since)


def _members(world: World, asked: _Asked, draws: Draws) -> _Made | None:
    schema, (relation, year) = table_schema(world, SCHEMA), asked.relations
    place = schema.current[relation]
    columns, rows = schema.columns[place.table], _tables(world)[place.table]
    key, when = columns.index(place.object), columns.index(schema.current[year].object)
    about = str(rows[draws.below(len(rows))][key])
    found = _by(world, place.table, key)[about]
    years = [_year(rows[i][when]) for i in found]
    if not 2 <= len(found) <= ROWS - 2 or len(set(years)) < len(years):
        return None
    found = sorted(found, key=lambda i: _year(rows[i][when]))
    items = [asked.item[0].format(m=rows[i][0], **{year: rows[i][when]}) for i in found]
    shown = (columns[0], columns[when])
    parts = {"items": _and(items)}
    return _Made(place.table, about, tuple(found), asked.relations, shown, parts, place.object, columns[when])


def _year(cell: Cell) -> int:
    assert isinstance(cell, int), cell
    return cell


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _question(world: World, id_: str, asked: _Asked, found: _Made, draws: Draws, held_out: bool) -> Question:
    columns, rows = table_schema(world, SCHEMA).columns[found.table], _tables(world)[found.table]
    others = {draws.below(len(rows)) for _ in range(ROWS)} - set(found.rows)
    shown = draws.shuffled([*found.rows, *sorted(others)[: ROWS - len(found.rows)]])
    lines = [list(columns)] + [[("" if cell is None else str(cell)) for cell in rows[i]] for i in shown]
    query = f"SELECT {', '.join(found.columns)} FROM {found.table} WHERE {found.where} = '{found.about}'"
    return Question(
        id_,
        (asked.held_out if held_out else asked.question).format(s=found.about),
        tuple(answer.format(s=found.about, **found.parts) for answer in asked.answers),
        context=("\n".join([f"Table {found.table}", *(" | ".join(line) for line in lines)]),),
        meta={
            "answer": "sentence",
            "kind": asked.kind,
            "table": {"name": found.table, "columns": list(columns), "rows": [list(rows[i]) for i in shown]},
            "rows": [shown.index(i) for i in found.rows],
            "cells": list(found.columns),
            "query": f"{query} ORDER BY {found.order}" if found.order else query,
            "relations": list(found.relations),
            "facts": _facts(world, found, asked),
            "template_held_out": held_out,
        },
    )


def _facts(world: World, found: _Made, asked: _Asked) -> list[str]:
    """Ids of the facts in the cells that matter, and of those that join the rows."""
    numbers, c = _numbers(world), world.columns
    rows = _tables(world)[found.table]
    subjects = [numbers[str(rows[i][0])] for i in found.rows]
    wanted = {NUMBER[r] for r in found.relations}
    held = {f for s in subjects for f in world.facts_of(s) if int(c.relation[f]) in wanted}
    status = (0, 1) if asked.kind == "history" else (0,)
    return [f"f{f:07d}" for f in sorted(held) if c.status[f] in status]


@lru_cache(maxsize=2)
def _numbers(world: World) -> dict[str, int]:
    return {name: number for number, name in enumerate(world.names)}
