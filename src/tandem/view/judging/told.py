"""What people preferred: shares with intervals, agreement, position bias; as tables and as a run's results.

Shares are of judgments that say something: a system, or a tie. `cannot say` is counted beside them and is no label for
agreement either. Wilson's intervals for one annotator; over several, judgments of one item hang together, so items are
resampled. Agreement is about systems, not sides.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tandem import metrics
from tandem.errors import UserError
from tandem.metrics.resampling import percentile, resampled_sums
from tandem.results import Cell, Example, Figure, Item, Results, Section, Table
from tandem.stats import Interval, proportion
from tandem.view.judging.ledger import TIE, UNSURE, Judgment, Record
from tandem.view.judging.pairs import Pair

SHOWN = 8
"""Examples in the report."""
ALL = "all together"


def preferences(record: Record) -> Table:
    """A row for each annotator, and one for all where there are several."""
    first, second = record.judging.names
    rows: list[tuple[Cell, ...]] = []
    for name, judged in record.by.items():
        counts: Counter[object] = Counter(j.preferred for j in judged.values())
        n = counts[0] + counts[1] + counts[TIE]
        shares = [_share(proportion(counts[label], n)) if n else None for label in (0, 1, TIE)]
        rows.append((name, *shares, f"{counts[UNSURE]} of {len(judged)}"))
    if len(rows) > 1:
        every = [j for judged in record.by.values() for j in judged.values()]
        unsure = sum(j.preferred == UNSURE for j in every)
        rows.append((ALL, *pooled(record), f"{unsure} of {len(every)}"))
    note = "Shares of the judgments that say something."
    if len(record.by) > 1:
        note += " All together: intervals over items, since judgments of one item hang together."
    return Table("Preferred", ("Annotator", first, second, "Tie", "Cannot say"), tuple(rows), note)


def pooled(record: Record) -> list[Figure | None]:
    """Shares of both systems and of ties over all judgments; Wilson's for one annotator, else over items."""
    counts: dict[str, Counter[object]] = {}
    for judged in record.by.values():
        for id, judgment in judged.items():
            counts.setdefault(id, Counter())[judgment.preferred] += 1
    table = np.array([[c[0], c[1], c[TIE]] for c in counts.values()], dtype=np.float64).reshape(-1, 3)
    table = table[table.sum(axis=1) > 0]
    if not len(table):
        return [None, None, None]
    totals = table.sum(axis=0)
    if len(record.by) == 1:
        return [_share(proportion(int(k), int(totals.sum()))) for k in totals]
    drawn = resampled_sums(table)
    shares = drawn / drawn.sum(axis=1, keepdims=True)
    n = int(totals.sum())
    return [_share(percentile(float(totals[i]) / n, shares[:, i], n)) for i in range(3)]


def agreement(record: Record) -> Table | None:
    """Cohen's κ of each two annotators, Krippendorff's α of more than two; None for one annotator."""
    names = list(record.by)
    if len(names) < 2:
        return None
    rows: list[tuple[Cell, ...]] = []
    notes: list[str] = []
    exact: list[str] = []
    for one, other in itertools.combinations(names, 2):
        both = [(a, b) for _, (a, b) in _labels(record, (one, other)) if a is not None and b is not None]
        pair = f"{one} and {other}"
        if not both:
            rows.append((pair, None, None, 0))
            continue
        same = proportion(sum(a == b for a, b in both), len(both))
        kappa = _measured(pair, notes, *zip(*both, strict=True))
        exact += [f"{pair} {kappa.value:.2f}"] if kappa else []
        rows.append((pair, _share(same), kappa, len(both)))
    if len(names) > 2:
        units = [labels for _, labels in _labels(record, names)]
        try:
            alpha = metrics.krippendorff(units)
            rows.append(("all, Krippendorff's α", None, _plain(alpha), alpha.n))
            exact.append(f"α {alpha.value:.2f}")
        except UserError as e:
            rows.append(("all, Krippendorff's α", None, None, 0))
            notes.append(f"{e.problem}.")
    if exact:
        notes.insert(0, f"To two digits: {', '.join(exact)}.")
    note = "Cohen's κ on which system is better, or a tie; 95 % intervals over items. " + " ".join(notes)
    return Table("Agreement", ("Annotators", "Same", "κ", "Items of both"), tuple(rows), note.strip())


