"""A comparison in words, tables and lines of JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tandem.evaluate.compare.comparison import Comparison, Row
from tandem.evaluate.compare.difference import DRAWS, FLIPS, LEVEL
from tandem.evaluate.perplexity import figure
from tandem.evaluate.rows import DOWN, UP
from tandem.results import Cell, Example, Figure, Results, Section, Table

MANY = 40
"""Items of a kind that the report shows in full."""


def table(found: Comparison) -> Table:
    """A row for each comparison, to paste."""
    several = len(found.rows) > 1
    many_sides, grouped = len(found.sides) > 2, any(row.group for row in found.rows)
    first, second = found.sides[0].name, found.sides[1].name
    columns = (
        *(("run",) if many_sides else ()),
        *("task", "metric", "direction", "n", first, "run's" if many_sides else second, "difference", "p"),
        *(("p (Holm)",) if several else ()),
        *("fixed", "broken", "verdict"),
    )
    rows: list[tuple[Cell, ...]] = []
    for row in found.rows:
        d = row.found
        name = f"\u2007– {row.group}" if grouped and row.group else row.task
        cells: list[Cell] = [row.side] if many_sides else []
        cells += [name, row.metric, DOWN if d.lower else UP, row.n, f"{d.reference:.4f}", f"{d.value:.4f}"]
        cells += [signed(row), p_text(d.p), *([p_text(row.p_holm)] if several else [])]
        cells += [len(d.fixed), len(d.broken), d.verdict if row.comparable else f"{d.verdict}, NOT COMPARABLE"]
        rows.append(tuple(cells))
    return Table("Compared", columns, tuple(rows), note=" ".join(how(found)))


def _narrow(wide: Table) -> Table:
    """The table for a page, where fewer columns fit: the direction stands at the metric, fixed and broken are one."""
    names = list(wide.columns)
    metric, way, fixed = names.index("metric"), names.index("direction"), names.index("fixed")

    def fold(cells: Sequence[Cell], both: str, measured: str) -> tuple[Cell, ...]:
        kept = [*cells[:metric], measured, *cells[way + 1 : fixed], both, *cells[fixed + 2 :]]
        return tuple(kept)

    return replace(
        wide,
        columns=tuple(str(name) for name in fold(names, "fixed, broken", "metric")),
        rows=tuple(fold(row, f"{row[fixed]}, {row[fixed + 1]}", f"{row[metric]} {row[way]}") for row in wide.rows),
    )


def signed(row: Row) -> str:
    """`+0.0213 [-0.0010, +0.0441]`: the difference with its 95 % interval, which one item does not have."""
    d = row.found.difference
    low, value, high = (f"{number:+.4f}" for number in (d.low, d.value, d.high))
    ends = f" [{low}, {high}]" if math.isfinite(d.low) and math.isfinite(d.high) else ""
    return f"{value}{ends}".replace("-0.0000", "+0.0000")


def p_text(p: float) -> str:
    """`0.034`, `0.00021`, `1`."""
    return f"{p:.2g}" if p < 0.1 else f"{p:.2f}".rstrip("0").rstrip(".")


def how(found: Comparison) -> list[str]:
    """How intervals and p were made, and how many comparisons; a sentence each."""
    rows, told = found.rows, []
    told.append(
        f"Difference: the run minus {found.sides[0].name}, 95 % interval by paired bootstrap ({DRAWS:,} draws)."
    )
    tests = {
        "McNemar": "McNemar's exact test for scores of 0 and 1",
        "sign flips": f"sign flips for others, all of them or {FLIPS:,} drawn",
    }
    clustered = [row for row in rows if row.found.groups]
    plain = [row for row in rows if not row.found.groups]
    if plain:
        named = [words for test, words in tests.items() if any(row.found.test == test for row in plain)]
        told.append(f"p: {'; '.join(named)}.")
    for row in {row.task: row for row in clustered}.values():
        exact = ""
        if row.found.mcnemar is not None:
            exact = f" (McNemar's, which takes items as independent, is {p_text(row.found.mcnemar)} on {row.metric})"
        told.append(f"{row.task}: interval and p are over {row.found.groups} groups of items{exact}.")
    if len(rows) > 1:
        told.append(f"{len(rows)} comparisons were made; p (Holm) is corrected for all of them.")
        if lost := [row for row in rows if not row.survives]:
            names = ", ".join(f"{label(row)} ({row.found.verdict})" for row in lost[:5])
            more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
            told.append(f"Not below {LEVEL} once corrected: {names}{more}.")
    return told


def label(row: Row) -> str:
    """`mmlu acc`, `mmlu / anatomy acc`."""
    return f"{row.task}{f' / {row.group}' if row.group else ''} {row.metric}"


def lines(found: Comparison, limit: int) -> Iterator[str]:
    """The first items that changed, for a terminal."""
    for row in found.rows:
        if row.group or row.metric != _first_metric(found, row):
            continue
        n = len(row.found.fixed), len(row.found.broken)
        if not limit or not any(n):
            continue
        yield f"{label(row)}, {row.side} against {row.reference}: {n[0]:,} fixed, {n[1]:,} broken"
        for change in found.changes(row, limit):
            mark = "+" if change["change"] == "fixed" else "-"
            yield f"  {mark} {change['id']}  {_short(change['prompt'], 150)}"
            before, after = (_short(text, 60) for text in change["predictions"])
            gold = f" · gold: {_short(change['gold'], 60)}" if change["gold"] else ""
            if before or after or gold:
                yield f"      {row.reference}: {before or '–'} · {row.side}: {after or '–'}{gold}"


def _first_metric(found: Comparison, row: Row) -> str:
    return next(r.metric for r in found.rows if r.task == row.task and r.side == row.side)


def _short(text: str, most: int) -> str:
    """On one line, its end if it is too long: there the question stands."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"…{text[1 - most :]}"


