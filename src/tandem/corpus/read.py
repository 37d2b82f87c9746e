"""Documents out of files: text, lines, source code, JSONL, Parquet; plain or gz or zst; one file, a folder, a glob.

Reads in bounded memory: a text or code file longer than `longest` bytes becomes several documents, a JSONL line over
`longest_line` is counted and skipped without being held. Every file and document that does not come out is counted
under its reason. What does not parse at all is an error that names file and line.

Cleaning, and dropping what is empty, is the next step (`clean.py`, `build.py`), not this one's.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tandem.corpus import library
from tandem.corpus.clean import Kind
from tandem.corpus.document import Document
from tandem.corpus.files import find
from tandem.corpus.ledger import Ledger
from tandem.corpus.streams import COMPRESSED, Readable, Stream, cut_at, lines, pieces
from tandem.errors import UserError

Form: TypeAlias = Literal["auto", "text", "lines", "code", "jsonl", "parquet"]

_CODE_SUFFIXES = """
    .py .pyi .pyx .js .jsx .mjs .ts .tsx .java .kt .kts .scala .c .h .cc .cpp .cxx .hh .hpp .hxx .cs .go .rs .rb .php
    .swift .m .mm .pl .pm .lua .r .jl .hs .ml .mli .fs .ex .exs .erl .clj .lisp .el .scm .sh .bash .zsh .fish .ps1 .bat
    .sql .html .htm .css .scss .less .vue .xml .json .yaml .yml .toml .ini .cfg .cmake .mk .gradle .proto .tf .dart
    .zig .nim .v .vhd .sv .asm .s .f .f90 .f95 .pas .ada .vb .sol .cls .trigger .apex .ipynb .tex .bib
"""
_CODE = frozenset(_CODE_SUFFIXES.split())
_BY_SUFFIX: dict[str, Form] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
_SNIFFED = 1 << 16
_MOSTLY = 0.05
"""A file with more than this share of invalid UTF-8 or control characters is taken for binary."""


@dataclass(frozen=True)
class SourceSpec:
    """Where documents come from and how to read them."""

    path: str
    """File, folder, glob, or `python:code`, `python:docstrings`: the library of the running Python."""
    form: Form = "auto"
    """What the files are; `auto` goes by each file's name."""
    field: str = "text"
    """Which field of a JSONL object, or column of a Parquet file, holds the text."""
    limit: int | None = None
    """Read this many UTF-8 bytes of text (up to 5 % less); files are then taken in hashed order."""
    longest: int = 1 << 20
    """Documents longer than this many UTF-8 bytes are split, at a gap if there is one."""
    longest_line: int = 1 << 26
    """JSONL lines longer than this many bytes are skipped and counted."""
    keep_damaged: bool = False
    """Keep what can be read of a truncated or damaged compressed file; otherwise it is an error."""


def read(source: SourceSpec | str, ledger: Ledger | None = None) -> Iterator[Document]:
    """The documents of a source, counted in `ledger` under "files" and "documents".

    Raises UserError when there is nothing to read, and for files that cannot be parsed.
    """
    if isinstance(source, str):
        source = SourceSpec(source)
    if source.form not in get_args(Form):
        raise UserError(f"unknown form {source.form!r}", where="form", remedy="one of " + ", ".join(get_args(Form)))
    ledger = Ledger() if ledger is None else ledger
    documents = _Reader(source, ledger).documents()
    any_read, total = False, 0
    for document in documents:
        size = len(document.text.encode("utf-8", "surrogatepass"))
        if source.limit is not None and total + size > source.limit:
            room = source.limit - total
            if room > source.limit // 20:
                data = document.text.encode("utf-8", "surrogatepass")
                text = data[: cut_at(data, room)].decode("utf-8", "surrogatepass")
                ledger.step("documents").change("cut where the limit was reached", document.name)
                ledger.step("documents").left += 1
                any_read = True
                yield replace(document, text=text)
            else:
                ledger.step("documents").remove("behind the limit", document.name)
            break
        total += size
        any_read = True
        ledger.step("documents").left += 1
        yield document
    if not any_read:
        removed = [f"{n} {reason}" for step in ledger.steps.values() for reason, n in step.removed.items()]
        raise UserError(
            "nothing to read here" + (f" ({', '.join(removed)})" if removed else ""),
            where=source.path,
            remedy="check the path and the form: --form text, lines, code, jsonl, or parquet",
        )


