"""Pages out of templates, and the files of ours they load.

Templates lie in `templates/`, styles and scripts in `static/`; the look is the report's own style sheet with a few
lines on top. Everything goes through autoescaping; `visible` shows control characters and turns of direction, which
could make one text look like another. What this does not do: any script inside a page, which the guard forbids.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from tandem.report import wording

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HERE = Path(__file__).parent
KINDS = {".css": "text/css", ".js": "text/javascript"}
LONG = 700
"""Characters after which a text is folded, where a template says nothing else."""


class Told(Exception):  # noqa: N818 — it is an answer
    """A page that says why something cannot be shown or done; raised anywhere in a handler."""

    def __init__(self, status: int, problem: str, remedy: str = "", back: str = "/") -> None:
        super().__init__(problem)
        self.status, self.problem, self.remedy, self.back = status, problem, remedy, back


class Pages:
    """Renders templates; knows the token that its forms send back."""

    def __init__(self, token: str, *, title: str = "Tandem") -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader([HERE / "templates", HERE.parent / "report"]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["visible"] = wording.visible
        self._environment.filters["opening"] = opening
        self._environment.globals.update(token=token, site=title)
        self._files = {p.name: p.read_bytes() for p in sorted((HERE / "static").iterdir()) if p.suffix in KINDS}
        self._files["report.css"] = (HERE.parent / "report" / "page.css").read_bytes()

    def html(self, template: str, /, **values: Any) -> str:
        """A page as text."""
        return self._environment.get_template(template).render(**values)

    def prepare(self, *templates: str) -> None:
        """Compile templates before somebody waits for them; safe beside requests."""
        for template in templates:
            self._environment.get_template(template)

    def render(self, template: str, /, status: int = 200, **values: Any) -> Response:
        """A page as an answer; lone surrogates, which models can write, become replacement characters."""
        from starlette.responses import HTMLResponse

        return HTMLResponse(self.html(template, **values).encode("utf-8", "replace"), status)

    def files(self) -> Route:
        """The route of styles and scripts: those of this package, by name."""
        from starlette.exceptions import HTTPException
        from starlette.responses import Response
        from starlette.routing import Route

        async def file(request: Request) -> Response:
            name = request.path_params["name"]
            if name not in self._files:
                raise HTTPException(404)
            return Response(self._files[name], media_type=KINDS[Path(name).suffix])

        return Route("/static/{name}", file)

    async def failed(self, request: Request, e: Any) -> Response:
        """A status without words of its own, as a page."""
        said = "There is no such page." if e.status_code == 404 else f"{HTTPStatus(e.status_code).phrase}."
        return self.render("told.html", e.status_code, problem=said, remedy="", back="/")

    async def told(self, request: Request, e: Any) -> Response:
        """What a handler had to say, as a page."""
        return self.render("told.html", e.status, problem=e.problem, remedy=e.remedy, back=e.back)


def opening(written: str, long: int = LONG) -> str:
    """The beginning of a text to be folded, cut between words where there are any; empty for one to stand open."""
    lines = max(12, long // 40)
    if len(written) <= long and written.count("\n") <= lines * 3 // 2:
        return ""
    head = "\n".join(written.split("\n")[:lines])[: max(long - 200, long * 3 // 4)]
    cut = head.rfind(" ", max(0, len(head) - 40))
    return (head[:cut] if cut > 0 else head).rstrip() + " …"
