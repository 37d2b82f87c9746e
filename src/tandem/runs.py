"""A run is a folder: what was asked, what happened, what came out. Kill it anywhere, run it again: it continues.

    recipe.toml        the resolved recipe; a changed recipe in the same folder is an error that shows the difference
    run.json           versions, seed, hashes, host
    events.jsonl       append-only, with the clock: progress, speed, decisions; a torn last line is dropped
    NN-stage/          one per finished stage: written as NN-stage.tmp/, synced, renamed; `stage.json` lists the hashes
    results.json       figures, tables, curves, examples, without any clock (byte-identical for identical runs)
    report.html        made from all of the above

What this does not do: know what a stage is. A stage is a name and a function that fills a folder.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from tandem.errors import Failure, UserError
from tandem.results import Results, from_json, to_json
from tandem.text import fingerprint

# ── Files that are whole or absent ──────────────────────────────────────────────────────────────────────────────────


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part; survives power loss.

    Raises Failure, naming the file, when the disk is full or the folder cannot be written; UserError when `path` is
    there and is no regular file (a rename would put one in the place of a device).
    """
    if path.exists() and not path.is_file():
        raise UserError("is not a regular file", where=str(path), remedy="name a file, or a path where nothing is yet")
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
            f.flush()
            os.fsync(f.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as e:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise disk_failure(e, path) from e


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a line of JSON for each row, as `write_whole` does.

    A lone surrogate, which no UTF-8 file can hold, is written as JSON's escape of it: every reader reads the file.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_whole(path, lines.encode("utf-8", "backslashreplace"))


def disk_failure(e: OSError, path: Path) -> Failure:
    """What an OSError while writing means to the user."""
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(
            "the disk is full", where=str(path), remedy="free some space, then run the same command again: it continues"
        )
    return Failure(f"cannot write ({e.strerror or e})", where=str(path), remedy="check the folder and its permissions")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder that appears whole or not at all: yields `path.tmp`, syncs every file in it, renames it to `path`.

    When the body raises, the temporary folder is removed and nothing is left in place. `path` must not exist.
    """
    if path.exists():
        raise UserError(
            "the output folder exists already", where=str(path), remedy="choose another --out, or remove it first"
        )
    tmp = path.with_name(path.name + ".tmp")
    try:
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir(parents=True)
        yield tmp
        for file in sorted(p for p in tmp.rglob("*") if p.is_file()):
            with file.open("rb") as f:
                os.fsync(f.fileno())
        tmp.rename(path)
        _sync_folder(path.parent)
    except OSError as e:
        shutil.rmtree(tmp, ignore_errors=True)
        raise disk_failure(e, path) from e
    except BaseException:
        shutil.rmtree(tmp, ignore_errors=True)
        raise


def beside(path: Path, ending: str) -> Path:
    """The file beside a path that has its name and an ending: `runs/a` and `.answers.db` give `runs/a.answers.db`."""
    named = path if path.name not in ("", "..") else path.resolve()
    if not named.name:
        raise UserError("has no place beside it", where=str(path), remedy="name a folder below it")
    return named.with_name(named.name + ending)


def check_place(path: Path) -> None:
    """Raise UserError where no run can begin or go on: at a file, in a folder that holds something else."""
    if path.exists() and not path.is_dir():
        raise UserError("is a file, not a folder", where=str(path), remedy="name a new folder with --out")
    if not path.exists() or (path / "recipe.toml").exists():
        return
    strangers = sorted(p.name for p in path.iterdir() if p.name not in {".lock", "recipe.toml.part"})
    if strangers:
        raise UserError(
            f"the folder is not empty and holds no run ({', '.join(strangers[:3])} …)",
            where=str(path),
            remedy="name an empty or new folder",
        )


# ── The folder ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Run:
    """An open run folder, locked against other processes while it is open. Use as a context manager."""

    def __init__(self, path: Path, recipe: str, facts: Mapping[str, Any] | None = None) -> None:
        """Open or create the folder for this resolved recipe (TOML text).

        Raises UserError when the folder holds another recipe, or when another process has it open.
        """
        self.path = path
        try:
            check_place(path)
            path.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (path / ".lock").open("a")
        except OSError as e:
            raise disk_failure(e, path) from e
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            self._lock.close()
            raise UserError(
                "another process is working in this run folder", where=str(path), remedy="wait for it, or end it first"
            ) from e
        try:
            self._claim(recipe, facts or {})
            self._mend_events()
            self._drop_work()
            self._events: IO[str] = (path / "events.jsonl").open("a")
        except BaseException:
            self._lock.close()
            raise

    def _claim(self, recipe: str, facts: Mapping[str, Any]) -> None:
        saved = self.path / "recipe.toml"
        if not saved.exists():
            check_place(self.path)
            write_whole(saved, recipe)
        elif (before := self._recipe()) != recipe and not self._begun():
            (self.path / "run.json").unlink(missing_ok=True)
            write_whole(saved, recipe)
        elif before != recipe:
            difference = "\n".join(
                difflib.unified_diff(before.splitlines(), recipe.splitlines(), "this run", "now", "", "", 0, "")
            )
            raise UserError(
                f"the recipe has changed since this run began:\n{difference}",
                where=str(self.path),
                remedy="restore the recipe to continue, or name another folder with --out",
            )
        about = {"tandem": _version(), "recipe": fingerprint(recipe)} | dict(facts) | {"host": host()}
        if not (self.path / "run.json").exists():
            write_whole(self.path / "run.json", json.dumps(about, indent=2) + "\n")

    def _recipe(self) -> str:
        """The recipe this run began with."""
        path = self.path / "recipe.toml"
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(
                f"the run's recipe cannot be read ({e})", where=str(path), remedy="name another folder with --out"
            ) from e

    def _begun(self) -> bool:
        """Whether there is anything to lose: a finished stage, a checkpoint, results."""
        kept = (p for p in self.path.iterdir() if p.name == "results.json" or p.is_dir())
        return any(p.is_file() or (p.suffix != ".tmp" and any(p.iterdir())) for p in kept)

    def _mend_events(self) -> None:
        """Drop a last line that was torn by a kill."""
        events = self.path / "events.jsonl"
        if not events.exists():
            return
        data = events.read_bytes()
        if data and not data.endswith(b"\n"):
            with events.open("r+b") as f:
                f.truncate(data.rfind(b"\n") + 1)

    def _drop_work(self) -> None:
        """Remove checkpoints of stages that stand: what a kill between a stage's rename and their removal leaves."""
        for work in self.path.glob("*.work"):
            if self.finished(work.name.removesuffix(".work")):
                shutil.rmtree(work, ignore_errors=True)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc: object) -> None:
        self._events.close()
        self._lock.close()

    def event(self, kind: str, **facts: Any) -> None:
        """Append one line to events.jsonl: kind, wall clock (seconds since the epoch), and facts."""
        line = json.dumps({"event": kind, "at": round(time.time(), 3)} | facts, ensure_ascii=False)
        try:
            self._events.write(line + "\n")
            self._events.flush()
        except OSError as e:
            raise disk_failure(e, self.path / "events.jsonl") from e

    def finished(self, stage: str) -> bool:
        """Whether the stage's folder stands."""
        return (self.path / stage / "stage.json").exists()

    @contextlib.contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[Path]:
        """Fill a stage folder: yields a temporary folder; on leaving it gets `stage.json` with hashes and its name.

        Anything for resuming inside the stage belongs into `self.work(name)`, which is removed when the stage stands.
        """
        began = time.monotonic()
        self.event("stage begins", stage=name)
        with atomic_folder(self.path / name) as folder:
            yield folder
            files = {str(p.relative_to(folder)): file_hash(p) for p in sorted(folder.rglob("*")) if p.is_file()}
            (folder / "stage.json").write_text(json.dumps({"stage": name, **facts, "files": files}, indent=2) + "\n")
        shutil.rmtree(self.path / f"{name}.work", ignore_errors=True)
        self.event("stage ends", stage=name, seconds=round(time.monotonic() - began, 3))

    def work(self, name: str) -> Path:
        """Folder for a stage's own checkpoints while it runs."""
        folder = self.path / f"{name}.work"
        folder.mkdir(exist_ok=True)
        return folder

    def write_results(self, results: Results) -> None:
        """Write results.json, without a clock."""
        write_whole(self.path / "results.json", json.dumps(to_json(results), indent=1, ensure_ascii=False) + "\n")


