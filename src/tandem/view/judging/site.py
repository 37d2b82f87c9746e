"""The pages of an annotator: who are you, item after item, look over it, finish; then what everybody preferred.

    /as/NAME          goes to the first open item
    /as/NAME/7        the seventh item of this annotator; a POST judges it
    /as/NAME/done     all items with what was said, to go back to, and the button that finishes
    /as/NAME/results  only once NAME has finished, so that nobody is led by it; export.json and export.csv as well

Pages work without scripts; one adds keys. Until the end nothing that is sent, no text, attribute or address, says which
system is which: it depends on the texts, the seed and the annotator's name alone. What this does not do: prove who
somebody is; whoever has the address may give any name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from tandem.errors import TandemError, UserError
from tandem.view.guard import fields
from tandem.view.judging.blind import Sheet, sheet
from tandem.view.judging.ledger import CHOICES, Judgment, Ledger
from tandem.view.judging.pairs import Pair
from tandem.view.pages import Pages, Told

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

NAME = 40
"""Characters an annotator's name may have."""
NOTE = 4000
"""Characters a note may have."""
_LAID_OUT = re.compile(r"^(?: {2,}|\t|```)\S", re.MULTILINE)


def name_of(given: str) -> str:
    """An annotator's name in its one form: edges and runs of spaces do not count. Raises UserError on none."""
    name = " ".join(unicodedata.normalize("NFC", given).split())
    if not name or len(name) > NAME or not name.isprintable() or name in (".", "..") or "/" in name or "\\" in name:
        remedy = f"give 1 to {NAME} characters, without slashes"
        raise UserError(f"{given!r:.60} cannot be an annotator's name", where="--annotator", remedy=remedy)
    return name


