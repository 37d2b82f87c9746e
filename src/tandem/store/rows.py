"""Records to rows and back: the SQL of every statement, and what its columns mean.

Functions of a connection, without transactions of their own. An answer that stands is kept: `put_sample` returns it.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from tandem.errors import CallFailed
from tandem.store.records import (
    Record,
    Request,
    Sample,
    Scored,
    cell_text,
    digest,
    fits,
    number,
    text_cell,
    token_list,
    tokens_of,
)
from tandem.text import canonical
from tandem.types import Completion, Score, Usage

_OUTCOME = "finish, text, read, written, cached, reasoning, served.name, notes, error"
_FIND = (
    "SELECT sample, max_tokens, logprobs, tokens IS NOT NULL, " + _OUTCOME + ", CASE WHEN ? THEN tokens END "
    "FROM {table} LEFT JOIN served ON served.id = served "
    "WHERE request = ? AND sample BETWEEN ? AND ? AND {table}.id > ? ORDER BY {table}.id {order}"
)
FIND = {
    "draws": _FIND.format(table="draws", order="ASC"),
    "setbacks": _FIND.format(table="setbacks", order="DESC"),
}
"""Samples of a request: (with tokens?, request, first sample, last sample, rows after). The oldest answer comes first,
so that an index drawn before comes back the same; of other outcomes the latest."""
_STANDING = _FIND.format(table="draws", order="ASC").replace(
    "sample BETWEEN ? AND ? AND draws.id > ?", "sample = ? AND max_tokens = ? AND logprobs = ?"
)
_COLUMNS = (
    "(request, sample, max_tokens, logprobs, finish, text, read, written, cached, reasoning, notes, error, tokens, at, "
    "served) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "(SELECT served.id FROM served JOIN models ON models.id = served.model WHERE models.name = ? AND served.name = ?))"
)
_PUT = {
    "draws": f"INSERT INTO draws {_COLUMNS} ON CONFLICT DO NOTHING",
    "setbacks": f"INSERT OR REPLACE INTO setbacks {_COLUMNS}",
}
_ADD_SETBACK = f"INSERT INTO setbacks {_COLUMNS} ON CONFLICT DO NOTHING"
_SLOT = "request = ? AND sample = ? AND max_tokens = ? AND logprobs = ?"
_SERVED = "INSERT OR IGNORE INTO served (model, name) VALUES ((SELECT id FROM models WHERE name = ?), ?)"
_PUT_SCORE = (
    "INSERT INTO scored (request, digest, continuation, logprob, tokens, greedy, at) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
FIND_SCORE = "SELECT logprob, tokens, greedy FROM scored WHERE request = ? AND digest = ?"

_OF = "JOIN requests ON requests.id = {table}.request JOIN models ON models.id = requests.model "
_PAGE = "WHERE {table}.id > ? AND (? IS NULL OR models.name = ?) ORDER BY {table}.id LIMIT ?"
_ALL = (
    "SELECT {table}.id, models.name, requests.request, sample, max_tokens, logprobs, at, " + _OUTCOME + ", tokens "
    "FROM {table} LEFT JOIN served ON served.id = served " + _OF + _PAGE
)
ALL = {
    "draws": _ALL.format(table="draws"),
    "setbacks": _ALL.format(table="setbacks"),
    "scored": (
        "SELECT scored.id, models.name, requests.request, continuation, at, logprob, tokens, greedy FROM scored "
        + (_OF + _PAGE).format(table="scored")
    ),
}
"""A page of everything, by table: (rows after this id, model, the same model, rows)."""

_BY_MODEL = "SELECT models.name, {what}, {n} FROM {table} " + _OF + "GROUP BY 1, 2 ORDER BY models.id"
STATS = (
    "SELECT models.name, 'requests', count(*) FROM requests JOIN models ON models.id = model GROUP BY 1",
    _BY_MODEL.format(what="iif(finish = 'length', 'truncated', 'answers')", n="count(*)", table="draws"),
    _BY_MODEL.format(
        what="iif(finish = 'failed', 'failed: ' || coalesce(json_extract(error, '$.kind'), '?'), finish)",
        n="count(*)",
        table="setbacks",
    ),
    _BY_MODEL.format(what="'scores'", n="count(*)", table="scored"),
    *(
        _BY_MODEL.format(what=f"'tokens {column}'", n=f"sum({column})", table=table)
        for column in ("read", "written")
        for table in ("draws", "setbacks")
    ),
)
"""(model, what, how many) rows."""


def request_id(c: sqlite3.Connection, request: Request) -> int:
    """The row of a request, made when it is new."""
    row = c.execute("SELECT id FROM requests WHERE key = ?", (request.key,)).fetchone()
    if row is not None:
        return int(row[0])
    name = text_cell(request.name)
    c.execute("INSERT OR IGNORE INTO models (name) VALUES (?)", (name,))
    made = c.execute(
        "INSERT INTO requests (key, model, request) VALUES (?, (SELECT id FROM models WHERE name = ?), ?)",
        (request.key, name, request.body),
    )
    assert made.lastrowid is not None
    return made.lastrowid


def put_sample(c: sqlite3.Connection, sample: Sample) -> Completion | CallFailed:
    """Record a sample; an answer that stands in its place is returned instead, and stays."""
    slot = (request_id(c, sample.request), sample.index, sample.max_tokens, sample.logprobs)
    if not sample.answered and (standing := _standing(c, slot)):
        return standing
    values = _values(c, slot, sample)
    if c.execute(_PUT["draws" if sample.answered else "setbacks"], values).rowcount == 0:
        standing = _standing(c, slot)
        assert standing is not None
        return standing
    if sample.answered:
        c.execute(f"DELETE FROM setbacks WHERE {_SLOT}", slot)
    return sample.outcome


def put_scored(c: sqlite3.Connection, scored: Scored) -> Score:
    """Record a score; one that stands is returned instead."""
    if _insert_score(c, scored):
        return scored.score
    request = request_id(c, scored.request)
    return score(c.execute(FIND_SCORE, (request, digest(scored.continuation))).fetchone())


def add(c: sqlite3.Connection, record: Record) -> bool:
    """Take over a record of another file; whether it is new here. What stands is kept, an answer beats a setback."""
    if isinstance(record, Scored):
        return _insert_score(c, record)
    slot = (request_id(c, record.request), record.index, record.max_tokens, record.logprobs)
    if record.answered:
        return put_sample(c, record) is record.outcome
    if _standing(c, slot):
        return False
    return c.execute(_ADD_SETBACK, _values(c, slot, record)).rowcount > 0


def serves(row: tuple[Any, ...], max_tokens: int, logprobs: bool) -> bool:
    """Whether a row of `FIND` serves a question for so many tokens."""
    return fits(
        row[4],
        asked=row[1],
        written=row[7] or 0,
        asked_logprobs=bool(row[2]),
        has_tokens=bool(row[3]),
        max_tokens=max_tokens,
        logprobs=logprobs,
    )


def outcome(columns: tuple[Any, ...]) -> Completion | CallFailed:
    """The completion or failure of a row's last columns: those of an outcome, and the tokens."""
    finish, text, read, written, cached, reasoning, served, notes, error, tokens = columns
    if error is not None:
        told = json.loads(error)
        return CallFailed(
            told["problem"],
            kind=told["kind"],
            where=told.get("where"),
            remedy=told.get("remedy"),
            status=told.get("status"),
        )
    return Completion(
        cell_text(text),
        finish,
        None if tokens is None else tokens_of(json.loads(tokens)),
        Usage(read, written, cached, reasoning),
        "" if served is None else cell_text(served),
        () if notes is None else tuple(json.loads(notes)),
    )