def results(found: Comparison) -> Results:
    """For results.json and the report."""
    first, *others = found.sides
    headline = tuple(_headline(row, len(others) > 1) for row in found.rows if not row.group)[:6]
    against = [*found.warnings, *found.notes]
    items = [_narrow(table(found))]
    items += [
        Table("What speaks against comparing, and what is left out", ("",), tuple((line,) for line in against))
    ] * bool(against)
    sections = [Section("figures", "Figures", "", tuple(items))]
    for row in found.rows:
        if row.group or row.metric != _first_metric(found, row) or not (len(row.found.fixed) or len(row.found.broken)):
            continue
        n = len(row.found.fixed), len(row.found.broken)
        title = f"{label(row)}, {row.side}"
        lead = f"{n[0]:,} items fixed, {n[1]:,} broken; the first of each below, all of them in items.jsonl."
        shown = [_example(row, change) for change in found.changes(row, MANY // 4)]
        ids = Table(
            "Items that changed",
            ("fixed", "broken"),
            (tuple(", ".join(_ids(found, row, places)) for places in (row.found.fixed, row.found.broken)),),
        )
        sections.append(Section(f"changes-{len(sections)}", title, lead, (ids, *shown)))
    sections.append(Section("settings", "Settings", "What was compared.", (_settings(found),)))
    words = {row.found.verdict for row in found.rows}
    lead = f"{len(found.rows)} comparison{'s' * (len(found.rows) > 1)} with {first.name}: "
    lead += ", ".join(
        f"{sum(row.found.verdict == word for row in found.rows)} {word}"
        for word in ("better", "worse", "within noise")
        if word in words
    )
    title = f"{', '.join(side.name for side in others)} against {first.name}"
    return Results(title, f"{lead}.", headline, tuple(sections))


def _headline(row: Row, named: bool) -> Figure:
    d = row.found
    note = f"{d.verdict}, p = {p_text(d.p)}"
    return figure(f"{f'{row.side}: ' if named else ''}{label(row)}, difference", d.difference, note=note)


def _ids(found: Comparison, row: Row, places: Any) -> list[str]:
    scores = next(side for side in found.sides if side.name == row.reference).scores[row.task]
    return [scores.ids[i] for i in row.pairs[places, 0].tolist()]


def _example(row: Row, change: dict[str, Any]) -> Example:
    outputs = tuple(zip((row.reference, row.side), change["predictions"], strict=True))
    fixed = change["change"] == "fixed"
    return Example(f"{change['id']}, {change['change']}", change["prompt"], outputs, change["gold"], (not fixed, fixed))


def _settings(found: Comparison) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for side in found.sides:
        rows += [(side.name, str(key), str(value)) for key, value in side.settings.items() if value not in ("", [])]
        for scores in side.scores.values():
            rows += [(side.name, f"{scores.task}: {key}", str(value)) for key, value in scores.facts.items()]
        rows += [(side.name, f"SHA-256 of {file}", value) for file, value in side.hashes.items()]
    return Table("Settings", ("run", "setting", "value"), tuple(rows))


def to_json(found: Comparison) -> dict[str, Any]:
    """Everything as plain values, item ids included."""
    return {
        "reference": found.sides[0].name,
        "runs": [{"name": side.name, "path": str(side.path), "sha256": dict(side.hashes)} for side in found.sides],
        "comparisons": len(found.rows),
        "rows": [_row(found, row) for row in found.rows],
        "warnings": list(found.warnings),
        "notes": [*found.notes, *how(found)],
    }


def _row(found: Comparison, row: Row) -> dict[str, Any]:
    d = row.found
    return {
        "task": row.task,
        **({"group": row.group} if row.group else {}),
        "metric": row.metric,
        "run": row.side,
        "n": row.n,
        "means": [d.reference, d.value],
        "difference": d.difference.to_json(),
        "test": d.test,
        "p": d.p,
        "p_holm": row.p_holm,
        "p_mcnemar": d.mcnemar,
        "clusters": d.groups,
        "verdict": d.verdict,
        "fixed": _ids(found, row, d.fixed),
        "broken": _ids(found, row, d.broken),
    }
