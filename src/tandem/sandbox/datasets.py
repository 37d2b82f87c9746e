"""From a path to what a confined run can read: what kind of data it is, and a copy where it cannot be read in place.

This is trusted code on the user's own files, run before anything untrusted. CSV, Parquet and JSON become one DuckDB
file, large graphs one store, made once and kept under the cache by a hash of their contents. A SQLite file
that is not at rest (a journal or a write-ahead log lies beside it) is copied by SQLite itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tandem.errors import UserError

MIB = 1 << 20
SHARED_TABLES = 32 * MIB
"""Bytes of a DuckDB file up to which each warm process holds its tables in memory."""
SHARED_GRAPH = 32 * MIB
"""Bytes of graph files (compressed ones count eight times) up to which each warm process holds them in memory."""
_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".parquet": "read_parquet",
    ".json": "read_json_auto",
    ".jsonl": "read_json_auto",
    ".ndjson": "read_json_auto",
}
_SQLITE, _DUCKDB = b"SQLite format 3\x00", b"DUCK"
_GRAPHS = (".ttl", ".nt", ".nq", ".trig", ".n3", ".rdf", ".xml", ".owl", ".jsonld")
_MADE_BY = "1"


@dataclass(frozen=True)
class Dataset:
    """Data a role can be prepared with."""

    role: str
    """Module that answers."""
    where: str
    """The user's name for it, for messages."""
    settings: dict[str, Any]
    """What the role's `prepare` is given, besides limits."""
    readable: tuple[str, ...]
    """Files and folders a run may read."""
    state: tuple[tuple[str, int, int], ...] = field(repr=False, default=())
    """Size and time of the files that are read in place, and of those that would lie beside them after a change."""

    def changed(self) -> bool:
        """Whether a file that is read in place has changed since."""
        return self.state != _state(path for path, _, _ in self.state)


def tables(data: Sequence[Path], copies: Path) -> Dataset:
    """A data set of tables: one SQLite or DuckDB file, or files to make tables of. Raises `UserError`."""
    paths = [_file(path) for path in data]
    if not paths:
        raise UserError("there is no file", where="tables", remedy="give a database, or CSV, Parquet or JSON files")
    first = paths[0]
    head = first.read_bytes()[:16] if first.stat().st_size < 16 else _head(first)
    where = ", ".join(p.name for p in paths)
    single = len(paths) == 1
    if single and (head == _SQLITE or not head):
        copied = first if _at_rest(first) and _open_to_all(first) else _sqlite_copy(first, copies)
        return _placed("tandem.sandbox.sqlite_role", where, {"path": str(copied)}, [copied])
    if single and head[8:12] == _DUCKDB:
        beside = [p for p in (first, _beside(first, ".wal")) if p.exists()]
        if not all(_open_to_all(p) for p in beside):
            beside = [_copy(p, copies) for p in beside]
        shared = first.stat().st_size <= SHARED_TABLES
        return _placed("tandem.sandbox.duckdb_role", where, {"path": str(beside[0]), "shared": shared}, beside, [first])
    made = _tables_file(paths)
    shared = made.stat().st_size <= SHARED_TABLES
    return Dataset("tandem.sandbox.duckdb_role", where, {"path": str(made), "shared": shared}, (str(made),))


def graph(data: Sequence[Path], copies: Path) -> Dataset:
    """A graph: files of triples, or the folder of an Oxigraph store. Raises `UserError`."""
    role = "tandem.sandbox.sparql_role"
    if len(data) == 1 and data[0].is_dir():
        folder = data[0].resolve()
        if not (folder / "CURRENT").exists():
            raise UserError("the folder holds no Oxigraph store", where=str(data[0]), remedy="name the files in it")
        inside = [folder, *folder.rglob("*")]
        if not all(_open_to_all(p) for p in inside):
            folder = _copy(folder, copies)
        return Dataset(role, data[0].name, {"store": str(folder), "paths": []}, (str(folder),), _state([str(folder)]))
    paths = [_file(path) for path in data]
    if not paths:
        raise UserError("there is no file", where="graph", remedy=f"give files that end in {', '.join(_GRAPHS)}")
    for path in paths:
        if Path(path.name.lower().removesuffix(".gz")).suffix not in _GRAPHS:
            raise UserError(
                "its ending names no format of triples", where=str(path), remedy=f"{', '.join(_GRAPHS)}, or with .gz"
            )
    where = ", ".join(p.name for p in paths)
    if sum(p.stat().st_size * (8 if p.suffix.lower() == ".gz" else 1) for p in paths) > SHARED_GRAPH:
        store = _store(paths)
        return Dataset(role, where, {"store": str(store), "paths": []}, (str(store),))
    kept = [p if _open_to_all(p) else _copy(p, copies) for p in paths]
    return _placed(role, where, {"store": "", "paths": [str(p) for p in kept]}, kept)


def _placed(
    role: str, where: str, settings: dict[str, Any], files: Sequence[Path], beside: Sequence[Path] = ()
) -> Dataset:
    after = [f"{p}{end}" for p in (*files, *beside) for end in ("", "-wal", "-journal", ".wal")]
    return Dataset(role, where, settings, tuple(map(str, files)), _state(after))