def positions(record: Record) -> Table:
    """How often the answer on the left was taken, of the judgments that took one."""
    rows: list[tuple[Cell, ...]] = []
    each: list[tuple[str, Iterable[Judgment]]] = [(name, judged.values()) for name, judged in record.by.items()]
    if len(each) > 1:
        each.append((ALL, [j for judged in record.by.values() for j in judged.values()]))
    for name, judged in each:
        counts = Counter(j.choice for j in judged)
        n = counts["left"] + counts["right"]
        rows.append((name, _share(proportion(counts["left"], n), chance=0.5) if n else None, n))
    note = "Systems change sides for half of the items, so a liking for one side favours neither, and lowers agreement."
    return Table("Answer 1, on the left, taken", ("Annotator", "Left", "Decided"), tuple(rows), note)


def tables(record: Record) -> list[Table]:
    """All tables, for pages and terminals."""
    found = agreement(record)
    return [preferences(record), *([found] if found else []), positions(record)]


def results(record: Record, pairs: Mapping[str, Pair] | None = None) -> Results:
    """The run's results; with the pairs, items on which annotators differ or that have notes are shown."""
    judging = record.judging
    first, second = judging.names
    shares = pooled(record)
    headline: list[Figure] = []
    for name, share in zip((f"{first} preferred", f"{second} preferred", "Tie"), shares, strict=True):
        if share is not None:
            headline.append(Figure(name, share.value, "%", share.low, share.high, n=share.n))
    found = agreement(record)
    if found and len(found.rows) == 1 and isinstance(kappa := found.rows[0][2], Figure):
        headline.append(Figure("Cohen's κ", kappa.value, "", kappa.low, kappa.high, n=kappa.n))
    items: list[Item] = [*tables(record)]
    sections = [Section("judged", "What people preferred", f"Asked: {judging.question}", tuple(items))]
    if pairs and (examples := _examples(record, pairs)):
        lead = "Items on which annotators differ, or that have a note; the first of them, not chosen."
        sections.append(Section("examples", "Examples", lead, tuple(examples)))
    title = f"{first} and {second}, judged by people"
    return Results(title, lead_of(record, shares), tuple(headline), tuple(sections))


def lead_of(record: Record, shares: Sequence[Figure | None]) -> str:
    """Who judged how many, and what came out, in a sentence or two."""
    first, second = record.judging.names
    people = "1 annotator" if len(record.by) == 1 else f"{len(record.by)} annotators"
    unfinished = [name for name in record.by if record.open(name)]
    lead = f"{people} judged {record.judging.items} pairs of answers without knowing whose they are."
    a, b, tie = shares
    if a and b and tie:
        lead += f" Better is {first} in {a.value:.0%} of the judgments, {second} in {b.value:.0%};"
        lead += f" {tie.value:.0%} are ties."
    if unfinished:
        lead += f" Not done yet: {', '.join(unfinished)}."
    return lead.replace("%", "\u202f%")


def _labels(record: Record, names: Sequence[str]) -> list[tuple[str, list[object]]]:
    """For each item that somebody judged what each says of it, None where it is nothing."""
    ids = {id: None for name in names for id in record.by[name]}
    found: list[tuple[str, list[object]]] = []
    for id in sorted(ids):
        said = [record.by[name].get(id) for name in names]
        labels = [None if j is None or j.preferred == UNSURE else str(j.preferred) for j in said]
        found.append((id, [*labels]))
    return found


def _measured(pair: str, notes: list[str], one: Sequence[object], other: Sequence[object]) -> Figure | None:
    try:
        return _plain(metrics.kappa([str(a) for a in one], [str(b) for b in other]))
    except UserError as e:
        notes.append(f"{pair}: {e.problem}.")
        return None


def _share(found: Interval, chance: float | None = None) -> Figure:
    return Figure("", found.value, "%", *_ends(found), chance=chance, n=found.n)


def _plain(found: Interval) -> Figure:
    return Figure("", found.value, "", *_ends(found), chance=0.0, n=found.n)


def _ends(found: Interval) -> tuple[float | None, float | None]:
    return (found.low, found.high) if math.isfinite(found.low) and math.isfinite(found.high) else (None, None)


def _examples(record: Record, pairs: Mapping[str, Pair]) -> list[Example]:
    first, second = record.judging.names
    found = []
    for id in sorted({id for judged in record.by.values() for id in judged} & pairs.keys()):
        said = {name: judged[id] for name, judged in record.by.items() if id in judged}
        if len({j.preferred for j in said.values()}) < 2 and not any(j.note for j in said.values()):
            continue
        words = []
        for name, j in said.items():
            preferred = record.judging.names[j.preferred] if isinstance(j.preferred, int) else j.preferred
            words.append(f"{name}: {preferred}" + (f" ({j.note})" if j.note else ""))
        a, b = pairs[id].answers
        outputs = ((first, a), (second, b), ("judgments", "\n".join(words)))
        found.append(Example(id, pairs[id].prompt, outputs, correct=(None, None, None)))
        if len(found) == SHOWN:
            break
    return found
