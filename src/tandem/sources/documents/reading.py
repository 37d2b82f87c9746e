"""One file into documents: by its name's ending; text, Markdown, HTML, PDF, DOCX, JSONL, source code.

    .txt and unknown endings  text: a document, a passage per run of paragraphs      .md .markdown .mdx   with headings
    .html .htm .xhtml         a page          .pdf  by pages          .docx  by paragraphs and tables
    .jsonl .ndjson (.gz)      a document a line: `text`, and where present `id`, `title`, `date`, `url`
    .py .pyi                  by classes and functions             other source code: by blank lines

Text is UTF-8, or in the encoding that the file itself or the user names (`encodings`). What this does not do: recognise
scanned pages, or guess encodings: a wrong guess would be indexed without anybody noticing.
"""

from __future__ import annotations

import codecs
import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import xxhash

from tandem.errors import UserError
from tandem.sources.documents import blocks, front
from tandem.sources.documents.blocks import Block
from tandem.sources.documents.books import Books
from tandem.sources.documents.chunking import WORDS, passages
from tandem.sources.documents.confined import Confined
from tandem.sources.documents.encodings import UTF_8, Decoded, canonical, declared, decoded
from tandem.sources.documents.packed import Unreadable
from tandem.sources.passages.document import About, Document, Unit

Kind: TypeAlias = Literal["text", "markdown", "html", "pdf", "docx", "jsonl", "python", "code"]

_ENDINGS: dict[Kind, str] = {
    "markdown": ".md .markdown .mdx",
    "html": ".html .htm .xhtml",
    "pdf": ".pdf",
    "docx": ".docx",
    "jsonl": ".jsonl .ndjson .jsonl.gz .ndjson.gz",
    "python": ".py .pyi .pyx",
    "code": ".js .jsx .mjs .ts .tsx .java .kt .scala .c .h .cc .cpp .cxx .hh .hpp .cs .go .rs .rb .php .swift .m .pl "
    ".lua .r .jl .hs .ml .fs .ex .erl .clj .lisp .el .sh .bash .zsh .fish .ps1 .sql .css .scss .vue .xml .json .yaml "
    ".yml .toml .ini .cfg .cmake .proto .tf .dart .zig .v .sv .asm .f90 .pas .tex .bib .csv .tsv",
}
_KIND: dict[str, Kind] = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}
_UNIT: dict[Kind, Unit] = {"pdf": "page", "docx": "paragraph"}
_NOT_TEXT: tuple[Kind, ...] = ("pdf", "docx", "jsonl")
"""Kinds that say themselves how they are encoded."""
_FIELDS = ("text", "id", "title", "date", "url")
LONGEST_LINE = 16 << 20
"""Bytes of a JSONL line."""


@dataclass(frozen=True)
class Reading:
    """How files are read. A file that was read in another way counts as changed."""

    words: int = WORDS
    """Words of a passage, about."""
    encoding: str = UTF_8
    """Of text files that are not UTF-8, and do not say themselves what they are."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What JSONL fields are called where it is not their name here: `{"text": "body"}`."""

    def __post_init__(self) -> None:
        if not 10 <= self.words <= 10_000:
            raise UserError(f"passages of {self.words} words", where="words", remedy="between 10 and 10,000")
        canonical(self.encoding)
        if strange := [role for role in self.fields if role not in _FIELDS]:
            raise UserError(f"no field {strange[0]!r} is asked for", where="fields", remedy=", ".join(_FIELDS))


def kind_of(path: Path) -> Kind:
    """What a file is, by its name."""
    name = path.name.lower()
    return next((_KIND[e] for e in (name[name.find(".") :], path.suffix.lower()) if e in _KIND), "text")


