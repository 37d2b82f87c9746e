"""The pages' addresses and what each of them shows.

    /                                    all runs
    /run/SLUG                            one run: its report, its files of items
    /run/SLUG/report.html                the report as a file to keep
    /run/SLUG/items/FILE?…               the items a filter leaves
    /run/SLUG/item/FILE?line=12&…        one item, with the next and the previous one within the filter

What stands in an address is the whole state of a page. `with=SLUG/FILE` sets another run beside this one. Handlers run
in threads, so a search in a large file holds nobody up. No file is reached but those that the library has found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from tandem.errors import UserError
from tandem.report import folder, page, wording
from tandem.results import Results
from tandem.text import size
from tandem.view.browse import lines, listing, telling
from tandem.view.browse.folders import STATES, Library, Run
from tandem.view.browse.listing import address
from tandem.view.items import ItemFile, Pairs, Query
from tandem.view.items.filter import CHANGES
from tandem.view.items.index import Index, Snapshot
from tandem.view.items.pairs import pairs
from tandem.view.pages import Pages, Told

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

PATIENCE = 0.4
"""Seconds a page waits for an index that is still being made."""
GLANCE = 0.12
"""Seconds a page waits for the rest of it when the rows it shows are there."""
LIVELY = 60.0
"""Seconds after a file's last change in which its pages look for more."""


@dataclass(frozen=True)
class Opened:
    """A file of items as one page sees it."""

    run: Run
    name: str
    file: ItemFile
    index: Index
    known: Snapshot


