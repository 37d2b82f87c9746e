"""Files into an index, and again: what is unchanged is not read, what changed is replaced, what is gone is told.

Files are told apart by their absolute paths and compared by the hash of their content. Files with equal content are
indexed once; the others are named as repeats, and kept as origins without documents. When the file that is indexed for
them changes or goes, its repeats are looked at as if they had been given, and the first that still says the same is
read in its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tandem.errors import Failure, UserError
from tandem.sources.documents.books import Books
from tandem.sources.documents.confined import Confined
from tandem.sources.documents.copies import Copies
from tandem.sources.documents.files import find
from tandem.sources.documents.packed import Unreadable
from tandem.sources.documents.reading import Kind, Reading, content_hash, documents, kind_of
from tandem.sources.passages.document import Document, Origin
from tandem.sources.passages.writer import Writer

LARGEST = 64 << 20
"""Bytes of a file that is read whole; JSONL is read line by line and may have any length."""


@dataclass
class Indexed:
    """What an indexing did."""

    books: Books = field(default_factory=Books)
    """Files and records in and out."""
    replaced: int = 0
    """Of the files read, those that replace an older version."""
    repeats: dict[str, str] = field(default_factory=dict)
    """Files whose content another one has: file → the one that is indexed."""
    instead: dict[str, str] = field(default_factory=dict)
    """Repeats that are read now, since the file that was indexed for them changed or went: repeat → that file."""
    missing: list[str] = field(default_factory=list)
    """Indexed files under the given folders that are there no longer, and such repeats of what changed."""
    pruned: int = 0
    """How many of these were removed from the index."""
    unread: int = 0
    """Files that were not looked into, since the indexing was to end before."""


def index(
    paths: Sequence[str | Path],
    writer: Writer,
    reading: Reading | None = None,
    *,
    largest: int = LARGEST,
    prune: bool = False,
    progress: Callable[[Books, str], None] = lambda books, file: None,
    go_on: Callable[[], bool] = lambda: True,
    confined: Confined | None = None,
) -> Indexed:
    """Read files into an open index. Raises UserError where a path does not exist, or nothing at all can be indexed.

    `go_on` is asked before each file whether to read it and the rest, and may commit the writer: what is left out then,
    repeats too, is found again by the next call with these paths.
    """
    reading = Reading() if reading is None else reading
    done = Indexed()
    copies = Copies(writer)
    files = list(_looked_at(find(paths, done.books, writer.folder), reading, largest, writer, done, progress))
    seen = {file.key for file in files}
    roots, own = [os.path.realpath(path) for path in paths], os.path.realpath(writer.folder)
    for key in copies.held:
        if key not in seen and _under(key, roots) and (not Path(key).exists() or _under(key, [own])):
            done.missing.append(key)
            done.pruned += prune and writer.remove(key)
    for key in copies.orphaned({file.key: file.content for file in files}, writer):
        if Path(key).exists():
            done.books.found += 1
            files += _looked_at([Path(key)], reading, largest, writer, done, progress)
        elif writer.remove(key):  # nothing was found by it, and nothing will be
            done.missing += [] if key in done.missing else [key]
            done.pruned += 1
    owner = copies.owners({file.key: file.content for file in files}, writer)
    failed: dict[str, Unreadable | OSError] = {}
    with confined or Confined() as child:
        for place, file in enumerate(files):
            if owner[file.content] != file.key:
                continue
            if not go_on():
                done.unread = sum(owner[rest.content] == rest.key for rest in files[place:])
                return done
            progress(done.books, str(file.path))
            if copies.indexed(file.key, file.content):
                done.books.unchanged += 1
                continue
            try:
                _read(file, reading, writer, done.books, child)
            except (Unreadable, OSError) as e:
                failed[file.content] = e
                _left_out(file.path, file.key, e, writer, done.books)
            else:
                if copies.kept(file.key, file.content):
                    done.instead[str(file.path)] = copies.before.get(file.content, "")
                else:
                    done.replaced += file.key in copies.held
    for file in files:
        if owner[file.content] == file.key:
            continue
        if file.content in failed:
            _left_out(file.path, file.key, failed[file.content], writer, done.books)
            continue
        done.repeats[str(file.path)] = owner[file.content]
        if not copies.kept(file.key, file.content):
            writer.add(Origin(file.key, file.content), ())
    if not (done.books.read or done.books.unchanged or done.missing or done.repeats):
        left_out = ", ".join(f"{n} {reason}" for reason, n in done.books.skipped.counts.items())
        problem = "nothing to index here" + (f" ({left_out})" if left_out else "; hidden files are left out")
        remedy = "name files or folders with text, Markdown, HTML, PDF, DOCX, JSONL or source code"
        raise UserError(problem, where=", ".join(map(str, paths)), remedy=remedy)
    return done


@dataclass(frozen=True)
class _File:
    path: Path
    key: str
    kind: Kind
    size: int
    content: str


def _looked_at(
    paths: Iterable[Path],
    reading: Reading,
    largest: int,
    writer: Writer,
    done: Indexed,
    progress: Callable[[Books, str], None],
) -> Iterator[_File]:
    """The files that can be opened, with their hashes: all of them, before the first is read."""
    for path in paths:
        progress(done.books, str(path))
        key, kind = os.path.realpath(path), kind_of(path)
        try:
            size = path.stat().st_size
            if size > largest and kind != "jsonl":
                raise Unreadable(f"larger than {largest / (1 << 20):g} MiB")
            if not size:
                raise Unreadable("empty")
            yield _File(path, key, kind, size, content_hash(path, reading, kind))
        except (Unreadable, OSError) as e:
            _left_out(path, key, e, writer, done.books)


def _left_out(path: Path, key: str, e: Unreadable | OSError, writer: Writer, books: Books) -> None:
    reason = f"cannot be opened ({e.strerror})" if isinstance(e, OSError) else str(e)
    books.skipped.add(reason, str(path))
    if writer.remove(key):  # what it held before stands there no longer
        books.repaired.add("can be read no longer, and is removed from the index", str(path))


def _read(file: _File, reading: Reading, writer: Writer, books: Books, child: Confined) -> None:
    found = documents(file.path, file.kind, reading, books, child)
    first = next(found, None)  # so that a file that cannot be read raises before anything is written
    if first is None:
        raise Unreadable("no text in it")
    books.passages += writer.add(Origin(file.key, file.content), _chained(first, found, books, file.path))
    books.read += 1
    books.bytes_read += file.size


def _chained(first: Document, rest: Iterator[Document], books: Books, path: Path) -> Iterator[Document]:
    yield first
    books.documents += 1
    try:
        for document in rest:
            books.documents += 1
            yield document
    except OSError as e:  # a part of a file must not pass for the whole: nothing is committed
        raise Failure(f"cannot be read to its end ({e.strerror})", where=str(path), remedy="check the disk") from e


def _under(key: str, roots: Sequence[str]) -> bool:
    return any(key == root or key.startswith(root.rstrip("/") + "/") for root in roots)


__all__ = ["LARGEST", "Indexed", "Kind", "Reading", "index"]
