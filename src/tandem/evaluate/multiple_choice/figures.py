"""What was measured, as the table that people paste, and as a chapter of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tandem.evaluate.multiple_choice.benchmarks import HARNESS
from tandem.evaluate.multiple_choice.scoring import Mean, Record, Scored, mean
from tandem.evaluate.multiple_choice.subjects import CATEGORIES, category
from tandem.evaluate.overlap import told
from tandem.evaluate.overlap.words import WORDS
from tandem.evaluate.rows import NOTHING, columns, row, written
from tandem.results import Cell, Example, Figure, Section, Table
from tandem.runs import write_lines
from tandem.stats import proportion

INDENT = "\u2007– "
"""Before a part of a task."""
Z = 1.959964
"""Standard errors to the ends of a 95 % interval."""


def rows(scored: Scored) -> list[tuple[Cell, ...]]:
    """Rows of the table: one for each metric, and of MMLU one for each category."""
    task = scored.task
    found: list[tuple[Cell, ...]] = []
    for name, groups in _parts(scored):
        for metric in task.benchmark.metrics:
            if mean := scored.mean(metric, groups):
                one = figure(metric, mean)
                found.append(row(name, task.version, task.shots, metric=metric, figure=one, error=mean.error))
    return found


def table(all: Sequence[Scored]) -> Table:
    """The figures of all tasks."""
    note = (
        f"Prompts and scores of {HARNESS}; standard errors of the sample (n − 1), pooled over groups; 95 %: Wilson's "
    )
    note += "interval for shares, the normal one for pooled errors and for mass. "
    note += "mass is what the harness calls acc on truthfulqa_mc2."
    return Table("Multiple choice", columns("shots"), tuple(r for scored in all for r in rows(scored)), note=note)


def figure(name: str, mean: Mean) -> Figure:
    """A score with its interval of 95 %: Wilson's for shares, else and where the error is pooled the normal one."""
    low = high = None
    if mean.right is not None and (not mean.pooled or mean.right in (0, mean.n)):
        ends = proportion(mean.right, mean.n)
        low, high = ends.low, ends.high
    elif mean.error is not None:
        low, high = max(0.0, mean.value - Z * mean.error), min(1.0, mean.value + Z * mean.error)
    return Figure(name, mean.value, "%", low, high, mean.chance, mean.n)


def headline(scored: Scored) -> tuple[Figure, ...]:
    """The figures a reader wants first: one for each metric that differs."""
    metrics = [m for m in scored.task.benchmark.metrics if m in ("acc", "acc_norm", "mass")]
    means = [(m, mean) for m in metrics if (mean := scored.mean(m))]
    return tuple(figure(f"{scored.task.name} {metric}", mean) for metric, mean in means)


def section(scored: Scored) -> Section:
    """The task's chapter: all figures with intervals, subjects, items that are given away, a few items."""
    task = scored.task
    lead = f"{len(scored.records):,} items, {task.shots} shots. " + " ".join(f"{note}." for note in notes(scored))
    parts = [*_parts(scored)]
    subjects = list(dict.fromkeys(one.asked.item.group for one in scored.records))
    if len(subjects) > 1:
        parts += [(f"{INDENT}{subject} ({category(subject)})", [subject]) for subject in subjects]
    metrics = task.benchmark.metrics
    body: list[tuple[Cell, ...]] = []
    for name, groups in parts:
        means = [scored.mean(metric, groups) for metric in metrics]
        cells = [figure(m, mean) if mean else None for m, mean in zip(metrics, means, strict=True)]
        body.append((name, *cells, means[0].n if means[0] else 0))
    items: list[Table | Example] = [Table(task.name, ("part", *metrics, "n"), tuple(body), note="95 % intervals.")]
    if task.overlaps:
        items.append(Table("Items that stand among the examples", ("item", "example", "how"), task.overlaps))
    if task.training and task.training.found:
        items += [_clean_and_not(scored), told.table(task.training)]
    if scored.missing:
        items.append(Table("Missing items", ("item", "why"), scored.missing))
    return Section(task.name, task.name, lead.strip(), (*items, *_examples(scored)))