class Site:
    """The handlers, over one library."""

    def __init__(self, library: Library, pages: Pages) -> None:
        self._library, self._pages = library, pages

    def routes(self) -> list[BaseRoute]:
        """What to serve."""
        from starlette.routing import Route

        return [
            Route("/", self.home),
            Route("/run/{slug}", self.run),
            Route("/run/{slug}/report.html", self.report),
            Route("/run/{slug}/items/{file:path}", self.items),
            Route("/run/{slug}/item/{file:path}", self.item),
        ]

    def prepare(self) -> None:
        """Do what the first page of each kind would wait for."""
        names = ("runs", "run", "items", "item")
        self._pages.prepare(*(f"browse_{name}.html" for name in names))

    # ── Runs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def home(self, request: Request) -> Response:
        """All runs."""
        runs = self._library.runs()
        text, sort = request.query_params.get("find", ""), request.query_params.get("sort", "when")
        chosen = [run for run in runs if all(word in run.words for word in text.casefold().split())]
        shown = lines.ordered([run for run in chosen if run.state != "foreign"], sort)
        foreign = [run for run in chosen if run.state == "foreign"]
        return self._pages.render(
            "browse_runs.html",
            runs=[lines.line(run) for run in shown],
            foreign=foreign,
            total=len(runs),
            found=len(chosen),
            find=text,
            sort=sort if sort in lines.SORTS else "when",
            sorts=lines.SORTS,
            live=2 if any(run.state == "running" for run in runs) else 5,
        )

    def run(self, request: Request) -> Response:
        """One run."""
        run = self._run(request)
        if run.state == "file":
            from starlette.responses import RedirectResponse

            return RedirectResponse(_items(run, run.path.name))
        body, problem = Markup(""), run.problem
        if run.state != "foreign":
            try:
                meanwhile = Results(run.title, "There are no results yet.")
                body = page.body(folder.read(run.path, meanwhile))
            except (UserError, OSError, ValueError) as e:
                problem = str(e)
        files = [(name, _items(run, name), _size(file)) for name, file in self._library.files(run).items()]
        return self._pages.render(
            "browse_run.html",
            run=run,
            state=STATES[run.state],
            age=lines.age(run),
            events=lines.events(run) if run.state in ("running", "stopped", "damaged") else [],
            body=body,
            problem=problem,
            files=files,
            report=f"/run/{quote(run.slug)}/report.html" if (run.path / "report.html").is_file() else "",
            live=2 if run.state == "running" else 0,
        )

    def report(self, request: Request) -> Response:
        """The report as a file: inside this server its own styles would be refused."""
        from starlette.responses import FileResponse

        run = self._run(request)
        path = run.path / "report.html"
        if not path.is_file():
            raise Told(404, "This run has no report.html.", f"tandem report {run.path}", f"/run/{quote(run.slug)}")
        return FileResponse(path, filename=f"{run.slug}-report.html", media_type="text/html")

    # ── Items ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def items(self, request: Request) -> Response:
        """The items a filter leaves."""
        given = request.query_params
        query = Query.of(given.multi_items())
        beside, word = self._beside(given.get("with", ""))
        wanted = listing.ROWS * max(1, _whole(given.get("page", "")) or 1)
        plain = not (query.narrow or query.sort or beside)
        opened = self._open(request, wanted if plain else None)
        other = self._other(opened, beside)
        kept = [("with", word)] if beside else []
        name = opened.name
        made = listing.listing(
            opened.index,
            opened.known,
            query,
            _whole(given.get("page", "")) or 1,
            f"/run/{quote(opened.run.slug)}/item/{quote(name)}",
            kept,
            (other[1].known, other[0]) if other else None,
        )
        here = _items(opened.run, name)

        def to(**changed: Any) -> str:
            """This page with something changed."""
            return address(here, list((dict(query.to()) | dict(kept) | changed).items()))

        known = [opened.known, *([other[1].known] if other else [])]
        return self._pages.render(
            "browse_items.html",
            run=opened.run,
            file=name,
            here=here,
            files=[(one, _items(opened.run, one)) for one in self._library.files(opened.run)],
            query=query,
            list=made,
            to=to,
            known=opened.known,
            read=_read(known),
            beside=word,
            other=other[1] if other else None,
            only_there=other[0].only_there if other else 0,
            others=self._choices_beside(opened, word),
            live=_live(opened, known),
        )

    def item(self, request: Request) -> Response:
        """One item."""
        given = request.query_params
        query = Query.of(given.multi_items())
        beside, word = self._beside(given.get("with", ""))
        opened = self._open(request, None)
        line = _whole(given.get("line", "")) or 0
        row = opened.index.row_at(line, opened.known.n)
        back = _items(opened.run, opened.name)
        if row is None:
            raise Told(404, f"There is no record in line {line} of {opened.name}.", "The file may have changed.", back)
        other = self._other(opened, beside)
        rows = listing.rows_of(opened.index, opened.known, query, other[0] if other else None)
        places = np.flatnonzero(rows == row)
        place = int(places[0]) if places.size else None
        kept = [*query.to(), *([("with", word)] if beside else [])]
        path = f"/run/{quote(opened.run.slug)}/item/{quote(opened.name)}"

        def at(place: int | None) -> str:
            if place is None or not 0 <= place < len(rows):
                return ""
            return address(path, [("line", opened.index.line_number(int(rows[place]))), *kept])

        page_number = place // listing.ROWS + 1 if place is not None else 1
        list_page = address(back, [*kept, ("page", page_number if page_number > 1 else "")])
        partner = int(other[0].partners[row]) if other else -1
        sides = [(self._label(opened, other), self._told(opened, row))]
        if other and partner >= 0:
            sides.append((self._label(other[1], (other[0], opened)), self._told(other[1], partner)))
        return self._pages.render(
            "browse_item.html",
            run=opened.run,
            file=opened.name,
            id=opened.known.ids[row],
            line=line,
            sides=sides,
            same_prompt=len(sides) == 2 and sides[0][1].prompt == sides[1][1].prompt,
            change=_change(opened, other, row) if other else "",
            missing=bool(other) and partner < 0,
            other=other[1] if other else None,
            place=place,
            total=len(rows),
            narrow=query.narrow,
            before=at(place - 1 if place is not None else None),
            after=at(place + 1 if place is not None else None),
            back=f"{list_page}#line-{line}",
            read=_read([opened.known]),
        )

    # ── Finding things ──────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self, request: Request) -> Run:
        slug = request.path_params["slug"]
        run = self._library.run(slug)
        if run is None:
            raise Told(404, f"There is no run {slug}.", "It may have been moved or removed.")
        return run

    def _open(self, request: Request, rows: int | None) -> Opened:
        run, name = self._run(request), request.path_params["file"]
        return self._opened(run, name, rows)

    def _opened(self, run: Run, name: str, rows: int | None) -> Opened:
        file = self._library.files(run).get(name)
        back = f"/run/{quote(run.slug)}"
        if file is None:
            raise Told(404, f"{run.title} has no file of items {name}.", "It may not be written yet.", back)
        try:
            index = file.index()
        except OSError as e:
            raise Told(404, f"{name} cannot be read.", f"{e.strerror or e}", back) from e
        index.wait(None, GLANCE)
        index.wait(rows, PATIENCE)
        return Opened(run, name, file, index, index.snapshot())

    def _beside(self, word: str) -> tuple[tuple[Run, str] | None, str]:
        """The run and the file of `with=`, and the word itself where they exist."""
        slug, _, name = word.partition("/")
        run = self._library.run(slug) if name else None
        if run is None or name not in self._library.files(run):
            return None, ""
        return (run, name), word

    def _other(self, opened: Opened, beside: tuple[Run, str] | None) -> tuple[Pairs, Opened] | None:
        if beside is None:
            return None
        other = self._opened(*beside, None)
        return pairs(opened.index, opened.known, other.index, other.known), other

    def _choices_beside(self, opened: Opened, word: str) -> list[tuple[str, str]]:
        """(word, label) of what may be about the same items: files of the same name in other runs, single files."""
        same = [
            (f"{run.slug}/{opened.name}", run.slug)
            for run in self._library.runs()
            if run.slug != opened.run.slug and run.path.is_dir() and (run.path / opened.name).is_file()
        ]
        files = [(f"{run.slug}/{run.path.name}", run.slug) for run in self._library.runs() if run.state == "file"]
        mine = f"{opened.run.slug}/{opened.name}"
        found = dict(sorted(same) + [one for one in sorted(files) if one[0] != mine])
        return list((found | ({} if word in found or not word else {word: word})).items())

    def _told(self, opened: Opened, row: int) -> telling.ItemView:
        try:
            record = opened.index.record(row)
        except (ValueError, OSError) as e:
            raise Told(409, f"{opened.name} has been overwritten.", "Load the page again.") from e
        return telling.tell(record, verdict=int(opened.known.verdicts[row]))

    @staticmethod
    def _label(opened: Opened, other: tuple[Pairs, Opened] | None) -> str:
        if other is None:
            return ""
        same = opened.run.slug == other[1].run.slug
        return opened.name if same else opened.run.slug


