"""`tandem metrics NAME FILE`: measure predictions in a file of JSON lines; `tandem metrics list` says what there is.

Exit status 2 when rows could not be used: the figures are of the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.metrics.measuring import Report
    from tandem.metrics.metric import Options
    from tandem.results import Table

LEVELS = ("nominal", "ordinal", "interval", "ratio")
TOKENIZERS = ("13a", "intl", "char", "zh", "none")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add("name", metavar="NAME", help="a metric, several with commas between, or `list`")
    add("file", nargs="?", type=Path, metavar="FILE", help="JSON lines, plain or gzip")
    add("--prediction", metavar="FIELD", help="field of the first thing the metric takes, as `list` has them")
    add("--reference", metavar="FIELD", help="field of the second")
    add("--field", action="append", default=[], metavar="ROLE=FIELD", help="field of any other; may be repeated")
    add("--group", metavar="FIELD", help="figures for each value of this field, too")
    add("--out", type=Path, metavar="FILE", help="write figures, settings and counts as JSON")
    add("--items", type=Path, metavar="FILE", help="write each row's scores, for tandem compare")
    add("--closed", action="store_true", help="f1: yes, no and noanswer match wholly or not at all (HotpotQA)")
    add("--lowercase", action="store_true", help="bleu, chrf: lower-case first")
    add("--tokenize", default="13a", choices=TOKENIZERS, help="bleu: sacrebleu's tokenizer (default 13a)")
    add("--stem", action="store_true", help="rouge: compare Porter stems")
    add("--choices", type=int, metavar="N", help="letters: how many choices, where a row does not say")
    add("--first", type=int, default=5, metavar="N", help="fever: predicted sentences that count (default 5)")
    add("--labels", metavar="LIST", help="kappa, alpha: all labels in order, with commas between")
    add("--k", metavar="LIST", help="pass@k: which k, with commas between (default: 1, 10, 100 as far as samples go)")
    add("--level", default="nominal", choices=LEVELS, help="alpha: what ratings measure (default nominal)")


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and what could not be used, write the JSON."""
    from tandem.errors import UserError
    from tandem.metrics.catalogue import CATALOGUE

    if options.name == "list":
        _list()
        return 0
    names = [name.strip() for name in options.name.split(",") if name.strip()]
    for name in names or [options.name]:
        if name not in CATALOGUE:
            raise UserError(
                f"no metric is called {name!r}", remedy=f"known: {', '.join(CATALOGUE)}; tandem metrics list"
            )
    if options.file is None:
        raise UserError("no file to measure", remedy=f"tandem metrics {options.name} FILE.jsonl")
    return _measure(options, names)


def _list() -> None:
    from tandem.metrics.catalogue import CATALOGUE

    for name, metric in CATALOGUE.items():
        print(f"{name}: {metric.about} ({metric.source})")
        for field in metric.fields:
            print(f"    {field.role}{' (may be missing)' * field.optional}: {field.holds}")
        if metric.options:
            print(f"    options: {' '.join('--' + option for option in metric.options)}")


def _measure(options: argparse.Namespace, names: list[str]) -> int:
    import sys

    from tandem.cli.markdown import markdown
    from tandem.metrics.measuring import measure_file
    from tandem.text import count

    told, fields = _options(options, names), _fields(options, names)
    report = measure_file(options.file, names, told, fields=fields, group=options.group)
    print(markdown(_table(report)))
    for note in report.notes:
        print(note)
    if options.out is not None:
        _write(options, names, report)
    if options.items is not None:
        _write_items(options, names, told, fields)
    if not report.unusable.counts:
        return 0
    unusable = report.unusable
    print(f"of {count(report.rows)} rows, these are not in the figures that need them:", file=sys.stderr)
    for line in unusable.told():
        print(f"  {line}", file=sys.stderr)
    return 2


