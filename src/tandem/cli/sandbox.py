"""`tandem sandbox doctor | run FILE`: what this machine can do to confine a program, and running one."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

KINDS = ("layers", "docker", "unsafe")


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem sandbox`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("doctor", help="which layers hold here, and what they hold")
    add = actions.add_parser(
        "run", help="run a Python file that nobody trusts; `-` reads it from standard input"
    ).add_argument
    add("file", help="the program")
    add("--stdin", type=Path, metavar="FILE", help="what the program reads on its standard input (default: nothing)")
    add("--cpu", type=float, default=10.0, metavar="SECONDS", help="processor time (10)")
    add("--wall", type=float, default=60.0, metavar="SECONDS", help="time on the clock (60)")
    add("--memory", type=int, default=1024, metavar="MIB", help="memory (1024)")
    options(add)


def options(add: object) -> None:
    """The flags of every command that runs untrusted programs."""
    assert callable(add)
    add("--sandbox", choices=KINDS, default="layers", help="the kernel's layers, a container, or only limits (layers)")
    add("--docker-image", metavar="IMAGE", help="for --sandbox docker: any image with Python 3.11 or later")


def run(options: argparse.Namespace) -> int:
    """Look, or run."""
    return _doctor() if options.action == "doctor" else _run(options)


def _run(options: argparse.Namespace) -> int:
    from tandem.errors import UserError
    from tandem.sandbox.choose import IMAGE, choose
    from tandem.sandbox.limits import MIB, Limits

    where = "standard input" if options.file == "-" else options.file
    try:
        program = sys.stdin.read() if options.file == "-" else Path(options.file).read_text()
        stdin = options.stdin.read_text() if options.stdin else ""
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text (byte {error.start})", where=where) from None
    except OSError as error:
        raise UserError(error.strerror or str(error), where=str(error.filename or where)) from None
    limits = Limits(cpu=options.cpu, wall=options.wall, memory=options.memory * MIB, output=16 * MIB)

    async def main() -> int:
        async with choose(options.sandbox, limits=limits, workers=1, image=options.docker_image or IMAGE) as sandbox:
            ran = await sandbox.run(program, stdin=stdin)
        sys.stdout.write(ran.out)
        sys.stdout.flush()
        sys.stderr.write(ran.err)
        if ran.dropped:
            print(f"({ran.dropped:,} bytes of output dropped)", file=sys.stderr)
        used = f"{ran.cpu:.2f} s of processor time, {ran.wall:.2f} s, {ran.peak / MIB:.0f} MiB"
        print(f"[{ran.outcome}: {ran.text}; {used}]", file=sys.stderr)
        return ran.status if ran.outcome in ("passed", "error") else 1

    return asyncio.run(main())


def _doctor() -> int:
    from rich.console import Console
    from rich.table import Table

    from tandem.sandbox import doctor
    from tandem.sandbox.layers import ALL, GUARDS

    found = asyncio.run(doctor.examine())
    console = Console()
    table = Table(
        "layer", "in force", "what it is", title="Layers", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    for name, meaning in ALL.items():
        there = name in found.layers.active
        table.add_row(name, "yes" if there else "no", meaning if there else found.layers.missing.get(name, ""))
    console.print(table)
    held = Table(
        "against", "layers", "an attempt", title="What they hold", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    for what, by in GUARDS.items():
        active = [n for n in by if n in found.layers.active]
        held.add_row(what, ", ".join(active) or "NONE", found.held[what] or "SUCCEEDED")
    console.print()
    console.print(held)
    open_ = [what for what in GUARDS if not found.held[what]] + found.layers.unguarded()
    console.print(f"\nA run takes {1000 * found.start:.1f} ms from request to answer (median).")
    if open_:
        console.print(
            f"Not held here: {', '.join(dict.fromkeys(open_))}. Use --sandbox docker, or --sandbox unsafe for programs "
            "you would run yourself."
        )
        return 1
    console.print("Everything is held. No sandbox is stronger than its kernel: keep that one up to date.")
    return 0