# ── Small parts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _items(run: Run, name: str) -> str:
    return f"/run/{quote(run.slug)}/items/{quote(name)}"


def _whole(given: str) -> int | None:
    return int(given) if given.isdecimal() and len(given) < 12 else None


def _read(known: Sequence[Snapshot]) -> str:
    """How much of the files is read, while it is not all of it."""
    reading = [one for one in known if not one.complete]
    if not reading:
        return ""
    return f"{min(one.share for one in reading) * 100:.0f}{wording.NARROW}% of the file is read so far"


def _live(opened: Opened, known: Sequence[Snapshot]) -> float:
    """Seconds after which the page should look again; 0 for never."""
    if not all(one.complete for one in known):
        return 0.4
    try:
        changed = time.time() - opened.file.path.stat().st_mtime
    except OSError:
        return 2
    return 2 if opened.run.state == "running" or changed < LIVELY else 0


def _change(opened: Opened, other: tuple[Pairs, Opened], row: int) -> str:
    """What became of the item against the other run, in words."""
    of = [name for name in ("fixed", "broken", "right", "wrong") if other[0].changes[name][row]]
    return f"{of[0]}: {CHANGES[of[0]]}" if of and of[0] in ("fixed", "broken") else CHANGES[of[0]] if of else ""


def _size(file: ItemFile) -> str:
    try:
        return size(file.path.stat().st_size)
    except OSError:
        return ""