def read_results(run: Path) -> Results:
    """Results of a finished run; `{run}` in its next steps becomes the folder's path.

    Raises UserError where there are none, or they do not parse.
    """
    path = run / "results.json"
    if not path.exists():
        remedy = "finish the run first: tandem run RECIPE --out " + str(run) if run.is_dir() else "check the path"
        raise UserError("no results.json here", where=str(run), remedy=remedy)
    try:
        results = from_json(json.loads(path.read_text()))
    except (ValueError, TypeError, KeyError, OSError) as e:
        raise UserError(f"not a results file of this version ({e})", where=str(path)) from e
    if not isinstance(results, Results):
        raise UserError("not a results file", where=str(path))
    try:
        steps = tuple((what, command.replace("{run}", str(run))) for what, command in results.next_steps)
    except (ValueError, AttributeError, TypeError):
        return results  # not what it should be: whoever checks the types says so
    return replace(results, next_steps=steps)


def read_events(run: Path) -> list[dict[str, Any]]:
    """All events of a run in order; a torn last line is left out."""
    path = run / "events.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    events = []
    for number, line in enumerate(lines, 1):
        try:
            if line:
                events.append(json.loads(line))
        except ValueError as e:
            if number < len(lines):
                raise UserError(f"not JSON ({e})", where=f"{path}:{number}") from e
    return events


def host() -> dict[str, Any]:
    """Machine and interpreter, for run.json: nothing that names a person or an address."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
    }


def _version() -> str:
    from tandem import __version__

    return __version__
