"""An index over a file of items: where each record stands, the columns it is filtered by, its words to be searched.

    file = ItemFile(path)
    index = file.index()                 # begins in a thread of its own; again when the file has been replaced
    index.wait(50, seconds=0.3)          # the first rows are there after milliseconds, whatever the file's size
    index.snapshot()                     # what is known by now
    index.record(17)

The index lives in memory, as large as the file's texts, and goes with the process. Keeping it on disk was rejected:
it would have to be kept out of the run's folder, checked against a file that may have changed, and cleaned up by
somebody, to save the second that 100,000 items take while the first page stands already.

Lines that are no JSON object are counted, the first with place and reason; a last line without an end is left for later
unless it is whole already (a part of an object is none). What this does not do: write.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.view.items.batch import Batch, Broken, parsed
from tandem.view.items.columns import Grown, Names, Text, text_of

CHUNK = 1 << 20
"""Bytes read at a time."""
FIRST = 1 << 16
"""Bytes read first, so that a first page stands at once."""
PROBE = 4096
"""Bytes at both ends of what is known, to see whether a file of the same name and number is still the same."""
LONGEST = 1 << 28
"""Bytes a line may have."""
FEW = 20
"""Different names that a column may always have; more must come twice each."""
KEPT = 20
"""Broken lines that are kept with their reasons."""
QUESTIONS = 24
"""Answers to filters that are kept."""


@dataclass(frozen=True)
class Snapshot:
    """What is known of a file at one moment; nothing in it changes any more."""

    n: int
    """Rows: records in the order of the file."""
    complete: bool
    """Whether the whole file has been read, as far as it is written."""
    share: float
    """Part of the file's bytes that has been read."""
    verdicts: NDArray[np.int8]
    """1 right, 0 wrong, -1 not said."""
    numbers: dict[str, NDArray[np.float64]]
    """Columns of numbers; NaN where a row has none."""
    names: dict[str, tuple[NDArray[np.int32], tuple[str, ...]]]
    """Columns of names: a code for each row, -1 for none, and what the codes stand for."""
    keys: NDArray[np.int64]
    """Hashes of `record.key_of`, 0 for none; the same within one process only."""
    ids: list[str]
    """Ids; longer than `n` where more rows have come since."""
    text: list[Text]
    """What is searched."""
    broken: int
    """Lines that are no records."""
    first_broken: tuple[Broken, ...]
    """The first of them."""


