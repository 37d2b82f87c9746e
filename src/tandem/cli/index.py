"""`tandem index`: documents into an index of passages that can be asked, and again when they changed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tandem.sources.documents.books import Books, Reasons
    from tandem.sources.documents.indexing import Indexed
    from tandem.sources.passages.dense import Embedder
    from tandem.sources.passages.header import Header


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.description = (
        "Index documents (text, Markdown, HTML, PDF, DOCX, JSONL, source code) as passages of about a hundred words. "
        "Again with the same --out: unchanged files are not read, changed ones replaced."
    )
    parser.epilog = (
        'Examples: tandem index notes/ papers/*.pdf --out notes.index; tandem index --search "who built the bridge" '
        "notes.index"
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, folders, quoted globs; with --search an index")
    parser.add_argument(
        "--wikipedia-dump",
        action="append",
        default=[],
        metavar="FILE",
        help="articles of pages-articles XML (.bz2, .gz), or of DrQA's SQLite or JSON lines; repeatable",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the index: a new folder, or one that is to be updated")
    parser.add_argument("--search", metavar="QUERY", help="show the passages that fit best, with their places")
    parser.add_argument("--limit", type=int, default=5, metavar="N", help="how many passages to show (default 5)")
    parser.add_argument(
        "--by", choices=("words", "meaning", "both"), help="what to rank by (default: both with --encoder, else words)"
    )
    parser.add_argument("--prune", action="store_true", help="remove indexed files that are there no longer")
    parser.add_argument("--words", type=int, default=100, metavar="N", help="words of a passage, about (default 100)")
    parser.add_argument(
        "--stem", choices=("none", "english"), help="reduce English words to stems (default none; fixed in an index)"
    )
    parser.add_argument("--encoding", default="utf-8", metavar="NAME", help="of text files that are not UTF-8")
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="what a JSONL field is called: text, id, title, date, url",
    )
    parser.add_argument("--largest", default="64 MiB", metavar="SIZE", help="larger files are left out; JSONL never is")
    parser.add_argument(
        "--encoder", metavar="MODEL", help="also index by meaning: a sentence-transformers folder or name"
    )


def run(options: argparse.Namespace) -> int:
    """Do what was asked."""
    from tandem.errors import UserError

    if (options.search is None) == (options.out is None):
        remedy = 'index: tandem index FILES --out DIR; search: tandem index --search "…" DIR'
        raise UserError("either --out or --search is needed", where="tandem index", remedy=remedy)
    if options.search is None and not (options.paths or options.wikipedia_dump):
        remedy = "name files or folders, or a dump with --wikipedia-dump"
        raise UserError("nothing is named that could be indexed", where="tandem index", remedy=remedy)
    return _index(options) if options.search is None else _search(options)


def _embedder(options: argparse.Namespace) -> Embedder | None:
    from tandem.sources.passages.dense import SentenceTransformer

    return None if options.encoder is None else SentenceTransformer(options.encoder)


def _search(options: argparse.Namespace) -> int:
    from tandem.cli.shown import safe
    from tandem.errors import UserError
    from tandem.sources.passages.document import from_here
    from tandem.sources.passages.index import Index

    if len(options.paths) != 1 or options.wikipedia_dump or options.limit < 1:
        raise UserError("one index is searched, for one passage at least", where="tandem index --search")
    index = Index(options.paths[0], _embedder(options))
    if index.unused and options.by is None:
        note = "the index holds vectors and is searched by words only; --encoder MODEL searches by meaning, too"
        print(f"note: {note}", file=sys.stderr)
    hits = index.search(options.search, options.limit, by=options.by)
    for hit in hits:
        heading = f" › {hit.passage.heading}" if hit.passage.heading else ""
        print(safe(f"{from_here(hit.place)}  {hit.about.title}{heading}  ({hit.score:.2f})"))
        print(safe("\n".join("  " + line for line in hit.passage.text.split("\n"))) + "\n")
    if not hits:
        print(f"nothing shares a word with this query in {len(index):,} passages")
    return 0


def _index(options: argparse.Namespace) -> int:
    from tandem.cli.keeping import Keeping
    from tandem.sources.documents import dumps
    from tandem.sources.documents.indexing import Indexed, index
    from tandem.sources.documents.reading import Reading
    from tandem.sources.passages.header import Settings
    from tandem.sources.passages.words import Splitting
    from tandem.sources.passages.writer import Writer

    largest = _bytes(options.largest)
    reading = Reading(options.words, options.encoding, _fields(options.field))
    began, before = time.monotonic(), _header(options.out)
    settings = Settings(Splitting(stem=options.stem or "none"))
    if options.stem is None and before is not None:
        settings = before.settings
    show = _progress(began)
    try:
        with Keeping(lambda: writer.commit()) as keeping, Writer(options.out, settings, _embedder(options)) as writer:
            done, prune = Indexed(), options.prune
            if options.paths:
                how = {"largest": largest, "prune": prune, "progress": show, "go_on": keeping.go_on}
                done = index(options.paths, writer, reading, **how)
            if options.wikipedia_dump and not keeping.asked:
                keeping.whole()
                how = {"words": options.words, "prune": prune, "progress": show, "keep": keeping.whole}
                dumps.add(options.wikipedia_dump, writer, done, **how)
            show(done.books, "writing the index", True)
    except KeyboardInterrupt:
        kept = _header(options.out)
        told = "nothing of this call is kept"
        if kept is not None and kept != before:
            told = f"{options.out} keeps {_held(kept)}; the same command goes on"
        print(f"\ninterrupted: {told}", file=sys.stderr)
        return 130
    finally:
        if sys.stderr.isatty():
            print(f"\r{'':<78}\r", end="", file=sys.stderr, flush=True)
    _tell(done)
    print(f"{options.out}: {_held(writer.header)}, in {time.monotonic() - began:.1f} s")
    if keeping.asked and (done.unread or options.wikipedia_dump):
        dump = ", nor a dump" if options.wikipedia_dump else ""
        print(f"interrupted: {done.unread:,} files were not read{dump}; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _header(folder: Path) -> Header | None:
    """The header of the index that stands in a folder."""
    from tandem.sources.passages.header import NAME, read

    return read(folder) if (folder / NAME).exists() else None


def _held(header: Header) -> str:
    return f"{header.total('passages'):,} passages of {header.total('documents'):,} documents"


def _fields(given: list[str]) -> dict[str, str]:
    from tandem.errors import UserError

    fields = dict(pair.partition("=")[::2] for pair in given)
    if not all(fields.values()):
        raise UserError("names no field", where="--field", remedy="ROLE=NAME, such as --field text=body")
    return fields


def _bytes(given: str) -> int:
    from tandem.errors import UserError
    from tandem.recipes.quantities import n_bytes

    try:
        return n_bytes(given)
    except ValueError as e:
        raise UserError(f"cannot read {given!r}", where="--largest", remedy=str(e)) from e


def _progress(began: float) -> Callable[..., None]:
    live = sys.stderr.isatty()
    last = began

    def show(books: Books, file: str, now: bool = False) -> None:
        nonlocal last
        if not now and time.monotonic() - last < (0.2 if live else 10):
            return
        last = time.monotonic()
        counted = f"{books.read + books.unchanged:,} of {books.found:,} files, {books.passages:,} passages"
        line = f"{counted}, {file[-(74 - len(counted)) :]}"
        if live:
            print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
        elif not now:
            print(line, file=sys.stderr, flush=True)

    return show


def _tell(done: Indexed) -> None:
    from tandem.cli.shown import safe

    books = done.books
    rows = [
        ("found", books.found, ""),
        ("unchanged", books.unchanged, ""),
        ("read", books.read, f"{done.replaced:,} of them changed" if done.replaced else ""),
        ("repeats", len(done.repeats), "; ".join(f"{a} is {b}" for a, b in [*done.repeats.items()][:2])),
        ("left out", books.skipped.total(), ""),
        ("instead", len(done.instead), "; ".join(f"{a} for {b}" for a, b in [*done.instead.items()][:2])),
        ("gone", len(done.missing), _gone(done)),
    ]
    for name, n, note in rows:
        if n or name in ("found", "read"):
            print(safe(f"{name:<10} {n:>9,} files   {note}".rstrip()))
        if name == "left out":
            _reasons(books.skipped)
        if name == "gone" and n:
            print(safe("  " + ", ".join(done.missing[:3]) + (", …" if n > 3 else "")))
    for reasons, what in ((books.repaired, "as read"), (books.records, "lines out")):
        if reasons.total():
            print(f"{what:<10} {reasons.total():>9,}")
            _reasons(reasons)
    print(f"{'documents':<10} {books.documents:>9,}, {books.passages:,} passages new")


def _gone(done: Indexed) -> str:
    if done.pruned == len(done.missing):
        return "removed"
    removed = f"{done.pruned:,} of them removed, the others" if done.pruned else ""
    return f"{removed} still in the index; --prune removes them".strip()


def _reasons(reasons: Reasons) -> None:
    from tandem.cli.shown import safe

    for reason, n in sorted(reasons.counts.items(), key=lambda item: -item[1]):
        names = reasons.names[reason]
        print(safe(f"  {n:>7,} {reason}: {', '.join(names)}{', …' if n > len(names) else ''}"))