def documents(path: Path, kind: Kind, reading: Reading, books: Books, confined: Confined) -> Iterator[Document]:
    """The documents of a file. Raises Unreadable with the reason, OSError where it cannot be opened."""
    if kind == "jsonl":
        yield from _records(path, reading, books)
        return
    data = path.read_bytes()
    title = date = ""
    found: list[Block]
    if kind in ("pdf", "docx"):
        title, date, found = confined.read(kind, data)
    else:
        read = _decoded(data, kind, reading)
        text = read.text
        if read.repaired:
            books.repaired.add(f"bytes that are not {read.encoding} replaced", str(path))
        if kind == "html":
            title, date, found = confined.read(kind, text.encode("utf-8", "replace"))
        elif kind == "markdown":
            fields, text = front.parted(text)
            title, found = blocks.markdown(text, fields.get("title", ""))
            date = fields.get("date", "")
        else:
            cut = {"python": blocks.python, "code": blocks.code}.get(kind, blocks.plain)
            found = list(cut(text))
    about = About(path.name, " ".join(title.split()) or path.name, _whole(path), _UNIT.get(kind, "line"), date)
    pieces = list(passages(found, reading.words, apart=kind == "pdf"))
    if not pieces:
        raise Unreadable("no text in it")
    yield Document(about, pieces)


def _whole(path: Path) -> str:
    """Its place on the machine, whatever the current folder: a citation is opened from another one."""
    return os.path.realpath(path)


def _decoded(data: bytes, kind: Kind, reading: Reading) -> Decoded:
    """The text of a file's bytes. Raises Unreadable for what is no text, or in another encoding."""
    own = declared(data) if kind == "html" else ""
    return decoded(data, [own, canonical(reading.encoding)])


def _records(path: Path, reading: Reading, books: Books) -> Iterator[Document]:
    names = {role: reading.fields.get(role, role) for role in _FIELDS}
    any_read, whole = False, _whole(path)
    with _opened(path) as file:
        for number, line in _lines(file, path, books):
            place = f"{path}:{number}"
            if line is None:
                books.records.add(f"line longer than {LONGEST_LINE >> 20} MiB", place)
                continue
            if not line.strip():
                continue
            record = _record(line)
            text = record.get(names["text"]) if record is not None else None
            if record is None or not isinstance(text, str) or not text.strip():
                reason = "not a JSON object" if record is None else f"no text in field {names['text']!r}"
                books.records.add(reason, place)
                continue
            told = {role: _word(record.get(names[role])) for role in _FIELDS[1:]}
            about = About(
                told["id"] or f"{path.name}:{number}", told["title"], whole, "line", told["date"], told["url"]
            )
            lines = ((number, line) for line in text.split("\n"))
            any_read = True
            yield Document(about, list(passages(blocks.paragraphs(lines), reading.words)))
    if not any_read:
        raise Unreadable("no record with text in it")


def _word(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else " ".join(str(value).split())


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(file: BinaryIO, path: Path, books: Books) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines; None for one that is too long and not held. A damaged gzip file ends where it is damaged."""
    number, over = 1, False
    while True:
        try:
            line = file.readline(LONGEST_LINE)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            books.repaired.add("damaged gzip file: read up to there", str(path))
            return
        if not line:
            return
        ended = line.endswith(b"\n")
        if ended or len(line) < LONGEST_LINE:
            yield number, None if over else line
        if not ended and len(line) == LONGEST_LINE:
            over = True
            continue
        number, over = number + 1, False


def content_hash(path: Path, reading: Reading, kind: Kind) -> str:
    """Hash of a file's bytes, its kind and how it is read: of encodings the one it is in. Raises OSError."""
    fields = dict(reading.fields) if kind == "jsonl" else {}
    state = xxhash.xxh3_128(json.dumps([kind, reading.words, _used(path, reading, kind), fields]).encode())
    with path.open("rb") as file:
        if kind == "markdown" and file.read(6).removeprefix(codecs.BOM_UTF8).startswith((b"---", b"+++")):
            state.update(b"front matter")  # earlier versions took it for text
        file.seek(0)
        while part := file.read(1 << 20):
            state.update(part)
    return state.hexdigest()


def _used(path: Path, reading: Reading, kind: Kind) -> str:
    """The encoding that a file is read in, where it may be another than UTF-8."""
    if kind in _NOT_TEXT or (kind != "html" and canonical(reading.encoding) == UTF_8):
        return UTF_8
    try:
        return _decoded(path.read_bytes(), kind, reading).encoding
    except Unreadable:
        return reading.encoding
