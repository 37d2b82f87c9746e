"""Every judgment as a line of JSON, on disk before the page answers; the last line about an item counts.

    {"judging": {…}}                                         first: systems, question, items, seed
    {"annotator", "id", "choice", "left", "preferred", …}    one for each judgment, changed ones again
    {"annotator", "finished": true}                          after it an annotator's judgments stand

`choice` is what was pressed, `left` the system that stood on the left, `preferred` a system, `tie` or `cannot say`. A
torn last line, which a kill leaves, is dropped; any other that cannot be read is an error. What this does not do: keep
a second process out, which is the run folder's lock.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tandem.errors import UserError
from tandem.runs import disk_failure

Choice: TypeAlias = Literal["left", "right", "tie", "unsure"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
TIE, UNSURE = "tie", "cannot say"
"""What is preferred where it is no system."""
FILE = "judgments.jsonl"
"""Its name in a run's folder."""


@dataclass(frozen=True)
class Judging:
    """What is judged."""

    names: tuple[str, str]
    """The two systems."""
    question: str
    """What the annotators are asked."""
    items: int
    """How many there are."""
    seed: int
    """Decides items, orders, sides."""
    content: str
    """Fingerprint of the pairs: ids, prompts, answers."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.__dict__, "names": list(self.names)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Judging:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
        first, second = saved["names"]
        kept = {name: saved[name] for name in ("question", "items", "seed", "content")}
        return cls((str(first), str(second)), **kept)


@dataclass(frozen=True)
class Judgment:
    """What an annotator said of an item."""

    choice: Choice
    """What was pressed."""
    left: int
    """Which system stood on the left, 0 or 1."""
    note: str = ""
    """What was written beside it."""
    at: float = 0.0
    """When, in seconds since the epoch."""

    @property
    def preferred(self) -> int | Literal["tie", "cannot say"]:
        """The system that is better, 0 or 1, or neither."""
        if self.choice in ("left", "right"):
            return self.left if self.choice == "left" else 1 - self.left
        return "tie" if self.choice == "tie" else "cannot say"


@dataclass
class Record:
    """What a file of judgments says."""

    judging: Judging
    by: dict[str, dict[str, Judgment]] = field(default_factory=dict)
    """Annotator → item → judgment, in the order they began."""
    finished: set[str] = field(default_factory=set)
    """Those whose judgments stand."""

    def open(self, annotator: str) -> int:
        """How many items an annotator has still to judge."""
        return self.judging.items - len(self.by.get(annotator, {}))


class Ledger:
    """A file of judgments that grows."""

    def __init__(self, path: Path, judging: Judging) -> None:
        """Open or begin the file. Raises UserError where it belongs to another judging, with the difference."""
        self.path = path
        self._file: Any
        if path.exists():
            self.record = read(path)
            check(self.record.judging, judging, path)
            self._file = path.open("r+b")
            whole = _whole(self._file.read())
            self._file.truncate(len(whole))
            self._file.seek(len(whole))
        else:
            self.record = Record(judging)
            self._file = path.open("xb")
            self._append({"judging": judging.to_json()})

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def judge(self, annotator: str, id: str, choice: Choice, left: int, note: str = "") -> bool:
        """Keep a judgment; False where it says what is known, so that a form sent twice counts once.

        Raises UserError after the annotator has finished, Failure on a full disk: then nothing is kept.
        """
        if annotator in self.record.finished:
            raise UserError(f"{annotator} has finished: these judgments stand")
        before = self.record.by.get(annotator, {}).get(id)
        new = Judgment(choice, left, note, round(time.time(), 3))
        if before is not None and (before.choice, before.note) == (choice, note):
            return False
        preferred: object = new.preferred
        line: dict[str, object] = {
            "annotator": annotator,
            "id": id,
            "choice": choice,
            "left": self.record.judging.names[left],
        }
        line["preferred"] = self.record.judging.names[preferred] if isinstance(preferred, int) else preferred
        self._append(line | ({"note": note} if note else {}) | {"at": new.at})
        self.record.by.setdefault(annotator, {})[id] = new
        return True

    def finish(self, annotator: str) -> None:
        """The annotator's judgments stand from now on. Raises UserError while items are open."""
        if self.record.open(annotator):
            raise UserError(f"{self.record.open(annotator)} items are still to be judged")
        if annotator not in self.record.finished:
            self._append({"annotator": annotator, "finished": True, "at": round(time.time(), 3)})
            self.record.finished.add(annotator)

    def _append(self, line: Mapping[str, Any]) -> None:
        end = self._file.tell()
        try:
            self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as e:
            self._file = _reopened(self._file, self.path, end)
            raise disk_failure(e, self.path) from e


def read(path: Path) -> Record:
    """What a file of judgments says. Raises UserError, with file and line, on what is none."""
    remedy = "name the folder of a tandem judge, or its judgments.jsonl"
    try:
        lines = _whole(path.read_bytes()).split(b"\n")[:-1]
    except OSError as e:
        raise UserError(f"cannot be read ({e.strerror})", where=str(path), remedy=remedy) from e
    try:
        record = Record(Judging.from_json(json.loads(lines[0])["judging"]))
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        raise UserError("is no file of judgments", where=f"{path}:1", remedy=remedy) from None
    for number, raw in enumerate(lines[1:], 2):
        try:
            line = json.loads(raw)
            annotator = str(line["annotator"])
            if line.get("finished"):
                record.finished.add(annotator)
                continue
            left = record.judging.names.index(line["left"])
            if line["choice"] not in CHOICES:
                raise ValueError(line["choice"])
            judgment = Judgment(line["choice"], left, str(line.get("note", "")), float(line["at"]))
            record.by.setdefault(annotator, {})[str(line["id"])] = judgment
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            remedy = "mend or remove the line; a copy of the file first"
            raise UserError("is no judgment", where=f"{path}:{number}", remedy=remedy) from None
    return record


def check(before: Judging, now: Judging, path: Path) -> None:
    """Raise UserError, with the difference, where a file's judgments are about something else."""
    was, new = before.to_json(), now.to_json()
    told = {"content": "the answers to be judged", "names": "the systems"}
    changed = [
        told[key] + (" have changed" if key == "content" else f" were {was[key]}, are {new[key]}")
        if key in told
        else f"{key} was {was[key]!r}, is {new[key]!r}"
        for key in was
        if was[key] != new[key]
    ]
    if changed:
        remedy = "give what was given before, to go on, or name another folder: --out DIR"
        raise UserError(
            f"these judgments are about something else: {'; '.join(changed)}", where=str(path), remedy=remedy
        )


def _whole(data: bytes) -> bytes:
    """Up to the end of the last whole line."""
    return data[: data.rfind(b"\n") + 1]


def _reopened(file: Any, path: Path, end: int) -> Any:
    """The file again, cut where it was whole; what its buffer still held is lost with it."""
    import contextlib

    with contextlib.suppress(OSError):
        file.close()
    again = path.open("r+b")
    again.truncate(end)
    again.seek(end)
    return again
