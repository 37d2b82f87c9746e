"""`tandem report RUN`: draw a run's `report.html` again from what the run wrote down. It measures nothing anew."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", metavar="RUN", type=Path, help="folder of a finished run, with its results.json")
    parser.add_argument("--open", action="store_true", help="show the page in a browser afterwards")


def run(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from tandem import report

    path = report.write(options.folder)
    print(path)
    if options.open:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            print("no browser found here: open the file by hand")
    return 0
