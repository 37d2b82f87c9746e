"""How good a query writer is: every query it writes is run in the sandbox, beside the right one.

A query is *valid* where the engine answers it, and *right* where it gives the rows of the pair's own query: the same
values as often, in any order unless the pair's query orders them, whatever the columns are called. Everything else has
a name: wrong-rows, empty (rows were to be found), invalid, refused, timeout, too-large, no-query. Plain words are run
by nobody: they are right where they are the pair's own, without case and punctuation, else other-words.

Pairs whose own query fails on its data cannot measure anybody; they are named (`gold`). Those that find nothing are
left out and counted: any query without rows would be right. What this does not do: make a query better by telling the
model what went wrong; that is `looking_up`'s.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from tandem import stats
from tandem.errors import UserError
from tandem.metrics.normalise import answer_form
from tandem.reason.asking import Exchange
from tandem.reason.query_layout import PARTS, laid_out
from tandem.reason.query_pairs import QueryPair
from tandem.reason.query_writer import LONGEST, ask
from tandem.results import Figure, Table
from tandem.sandbox.rows import QueryError, QueryInvalid, QueryRefused, QueryTimeout, QueryTooLarge, Rows
from tandem.together import each
from tandem.types import LM, Schema

Outcome: TypeAlias = Literal[
    "right", "wrong-rows", "empty", "invalid", "refused", "timeout", "too-large", "no-query", "other-words"
]
OUTCOMES: tuple[Outcome, ...] = (
    "right", "wrong-rows", "empty", "invalid", "refused", "timeout", "too-large", "no-query", "other-words",
)  # fmt: skip
VALID: frozenset[str] = frozenset({"right", "wrong-rows", "empty"})
"""Outcomes of queries that an engine answered."""
MOST_ROWS = 1000
"""Rows that are compared."""
TOGETHER = 16
"""Queries under way at once."""
_ERRORS: tuple[tuple[type[QueryError], Outcome], ...] = (
    (QueryInvalid, "invalid"),
    (QueryRefused, "refused"),
    (QueryTimeout, "timeout"),
    (QueryTooLarge, "too-large"),
)


class Engine(Protocol):
    """What runs queries: `sandbox.Tables`, `sandbox.Graph`."""

    async def query(self, text: str, rows: int = 1000) -> Rows:
        """The rows, or a QueryError."""
        ...


@dataclass(frozen=True)
class Gold:
    """Pairs with the rows that their own queries give."""

    pairs: tuple[QueryPair, ...]
    """Those that can measure."""
    rows: Mapping[str, Rows]
    """By pair id."""
    empty: tuple[str, ...] = ()
    """Where the rows of pairs stand whose own query finds nothing."""
    failed: tuple[tuple[str, str], ...] = ()
    """(where, what is wrong) of pairs whose own query fails."""


@dataclass(frozen=True)
class ScoredQuery:
    """One query that was written, and what came of it."""

    pair: QueryPair
    """What was asked."""
    query: str
    """What was written."""
    outcome: Outcome
    """What came of it."""
    message: str = ""
    """What the engine said against it."""

    def to_json(self) -> dict[str, Any]:
        """As a line of JSON."""
        return {
            "id": self.pair.id,
            "split": self.pair.split,
            "need": self.pair.need,
            "gold": self.pair.query,
            "written": self.query,
            "outcome": self.outcome,
            **({"message": self.message} if self.message else {}),
        }


async def gold(pairs: Sequence[QueryPair], engines: Mapping[str, Engine]) -> Gold:
    """Run the pairs' own queries, each on the engine of its schema. Raises UserError where a schema has none."""
    for pair in pairs:
        if pair.language != "text" and pair.schema not in engines:
            known = ", ".join(sorted(engines)) or "none"
            raise UserError(
                f"asks {pair.schema!r}, of which there is no data", where=pair.where, remedy=f"data: {known}"
            )

    async def one(pair: QueryPair) -> Rows | str | None:
        if pair.language == "text":
            return None
        try:
            found = await engines[pair.schema].query(pair.query, rows=MOST_ROWS)
        except QueryError as e:
            return f"fails on its own data: {type(e).__name__}: {' '.join(e.problem.split())}"
        return found if found.complete else f"gives more than {MOST_ROWS:,} rows"

    came = await each(pairs, one, TOGETHER)
    kept: list[QueryPair] = []
    rows: dict[str, Rows] = {}
    empty: list[str] = []
    failed: list[tuple[str, str]] = []
    for pair, found in zip(pairs, came, strict=True):
        if isinstance(found, str):
            failed.append((pair.where or pair.id, found))
        elif found is not None and not found.rows:
            empty.append(pair.where or pair.id)
        else:
            kept.append(pair)
            if found is not None:
                rows[pair.id] = found
    return Gold(tuple(kept), rows, tuple(empty), tuple(failed))


async def measure(
    lm: LM,
    known: Gold,
    schemas: Mapping[str, Schema],
    engines: Mapping[str, Engine],
    *,
    shots: Sequence[QueryPair] = (),
    parts: int = PARTS,
    max_tokens: int = LONGEST,
) -> list[ScoredQuery]:
    """Let a model write a query for each pair, run it, and compare. `shots` are shown to it as worked examples."""
    shown = [Exchange(laid_out(one.language, one.need, None, names=one.names).given, one.query) for one in shots]

    async def one(pair: QueryPair) -> ScoredQuery:
        schema = schemas[pair.schema] if pair.language != "text" else None
        laid = laid_out(pair.language, pair.need, schema, names=pair.names, parts=parts)
        query = await ask(lm, laid, shown, max_tokens=max_tokens)
        return await score(pair, query, known.rows.get(pair.id), engines.get(pair.schema))

    return await each(known.pairs, one, TOGETHER)


