"""Which files paths mean: files, folders, globs; each once, in sorted order.

Hidden names, caches and what package managers put there are left out. Links inside folders are not followed, so that no
loop is walked; a link that is named itself is. What cannot be opened is counted, and the rest is read.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tandem.errors import UserError
from tandem.sources.documents.books import Books

_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


def find(paths: Sequence[str | Path], books: Books) -> Iterator[Path]:
    """The files. Raises UserError for a path that does not exist."""
    seen: set[str] = set()
    for path in paths:
        for file in _named(str(path), books):
            absolute = os.path.realpath(file)
            if absolute in seen:
                continue
            seen.add(absolute)
            books.found += 1
            yield file


def _named(path: str, books: Books) -> Iterator[Path]:
    root = Path(path).expanduser()
    if root.is_dir():
        yield from _walk(root, books)
    elif root.is_file():
        yield root
    elif root.exists():
        _leave(books, "not a regular file", root)
    elif glob.has_magic(path):
        matches = sorted(glob.iglob(str(root), recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
        if not matches:
            raise UserError("the pattern matches no file", where=path, remedy="check it; quote it in the shell")
        for match in matches:
            yield from _named(glob.escape(match) if not Path(match).exists() else match, books)
    elif root.is_symlink():
        _leave(books, "link that leads nowhere", root)
    else:
        raise UserError("no such file or folder", where=path, remedy="check the path")


def _walk(root: Path, books: Books) -> Iterator[Path]:
    def unreadable(e: OSError) -> None:
        _leave(books, f"folder cannot be opened ({e.strerror})", Path(str(e.filename)))

    for folder, below, names in os.walk(root, onerror=unreadable):
        for name in sorted(below):
            if Path(folder, name).is_symlink():
                _leave(books, "link to a folder, not followed", Path(folder, name))
        below[:] = sorted(name for name in below if name not in _LEFT_OUT and not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if path.is_symlink():
                _leave(books, "link, not followed", path)
            elif path.is_file():
                yield path
            else:
                _leave(books, "not a regular file", path)


def _leave(books: Books, reason: str, path: Path) -> None:
    books.found += 1
    books.skipped.add(reason, str(path))