class Index:
    """The index of one file as it is now; it may grow at its end. Begin it by `begin`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        self.identity = _identity(os.fstat(self._file.fileno()))
        self._change = threading.Condition()
        self._working = self._stuck = False
        self._done = 0  # bytes that are read
        self._unended = False  # whether they end within a line that is whole nevertheless
        self._size = 0
        self._line = 0
        self._n = 0
        self._starts, self._lengths, self._lines = Grown(np.int64, 0), Grown(np.int64, 0), Grown(np.int64, 0)
        self._verdicts, self._keys = Grown(np.int8, -1), Grown(np.int64, 0)
        self._numbers: dict[str, Grown] = {}
        self._names: dict[str, Names] = {}
        self._ids: list[str] = []
        self._text: list[Text] = []
        self._broken = 0
        self._first_broken: list[Broken] = []
        self._ends: tuple[bytes, bytes] = (b"", b"")
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self.looked = 0.0
        """When the file was last looked at."""

    def begin(self) -> None:
        """Read what is new, in a thread; a thread that is reading goes on."""
        with self._change:
            self._size = os.fstat(self._file.fileno()).st_size
            if self._working or self._stuck or self._size <= self._done:
                return
            self._working = True
        threading.Thread(target=self._work, name=f"index {self.path.name}", daemon=True).start()

    def same(self) -> bool:
        """Whether the file under this name still is the one that was read, perhaps longer now."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return _identity(now) == self.identity and now.st_size >= self._done and self._probe() == self._ends

    def wait(self, rows: int | None, seconds: float) -> bool:
        """Wait until so many rows are known, or all of them; whether they are."""

        def enough() -> bool:
            return not self._working or (rows is not None and self._n >= rows)

        with self._change:
            return self._change.wait_for(enough, seconds)

    def snapshot(self) -> Snapshot:
        """What is known by now."""
        with self._change:
            n, complete, size, done = self._n, not self._working, self._size, self._done
            broken, first, text = self._broken, tuple(self._first_broken), list(self._text)
            verdicts, keys = self._verdicts.upto(n), self._keys.upto(n)
            numbers = {name: column.upto(n) for name, column in self._numbers.items()}
            names = {
                name: (column.upto(n), tuple(column.values))
                for name, column in self._names.items()
                if not column.given_up and (len(column.values) <= FEW or len(column.values) * 2 <= n)
            }
        if not (verdicts >= 0).any() and (score := numbers.get("score")) is not None and _says_verdicts(score):
            verdicts = np.where(np.isnan(score), -1, score).astype(np.int8)
        share = done / size if size else 1.0
        return Snapshot(n, complete, share, verdicts, numbers, names, keys, self._ids, text, broken, first)

    def record(self, row: int) -> dict[str, Any]:
        """A record, read from the file. Raises ValueError where the file has been overwritten since."""
        found = parsed(self.line(row))
        if found is None:
            raise ValueError("the file has been overwritten")
        return found

    def line(self, row: int) -> bytes:
        """The line a record stands in."""
        start, length = int(self._starts.upto(row + 1)[row]), int(self._lengths.upto(row + 1)[row])
        return os.pread(self._file.fileno(), length, start)

    def line_number(self, row: int) -> int:
        """Where a record stands, from 1."""
        return int(self._lines.upto(row + 1)[row])

    def row_at(self, line: int, n: int) -> int | None:
        """The record in a line, among the first n."""
        lines = self._lines.upto(n)
        row = int(np.searchsorted(lines, line))
        return row if row < n and lines[row] == line else None

    def remembered(self, question: Hashable, answer: Any = None) -> Any:
        """An answer kept under a question, or the one given, which is kept; None where there is none."""
        with self._change:
            if answer is not None:
                self._answers[question] = answer
                while len(self._answers) > QUESTIONS:
                    self._answers.popitem(last=False)
            elif question in self._answers:
                self._answers.move_to_end(question)
            return self._answers.get(question)

    # ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        try:
            chunk = FIRST
            while True:
                with self._change:
                    self._size = os.fstat(self._file.fileno()).st_size
                more = self._read(chunk)
                with self._change:
                    if not more:
                        self._working = False
                    self._change.notify_all()
                    if not more:
                        return
                chunk = CHUNK
        except OSError as e:
            self._stop(f"the file cannot be read from here on ({e.strerror or e})")
        except BaseException:
            self._stop("indexing ended here by a mistake of the program")
            raise

    def _stop(self, why: str) -> None:
        with self._change:
            self._broken += 1
            self._first_broken.append(Broken(self._line + 1, why))
            self._working, self._stuck = False, True
            self._change.notify_all()

    def _read(self, chunk: int) -> bool:
        """Index the next whole lines; False where there is none."""
        fd = self._file.fileno()
        data = os.pread(fd, chunk, self._done)
        while b"\n" not in data and len(data) == chunk:  # one line longer than that
            chunk *= 2
            if chunk > LONGEST:
                raise OSError(f"a line of more than {LONGEST >> 20} MiB")
            data = os.pread(fd, chunk, self._done)
        whole = data.rfind(b"\n") + 1
        if not whole and data and parsed(data) is not None:
            whole = len(data)
        if not whole:
            return False
        self._add(data[:whole], self._done)
        return True

    def _add(self, data: bytes, start: int) -> None:
        lines = data.split(b"\n")
        ended = not lines[-1]
        if ended:
            lines.pop()
        batch = Batch(self._n)
        at, number = start, self._line
        if self._unended and lines and not lines[0].strip():  # the end of the last line, come at last
            at += len(lines.pop(0)) + 1
        for line in lines:
            number += 1
            if line.strip():
                batch.take(line, at, number)
            at += len(line) + 1
        first = self._n
        self._starts.put(first, batch.starts)
        self._lengths.put(first, batch.lengths)
        self._lines.put(first, batch.lines)
        self._verdicts.put(first, batch.verdicts)
        self._keys.put(first, batch.keys)
        text = text_of(first, batch.texts)
        with self._change:  # from here on the rows can be seen
            for name, values in batch.numbers.items():
                column = self._numbers.setdefault(name, Grown(np.float64, np.nan))
                column.upto(first + len(batch.starts))[list(values)] = list(values.values())
            for name, words in batch.names.items():
                self._names.setdefault(name, Names()).set(words)
            self._ids += batch.ids
            if batch.starts:
                self._text.append(text)
            self._broken += len(batch.broken)
            self._first_broken += batch.broken[: KEPT - len(self._first_broken)]
            self._line, self._done, self._unended = number, start + len(data), not ended
            self._ends = self._probe()
            self._n += len(batch.starts)

    def _probe(self) -> tuple[bytes, bytes]:
        """The first and the last bytes of what is read."""
        try:
            with self.path.open("rb") as file:
                if _identity(os.fstat(file.fileno())) != self.identity:
                    return b"", b"another file"
                first = os.pread(file.fileno(), min(PROBE, self._done), 0)
                return first, os.pread(file.fileno(), min(PROBE, self._done), max(0, self._done - PROBE))
        except OSError:
            return b"", b"no file"


class ItemFile:
    """A file of items under a name; its index is begun when it is wanted, and again when it was replaced."""

    LOOK = 0.2
    """Seconds between two looks at the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: Index | None = None
        self._lock = threading.Lock()

    def index(self) -> Index:
        """The index of the file as it is now, perhaps still being read. Raises OSError where there is no file."""
        with self._lock:
            now = time.monotonic()
            index = self._index
            if index is not None and now - index.looked < self.LOOK:
                return index
            if index is None or not index.same():
                index = self._index = Index(self.path)
            index.looked = now
            index.begin()
            return index


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _says_verdicts(score: NDArray[np.float64]) -> bool:
    """Whether a column holds 0 and 1 and nothing else."""
    known = score[~np.isnan(score)]
    return bool(known.size) and bool(np.isin(known, (0.0, 1.0)).all())