def _state(paths: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    found = []
    for path in paths:
        try:
            of = Path(path).stat()
            found.append((path, of.st_size, of.st_mtime_ns))
        except OSError:
            found.append((path, -1, 0))
    return tuple(found)


def _file(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path.resolve()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _open_to_all(path: Path) -> bool:
    """Whether a run can read it: root becomes nobody there, anyone else stays who they are."""
    wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return os.geteuid() != 0 or path.stat().st_mode & wanted == wanted


def _copy(path: Path, copies: Path) -> Path:
    target = copies / path.name
    if path.is_dir():
        shutil.copytree(path, target, copy_function=shutil.copyfile)
        for inner in (target, *target.rglob("*")):
            inner.chmod(0o755 if inner.is_dir() else 0o644)
    else:
        if target.exists():
            target = Path(tempfile.mkdtemp(dir=copies)) / path.name
        shutil.copyfile(path, target)
        target.chmod(0o644)
    return target


# ── SQLite ──


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _at_rest(path: Path) -> bool:
    """Whether nothing but the file itself belongs to the database."""
    logs = [_beside(path, end) for end in ("-wal", "-journal")]
    return not any(log.exists() and log.stat().st_size for log in logs)


def _sqlite_copy(path: Path, copies: Path) -> Path:
    """A copy as SQLite reads it now. Where a writer is at work SQLite's own locks are used, else the files are copied.

    The user's folder is not written to: without the writer's `-shm` file, reading in place would make one.
    """
    target = copies / "copy.db"
    source = path
    if not _beside(path, "-shm").exists():
        apart = copies / "apart"
        apart.mkdir(exist_ok=True)
        for end in ("", "-wal", "-journal"):
            if _beside(path, end).exists():
                shutil.copyfile(_beside(path, end), apart / (path.name + end))
        source = apart / path.name
    mode = "ro" if source is path else "rw"
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode={mode}", uri=True)) as given,
            contextlib.closing(sqlite3.connect(target)) as made,
        ):
            given.backup(made)
            made.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise UserError(f"is no database that can be read: {error}", where=str(path)) from None
    target.chmod(0o644)
    return target


# ── made once, and kept ──


def _tables_file(paths: Sequence[Path]) -> Path:
    """One DuckDB file with a table for each file, named after it."""
    import duckdb

    names = [_name(path) for path in paths]
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            raise UserError(f"two files would be the table {name}", where=str(path), remedy="rename one")
    kept = _kept("tables", f"duckdb {duckdb.__version__}", [*names, *_hashes(paths)], ".duckdb")
    if kept.exists():
        return kept
    with _making(kept) as unfinished:
        with contextlib.closing(duckdb.connect(str(unfinished), config={"autoinstall_known_extensions": False})) as to:
            for path, name in zip(paths, names, strict=True):
                reader, text = _READERS[_ending(path)], str(path).replace("'", "''")
                try:
                    to.execute(f"CREATE TABLE \"{name}\" AS SELECT * FROM {reader}('{text}')")
                except duckdb.Error as error:
                    raise UserError(f"cannot become a table: {error}", where=str(path)) from None
        unfinished.chmod(0o644)
    return kept


def _ending(path: Path) -> str:
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending not in _READERS:
        raise UserError(
            "is neither a SQLite nor a DuckDB file, and its ending names no kind of table",
            where=str(path),
            remedy=f"{', '.join(_READERS)}, or with .gz",
        )
    return ending


def _name(path: Path) -> str:
    """The file's name as a table's: letters, digits and `_`."""
    stem = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    made = "".join(c if c.isalnum() else "_" for c in stem[: -len(_ending(path))])
    return made if made and not made[0].isdigit() else f"t_{made}"


def _store(paths: Sequence[Path]) -> Path:
    """The folder of a store that holds the files' triples."""
    import pyoxigraph

    from tandem.sandbox.sparql_role import load

    kept = _kept("graphs", f"pyoxigraph {pyoxigraph.__version__}", _hashes(paths), "")
    if kept.exists():
        return kept
    with _making(kept) as unfinished:
        store = pyoxigraph.Store(str(unfinished))
        for path in paths:
            try:
                load(store, str(path))
            except (SyntaxError, ValueError, OSError) as error:
                raise UserError(f"cannot be read as triples: {error}", where=str(path)) from None
        store.optimize()
        store.flush()
        del store
        for inner in (unfinished, *unfinished.rglob("*")):
            inner.chmod(0o755 if inner.is_dir() else 0o644)
    return kept


def _hashes(paths: Sequence[Path]) -> list[str]:
    import xxhash

    made = []
    for path in paths:
        digest = xxhash.xxh3_128()
        with path.open("rb") as file:
            while part := file.read(MIB):
                digest.update(part)
        made.append(f"{_ending_of(path)} {digest.hexdigest()}")
    return made


def _ending_of(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower()


def _kept(kind: str, maker: str, parts: Iterable[str], ending: str) -> Path:
    import xxhash

    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tandem" / kind
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot be made: {error.strerror}", where=str(home), remedy="XDG_CACHE_HOME names another place"
        ) from None
    return home / (xxhash.xxh3_128("\n".join((_MADE_BY, maker, *parts)).encode()).hexdigest() + ending)


@contextlib.contextmanager
def _making(kept: Path) -> Iterator[Path]:
    """A name beside the wanted one, which becomes it at the end; whoever comes second keeps the first one's."""
    apart = Path(tempfile.mkdtemp(prefix="making-", dir=kept.parent))
    try:
        made = apart / "made"
        yield made
        with contextlib.suppress(OSError):  # a link never takes the place of another file, as a new name would
            if not made.is_dir():
                kept.hardlink_to(made)
        with contextlib.suppress(OSError):
            if not kept.exists():
                made.rename(kept)
        if not kept.exists():
            raise UserError("cannot be written", where=str(kept), remedy="XDG_CACHE_HOME names another place")
    finally:
        shutil.rmtree(apart, ignore_errors=True)
