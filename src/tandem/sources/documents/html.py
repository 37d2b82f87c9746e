"""Web pages: paragraphs with their lines in the file, under their headings.

With the standard library's parser: it takes any input, does not nest, runs no script, fetches nothing, and knows lines.
Navigation, footers, scripts and styles are left out; a page that then holds nothing is read again with its navigation.
"""

from __future__ import annotations

from html.parser import HTMLParser

from tandem.sources.documents.blocks import Block, Headings

_NEVER = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "select", "head"})
_NAVIGATION = frozenset({"nav", "footer", "button"})
_INLINE_TAGS = """
    a abbr b bdi bdo cite code data del dfn em font i ins kbd label mark q rp rt ruby s samp small span strike strong
    sub sup time tt u var wbr img input
"""
_INLINE = frozenset(_INLINE_TAGS.split())
_LEVEL = {f"h{n}": n for n in range(1, 7)}


class _Page(HTMLParser):
    def __init__(self, skipped: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title = ""
        self._skipped = skipped
        self._inside: list[str] = []
        self._lines: list[tuple[int, str]] = []
        self._headings = Headings()
        self._level = 0
        self._in_title = False
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title" and not self.title
        if tag == "body":
            self._inside = []
        if tag in self._skipped:
            self._inside.append(tag)
        if self._inside or tag in _INLINE:
            return
        if tag == "br":
            self._lines.append((self.getpos()[0], "\n"))
            return
        if tag in ("td", "th"):
            self._lines.append((self.getpos()[0], " | " if any(t.strip() for _, t in self._lines) else ""))
            return
        self._close()
        self._level = _LEVEL.get(tag, 0)
        self._pre += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False
        if tag in self._inside:
            del self._inside[self._inside.index(tag) :]
        elif not self._inside and tag not in _INLINE and tag not in ("td", "th", "br"):
            self._close()
            self._pre -= tag == "pre" and self._pre > 0

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = " ".join((self.title + data).split())[:200]
        elif not self._inside:
            first = self.getpos()[0]
            self._lines += [(first + n, part) for n, part in enumerate(data.split("\n"))]

    def close(self) -> None:
        super().close()
        self._close()

    def _close(self) -> None:
        lines: list[tuple[int, str]] = []
        for place, text in self._lines:
            if lines and lines[-1][0] == place and text != "\n":
                lines[-1] = (place, lines[-1][1] + text)
            else:
                lines.append((place, "" if text == "\n" else text))
        if not self._pre:
            lines = [(place, " ".join(text.split())) for place, text in lines]
        lines = [(place, text) for place, text in lines if text.strip()]
        self._lines = []
        if lines and self._level:
            self._headings.open(self._level, " ".join(text for _, text in lines))
        if lines:
            self.blocks.append(Block(tuple(lines), str(self._headings), prose=not self._pre))
        self._level = 0


def read(text: str) -> tuple[str, list[Block]]:
    """Title and blocks of a page."""
    for skipped in (_NEVER | _NAVIGATION, _NEVER):
        page = _Page(skipped)
        page.feed(text)
        page.close()
        if page.blocks:
            break
    return page.title, page.blocks
