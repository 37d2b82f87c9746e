"""Each row's own score, for the metrics whose figure is the mean over rows: what two systems are compared by.

What this does not do: corpus figures (BLEU, chrF), orders (AUC) and agreement, which no row has a share of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tandem.errors import UserError
from tandem.metrics.catalogue import CATALOGUE
from tandem.metrics.columns import MISSING, read_columns
from tandem.metrics.metric import Options

MEANS = ("em", "f1", "letters", "fever-label", "sentence-bleu", "rouge", "rouge-lsum")
"""Metrics that are means over rows."""
_SHOWN = 2
"""Fields that are kept of each row beside its scores: the prediction and the reference."""


def item_scores(
    path: Path, names: Sequence[str], options: Options, *, fields: Mapping[str, str], group: str | None = None
) -> list[dict[str, Any]]:
    """A row for each usable one of the file: its id (else its line), group, scores, prediction and reference.

    A score that a row cannot have is missing. Raises UserError on a metric that is no mean over rows, as `measure_file`
    does on the file, and on an id that occurs twice.
    """
    if other := [name for name in names if name not in MEANS or name not in CATALOGUE]:
        remedy = f"leave it out, or take {', '.join(name for name in MEANS if name in CATALOGUE)}"
        raise UserError(f"{other[0]} is not a mean over rows: no row has a share of it", where="--items", remedy=remedy)
    told = dict(fields)
    wanted = [told.get(each.role, each.role) for name in names for each in CATALOGUE[name].fields]
    columns = read_columns(path, ["id", *([group] if group else []), *wanted])
    found: dict[int, dict[str, Any]] = {}
    for name in dict.fromkeys(names):
        metric = CATALOGUE[name]
        rows, values, _ = columns.select(metric.fields, told)
        wrong = list(metric.wrong(values, options)) or [""] * len(rows)
        kept = [place for place, reason in enumerate(wrong) if not reason]
        values = {role: [column[place] for place in kept] for role, column in values.items()}
        measured = metric.measure(values, options)
        for place, row in enumerate(rows[i] for i in kept):
            figures = measured.figures(np.array([place]))
            scores = {what: figure.value for what, figure in figures.items() if not metric.only or what in metric.only}
            shown = {each.role: values[each.role][place] for each in metric.fields[:_SHOWN]}
            found.setdefault(row, {}).update({**scores, **shown})
    lines: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for row, scores in sorted(found.items()):
        own = columns.values["id"][row]
        key = str(columns.lines[row] if own is MISSING or own is None else own)
        if key in seen:
            where = f"{path}:{columns.lines[row]}"
            raise UserError(f"the id {key!r} stands at line {seen[key]} already", where=where, remedy="mend the ids")
        seen[key] = columns.lines[row]
        of = columns.values[group][row] if group else MISSING
        lines.append({"id": key, **({} if of is MISSING else {"group": str(of)}), **scores})
    return lines