def _clean_and_not(scored: Scored) -> Table:
    """The figures of items that stand in the training text, and of the others."""
    metrics = scored.task.benchmark.metrics
    body: list[tuple[Cell, ...]] = []
    for name, records in zip(("in the training text", "not found in it"), _apart(scored), strict=True):
        if records:
            body.append((name, *(figure(m, mean(records, m)) for m in metrics), len(records)))
    return Table(
        "Items in the training text, and the others", ("items", *metrics, "n"), tuple(body), note="95 % intervals."
    )


def _apart(scored: Scored) -> tuple[list[Record], list[Record]]:
    """Records of items that stand in the training text, and the others."""
    found = scored.task.training.found if scored.task.training else {}
    inside = [one for one in scored.records if one.asked.item.id in found]
    return inside, [one for one in scored.records if one.asked.item.id not in found]


def _trained(scored: Scored) -> list[str]:
    """The line about the training text, where one was looked through."""
    if scored.task.training is None:
        return []
    inside, others = _apart(scored)
    apart = [
        (metric, *(_told(mean(some, metric)) if some else NOTHING for some in (inside, others)))
        for metric in scored.task.benchmark.metrics
        if inside
    ]
    return [told.note(scored.task.training, apart)]  # type: ignore[arg-type]


def _told(mean: Mean) -> str:
    return written(mean.value, mean.error)


def notes(scored: Scored) -> list[str]:
    """What a reader has to know beside the figures, a sentence each."""
    task = scored.task
    lines = list(task.notes)
    if task.overlaps:
        items = {item for item, _, _ in task.overlaps}
        own = {item for item, _, how in task.overlaps if "own prompt" in how}
        kinds = Counter(how.split(",")[0] for _, _, how in task.overlaps)
        how = " and ".join(f"{n} by {_KINDS[kind]}" for kind, n in sorted(kinds.items()))
        some = ", ".join(sorted(items)[:3])
        lines.append(
            f"CONTAMINATED: {len(items)} of {len(task.asked)} items stand among the examples ({how}), "
            f"{len(own)} of them in their own prompt: {some}{' …' if len(items) > 3 else ''}"
        )
    lines += _trained(scored)
    if scored.cut:
        lines.append(f"CUT: {scored.cut} of {len(scored.records)} prompts did not fit and lost their beginning")
    if scored.missing:
        lines.append(f"MISSING: {len(scored.missing)} of {len(task.asked)} items; the first: {scored.missing[0][1]}")
    return lines


_KINDS = {"same question": "the same question", "words in a row": f"{WORDS} words in a row"}


def write_items(scored: Scored, out: Path) -> Path:
    """One line of JSON for each item; the file's path."""
    lines: list[dict[str, Any]] = []
    ways: dict[str, list[str]] = {}
    training = scored.task.training.found if scored.task.training else {}
    for item, example, how in scored.task.overlaps:
        ways.setdefault(item, []).append(f"{example}: {how}")
    for one in scored.records:
        extra: dict[str, Any] = {"overlaps": ways[one.asked.item.id]} if one.asked.item.id in ways else {}
        if found := training.get(one.asked.item.id):
            extra["training"] = found.to_json()
        lines.append(one.row() | extra)
    path = out / f"{scored.task.name}-items.jsonl"
    write_lines(path, lines)
    return path


def _parts(scored: Scored) -> list[tuple[str, list[str] | None]]:
    """The whole, then the categories there are, with their groups."""
    parts: list[tuple[str, list[str] | None]] = [(scored.task.name, None)]
    groups = {one.asked.item.group for one in scored.records}
    if len(groups) > 1:
        for name in CATEGORIES:
            if chosen := sorted(group for group in groups if category(group) == name):
                parts.append((INDENT + name, list(chosen)))
    return parts


def _examples(scored: Scored, n: int = 4) -> list[Example]:
    """The first right and wrong items, as they were asked."""
    right = [one for one in scored.records if one.prediction in one.asked.item.right][: n // 2]
    wrong = [one for one in scored.records if one.prediction not in one.asked.item.right][: n // 2]
    made = []
    for one in right + wrong:
        item = one.asked.item
        of = [f"{stem} …" if len(set(item.stems)) > 1 else text for stem, text in zip(item.stems, item.texts)]
        asked = item.stems[0] if len(set(item.stems)) == 1 else f"{item.question}\n… {item.texts[0]}"
        outputs = (("model", of[one.prediction]),)
        made.append(Example(item.id, asked, outputs, of[item.gold], (one.prediction in item.right,)))
    return made