async def score(pair: QueryPair, query: str, right: Rows | None, engine: Engine | None) -> ScoredQuery:
    """What comes of one written query."""
    if not query:
        return ScoredQuery(pair, query, "no-query")
    if pair.language == "text":
        return ScoredQuery(pair, query, "right" if answer_form(query) == answer_form(pair.query) else "other-words")
    assert right is not None and engine is not None
    try:
        found = await engine.query(query, rows=MOST_ROWS)
    except QueryError as e:
        outcome = next(name for kind, name in _ERRORS if isinstance(e, kind))
        return ScoredQuery(pair, query, outcome, " ".join(e.problem.split())[:400])
    if not found.rows:
        return ScoredQuery(pair, query, "empty")
    same = found.complete and same_rows(right, found, ordered=orders(pair.query))
    return ScoredQuery(pair, query, "right" if same else "wrong-rows")


def same_rows(right: Rows, found: Rows, *, ordered: bool) -> bool:
    """Whether two answers hold the same rows as often, in the same order where they are `ordered`."""
    if len(right.columns) != len(found.columns):
        return False
    ours, theirs = ([tuple(map(_value, row)) for row in answer.rows] for answer in (right, found))
    return ours == theirs if ordered else Counter(ours) == Counter(theirs)


def orders(query: str) -> bool:
    """Whether a query orders its answer: ORDER BY outside quotes, brackets and braces."""
    outside = re.sub(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", " ", query)
    while (less := re.sub(r"\([^()]*\)|\{[^{}]*\}", " ", outside)) != outside:
        outside = less
    return re.search(r"\border\s+by\b", outside, re.IGNORECASE) is not None


def _value(value: Any) -> tuple[str, str]:
    """A value as it is compared: numbers by nine digits, whatever their type; everything else by kind and text."""
    if isinstance(value, bool) or value is None:
        return ("plain", str(value))
    if isinstance(value, int | float) or type(value).__name__ == "Decimal":
        return ("number", f"{float(value):.9g}")
    return ("text", value) if isinstance(value, str) else (type(value).__name__, repr(value))


# ── Figures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_split(scored: Sequence[ScoredQuery]) -> dict[str, list[ScoredQuery]]:
    """The queries of each split, in the order of their first."""
    found: dict[str, list[ScoredQuery]] = {}
    for one in scored:
        found.setdefault(one.pair.split, []).append(one)
    return found


def valid(scored: Sequence[ScoredQuery]) -> Figure:
    """Share of the queries that an engine answers, with Wilson's interval."""
    return _share("valid", sum(one.outcome in VALID for one in scored), len(scored))


def accuracy(scored: Sequence[ScoredQuery]) -> Figure:
    """Share of the queries that are right, with Wilson's interval."""
    return _share("right", sum(one.outcome == "right" for one in scored), len(scored))


def gained(before: Sequence[ScoredQuery], after: Sequence[ScoredQuery]) -> Figure:
    """Difference in accuracy over the same pairs, with an interval that knows that they are the same.

    Newcombe (1998, Statistics in Medicine 17:2635): Wilson's intervals of the two shares, squared and added, with the
    correlation φ of the two verdicts. Unlike that of the mean difference it has a width where nothing changed.
    """
    earlier = {one.pair.id: one.outcome == "right" for one in before}
    both = Counter((one.outcome == "right", earlier[one.pair.id]) for one in after)
    n, new, old = len(after), accuracy(after), accuracy(before)
    yes, no = both[True, True] + both[True, False], both[False, True] + both[False, False]
    was, was_not = both[True, True] + both[False, True], both[True, False] + both[False, False]
    spread = math.sqrt(yes * no * was * was_not)
    crossed = both[True, True] * both[False, False] - both[True, False] * both[False, True]
    phi = crossed / spread if spread else 0.0

    def reach(of_new: float, of_old: float) -> float:
        return math.sqrt(max(0.0, of_new**2 - 2 * phi * of_new * of_old + of_old**2))

    assert new.low is not None and new.high is not None and old.low is not None and old.high is not None
    change = new.value - old.value
    low = change - reach(new.value - new.low, old.high - old.value)
    high = change + reach(new.high - new.value, old.value - old.low)
    return Figure("gained", change, "%", low, high, n=n, note="after − before, paired")


def outcomes(scored: Sequence[ScoredQuery]) -> dict[str, int]:
    """How often each outcome came, without those that did not."""
    counts = Counter(one.outcome for one in scored)
    return {name: counts[name] for name in OUTCOMES if counts[name]}


def table(title: str, runs: Mapping[str, Sequence[ScoredQuery]]) -> Table:
    """A row for each split and run (before, after …): valid, right, and what went wrong."""
    splits = {name: by_split(scored) for name, scored in runs.items()}
    lines = []
    for split in dict.fromkeys(split for found in splits.values() for split in found):
        for run, found in splits.items():
            if scored := found.get(split):
                rest = ", ".join(f"{n} {name}" for name, n in outcomes(scored).items() if name != "right")
                run_by_engine = all(one.pair.language != "text" for one in scored)
                taken = valid(scored) if run_by_engine else None
                lines.append((split, run, len(scored), taken, accuracy(scored), rest))
    note = "Intervals are Wilson's, 95 %. Valid: an engine answers. Right: the same rows as the pair's own query."
    return Table(title, ("split", "writer", "pairs", "valid", "right", "otherwise"), tuple(lines), note)


def _share(name: str, n: int, total: int) -> Figure:
    found = stats.proportion(n, total)
    return Figure(name, found.value, "%", found.low, found.high, n=total)
