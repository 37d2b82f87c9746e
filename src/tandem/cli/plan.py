"""`tandem plan RECIPE`: what a recipe will take, without touching data or device."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tandem.recipes.planned import Plan
    from tandem.results import Table

_CHANGED = {
    "device": "plan.device",
    "devices": "plan.devices",
    "price": "plan.price_per_hour",
    "mfu": "plan.mfu",
    "parallel": "plan.parallel",
    "tensor": "plan.tensor",
    "rows": "plan.rows",
}
_WIDTH = 80  # piped
_WIDEST = 110  # on a terminal: lines longer than this are hard to read


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem plan`."""
    parser.add_argument("recipe", help="a recipe file, or the name of one that ships with Tandem (xgen-7b, gpu-1h, …)")
    parser.add_argument("--device", help="A100, H100, H200, TPU-v4, …: whose peak and memory count")
    parser.add_argument("--devices", metavar="N", help="number of devices")
    parser.add_argument("--price", metavar="DOLLARS", help="price of one device for one hour")
    parser.add_argument("--mfu", metavar="SHARE", help="share of the peak that is used, such as 0.45")
    parser.add_argument("--parallel", metavar="KIND", help="ddp, zero1, zero2 or fsdp: what devices divide")
    parser.add_argument("--tensor", metavar="N", help="devices that share each matrix product")
    parser.add_argument("--rows", metavar="N", help="rows per device and pass")
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key of the recipe, such as stage.2k.tokens=100B; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(options: argparse.Namespace) -> int:
    """Load, plan, print."""
    from tandem.recipes.plan import plan
    from tandem.recipes.schema import load

    flags = [f"{key}={getattr(options, flag)}" for flag, key in _CHANGED.items() if getattr(options, flag) is not None]
    planned = plan(load(options.recipe, [*options.changes, *flags]))
    if options.json:
        import json
        from dataclasses import asdict

        print(json.dumps(asdict(planned), indent=1))
    else:
        _print(planned)
    return 0


def _print(planned: Plan) -> None:
    from rich.console import Console
    from rich.text import Text

    from tandem.recipes.tables import tables

    console = Console(highlight=False)
    console.width = min(console.width, _WIDEST) if console.is_terminal else _WIDTH
    with console.capture() as capture:
        console.print(Text(planned.title, style="bold"))
        for note in planned.notes:
            console.print(Text(note))
        for warning in planned.warnings:
            console.print(Text(f"! {warning}", style="yellow"))
        for table in tables(planned):
            _print_table(console, table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _print_table(console: Console, table: Table) -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    console.print()
    console.print(Text(table.title, style="bold"))
    pairs = len(table.columns) == 2
    grid = Grid(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(table.columns), header_style="underline"
    )
    for i, column in enumerate(table.columns):
        widest = max([len(column), *(len(str(row[i])) for row in table.rows)])
        grid.add_column(
            column,
            justify="left" if i == 0 or pairs else "right",
            overflow="fold",
            max_width=min(widest, console.width * 3 // 5) if i == 0 else None,
            min_width=min(widest, console.width // 3) if i == 0 else None,
        )
    for row in table.rows:
        grid.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console.print(grid)
    if table.note:
        console.print(Text(table.note, style="dim"))
