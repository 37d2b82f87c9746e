"""`tandem quickstart`: the whole life of a small model in five minutes, from text found on any machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from tandem.cli.run import execute, how_to_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem quickstart`."""
    parser.add_argument(
        "--text", type=Path, help="a folder or file of your own text to use instead of Python's library"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="run folder (default: %(default)s)")
    how_to_run(parser)


def run(options: argparse.Namespace) -> int:
    """Load recipes/quickstart.toml, put the user's text in where asked, execute it."""
    from tandem.recipes import schema

    changes = list(options.changes)
    if options.text:
        changes.insert(0, f"sources.docstrings.path={options.text}")
    return execute(schema.load("quickstart", changes, files=True), options.out, options.device, options.threads)
