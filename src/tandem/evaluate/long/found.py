"""What one of these tasks found: figures with intervals, what the report shows, a line of JSON for each item."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tandem.evaluate.long.asking import Replies
from tandem.evaluate.perplexity import figure
from tandem.evaluate.rows import DOWN, UP, columns, row
from tandem.results import Figure, Item, Section, Table
from tandem.runs import write_lines
from tandem.stats import Interval, bootstrap, proportion
from tandem.text import count


@dataclass(frozen=True)
class Found:
    """What was found on one task."""

    task: str
    """Its name."""
    version: str
    """Of its prompts."""
    figures: tuple[tuple[str, Figure], ...]
    """(of what, figure): rows of the table that people paste."""
    headline: tuple[Figure, ...]
    """The few numbers a reader wants first."""
    items: tuple[Item, ...]
    """Tables, curves and examples of the report."""
    rows: tuple[Mapping[str, Any], ...]
    """One for each item, JSON values."""
    lead: str = ""
    """What was measured, in a sentence."""
    notes: tuple[str, ...] = ()
    """What a reader has to know beside the figures."""
    missing: tuple[tuple[str, str], ...] = ()
    """(item, why): what has no answer, which is not counted as wrong, nor at all."""
    aside: tuple[str, ...] = ()
    """What is told and not kept: it depends on how the run went, not on the model."""


def table(found: Sequence[Found]) -> Table:
    """The figures of all tasks."""
    rows = tuple(
        row(one.task, one.version, of, metric=f.name, figure=f, direction=UP if f.unit == "%" else DOWN)
        for one in found
        for of, f in one.figures
    )
    return Table("Long inputs and long chains", columns("of"), rows, note="95 %: Wilson for shares, else bootstrap.")


def section(found: Found) -> Section:
    """The task's chapter."""
    lead = " ".join([found.lead, *(f"{note}." for note in found.notes)])
    lost = Table("Missing", ("item", "why"), found.missing)
    return Section(found.task, found.task, lead, (*found.items, *((lost,) if found.missing else ())))


def write_items(found: Found, out: Path) -> Path:
    """One line of JSON for each item; the file's path."""
    path = out / f"{found.task}-items.jsonl"
    write_lines(path, found.rows)
    return path


def by_group(
    task: str,
    version: str,
    named: Mapping[str, str],
    metrics: Sequence[str],
    of: Callable[[str, str], Figure],
    *,
    items: Sequence[Item],
    rows: Sequence[Mapping[str, Any]],
    lead: str,
    replies: Replies,
    unread: str,
) -> Found:
    """What a task found that asks in groups: a figure `of(group, metric)` each, the first and the last in front.

    `named` maps groups to what they are called, `unread` says what an answer lacks whose row is marked so.
    """
    groups = list(named)
    notes = replies.notes()
    if lost := sum(row["unread"] for row in rows):
        notes.append(f"{count(lost)} of {count(len(rows))} answers hold no {unread} that could be read")
    ends = dict.fromkeys([*groups[:1], *groups[-1:]])
    return Found(
        task,
        version,
        tuple((named[group], of(group, metric)) for group in groups for metric in metrics),
        tuple(replace(of(group, metrics[0]), name=f"{named[group]}, {metrics[0]}") for group in ends),
        tuple(items),
        tuple(rows),
        lead,
        tuple(notes),
        replies.missing,
        replies.aside(),
    )


def share(name: str, right: Sequence[bool], chance: float | None = None, note: str = "") -> Figure:
    """A share of right answers with Wilson's interval."""
    return figure(name, proportion(sum(right), len(right)), "%", chance, note)


def clustered(name: str, groups: Sequence[Sequence[float]], note: str = "") -> Figure:
    """The mean of values between 0 and 1 that come in groups, with a bootstrap over the groups.

    Where all values are 0 or all 1 nothing varies: then Wilson's interval for so many groups.
    """
    sums = np.array([[math.fsum(group), len(group)] for group in groups], dtype=np.float64)
    value = float(sums[:, 0].sum() / sums[:, 1].sum())
    if value in (0.0, 1.0):
        ends = proportion(int(value) * len(groups), len(groups))
        found = Interval(value, ends.low, ends.high, int(sums[:, 1].sum()))
    else:
        drawn = bootstrap(
            list(range(len(groups))),
            lambda chosen: float(sums[chosen.astype(int), 0].sum() / sums[chosen.astype(int), 1].sum()),
        )
        found = Interval(value, drawn.low, drawn.high, int(sums[:, 1].sum()))
        if len(groups) == 1:
            found = Interval(value, -math.inf, math.inf, found.n)
    return figure(name, found, "%", note=note)


def excerpt(text: str, most: int = 1_500) -> str:
    """A long text's beginning and end, with what lies between told."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters …\n{text[-half:]}"