class _Reader:
    def __init__(self, source: SourceSpec, ledger: Ledger) -> None:
        self.source = source
        self.files = ledger.step("files")
        self.books = ledger.step("documents")

    def documents(self) -> Iterator[Document]:
        source = self.source
        scattered = source.limit is not None
        if source.path.startswith("python:"):
            for document in library.documents(source.path, self.files, scattered=scattered):
                self.books.came += 1
                yield from self.split(document)
            return
        for path in find(source.path, self.files, scattered=scattered):
            self.files.came += 1
            form = source.form if source.form != "auto" else _form(path)
            if form == "parquet":
                yield from self.parquet(path)
            elif form == "jsonl":
                yield from self.jsonl(path)
            elif form == "lines":
                yield from self.lines(path)
            else:
                yield from self.whole(path, "code" if form == "code" else "text")

    def whole(self, path: Path, kind: Kind) -> Iterator[Document]:
        """A file as one document, or as several when it is long."""
        longest = self.source.longest
        with Stream(path, keep_damaged=self.source.keep_damaged) as stream:
            head = stream.read(_SNIFFED)
            if not head:
                self.files.remove("empty", str(path))
                return
            wide = next((c for mark, c in _WIDE.items() if head.startswith(mark)), None)
            if wide is None and _binary(head):
                self.files.remove("binary", str(path))
                return
            self.files.left += 1
            whole: Readable = _Again(head, stream) if wide is None else _Narrow(head, stream, wide)
            for number, part in enumerate(pieces(whole, longest)):
                self.books.came += 1
                if number == 1:
                    self.books.change(f"split: longer than {longest:,} bytes", str(path))
                name = f"{path}:part {number + 1}" if number else str(path)
                if number and _binary(part):
                    self.books.remove("binary part of a text file", name)
                    continue
                yield self.decoded(part, name, kind)
            self.note_damage(stream)

    def lines(self, path: Path) -> Iterator[Document]:
        """A document per line."""
        for name, line in self.raw_lines(path):
            yield from self.split(self.decoded(line, name, "text"))

    def jsonl(self, path: Path) -> Iterator[Document]:
        """A document per line: the text in one field of a JSON object."""
        field = self.source.field
        for name, line in self.raw_lines(path):
            document = self.decoded(line, name, "text")
            try:
                record = json.loads(document.text)
            except (ValueError, RecursionError) as e:
                raise UserError(f"not JSON ({e})", where=name, remedy="mend the line; or --form text or lines") from e
            if not isinstance(record, dict) or field not in record:
                raise _lacks(field, name, list(record) if isinstance(record, dict) else None)
            yield from self.value(record[field], name, document.repaired)

    def parquet(self, path: Path) -> Iterator[Document]:
        """A document per row: the text in one column."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        field = self.source.field
        try:
            with pq.ParquetFile(path) as file:
                if field not in file.schema_arrow.names:
                    raise _lacks(field, str(path), file.schema_arrow.names)
                self.files.left += 1
                row = 0
                for batch in file.iter_batches(batch_size=512, columns=[field]):
                    for value in batch.column(0).to_pylist():
                        self.books.came += 1
                        yield from self.value(value, f"{path}:row {row}", False)
                        row += 1
        except (pa.ArrowException, OSError) as e:
            message = str(e).splitlines()[0].rstrip(". ")
            raise UserError(f"not a readable Parquet file ({message})", where=str(path), remedy="fetch it again") from e

    def raw_lines(self, path: Path) -> Iterator[tuple[str, bytes]]:
        """Lines that are not blank and not over-long, each with its place."""
        with Stream(path, keep_damaged=self.source.keep_damaged) as stream:
            self.files.left += 1
            for number, line, ended in lines(stream, self.source.longest_line):
                name = f"{path}:{number}"
                if line is None:
                    self.books.came += 1
                    self.books.remove(f"line longer than {self.source.longest_line:,} bytes", name)
                elif stream.damage and not ended:
                    self.books.came += 1
                    self.books.remove("record torn by the end of a damaged file", name)
                elif line.strip():
                    self.books.came += 1
                    yield name, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            self.note_damage(stream)

    def value(self, value: Any, name: str, repaired: bool) -> Iterator[Document]:
        """The document in a field's value."""
        if value is None:
            self.books.remove(f"no text: {self.source.field!r} is null", name)
            return
        if not isinstance(value, str):
            raise UserError(
                f"field {self.source.field!r} holds {type(value).__name__}, not text",
                where=name,
                remedy="name the field that holds the text with --field",
            )
        yield from self.split(Document(value, name, repaired=repaired))

    def decoded(self, data: bytes, name: str, kind: Kind) -> Document:
        """A document from bytes; what is not UTF-8 in them becomes U+FFFD, and is counted."""
        try:
            return Document(data.decode(), name, kind)
        except UnicodeDecodeError:
            self.books.change("invalid UTF-8 replaced", name)
            return Document(data.decode(errors="replace"), name, kind, repaired=True)

    def split(self, document: Document) -> Iterator[Document]:
        """The document, in parts when it is long."""
        longest = self.source.longest
        if len(document.text) * 4 <= longest or len(data := document.text.encode("utf-8", "surrogatepass")) <= longest:
            yield document
            return
        self.books.change(f"split: longer than {longest:,} bytes", document.name)
        number = 0
        while data:
            cut = cut_at(data, longest) if len(data) > longest else len(data)
            name = f"{document.name}:part {number + 1}" if number else document.name
            yield Document(data[:cut].decode("utf-8", "surrogatepass"), name, document.kind, document.repaired)
            data, number = data[cut:], number + 1
            self.books.came += 1 if data else 0

    def note_damage(self, stream: Stream) -> None:
        if stream.damage:
            self.files.change(f"compressed file {stream.damage.split(' near')[0]}: read up to there", str(stream.path))


