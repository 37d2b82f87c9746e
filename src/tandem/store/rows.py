"""Records to rows and back: the SQL of every statement, and what its columns mean.

Functions of a connection, without transactions of their own. An answer that stands is kept: `put_sample` returns it.
Answers that several callers hand in at once are written by a single statement: `put_at_once`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

from tandem.errors import CallFailed
from tandem.store.database import transaction
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
    "(request, sample, max_tokens, logprobs, finish, text, read, written, cached, reasoning, notes, tokens, at, "
    "served, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PUT = {
    "draws": f"INSERT INTO draws {_COLUMNS} ON CONFLICT DO NOTHING",
    "setbacks": f"INSERT OR REPLACE INTO setbacks {_COLUMNS}",
}
LARGEST_STATEMENT = 64
"""Rows of the longest statement; each length is one of its own, which SQLite compiles once."""
_SAMPLE = "sample, max_tokens, logprobs"
_ANSWER = "finish, text, read, written, cached, reasoning, notes, tokens, at"
_INCOMING = f"model, key, request, served, {_SAMPLE}, {_ANSWER}".split(", ")
_ARRIVED = f"""
CREATE TEMP TRIGGER arrived INSTEAD OF INSERT ON incoming BEGIN
  INSERT INTO models (name) SELECT new.model WHERE NOT EXISTS (SELECT 1 FROM models WHERE name = new.model);
  INSERT INTO served (model, name) SELECT id, new.served FROM models WHERE name = new.model AND new.served != ''
    AND NOT EXISTS (SELECT 1 FROM served WHERE model = models.id AND name = new.served);
  INSERT INTO requests (key, model, request) SELECT new.key, id, new.request FROM models WHERE name = new.model
    AND NOT EXISTS (SELECT 1 FROM requests WHERE key = new.key);
  INSERT INTO draws (request, {_SAMPLE}, {_ANSWER}, served)
    SELECT requests.id, {", ".join(f"new.{name}" for name in f"{_SAMPLE}, {_ANSWER}".split(", "))}, served.id
    FROM requests LEFT JOIN served ON served.model = requests.model AND served.name = new.served
    WHERE requests.key = new.key;
  DELETE FROM setbacks WHERE request = (SELECT id FROM requests WHERE key = new.key) AND sample = new.sample
    AND max_tokens = new.max_tokens AND logprobs = new.logprobs;
END"""
"""What becomes of an answer that comes in. One in whose place another stands breaks the statement off, whole."""
_ADD_SETBACK = f"INSERT INTO setbacks {_COLUMNS} ON CONFLICT DO NOTHING"
_SLOT = "request = ? AND sample = ? AND max_tokens = ? AND logprobs = ?"
_PUT_SCORE = (
    "INSERT INTO scored (request, digest, continuation, logprob, tokens, greedy, at) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
FIND_SCORE = "SELECT logprob, tokens, greedy FROM scored WHERE request = ? AND digest = ?"

_ASKED = "SELECT id FROM requests WHERE model = (SELECT id FROM models WHERE name = :name)"
HOLDS = (
    f"SELECT EXISTS (SELECT 1 FROM scored WHERE request IN ({_ASKED})), "
    f"EXISTS (SELECT 1 FROM draws WHERE logprobs AND request IN ({_ASKED})), "
    "coalesce((SELECT max(json_extract(request, '$.sampling.alternatives')) FROM requests "
    f"WHERE id IN ({_ASKED}) AND typeof(request) = 'text' AND request LIKE '%\"alternatives\":%'), 0)"
)
"""Of a model: whether there are scores, and log-probabilities, and the most alternatives that were asked for."""

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
    made = c.execute(
        "INSERT INTO requests (key, model, request) VALUES (?, ?, ?)",
        (request.key, _model_id(c, request.name), request.body),
    )
    assert made.lastrowid is not None
    return made.lastrowid


def _model_id(c: sqlite3.Connection, name: str) -> int:
    """The row of a model, made when it is new."""
    cell = text_cell(name)
    row = c.execute("SELECT id FROM models WHERE name = ?", (cell,)).fetchone()
    if row is not None:
        return int(row[0])
    made = c.execute("INSERT INTO models (name) VALUES (?)", (cell,)).lastrowid
    assert made is not None
    return made


def _served_id(c: sqlite3.Connection, model: int, name: str) -> int | None:
    """The row of what a model turned out to be, made when it is new; None where it did not say."""
    if not name:
        return None
    cell = text_cell(name)
    row = c.execute("SELECT id FROM served WHERE model = ? AND name = ?", (model, cell)).fetchone()
    if row is not None:
        return int(row[0])
    made = c.execute("INSERT INTO served (model, name) VALUES (?, ?)", (model, cell)).lastrowid
    assert made is not None
    return made


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


def prepare(c: sqlite3.Connection) -> None:
    """Make what `put_at_once` writes to: a view and a trigger of this connection, of which the file knows nothing."""
    c.execute(f"CREATE TEMP VIEW incoming AS SELECT {', '.join(f'NULL AS {name}' for name in _INCOMING)}")
    c.execute(_ARRIVED)


def put_at_once(c: sqlite3.Connection, samples: Sequence[Sample]) -> list[Completion | CallFailed] | None:
    """Record answers by one statement, or in one transaction where they are many; None, and nothing is recorded, when
    an answer stands in the place of one of them.

    One statement because of Python's lock, which a thread gives back at each one, and gets again after 5 ms while an
    event loop is busy: a commit of eight statements took 40 ms, and everybody's answers waited for it.
    """
    many = len(samples) > LARGEST_STATEMENT
    try:
        with transaction(c) if many else nullcontext():
            for at in range(0, len(samples), LARGEST_STATEMENT):
                some = samples[at : at + LARGEST_STATEMENT]
                c.execute(_incoming(len(some)), [cell for sample in some for cell in _cells(sample)])
    except sqlite3.IntegrityError:
        return None
    return [sample.outcome for sample in samples]


@cache
def _incoming(n: int) -> str:
    row = f"({', '.join('?' * len(_INCOMING))})"
    return f"INSERT INTO incoming VALUES {', '.join([row] * n)}"


def _cells(sample: Sample) -> tuple[Any, ...]:
    request, answer = sample.request, sample.outcome
    assert isinstance(answer, Completion)
    return (
        text_cell(request.name),
        request.key,
        request.body,
        text_cell(answer.served_model),
        sample.index,
        sample.max_tokens,
        sample.logprobs,
        *_answer_cells(answer),
        sample.at,
    )


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
        return (*slot, "failed", None, None, None, None, None, None, None, sample.at, None, _json(told))
    served = _served_id(c, _model_id(c, sample.request.name), result.served_model)
    return (*slot, *_answer_cells(result), sample.at, served, None)


def _answer_cells(answer: Completion) -> tuple[Any, ...]:
    """finish, text, read, written, cached, reasoning, notes, tokens."""
    used = answer.usage
    return (
        answer.finish,
        text_cell(answer.text),
        used.prompt_tokens,
        used.completion_tokens,
        used.cached_tokens,
        used.reasoning_tokens,
        _json(list(answer.notes)) if answer.notes else None,
        None if answer.tokens is None else _json(token_list(answer.tokens)),
    )


def _json(value: Any) -> str:
    return canonical(value).decode()
