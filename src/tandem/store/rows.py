"""Records to rows and back: the SQL of every statement, and what its columns mean.

Functions of a connection, without transactions of their own. An answer that stands is kept: `put_sample` returns it.
What several callers hand in at once is written by one statement a table: between two statements of one thread Python
lets the others run, and with a statement an answer a thousand answers change threads some ten thousand times.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import Any

from tandem.errors import CallFailed
from tandem.store.database import savepoint
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
LARGEST_STATEMENT = 32
"""Rows of the longest `VALUES`; each length is a statement of its own, which SQLite compiles once."""
_ADD_SETBACK = f"INSERT INTO setbacks {_COLUMNS} ON CONFLICT DO NOTHING"
_SLOT = "request = ? AND sample = ? AND max_tokens = ? AND logprobs = ?"
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


def put_samples(c: sqlite3.Connection, samples: Sequence[Sample]) -> list[Completion | CallFailed]:
    """Record samples as `put_sample` does; answers by few statements."""
    standing: list[Completion | CallFailed] = []
    for answered, run in groupby(samples, lambda sample: sample.answered):
        some = list(run)
        while some and answered and len(samples) > 1:
            standing += _put_answers(c, some[:LARGEST_STATEMENT])
            some = some[LARGEST_STATEMENT:]
        standing += [put_sample(c, sample) for sample in some]
    return standing


class _SomeStandError(Exception):
    """Of several answers some have one in their place already."""


def _put_answers(c: sqlite3.Connection, samples: Sequence[Sample]) -> list[Completion | CallFailed]:
    models: dict[str, int] = {}
    served: dict[tuple[str, str], int | None] = {}
    requests: list[Any] = []
    slots: list[Any] = []
    draws: list[Any] = []
    for sample in samples:
        request, answer = sample.request, sample.outcome
        assert isinstance(answer, Completion)
        by = (request.name, answer.served_model)
        if by not in served:
            models[request.name] = _model_id(c, request.name)
            served[by] = _served_id(c, models[request.name], answer.served_model)
        slot = (request.key, sample.index, sample.max_tokens, sample.logprobs)
        requests += (request.key, models[request.name], request.body)
        slots += slot
        draws += (*slot, *_answer_cells(answer), sample.at, served[by])
    put_requests, put_draws, delete_setbacks = _many(len(samples))
    try:
        with savepoint(c):
            c.execute(put_requests, requests)
            if c.execute(put_draws, draws).rowcount < len(samples):
                raise _SomeStandError
            if c.execute("SELECT 1 FROM setbacks LIMIT 1").fetchone():
                c.execute(delete_setbacks, slots)
    except _SomeStandError:
        return [put_sample(c, sample) for sample in samples]
    return [sample.outcome for sample in samples]


@cache
def _many(n: int) -> tuple[str, str, str]:
    """The statements for n answers: entering their requests and themselves, deleting the setbacks they make up for."""
    request, slot = "(SELECT id FROM requests WHERE key = ?)", "sample, max_tokens, logprobs"
    columns = f"request, {slot}, finish, text, read, written, cached, reasoning, notes, tokens, at, served"
    return (
        f"INSERT INTO requests (key, model, request) VALUES {_times(n, '?, ?, ?')} ON CONFLICT DO NOTHING",
        f"INSERT INTO draws ({columns}) VALUES {_times(n, request + ', ?' * 13)} ON CONFLICT DO NOTHING",
        f"DELETE FROM setbacks WHERE (request, {slot}) IN (VALUES {_times(n, request + ', ?, ?, ?')})",
    )


def _times(n: int, row: str) -> str:
    return ", ".join([f"({row})"] * n)


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