class Site:
    """The pages over a ledger."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        ledger: Ledger,
        pages: Pages,
        *,
        annotators: Sequence[str] = (),
        code: bool = False,
        finished: Callable[[], object] = lambda: None,
    ) -> None:
        """`annotators` are the only ones where there are any; `finished` is called when one finishes."""
        self._pairs = {pair.id: pair for pair in pairs}
        self._ledger, self._pages, self._code, self._finished = ledger, pages, code, finished
        self._annotators = tuple(map(name_of, annotators))
        self._sheets: dict[str, Sheet] = {}

    def routes(self) -> list[Route]:
        """What the server answers."""
        from starlette.routing import Route

        return [
            Route("/", self.home),
            Route("/start", self.start, methods=["POST"]),
            Route("/as/{name}", self.next),
            Route("/as/{name}/done", self.done),
            Route("/as/{name}/finish", self.finish, methods=["POST"]),
            Route("/as/{name}/results", self.results),
            Route("/as/{name}/export.json", self.as_json),
            Route("/as/{name}/export.csv", self.as_csv),
            Route("/as/{name}/{place:int}", self.item),
            Route("/as/{name}/{place:int}", self.judge, methods=["POST"]),
        ]

    # ── Who ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def home(self, request: Request) -> Response:
        """Ask for the name, unless there is only one."""
        if len(self._annotators) == 1:
            return _go(f"/as/{quote(self._annotators[0])}")
        record = self._ledger.record
        known = list(dict.fromkeys([*self._annotators, *record.by]))
        people = [(name, f"/as/{quote(name)}", len(record.by.get(name, {}))) for name in known]
        judging = record.judging
        return self._pages.render(
            "judge_start.html", asked=judging.question, n=judging.items, people=people, typed=not self._annotators
        )

    async def start(self, request: Request) -> Response:
        """The typed name becomes an address."""
        try:
            name = name_of(fields(request).get("name", ""))
        except UserError as e:
            raise Told(400, e.problem, e.remedy or "") from None
        self._sheet(name)
        return _go(f"/as/{quote(name)}")

    def _sheet(self, name: str) -> Sheet:
        """The items of an annotator, by the name as the address gives it."""
        try:
            known = name_of(name) == name and (not self._annotators or name in self._annotators)
        except UserError:
            known = False
        if not known:
            raise Told(404, "There is no such annotator.", "Begin at the start page.")
        if name not in self._sheets:
            if len(self._sheets) > 1000:
                self._sheets.clear()
            self._sheets[name] = sheet(self._pairs, name, self._ledger.record.judging.seed)
        return self._sheets[name]

    # ── Items ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def next(self, request: Request) -> Response:
        """Go to the first open item, or to the end."""
        mine = self._sheet(request.path_params["name"])
        return _go(self._next(mine))

    def _next(self, mine: Sheet) -> str:
        judged = self._judged(mine)
        place = next((n for n, id in enumerate(mine.ids, 1) if id not in judged), None)
        here = f"/as/{quote(mine.annotator)}"
        if place is not None:
            return f"{here}/{place}"
        return f"{here}/results" if mine.annotator in self._ledger.record.finished else f"{here}/done"

    def _judged(self, mine: Sheet) -> dict[str, Judgment]:
        return self._ledger.record.by.get(mine.annotator, {})

    def _at(self, request: Request) -> tuple[Sheet, int, Pair]:
        """The annotator, the place and the pair that an address means."""
        mine, place = self._sheet(request.path_params["name"]), request.path_params["place"]
        if not 1 <= place <= len(mine.ids):
            raise Told(404, f"There are {len(mine.ids)} items, and none is number {place}.", back=self._next(mine))
        return mine, place, self._pairs[mine.ids[place - 1]]

    async def item(self, request: Request) -> Response:
        """A pair of answers."""
        mine, place, pair = self._at(request)
        if mine.annotator in self._ledger.record.finished:
            return _go(f"/as/{quote(mine.annotator)}/results")
        left, before = mine.left[pair.id], self._judged(mine).get(pair.id)
        order = (left, 1 - left)
        return self._pages.render(
            "judge_item.html",
            asked=self._ledger.record.judging.question,
            name=mine.annotator,
            here=f"/as/{quote(mine.annotator)}",
            place=place,
            n=len(mine.ids),
            judged=len(self._judged(mine)),
            prompt=pair.prompt,
            shared=pair.shared,
            sides=[(number, pair.answers[i], pair.beside[i]) for number, i in enumerate(order, 1)],
            choice=before.choice if before else "",
            note=before.note if before else "",
            code=self._code or any(map(laid_out, pair.answers)),
            longest=NOTE,
        )

    async def judge(self, request: Request) -> Response:
        """Keep a judgment, then go on."""
        mine, _, pair = self._at(request)
        given = fields(request)
        choice, note = given.get("choice"), given.get("note", "").strip()
        kept = next((known for known in CHOICES if known == choice), None)
        if kept is None:
            raise Told(400, "The form says no choice.", f"One of {', '.join(CHOICES)}.", back=request.url.path)
        if len(note) > NOTE:
            raise Told(413, f"The note is longer than {NOTE:,} characters.", back=request.url.path)
        if mine.annotator in self._ledger.record.finished:
            raise Told(409, "You have finished: these judgments stand.", back=self._next(mine))
        try:
            self._ledger.judge(mine.annotator, pair.id, kept, mine.left[pair.id], note)
        except (TandemError, OSError) as e:
            raise Told(507, f"NOT saved: {e}", "Mend it, then judge again.", back=request.url.path) from e
        return _go(self._next(mine))

    # ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def done(self, request: Request) -> Response:
        """All items with what was said, and the button that finishes."""
        mine = self._sheet(request.path_params["name"])
        if mine.annotator in self._ledger.record.finished:
            return _go(f"/as/{quote(mine.annotator)}/results")
        judged = self._judged(mine)
        said = [(n, j.choice if (j := judged.get(id)) else "", bool(j and j.note)) for n, id in enumerate(mine.ids, 1)]
        return self._pages.render(
            "judge_done.html", name=mine.annotator, here=f"/as/{quote(mine.annotator)}", items=said, n=len(mine.ids)
        )

    async def finish(self, request: Request) -> Response:
        """From now on the judgments stand, and results may be seen."""
        mine = self._sheet(request.path_params["name"])
        try:
            self._ledger.finish(mine.annotator)
        except UserError as e:
            raise Told(409, f"Not yet: {e.problem}.", back=self._next(mine)) from None
        except (TandemError, OSError) as e:
            raise Told(507, f"NOT saved: {e}", "Mend it, then finish again.", back=self._next(mine)) from e
        self._finished()
        return _go(f"/as/{quote(mine.annotator)}/results")

    def _may_see(self, request: Request) -> Sheet:
        mine = self._sheet(request.path_params["name"])
        if mine.annotator not in self._ledger.record.finished:
            remedy = "Until you have finished they would lead you."
            raise Told(403, "Results come at the end.", remedy, back=self._next(mine))
        return mine

    async def results(self, request: Request) -> Response:
        """What everybody preferred."""
        mine = self._may_see(request)
        from tandem.report import tables
        from tandem.view.judging import told

        record = self._ledger.record
        found = told.results(record)
        views = [tables.view(table, explain=n == 0) for n, table in enumerate(told.tables(record))]
        return self._pages.render(
            "judge_results.html",
            here=f"/as/{quote(mine.annotator)}",
            title=found.title,
            lead=found.lead,
            asked=record.judging.question,
            tables=views,
        )

    async def as_json(self, request: Request) -> Response:
        """The results as JSON, to keep."""
        return self._file(request, "json", "application/json")

    async def as_csv(self, request: Request) -> Response:
        """Every judgment as a row, to keep."""
        return self._file(request, "csv", "text/csv; charset=utf-8")

    def _file(self, request: Request, kind: str, media: str) -> Response:
        self._may_see(request)
        from starlette.responses import Response

        from tandem.view.judging import export

        text = export.as_json(self._ledger.record) if kind == "json" else export.as_csv(self._ledger.record)
        told = {"content-disposition": f'attachment; filename="judgments.{kind}"'}
        return Response(text.encode("utf-8", "replace"), media_type=media, headers=told)


def laid_out(text: str) -> bool:
    """Whether a text needs a fixed width: code, or columns. Both sides are set alike, so that it tells nothing."""
    return bool(_LAID_OUT.search(text))


def _go(where: str) -> Response:
    from starlette.responses import RedirectResponse

    return RedirectResponse(where, 303)
