"""A record to read from: a store as it is, or a JSONL export of one as a passing store."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tandem.errors import UserError
from tandem.store.lines import Check, from_lines
from tandem.store.store import Store, is_open

_SQLITE = b"SQLite format 3\x00"


def open_recorded(path: Path, check: Check) -> tuple[Store, TemporaryDirectory[str] | None]:
    """The store at a path; of an export a passing one with the same records, and its folder, to be removed after it.

    `check` says whether the body of a request can be one. Raises UserError that names the line that is no record.
    """
    if is_open(path):  # reading its first bytes by other means than SQLite would drop its locks
        return Store(path, read_only=True), None
    with path.open("rb") as f:
        if f.read(len(_SQLITE)) == _SQLITE:
            return Store(path, read_only=True), None
        f.seek(0)
        folder: TemporaryDirectory[str] = TemporaryDirectory(prefix="tandem-replay-")
        store = Store(Path(folder.name) / path.name)
        try:
            store.add(from_lines(f, str(path), check, _refuse))
            store.flush()
        except BaseException:
            store.close()
            folder.cleanup()
            raise
        return store, folder


def _refuse(place: str, why: str) -> None:
    raise UserError(why, where=place, remedy="name a store of answers, or what `tandem answers export` writes")