class _Again:
    """A stream whose first bytes have been looked at."""

    def __init__(self, head: bytes, stream: Stream) -> None:
        self._head, self._stream = head, stream

    def read(self, n: int) -> bytes:
        head, self._head = self._head[:n], self._head[n:]
        return head + self._stream.read(n - len(head)) if len(head) < n else head


_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class _Narrow:
    """UTF-16 with a mark, as UTF-8."""

    def __init__(self, head: bytes, stream: Stream, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._stream = stream
        self._ready = self._decoder.decode(head[2:]).encode("utf-8", "replace")

    def read(self, n: int) -> bytes:
        while len(self._ready) < n and (data := self._stream.read(_SNIFFED)):
            self._ready += self._decoder.decode(data).encode("utf-8", "replace")
        data, self._ready = self._ready[:n], self._ready[n:]
        return data


def _form(path: Path) -> Form:
    suffix = path.suffix.lower()
    if suffix in COMPRESSED:
        suffix = Path(path.stem).suffix.lower()
    return _BY_SUFFIX.get(suffix) or ("code" if suffix in _CODE else "text")


_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b"))


def _binary(head: bytes) -> bool:
    """Whether more than 5 % is control characters or not UTF-8 (a character cut by the end of `head` aside)."""
    if not head:
        return False
    head = head[:_SNIFFED]
    bad = len(head) - len(head.translate(None, _CONTROL))
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        bad += codecs.getincrementaldecoder("utf-8")("replace").decode(head).count("\ufffd") - head.count(
            b"\xef\xbf\xbd"
        )
    return bad > _MOSTLY * len(head)


def _lacks(field: str, where: str, present: list[str] | None) -> UserError:
    if present is None:
        return UserError("not a JSON object", where=where, remedy="one object a line, or --form lines")
    names = ", ".join(present[:12]) + (", …" if len(present) > 12 else "")
    return UserError(f"no field {field!r}; there are: {names or 'none'}", where=where, remedy="name one with --field")
