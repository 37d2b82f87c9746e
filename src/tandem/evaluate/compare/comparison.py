"""Sides laid beside the first of them: every task and metric that both have, and all that speaks against comparing.

What this does not do: refuse a comparison that is not fair. It is made, and every reason against it is told loudly;
only where nothing is shared is there an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.evaluate.compare.difference import GROUPS, LEVEL, Difference, Numbers, compare, holm
from tandem.evaluate.compare.scores import Scores, metrics_of, shown
from tandem.evaluate.compare.sides import Side

NOT_COMPARABLE = "NOT COMPARABLE"
"""Begins what is told where figures measure different things."""
_HARMLESS = {"file", "examples", "preamble", "items", "tasks", "seen_file"}
"""Facts of a task that are names or counts: what they name has a hash of its own."""
_SETTINGS = ("temperature", "top_p", "max_tokens", "stop", "seed", "samples_per_task", "allow", "tandem", "python")
"""Settings of a run that can move a figure."""


@dataclass(frozen=True)
class Row:
    """One task and metric: one side against the reference."""

    task: str
    """Which task."""
    metric: str
    """Which score."""
    reference: str
    """Name of the side it is compared with."""
    side: str
    """Name of the side asked about."""
    found: Difference
    """What came of it."""
    pairs: NDArray[np.intp]
    """Place of each item in the reference's scores and in the side's; [items, 2]."""
    group: str = ""
    """The group of items it is of; empty: all."""
    p_holm: float = 1.0
    """p corrected for all comparisons made at once."""
    comparable: bool = True
    """Whether both were asked the same, as far as the records say."""

    @property
    def n(self) -> int:
        """Items compared."""
        return len(self.pairs)

    @property
    def survives(self) -> bool:
        """Whether the verdict stands after correction."""
        return self.found.verdict == "within noise" or self.p_holm < LEVEL


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what came of it."""

    sides: tuple[Side, ...]
    """The reference first."""
    rows: tuple[Row, ...]
    """By side, task and metric."""
    warnings: tuple[str, ...]
    """What speaks against comparing, a line each."""
    notes: tuple[str, ...]
    """What a reader has to know beside the figures."""

    def change(self, row: Row, place: int, fixed: bool) -> dict[str, Any]:
        """One changed item as a plain object: what was asked, what both said, what is right."""
        sides = [next(side for side in self.sides if side.name == name) for name in (row.reference, row.side)]
        both = [side.scores[row.task] for side in sides]
        at = row.pairs[place].tolist()
        seen = [shown(scores.row(i), row.metric) for scores, i in zip(both, at, strict=True)]
        values = [_value(scores, row.metric, i) for scores, i in zip(both, at, strict=True)]
        head = {
            "task": row.task,
            "metric": row.metric,
            "id": both[0].ids[at[0]],
            "change": "fixed" if fixed else "broken",
        }
        about = {"reference": row.reference, "run": row.side, "scores": values}
        words = {"prompt": seen[0][0], "predictions": [seen[0][1], seen[1][1]], "gold": seen[0][2]}
        return {**head, **about, **words}

    def changes(self, row: Row, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The items fixed, then those broken; at most `limit` of each."""
        for fixed, places in ((True, row.found.fixed), (False, row.found.broken)):
            for place in places[:limit].tolist():
                yield self.change(row, place, fixed)


@dataclass
class _Making:
    """A comparison on its way."""

    ks: Sequence[int]
    cluster: bool
    by_group: bool
    lower: bool
    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def task(self, task: str, a: Side, b: Side) -> None:
        """One task of a side against the reference's."""
        one, other = a.scores[task], b.scores[task]
        places = {id: place for place, id in enumerate(other.ids)}
        pairs = np.array([(at, places[id]) for at, id in enumerate(one.ids) if id in places], dtype=np.intp)
        if not len(pairs):
            raise _nothing(a, b, f"{task}: no item", one.ids, other.ids)
        against = (*_facts(a, b, one, other), *_items(a, b, one, other, pairs))
        comparable = not any(line.startswith(NOT_COMPARABLE) for line in against)
        self.warnings += [f"{task}: {line}" for line in against]
        metrics = metrics_of(one, other, self.ks)
        if not metrics:
            raise _nothing(a, b, f"{task}: no metric", one.values, other.values)
        for metric, (x, y) in metrics.items():
            x, y = x[pairs[:, 0]], y[pairs[:, 1]]
            known = ~(np.isnan(x) | np.isnan(y))
            if lacking := int((~known).sum()):
                self.warnings.append(f"{task}: {lacking:,} items have no {metric} in {a.name} or in {b.name}")
            if not known.any():
                continue
            both = pairs[known]
            groups = [one.groups[at] for at in both[:, 0].tolist()] if one.groups else None
            found = compare(x[known], y[known], groups if self.cluster else None, lower=self.lower)
            whole = Row(task, metric, a.name, b.name, found, both, comparable=comparable)
            self.rows.append(whole)
            if groups and self.cluster and found.groups is None and (m := len(set(groups))) > 1:
                told = f"fewer than {GROUPS}" if m < GROUPS else "as many as items"
                self.notes.append(f"{task}: interval and p are over items, not over its {m:,} groups ({told})")
            if groups and self.by_group:
                self.rows += _apart(whole, x[known], y[known], groups)


def compare_sides(
    sides: Sequence[Side],
    *,
    tasks: Sequence[str] = (),
    ks: Sequence[int] = (),
    cluster: bool = True,
    by_group: bool = False,
    lower: bool = False,
) -> Comparison:
    """Every side against the first. `by_group` compares each group of items apart, too.

    Raises UserError where a side shares no task, no metric or no item with the first.
    """
    reference = sides[0]
    making = _Making(ks, cluster, by_group, lower)
    making.warnings += [f"{side.name} is not finished (no results.json)" for side in sides if not side.finished]
    for side in sides[1:]:
        both = [task for task in reference.scores if task in side.scores]
        if lacking := [task for task in tasks if task not in both]:
            raise _nothing(reference, side, f"{lacking[0]}: no such task", reference.scores, side.scores)
        if not both:
            raise _nothing(reference, side, "no task", reference.scores, side.scores)
        for here, there in ((reference, side), (side, reference)):
            if alone := [task for task in here.scores if task not in there.scores and not tasks]:
                making.notes.append(f"only in {here.name}, and not compared: {', '.join(alone)}")
        making.warnings += _settings(reference, side)
        for task in both:
            if not tasks or task in tasks:
                making.task(task, reference, side)
    if not making.rows:
        raise UserError("no item has a score in both", remedy="name the field with the score: --score FIELD")
    corrected = holm([row.found.p for row in making.rows])
    rows = tuple(replace(row, p_holm=p) for row, p in zip(making.rows, corrected, strict=True))
    return Comparison(tuple(sides), rows, tuple(dict.fromkeys(making.warnings)), tuple(dict.fromkeys(making.notes)))


def _apart(whole: Row, x: Numbers, y: Numbers, groups: Sequence[str]) -> list[Row]:
    """Each group of items compared by itself; none where all are in one."""
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    if len(members) < 2:
        return []
    return [
        replace(whole, found=compare(x[at], y[at], lower=whole.found.lower), pairs=whole.pairs[at], group=group)
        for group, at in sorted(members.items())
    ]


def _facts(a: Side, b: Side, one: Scores, other: Scores) -> list[str]:
    """Facts of a task that differ: figures of different tasks are not comparable."""
    keys = [key for key in dict.fromkeys((*one.facts, *other.facts)) if key not in _HARMLESS]
    different = [key for key in keys if one.facts.get(key) != other.facts.get(key) and not key.startswith("training")]
    if "shots" in different:  # what only prompts with examples have follows from it
        different = [key for key in different if key in one.facts and key in other.facts]
    told = [f"{key} is {_brief(one.facts.get(key))} and {_brief(other.facts.get(key))}" for key in different]
    return [f"{NOT_COMPARABLE}: {'; '.join(told)} in {a.name} and {b.name}"] if told else []


def _settings(a: Side, b: Side) -> list[str]:
    """Settings of runs that differ."""
    if not (a.settings and b.settings):
        return []
    different = [key for key in _SETTINGS if a.settings.get(key) != b.settings.get(key)]
    told = [f"{key} {_brief(a.settings.get(key))} and {_brief(b.settings.get(key))}" for key in different]
    return [f"settings of {a.name} and {b.name} differ: {', '.join(told)}"] if told else []


def _items(a: Side, b: Side, one: Scores, other: Scores, pairs: Any) -> Iterator[str]:
    """Items that only one has, that were asked otherwise, that have another number of samples."""
    n = len(pairs)
    for side, scores in ((a, one), (b, other)):
        if left := len(scores.ids) - n:
            yield f"{left:,} of {len(scores.ids):,} items are only in {side.name} and not compared"
    x, y = np.array(one.asked)[pairs[:, 0]], np.array(other.asked)[pairs[:, 1]]
    if different := int(((x != y) & (x != 0) & (y != 0)).sum()):
        yield f"{NOT_COMPARABLE}: {different:,} of {n:,} items with the same id have another prompt or other choices"
    sizes = [sorted({scores.samples[i] for i in pairs[:, c].tolist()}) for c, scores in enumerate((one, other))]
    if sizes[0] != sizes[1]:
        told = [f"{s[0]}" if len(s) == 1 else f"{s[0]} to {s[-1]}" for s in sizes]
        yield f"samples an item: {told[0]} in {a.name}, {told[1]} in {b.name}"


def _nothing(a: Side, b: Side, what: str, x: Iterable[str], y: Iterable[str]) -> UserError:
    """Nothing can be compared: what each has instead."""
    has = [", ".join(list(each)[:5]) or "none" for each in (x, y)]
    problem = f"{what} is in both: {a.name} has {has[0]}; {b.name} has {has[1]}"
    return UserError(problem, where=str(b.path), remedy="compare runs of the same tasks on the same items")


def _value(scores: Scores, metric: str, place: int) -> float:
    """An item's score; of pass@k the share of samples that pass."""
    if scores.passed is not None:
        return float(scores.passed[place] / scores.samples[place])
    return float(scores.values[metric if metric in scores.values else "passed"][place])


def _brief(value: Any) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else repr(value)
