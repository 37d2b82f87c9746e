"""Run folders on the disk: found under the places that were named, and summed up for a list.

A run is a folder with a file that runs write; a folder of such folders stands for all of them, and a single file of
JSON lines for itself. What is damaged, or no run at all, is in the list with the reason. A summary is read again when
one of its files has changed. What this does not do: lock, or write; whether a process works in a folder is read from
the kernel's list of locks, since taking the lock to see would refuse it to the process that needs it.
"""

from __future__ import annotations

import json
import os
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.report import folder as reading
from tandem.results import Figure, from_json
from tandem.view.items import ItemFile
from tandem.view.items.record import id_of

WRITTEN = ("results.json", "run.json", "recipe.toml", "events.jsonl")
"""Files that make a folder a run."""
DEEP, WIDE = 4, 20_000
"""Folders below one another that are looked into, and how many in all."""
ALIVE = 60.0
"""Seconds after its last sign of life in which a run without results is taken for running."""
STATES = {
    "running": "in progress",
    "complete": "complete",
    "gaps": "complete, with gaps",
    "stopped": "stopped",
    "damaged": "damaged",
    "file": "a file",
    "foreign": "no run",
}


@dataclass(frozen=True)
class Run:
    """One line of the list."""

    slug: str
    """Its name in addresses."""
    path: Path
    """The folder, or the file."""
    title: str
    """What was made."""
    state: str
    """One of STATES."""
    problem: str = ""
    """What is wrong with it."""
    lead: str = ""
    """How good it is, in a sentence."""
    model: str = ""
    """The model that was asked or made, as far as the recipe says."""
    tasks: tuple[str, ...] = ()
    """What was measured."""
    headline: tuple[Figure, ...] = ()
    """The numbers a reader wants first."""
    began: float | None = None
    """First moment, seconds since the epoch."""
    last: float | None = None
    """Last sign of life."""

    @property
    def words(self) -> str:
        """What a search in the list looks at."""
        parts = (self.title, str(self.path), self.model, *self.tasks, STATES[self.state], self.problem)
        return "\n".join((*parts, *(figure.name for figure in self.headline))).casefold()


class Library:
    """The runs under some places."""

    LOOK = 0.5
    """Seconds between two looks at the folders."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = [place.resolve() for place in places]
        self._known: dict[Path, tuple[object, Run]] = {}
        self._files: dict[Path, tuple[float, dict[str, ItemFile]]] = {}
        self._runs: dict[str, Run] = {}
        self._looked = -1.0
        self._lock = threading.Lock()

    def runs(self) -> list[Run]:
        """All runs, and what is none, in the order in which they were found."""
        with self._lock:
            if time.monotonic() - self._looked > self.LOOK or self._looked < 0:
                self._runs = {run.slug: run for run in self._look()}
                self._looked = time.monotonic()
            return list(self._runs.values())

    def run(self, slug: str) -> Run | None:
        """The run of an address."""
        found = next((run for run in self.runs() if run.slug == slug), None)
        if found is None:  # it may be new
            self._looked = -1.0
            found = next((run for run in self.runs() if run.slug == slug), None)
        return found

    def files(self, run: Run) -> dict[str, ItemFile]:
        """The run's files of items by their names in addresses."""
        with self._lock:
            at, files = self._files.get(run.path, (-1.0, {}))
            if at < 0 or time.monotonic() - at > self.LOOK:
                paths = item_files(run.path) if run.path.exists() else []
                names = {
                    path.name if path == run.path else path.relative_to(run.path).as_posix(): path for path in paths
                }
                files = {name: files.get(name) or ItemFile(path) for name, path in names.items()}
                self._files[run.path] = (time.monotonic(), files)
            return files

    def _look(self) -> Iterator[Run]:
        paths = list(dict.fromkeys(path for place in self._places for path in _below(place)))
        locked = _locked()
        self._known = {path: known for path, known in self._known.items() if path in set(paths)}
        for path, slug in zip(paths, _slugs(paths), strict=True):
            signature = _signature(path)
            known = self._known.get(path)
            if known is None or known[0] != signature:
                known = self._known[path] = (signature, _summary(path))
            yield replace(known[1], slug=slug, state=_state(known[1], path, locked))


def item_files(path: Path) -> list[Path]:
    """Files of items in a run: JSON lines whose first record has an id, or that are called so."""
    if path.is_file():
        return [path]
    files = [
        file
        for file in path.rglob("*.jsonl")
        if file.name != "events.jsonl"
        and not any(part.endswith((".tmp", ".work")) for part in file.relative_to(path).parts[:-1])
        and (file.stem.endswith("items") or _has_ids(file))
    ]
    return sorted(files, key=lambda file: (len(file.relative_to(path).parts), not file.stem.endswith("items"), file))


def _has_ids(file: Path) -> bool:
    try:
        with file.open("rb") as f:
            record = json.loads(f.readline(1 << 20))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and bool(id_of(record))


def _below(place: Path) -> Iterator[Path]:
    """Runs in a place, itself included; and what is none: the place itself, or what lies right below it."""
    if not place.is_dir() or _is_run(place):
        yield place
        return
    seen = 0
    any_run = False
    level = [place]
    for depth in range(DEEP):
        deeper = []
        for parent in level:
            for child in _children(parent):
                seen += 1
                if seen > WIDE:
                    return
                if _is_run(child):
                    any_run = True
                    yield child
                elif child.is_dir():
                    deeper.append(child)
        if depth == 0:
            foreign = deeper
        level = deeper
    if not any_run:
        yield place
    else:
        yield from (child for child in foreign if not any(_is_run(run) for run in _children(child)))