def _options(options: argparse.Namespace, names: list[str]) -> Options:
    """What the metrics are told. Raises UserError on an option that none of them heeds."""
    from dataclasses import fields

    from tandem.errors import UserError
    from tandem.metrics.catalogue import CATALOGUE
    from tandem.metrics.metric import Options

    plain = Options()
    heeded = {option for name in names for option in CATALOGUE[name].options}
    given = {each.name: getattr(options, each.name) for each in fields(Options)}
    if given["labels"] is not None:
        given["labels"] = tuple(dict.fromkeys(label.strip() for label in given["labels"].split(",") if label.strip()))
        if len(given["labels"]) < 2:
            raise UserError(f"is {options.labels!r}", where="--labels", remedy="give at least two, as in no,maybe,yes")
    given["k"] = whole_numbers("--k", given["k"])
    for name, value in given.items():
        if value != getattr(plain, name) and name not in heeded:
            raise UserError(f"says nothing to {', '.join(names)}", where=f"--{name}", remedy="see: tandem metrics list")
    if given["choices"] is not None and not 2 <= given["choices"] <= 26:
        raise UserError(f"is {given['choices']}", where="--choices", remedy="give 2 to 26")
    if given["first"] < 1:
        raise UserError(f"is {given['first']}", where="--first", remedy="give at least 1; FEVER counts 5")
    return Options(**given)


def whole_numbers(option: str, given: str | None) -> tuple[int, ...]:
    """Numbers from 1 with commas between, as the k of pass@k, in order; none where nothing was given."""
    from tandem.errors import UserError

    parts = [part.strip() for part in (given or "").split(",") if part.strip()]
    if given is not None and not (parts and all(part.isdecimal() and int(part) > 0 for part in parts)):
        raise UserError(f"is {given!r}", where=option, remedy="give whole numbers from 1, as in 1,10,100")
    return tuple(sorted({int(part) for part in parts}))


def _fields(options: argparse.Namespace, names: list[str]) -> dict[str, str]:
    """The file's fields by role, as far as they have other names."""
    from tandem.errors import UserError
    from tandem.metrics.catalogue import CATALOGUE

    fields: dict[str, str] = {}
    for place, flag in enumerate(("prediction", "reference")):
        if (given := getattr(options, flag)) is None:
            continue
        for name in names:
            takes = CATALOGUE[name].fields
            if len(takes) <= place:
                raise UserError(f"{name} takes one field, {takes[0].role}", where=f"--{flag}")
            fields[takes[place].role] = given
    for each in options.field:
        role, equals, name = each.partition("=")
        if not (role and equals and name):
            raise UserError(f"is {each!r}", where="--field", remedy="give ROLE=FIELD, as in evidence=gold_evidence")
        fields[role] = name
    return fields


def _table(report: Report) -> Table:
    """Figures as a table; the column of groups only where there are any."""
    import math

    from tandem.results import Figure, Table

    def figure(finding: object) -> Figure:
        found, unit = finding.figure, finding.unit  # type: ignore[attr-defined]
        low, high = (end if math.isfinite(end) else None for end in (found.low, found.high))
        return Figure("", found.value, unit, low, high)

    grouped = any(finding.group is not None for finding in report.findings)
    rows = [
        (*((finding.group or "all",) if grouped else ()), finding.name, figure(finding), finding.figure.n)
        for finding in report.findings
    ]
    columns = (*(("group",) if grouped else ()), "metric", "value [95 % interval]", "n")
    return Table("Metrics", columns, tuple(rows))


def _write_items(options: argparse.Namespace, names: list[str], told: Options, fields: dict[str, str]) -> None:
    """Each row's scores as JSON lines."""
    from tandem.metrics.items import item_scores
    from tandem.runs import write_lines

    rows = item_scores(options.file, names, told, fields=fields, group=options.group)
    options.items.parent.mkdir(parents=True, exist_ok=True)
    write_lines(options.items, rows)
    print(f"Items: {options.items}")


def _write(options: argparse.Namespace, names: list[str], report: Report) -> None:
    """The report as JSON."""
    import json

    from tandem import __version__
    from tandem.runs import file_hash, write_whole

    heeded = ("closed", "lowercase", "tokenize", "stem", "choices", "first", "labels", "level", "k")
    unusable = report.unusable
    content = {
        "tandem": __version__,
        "metrics": names,
        "file": str(options.file),
        "sha256": file_hash(options.file),
        "rows": report.rows,
        "fields": _fields(options, names),
        "options": {name: getattr(options, name) for name in heeded},
        "figures": [
            {"group": each.group, "name": each.name, "unit": each.unit, **each.figure.to_json()}
            for each in report.findings
        ],
        "unusable": [
            {"reason": reason, "rows": n, "first_line": unusable.first[reason]} for reason, n in unusable.counts.items()
        ],
        "notes": list(report.notes),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.out, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    print(f"Figures: {options.out}")
