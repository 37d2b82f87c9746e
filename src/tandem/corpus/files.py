"""Which files a path means: a file, a folder, or a glob; and in which order.

Folders are walked in sorted order. Hidden names, caches, and what package managers put there are left out; links are
not followed. With a limit on bytes the files come in hashed order instead, so that a part of a folder is a spread over
all of it and not its first letters.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

import xxhash

from tandem.corpus.ledger import Step
from tandem.errors import UserError

_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


def find(path: str, books: Step, *, scattered: bool = False) -> list[Path]:
    """The files that `path` names. Raises UserError when there are none."""
    if not path:
        raise UserError("the path of the text is empty", remedy="name a file, a folder, or . for this folder")
    root = Path(path).expanduser()
    if root.is_dir():
        files = list(_walk(root, books))
    elif root.exists():
        root, files = root.parent, [root]
    elif glob.has_magic(path):
        files = []
        names = glob.iglob(str(root), recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
        for found in sorted(Path(name) for name in names):
            files.extend(_walk(found, books) if found.is_dir() else [found])
        files = list(dict.fromkeys(files))
        root = Path(os.path.commonpath([str(f.parent) for f in files])) if files else root
    else:
        raise UserError("no such file or folder", where=path, remedy="check the path; quote a glob in the shell")
    regular = []
    for file in files:
        if file.is_file():
            regular.append(file)
        else:
            books.remove("not a regular file", str(file))
    if not regular:
        what = "the pattern matches no file" if not Path(path).expanduser().exists() else "no files in this folder"
        raise UserError(what, where=path, remedy="check the path; hidden files and folders are left out")
    if scattered:
        # Names relative to the root: the choice does not depend on where the folder lies.
        regular.sort(key=lambda file: xxhash.xxh3_64_intdigest(os.path.relpath(file, root).encode("utf-8", "replace")))
    return regular


def _walk(root: Path, books: Step) -> Iterator[Path]:
    def unreadable(e: OSError) -> None:
        books.remove("folder cannot be opened", str(e.filename))

    for folder, below, names in os.walk(root, onerror=unreadable):
        below[:] = sorted(name for name in below if name not in _SKIPPED_FOLDERS and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(folder, name)
                if path.is_symlink():
                    books.remove("link, not followed", str(path))
                else:
                    yield path
