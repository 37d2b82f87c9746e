"""`tandem compare A B …`: runs on the same items, task by task: what changed, and could it be chance?

The first run is the reference. Exit status 0 whatever the verdicts; a script reads them with --json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem.evaluate.compare import Comparison


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="two or more: folders of tandem evaluate or quickstart, or files of JSON lines with id and score; "
        "the first is the reference",
    )
    add("--tasks", metavar="NAMES", help="only these tasks, with commas between (default: all that are in both)")
    add("--score", metavar="FIELDS", help="fields that hold scores, with commas between (default: the usual names)")
    add("--id", metavar="FIELD", help="field of a file that holds the id (default: id, task_id, question_id)")
    add(
        "--cluster", default="group", metavar="FIELD", help="take intervals over these groups (default: group; or none)"
    )
    add("--by-group", action="store_true", help="compare each group by itself, too")
    add("--k", metavar="LIST", help="the k of pass@k, with commas between (default: 1, 10, 100 as far as samples go)")
    add("--lower-is-better", action="store_true", help="scores are losses")
    add("--show", type=int, default=3, metavar="N", help="show the first N items fixed and broken (default: 3)")
    add("--items", type=Path, metavar="FILE", help="write every item fixed or broken, one line of JSON each")
    add("--out", type=Path, metavar="DIR", help="run folder for results, items and a report")
    add("--json", action="store_true", help="print everything as JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Read, compare, print, write."""
    import json

    from tandem.cli.markdown import markdown
    from tandem.errors import UserError
    from tandem.evaluate.compare import compare_sides, read, told

    if len(options.runs) < 2:
        raise UserError(
            "one run compares with nothing", where=str(options.runs[0]), remedy="name two: tandem compare A B"
        )
    group = None if options.cluster == "none" else options.cluster
    sides = read(options.runs, _listed(options.score), id=options.id, group=group or "group")
    found = compare_sides(
        sides,
        tasks=_listed(options.tasks),
        ks=_ks(options.k),
        cluster=group is not None,
        by_group=options.by_group,
        lower=options.lower_is_better,
    )
    if options.json:
        print(json.dumps(told.to_json(found), ensure_ascii=False, indent=2))
    else:
        print(markdown(told.table(found)))
        print()
        for line in (*told.how(found), *found.notes):
            print(line)
        for line in told.lines(found, max(0, options.show)):
            print(line)
    for line in found.warnings:
        print(f"WARNING: {line}", file=sys.stderr if options.json else sys.stdout)
    if options.items:
        from tandem.runs import write_lines

        options.items.parent.mkdir(parents=True, exist_ok=True)
        write_lines(options.items, _items(found))
        print(f"Items: {options.items}", file=sys.stderr if options.json else sys.stdout)
    if options.out:
        _write(options, found)
        print(f"Results: {options.out / 'results.json'}", file=sys.stderr if options.json else sys.stdout)
    return 0


def _items(found: Comparison) -> list[dict[str, Any]]:
    """Every item that changed; groups of items are not told twice."""
    return [change for row in found.rows if not row.group for change in found.changes(row)]


def _write(options: argparse.Namespace, found: Comparison) -> None:
    """A run folder; the same files compared in the same way may be written again."""
    from tandem import __version__, report
    from tandem.evaluate.compare import told
    from tandem.recipes.toml import write
    from tandem.runs import Run, write_lines

    settings = {
        "tandem": __version__,
        "tasks": options.tasks,
        "score": options.score,
        "cluster": options.cluster,
        "by_group": options.by_group,
        "k": options.k,
        "lower_is_better": options.lower_is_better,
    }
    sides = [{"name": side.name, "sha256": dict(side.hashes)} for side in found.sides]
    with Run(options.out, write({"compare": settings, "runs": sides})) as folder:
        write_lines(options.out / "items.jsonl", _items(found))
        folder.write_results(told.results(found))
        report.write(options.out)


def _listed(given: str | None) -> list[str]:
    return [part.strip() for part in (given or "").split(",") if part.strip()]


def _ks(given: str | None) -> list[int]:
    from tandem.cli.metrics import whole_numbers

    return list(whole_numbers("--k", given))
