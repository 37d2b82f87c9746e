"""`tandem view RUNS…`: run folders in a browser, on this machine only: their results, and every item of theirs."""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("places", metavar="RUN", type=Path, nargs="+", help="a run folder, a folder of run folders, a file of items")
    add("--port", type=int, default=0, metavar="N", help="where to listen (default: a free port)")
    add("--host", default="127.0.0.1", metavar="NAME", help="a loopback address (default: 127.0.0.1)")
    add("--open", action="store_true", help="show the page in a browser")


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    import sys
    import threading

    from tandem.errors import UserError
    from tandem.view.browse.folders import Library
    from tandem.view.browse.site import Site
    from tandem.view.pages import Pages
    from tandem.view.serving import application, open_door, serve

    for place in options.places:
        if not place.exists():
            remedy = "name a run folder, a folder that holds some, or a file of JSON lines"
            raise UserError("no such file or folder", where=str(place), remedy=remedy)
    sys.setswitchinterval(0.0005)  # pages come in between while a large file is indexed
    door = open_door(options.port, options.host)
    pages = Pages(door.keys.form, title="Runs")
    site = Site(Library(options.places), pages)
    app = application(site.routes(), door, pages)
    threading.Thread(target=site.prepare, daemon=True).start()  # while the browser is on its way
    serve(app, door, open=options.open)
    return 0