def _children(parent: Path) -> list[Path]:
    try:
        entries = [
            e for e in os.scandir(parent) if not e.name.startswith(".") and not e.name.endswith((".tmp", ".work"))
        ]
    except OSError:
        return []
    return sorted(Path(e.path) for e in entries if e.is_dir(follow_symlinks=True))


def _is_run(path: Path) -> bool:
    return path.is_dir() and any((path / name).exists() for name in WRITTEN)


def _slugs(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of their parents as it takes to tell them apart."""
    for n in range(1, max((len(p.parts) for p in paths), default=1) + 1):
        names = ["~".join(p.parts[-n:]).strip("/~") or "root" for p in paths]
        if n == 1:
            short = names
        if len(set(names)) == len(names):
            clear = {name for name in short if short.count(name) == 1}
            return [s if s in clear else name for s, name in zip(short, names, strict=True)]
    return [f"{name}~{number}" for number, name in enumerate(short)]


def _signature(path: Path) -> object:
    found = []
    for file in [path] if path.is_file() else [path / name for name in WRITTEN]:
        try:
            stat = file.stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError as e:
            found.append((e.errno or 0, 0, 0))
    return tuple(found)


def _summary(path: Path) -> Run:
    """What a folder says of itself; whatever is wrong with it becomes its problem."""
    if path.is_file():
        return Run("", path, path.name, "file", last=path.stat().st_mtime)
    if not path.is_dir():
        return Run("", path, path.name, "foreign", "there is no such folder")
    if not _is_run(path):
        remedy = f"it holds none of {', '.join(WRITTEN)}"
        return Run("", path, path.name, "foreign", remedy)
    run = Run("", path, path.name, "stopped")
    try:
        began, last, gaps = _moments(path / "events.jsonl")
        last = last if last is not None else max(p.stat().st_mtime for name in WRITTEN if (p := path / name).exists())
        run = replace(run, began=began, last=last)
        recipe = _recipe(path / "recipe.toml")
        title = recipe.get("title")
        title = title if isinstance(title, str) and title else path.name
        run = replace(run, title=title, model=model_of(recipe), tasks=tasks_of(recipe))
        if (path / "results.json").exists():
            made, lead, headline = _headline(path / "results.json")
            run = replace(run, title=made, lead=lead, headline=headline, state="gaps" if gaps else "complete")
    except UserError as e:
        return replace(run, state="damaged", problem=f"{Path(e.where or '').name}: {e.problem}".removeprefix(": "))
    except (OSError, ValueError, RecursionError) as e:
        return replace(run, state="damaged", problem=str(e))
    return run


def _headline(file: Path) -> tuple[str, str, tuple[Figure, ...]]:
    """Title, lead and headline of a results file; the rest is read when the run is looked at."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        told = saved["title"], saved["lead"], from_json(saved["headline"])
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as e:
        raise UserError(f"not a results file ({type(e).__name__}: {e})", where=str(file)) from e
    hints = (str, str, tuple[Figure, ...])
    title, lead, headline = (
        reading.fitted(value, hint, "", str(file)) for value, hint in zip(told, hints, strict=True)
    )
    return title, lead, headline


def _recipe(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except ValueError as e:
        raise UserError(f"not TOML ({e})", where=str(file)) from e


def model_of(recipe: Mapping[str, Any]) -> str:
    """The model a recipe names: the address that was given, or its name."""
    parts = [part for part in recipe.values() if isinstance(part, Mapping)]
    for name in ("address", "model", "base"):
        for part in (recipe, *parts):
            if isinstance(part.get(name), str) and part[name]:
                return str(part[name])
    return ""


def tasks_of(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """What an evaluation measured: its parts with data of their own."""
    if "evaluate" not in recipe:
        return ("compare",) if "compare" in recipe else ()
    return tuple(name for name, part in recipe.items() if isinstance(part, Mapping) and name != "evaluate")


def _moments(events: Path) -> tuple[float | None, float | None, bool]:
    """First and last moment, and whether anything ended incomplete: out of both ends of a file that may be long."""
    try:
        with events.open("rb") as f:
            head = f.read(1 << 13)
            f.seek(max(0, f.seek(0, os.SEEK_END) - (1 << 16)))
            tail = f.read()
    except FileNotFoundError:
        return None, None, False
    first = [e for e in map(_event, head.split(b"\n")[:3]) if e]
    later = [e for e in map(_event, tail.split(b"\n")) if e]
    at = [float(e["at"]) for e in (*first, *later) if isinstance(e.get("at"), int | float)]
    ends = {e.get("task"): e.get("complete") for e in later if e.get("event") in ("task ends", "questions end")}
    return (min(at), max(at), False in ends.values()) if at else (None, None, False)


def last_events(events: Path, n: int) -> list[dict[str, Any]]:
    """The last events of a run, oldest first; what is torn or no event is left out."""
    try:
        with events.open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - (1 << 14)))
            return [e for e in map(_event, f.read().split(b"\n")) if e][-n:]
    except OSError:
        return []


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None  # torn, or cut by reading only the end
    return found if isinstance(found, dict) else None


def _state(run: Run, path: Path, locked: frozenset[int] | None) -> str:
    if run.state in ("foreign", "file", "damaged"):
        return run.state
    try:
        at_work = locked is not None and (path / ".lock").stat().st_ino in locked
    except OSError:
        at_work = False
    fresh = run.state == "stopped" and run.last is not None and 0 <= time.time() - run.last < ALIVE
    return "running" if at_work or fresh else run.state


def _locked() -> frozenset[int] | None:
    """Numbers of the files that some process has locked; None where the system does not tell."""
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    parts = [line.split() for line in lines]
    held = [p[5] for p in parts if len(p) > 5 and p[1:4] == ["FLOCK", "ADVISORY", "WRITE"]]
    return frozenset(int(place.rpartition(":")[2]) for place in held if place.rpartition(":")[2].isdigit())
