"""A file of predictions measured: figures of all rows and of each group, and what became of every row.

What this does not do: print.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tandem.errors import UserError
from tandem.metrics.catalogue import CATALOGUE
from tandem.metrics.columns import MISSING, Unusable, read_columns
from tandem.metrics.metric import Measured, Metric, Options, Rows
from tandem.stats import Interval


@dataclass(frozen=True)
class Finding:
    """One figure of one group."""

    group: str | None
    """Name of the group; None for all rows."""
    name: str
    """What it is."""
    figure: Interval
    """The figure with its interval, and the number of rows behind it."""
    unit: str
    """`%` where it is a share."""


@dataclass(frozen=True)
class Report:
    """What a file gave."""

    findings: tuple[Finding, ...]
    """Figures, those of all rows last."""
    rows: int
    """Rows there are, unreadable lines included."""
    unusable: Unusable
    """Rows that no figure rests on, or not every one."""
    notes: tuple[str, ...]
    """What a reader has to know beside the figures."""


def measure_file(
    path: Path, names: Sequence[str], options: Options, *, fields: dict[str, str], group: str | None = None
) -> Report:
    """Figures of the named metrics; `fields` says which field of the file a role is, where its name is another.

    Raises UserError on a file or a field that is not there, where no row can be used, and where a figure of all rows is
    not defined; of a group such a figure is left out and noted.
    """
    works = _works(names)
    known = {each.role for metric, _ in works for each in metric.fields}
    if unknown := sorted(fields.keys() - known):
        raise UserError(f"{', '.join(names)} takes no {unknown[0]!r}", remedy=f"it takes: {', '.join(sorted(known))}")
    wanted = [fields.get(each.role, each.role) for metric, _ in works for each in metric.fields]
    columns = read_columns(path, [*wanted, *([group] if group is not None else [])])
    if group is not None and all(value is MISSING for value in columns.values[group]):
        there = ", ".join(columns.known)
        raise UserError(
            f"no field {group!r} in any of {len(columns.lines):,} rows; there are: {there}", where=str(path)
        )
    findings: list[Finding] = []
    notes: list[str] = []
    unreadable = columns.unreadable
    unusable = Unusable(dict(unreadable.counts), dict(unreadable.first))
    for metric, only in works:
        rows, values, unfit = columns.select(metric.fields, fields)
        wrong = metric.wrong(values, options)
        for row, reason in zip(rows, wrong, strict=bool(wrong)):
            if reason:
                unfit.add(reason, columns.lines[row])
        if any(wrong):
            kept = [i for i, reason in enumerate(wrong) if not reason]
            rows, values = [rows[i] for i in kept], {role: [v[i] for i in kept] for role, v in values.items()}
        if not rows:
            raise UserError(f"no row can be used: {'; '.join(unfit.told())}", where=str(path))
        for reason, n in unfit.counts.items():
            unusable.counts[reason], unusable.first[reason] = n, unfit.first[reason]
        measured = metric.measure(values, options)
        notes += [note for note in measured.notes if note not in notes]
        for name, chosen in _groups(columns.values[group], rows).items() if group is not None else ():
            try:
                findings += _findings(name, measured, chosen, only)
            except UserError as e:
                notes.append(f"{name}: {e.problem}")
        try:
            findings += _findings(None, measured, np.arange(len(rows)), only)
        except UserError as e:
            raise UserError(e.problem, where=str(path), remedy=e.remedy) from e
    findings.sort(key=lambda finding: finding.group is None)
    return Report(tuple(findings), len(columns.lines) + sum(unreadable.counts.values()), unusable, tuple(notes))


def _works(names: Sequence[str]) -> list[tuple[Metric, tuple[str, ...]]]:
    """Metrics with the figures wanted; those that are measured together are one."""
    works: list[tuple[Metric, tuple[str, ...]]] = []
    for metric in (CATALOGUE[name] for name in dict.fromkeys(names)):
        for i, (other, only) in enumerate(works):
            if other.measure is metric.measure:
                works[i] = (other, only + metric.only)
                break
        else:
            works.append((metric, metric.only))
    return works


def _findings(group: str | None, measured: Measured, rows: Rows, only: tuple[str, ...]) -> list[Finding]:
    found = measured.figures(rows)
    return [Finding(group, name, figure, measured.unit) for name, figure in found.items() if not only or name in only]


def _groups(column: Sequence[Any], rows: Sequence[int]) -> dict[str, Rows]:
    """Places among the usable rows by group, in order of the groups' names."""
    found: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        value = column[row]
        name = value if type(value) is str else "(none)" if value is MISSING else json.dumps(value, ensure_ascii=False)
        found.setdefault(name, []).append(place)
    return {name: np.array(places) for name, places in sorted(found.items())}
