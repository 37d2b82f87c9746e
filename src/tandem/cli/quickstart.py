"""`tandem quickstart`: the whole life of a small model in five minutes, from text found on any machine."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem quickstart`."""
    parser.add_argument(
        "--text", type=Path, help="a folder or file of your own text to use instead of Python's library"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="run folder (default: %(default)s)")
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key of the recipe; repeatable",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def run(options: argparse.Namespace) -> int:
    """Load recipes/quickstart.toml, put the user's text in where asked, execute it."""
    from tandem.cli.run import execute
    from tandem.recipes import schema

    changes = list(options.changes)
    if options.text:
        changes.insert(0, f"sources.docstrings.path={options.text}")
    return execute(schema.load("quickstart", changes, files=True), options.out, options.device, options.threads)