def score(columns: tuple[Any, ...]) -> Score:
    """The score of a row's last columns."""
    logprob, tokens, greedy = columns
    return Score(float(logprob), tokens, bool(greedy))


def record(table: str, row: tuple[Any, ...]) -> Record:
    """The record of a row of `ALL`."""
    request = Request(cell_text(row[1]), row[2])
    if table == "scored":
        return Scored(request, cell_text(row[3]), score(row[5:]), row[4])
    return Sample(request, row[3], row[4], bool(row[5]), outcome(row[7:]), row[6])


def _standing(c: sqlite3.Connection, slot: tuple[Any, ...]) -> Completion | CallFailed | None:
    row = c.execute(_STANDING, (slot[3], *slot)).fetchone()
    return None if row is None else outcome(row[4:])


def _insert_score(c: sqlite3.Connection, scored: Scored) -> bool:
    value, text = scored.score, scored.continuation
    cells = (digest(text), text_cell(text), number(value.logprob), value.tokens, value.greedy, scored.at)
    return c.execute(_PUT_SCORE, (request_id(c, scored.request), *cells)).rowcount > 0


def _values(c: sqlite3.Connection, slot: tuple[Any, ...], sample: Sample) -> tuple[Any, ...]:
    """Cells of a new row; the model that served it is entered when it is new."""
    result = sample.outcome
    if isinstance(result, CallFailed):
        told = {"kind": result.kind, "problem": result.problem}
        told |= {k: v for k in ("status", "where", "remedy") if (v := getattr(result, k)) is not None}
        return (*slot, "failed", None, None, None, None, None, None, _json(told), None, sample.at, None, None)
    name, served = text_cell(sample.request.name), text_cell(result.served_model)
    if served:
        c.execute(_SERVED, (name, served))
    used = result.usage
    counts = (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.reasoning_tokens)
    notes = _json(list(result.notes)) if result.notes else None
    tokens = None if result.tokens is None else _json(token_list(result.tokens))
    return (*slot, result.finish, text_cell(result.text), *counts, notes, None, tokens, sample.at, name, served)


def _json(value: Any) -> str:
    return canonical(value).decode()
