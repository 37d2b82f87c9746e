"""Dumps of Wikipedia into an index: each article a document with its address, each dump one origin.

A dump is compared by the hash of its file, and replaced as a whole when that changed. It stands in the index under a
key of its own, apart from the files that are read as they are. What this does not do: tell which articles of a dump
changed; reading it again costs what reading it the first time did.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import xxhash

from tandem.errors import UserError
from tandem.sources.documents.books import Books
from tandem.sources.documents.indexing import Indexed
from tandem.sources.passages.document import Document, Origin
from tandem.sources.passages.writer import Writer
from tandem.sources.wikipedia_dump import documents

KEY = "wikipedia-dump:"
"""What the key of a dump begins with; its absolute path follows."""


def add(
    paths: Sequence[str | Path],
    writer: Writer,
    done: Indexed,
    *,
    words: int,
    prune: bool = False,
    progress: Callable[[Books, str], None] = lambda books, file: None,
    keep: Callable[[], object] = lambda: None,
) -> None:
    """Read dumps into an open index, and write into `done` what was done; `keep` is called after each.

    Raises UserError for a file that is missing or no dump, or holds no article, Failure for one that breaks off.
    """
    books = done.books
    dumps = {KEY + os.path.realpath(Path(path).expanduser()): str(path) for path in paths}
    held = {origin.key: origin.content for origin in writer.origins() if origin.key.startswith(KEY)}
    for key in held:
        if not Path(key.removeprefix(KEY)).exists() and key not in dumps:
            done.missing.append(key)
            done.pruned += prune and writer.remove(key)
    for key, path in dumps.items():
        file = Path(key.removeprefix(KEY))
        if not file.is_file():
            raise UserError("no such file", where=path, remedy="name a dump: pages-articles XML, or DrQA's formats")
        books.found += 1
        progress(books, path)
        content = _content(file, words)
        if held.get(key) == content:
            books.unchanged += 1
            continue
        if not writer.add(Origin(key, content), _counted(documents(file, words), books, progress)):
            raise UserError("holds no article", where=path, remedy="name a dump: pages-articles XML, or DrQA's formats")
        done.replaced += key in held
        books.read += 1
        books.bytes_read += file.stat().st_size
        keep()


def _content(file: Path, words: int) -> str:
    state = xxhash.xxh3_128(f"{KEY}{words}\n".encode())
    with file.open("rb") as stream:
        while part := stream.read(1 << 20):
            state.update(part)
    return state.hexdigest()


def _counted(found: Iterator[Document], books: Books, progress: Callable[[Books, str], None]) -> Iterator[Document]:
    """Documents that hold a passage; an article that is nothing but a template holds none."""
    for document in found:
        if document.passages:
            books.documents += 1
            books.passages += len(document.passages)
            progress(books, document.about.title)
            yield document
