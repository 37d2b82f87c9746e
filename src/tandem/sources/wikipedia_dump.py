"""Articles out of a dump of Wikipedia, one at a time: pages-articles XML (.bz2, .gz or plain), or DrQA's two formats.

    for article in articles("enwiki-latest-pages-articles.xml.bz2"):
        article.id, article.title, article.text, article.place, article.as_of
    writer.add(origin, documents("enwiki-latest-pages-articles.xml.bz2"))       # into an index of passages

DrQA's are a SQLite file with `documents(id, text)` and JSON lines of {"id" or "title", "text"}, also .gz. Of XML, pages
of the first namespace that are no redirects; wikitext becomes plain text by mwparserfromhell: templates, tables,
references, files and categories go, links leave their words; sections that only point elsewhere are left out. What this
does not do: expand templates (a date that a template writes is missing), or write an index. Rejected: a regular
expression for the wikitext, which loses its way in nested templates.
"""

from __future__ import annotations

import bz2
import gzip
import json
import re
import sqlite3
import urllib.parse
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from xml.etree import ElementTree

from tandem.errors import Failure, UserError
from tandem.sources.passages.document import About, Document, Passage
from tandem.sources.sentences import passages
from tandem.sources.wikipedia import NAVIGATION

INSTALL = "pip install 'tandem-llm[wikipedia]'"
_OPENERS: dict[str, Any] = {".bz2": bz2.open, ".gz": gzip.open}
_SQLITE = b"SQLite format 3\x00"
_HEADING = re.compile(r"^(={2,6})[ \t]*(.*?)[ \t]*\1[ \t]*$", re.MULTILINE)
_GONE = frozenset(("ref", "references", "table", "gallery", "imagemap", "math", "timeline", "score", "syntaxhighlight"))
_NOT_TEXT = re.compile(r"\s*(?:[a-z]{2,3}(?:-[a-z-]+)?|(?i:file|image|category|media))\s*:")
"""Languages, files and categories; a title such as `Alien: Romulus` begins with a capital."""
_AMBIGUOUS = re.compile(r"\{\{\s*(?:[\w ]+ )?(?:disambiguation|disambig|dab|hndis|geodis)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Article:
    """One page's text."""

    id: str
    """The page's number, or what the file calls it."""
    title: str
    """Its title."""
    text: str
    """Plain text, a paragraph a line."""
    place: str
    """Its address with the revision; `FILE:LINE` or `FILE#id` where there is none."""
    as_of: str = ""
    """When the revision was made."""


def articles(path: str | Path, *, disambiguation: bool = False) -> Iterator[Article]:
    """The articles of a file, in its order; pages of ambiguous names only on demand.

    Raises UserError for a file of another format or a line that is no article, Failure for one that breaks off.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError("no such file", where=str(path), remedy="name a dump: pages-articles XML, or DrQA's formats")
    with file.open("rb") as f:
        head = f.read(16)
    if head == _SQLITE:
        yield from _database(file)
        return
    with _OPENERS.get(file.suffix, open)(file, "rb") as stream:
        try:
            name = file.name.removesuffix(file.suffix) if file.suffix in _OPENERS else file.name
            if name.endswith((".jsonl", ".json", ".txt")):
                yield from _lines(stream, file)
            elif name.endswith(".xml"):
                yield from _pages(stream, file, disambiguation)
            else:
                remedy = "name an .xml, .xml.bz2, .jsonl or SQLite file"
                raise UserError("is no dump of a kind that is known", where=str(path), remedy=remedy)
        except (EOFError, OSError, zlib.error) as e:
            raise Failure(f"breaks off ({e})", where=str(path), remedy="download it again, and compare its sum") from e


def documents(path: str | Path, words: int = 100) -> Iterator[Document]:
    """The same as documents for an index of passages, cut at sentences into passages of so many words."""
    for article in articles(path):
        about = About(article.id, article.title, url=article.place, date=article.as_of)
        yield Document(about, tuple(Passage(text) for text in passages(article.text, words)))


def plain(wikitext: str) -> str:
    """Wikitext as plain text. Raises UserError where the parser is not installed."""
    try:
        import mwparserfromhell
    except ImportError:
        raise UserError("needs a parser that is not installed", where="wikitext", remedy=INSTALL) from None
    code = mwparserfromhell.parse(_sections(wikitext))
    for tag in code.filter_tags(matches=lambda node: str(node.tag).strip().lower() in _GONE):
        _drop(code, tag)
    for link in code.filter_wikilinks(matches=lambda node: bool(_NOT_TEXT.match(str(node.title)))):
        _drop(code, link)
    for heading in code.filter_headings():
        _drop(code, heading)
    text = code.strip_code(normalize=True, collapse=True)
    lines = (" ".join(line.split()).lstrip("*#:; ") for line in text.replace("()", "").split("\n"))
    return "\n".join(line for line in lines if line)


def _sections(wikitext: str) -> str:
    """Wikitext without sections that only point elsewhere."""
    kept, at, passed_over = [], 0, 0
    for heading in _HEADING.finditer(wikitext):
        if not passed_over:
            kept.append(wikitext[at : heading.start()])
        at, level = heading.end(), len(heading[1])
        if not passed_over or level <= passed_over:
            passed_over = level if heading[2].strip().casefold() in NAVIGATION else 0
    return "".join(kept) + ("" if passed_over else wikitext[at:])


def _drop(code: Any, node: Any) -> None:
    try:
        code.remove(node)
    except ValueError:  # it went with what it stood in
        return


def _pages(stream: IO[bytes], file: Path, disambiguation: bool) -> Iterator[Article]:
    base = ""
    try:
        events = ElementTree.iterparse(stream, events=("start", "end"))
        root = next(events)[1]
        for event, element in events:
            name = _name(element)
            if event == "end" and name == "base":
                base = (element.text or "").rpartition("/")[0]
            if event == "end" and name == "page":
                article = _article(element, base, file, disambiguation)
                root.clear()  # or the whole dump stays in memory
                if article is not None:
                    yield article
    except ElementTree.ParseError as e:
        line = e.position[0]
        if "no element found" in str(e) or "unclosed" in str(e):
            raise Failure("breaks off", where=f"{file}:{line}", remedy="download it again, and compare its sum") from e
        raise UserError(f"is no XML ({e})", where=f"{file}:{line}", remedy="name a pages-articles dump") from e


def _article(page: ElementTree.Element, base: str, file: Path, disambiguation: bool) -> Article | None:
    """The article of a page; none of a redirect, of another namespace, and of an ambiguous name unless it is wanted."""
    parts = {_name(part): part for part in page}
    revision = {_name(part): part.text or "" for part in parts.get("revision", ())}
    if _text(parts, "ns") not in ("", "0") or "redirect" in parts:
        return None
    wikitext = revision.get("text", "")
    if re.match(r"\s*#redirect\b", wikitext, re.IGNORECASE) or (_AMBIGUOUS.search(wikitext) and not disambiguation):
        return None
    title, number = _text(parts, "title"), _text(parts, "id")
    place = f"{file}#{number}"
    if base:
        place = f"{base}/{urllib.parse.quote(title.replace(' ', '_'))}?oldid={revision.get('id', '')}"
    return Article(number, title, plain(wikitext), place, revision.get("timestamp", ""))


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(parts: dict[str, ElementTree.Element], name: str) -> str:
    return (parts[name].text or "").strip() if name in parts else ""


def _lines(stream: IO[bytes], file: Path) -> Iterator[Article]:
    for n, line in enumerate(stream, 1):
        if not line.strip():
            continue
        where = f"{file}:{n}"
        try:
            told = json.loads(line)
            title = told.get("title", told.get("id"))
            parts = (str(told.get("id", title)), title, told["text"])
        except (ValueError, KeyError, AttributeError, RecursionError) as e:
            problem = f"is no article ({type(e).__name__}: {e})"
            raise UserError(problem, where=where, remedy='write {"id": …, "title": …, "text": …} a line') from e
        if not isinstance(title, str) or not isinstance(parts[2], str):
            raise UserError("id or title, and text, have to be texts", where=where, remedy="mend or remove the line")
        yield Article(*parts, where)


def _database(file: Path) -> Iterator[Article]:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            found = connection.execute("SELECT id, text FROM documents ORDER BY rowid")
        except sqlite3.Error as e:
            remedy = "name DrQA's docs.db, with its table documents(id, text)"
            raise UserError(f"holds no documents ({e})", where=str(file), remedy=remedy) from e
        try:
            for key, text in cast(Iterator[tuple[Any, Any]], found):
                yield Article(str(key), str(key), str(text or ""), f"{file}#{key}")
        except sqlite3.Error as e:
            raise Failure(f"breaks off ({e})", where=str(file), remedy="copy it again, and compare its sum") from e
