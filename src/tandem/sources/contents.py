"""What files hold, as a hash: what tells two sources of one name apart.

A file counts by its content, whatever it is called. Of a folder (a store of triples) the small files count by their
content, the large ones, which such a store never changes once they are written, by name, size and time; its logs and
locks not at all. What this does not do: notice a file that changes after it was named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

LARGE = 1 << 20
"""Bytes of a file in a folder that counts by its size and time."""
_PASSED_OVER = ("LOG", "LOCK", "OPTIONS")


def held(paths: Sequence[Path]) -> str:
    """Hash of files and folders, in their order. Raises OSError."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(_folder(path) if path.is_dir() else _file(path))
    return whole.hexdigest()


def _file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _folder(folder: Path) -> bytes:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(_PASSED_OVER):
            about = path.stat()
            told = _file(path).hex() if about.st_size < LARGE else f"{about.st_size} {about.st_mtime_ns}"
            whole.update(f"{path.relative_to(folder)} {told}\n".encode("utf-8", "surrogateescape"))
    return whole.digest()
