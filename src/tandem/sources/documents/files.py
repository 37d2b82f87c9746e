"""Which files paths mean: files, folders, globs; each once, in sorted order.

Hidden names, caches and what package managers put there are left out. Links inside folders are not followed, so that no
loop is walked; a link that is named itself is. What cannot be opened is counted, and the rest is read. An index of
passages is no document: it is passed over where it is found, and an error where it is named.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tandem.errors import UserError
from tandem.sources.documents.books import Books
from tandem.sources.passages import header

_LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


def find(paths: Sequence[str | Path], books: Books, out: Path | None = None) -> Iterator[Path]:
    """The files; `out` is the index that they are for. Raises UserError for a path that does not exist, or an index."""
    seen: set[str] = set()
    indexes = _Indexes(out, books)
    for path in paths:
        if (inside := indexes.around(Path(path).expanduser())) is not None:
            remedy = f'name the documents; an index is searched: tandem index --search "…" {inside}'
            raise UserError("is an index of passages itself", where=str(path), remedy=remedy)
        for file in _named(str(path), books, indexes):
            absolute = os.path.realpath(file)
            if absolute in seen:
                continue
            seen.add(absolute)
            books.found += 1
            yield file


class _Indexes:
    """Indexes of passages among the folders; each is told once."""

    def __init__(self, out: Path | None, books: Books) -> None:
        self._out = None if out is None else os.path.realpath(out)
        self._books = books
        self._told: set[str] = set()
        self._around: dict[Path, Path | None] = {}

    def one(self, folder: Path) -> bool:
        """Whether a folder is one."""
        return os.path.realpath(folder) == self._out or header.holds(folder)

    def around(self, path: Path) -> Path | None:
        """The index that a path is, or lies in."""
        if path not in self._around:
            above = None if path.parent == path else self.around(path.parent)
            self._around[path] = above or (path if path.is_dir() and self.one(path) else None)
        return self._around[path]

    def pass_over(self, folder: Path) -> None:
        """Tell it."""
        if (key := os.path.realpath(folder)) not in self._told:
            self._told.add(key)
            _leave(self._books, "index of passages, passed over", folder)


def _named(path: str, books: Books, indexes: _Indexes) -> Iterator[Path]:
    root = Path(path).expanduser()
    if root.is_dir():
        yield from _walk(root, books, indexes)
    elif root.is_file():
        yield root
    elif root.exists():
        _leave(books, "not a regular file", root)
    elif glob.has_magic(path):
        matches = sorted(glob.iglob(str(root), recursive=True))  # noqa: PTH207  (Path.glob takes no absolute pattern)
        if not matches:
            raise UserError("the pattern matches no file", where=path, remedy="check it; quote it in the shell")
        for match in matches:
            if (inside := indexes.around(Path(match))) is not None:
                indexes.pass_over(inside)
                continue
            yield from _named(glob.escape(match) if not Path(match).exists() else match, books, indexes)
    elif root.is_symlink():
        _leave(books, "link that leads nowhere", root)
    else:
        raise UserError("no such file or folder", where=path, remedy="check the path")


def _walk(root: Path, books: Books, indexes: _Indexes) -> Iterator[Path]:
    def unreadable(e: OSError) -> None:
        _leave(books, f"folder cannot be opened ({e.strerror})", Path(str(e.filename)))

    for folder, below, names in os.walk(root, onerror=unreadable):
        if (header.NAME in names or ".lock" in names) and indexes.one(Path(folder)):
            indexes.pass_over(Path(folder))
            below.clear()
            continue
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
