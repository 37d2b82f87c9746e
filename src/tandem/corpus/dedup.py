"""Has this text been seen? Exact, by 128-bit hash, in bounded memory however many documents there are.

New hashes collect in a set; a full set becomes a sorted file on disk, and files of similar size are merged, so a few
remain to search. 128 bits: among 10^12 documents a false match has a chance of about 10^-15. Rejected: a Bloom filter,
which drops documents nobody has seen.

Near duplicates are another matter and not looked for.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
import xxhash
from numpy.typing import NDArray

from tandem.runs import disk_failure

_BYTES_EACH = 130
"""Memory of one hash in a Python set: a bytes object of 49, and its share of the table, which may be 7/10 empty."""


class Seen:
    """The texts met so far. A context manager; the files it may write lie in a temporary folder under `folder`."""

    def __init__(self, memory: int = 256 << 20, folder: Path | None = None) -> None:
        self.memory = memory
        """Bytes the set may take; merging two files takes as much."""
        self._limit = max(1, memory // _BYTES_EACH)
        self._fresh: set[bytes] = set()
        self._runs: list[tuple[Path, NDArray[np.uint64]]] = []
        self._parent = folder
        self._folder: Path | None = None
        self._made = 0

    def add(self, text: str) -> bool:
        """Whether the text is new; it counts as seen from now on."""
        digest = xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
        if digest in self._fresh or any(_holds(run, digest) for _, run in self._runs):
            return False
        self._fresh.add(digest)
        if len(self._fresh) >= self._limit:
            self._spill()
        return True

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, at: TracebackType | None) -> None:
        self._runs.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _spill(self) -> None:
        """Write the set as a sorted file of (high, low) rows; then merge while the last two are of similar size."""
        hashes = np.frombuffer(b"".join(self._fresh), dtype=">u8").reshape(-1, 2).astype("<u8")
        self._fresh.clear()
        self._write([_sorted(hashes)])
        while len(self._runs) > 1 and len(self._runs[-1][1]) * 2 > len(self._runs[-2][1]):
            self._merge()

    def _merge(self) -> None:
        (first_path, first), (second_path, second) = self._runs[-2:]
        del self._runs[-2:]
        # Hashes are uniform: equal slices of their range are parts of nearly equal size, each sorted in memory.
        slices = 1 + (len(first) + len(second)) * 64 // max(self.memory, 1 << 16)
        bounds = [int(x) for x in np.linspace(0, len(first), slices + 1)]
        edges = [first[at, 0] for at in bounds[1:-1]]
        cuts = [
            np.concatenate([[0], np.searchsorted(run[:, 0], edges), [len(run)]]).astype(int) for run in (first, second)
        ]
        self._write(
            _sorted(np.concatenate([run[cut[i] : cut[i + 1]] for run, cut in zip((first, second), cuts)]))
            for i in range(slices)
        )
        first_path.unlink()
        second_path.unlink()

    def _write(self, parts: Iterable[NDArray[np.uint64]]) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="seen-", dir=self._parent))
        path = self._folder / f"{self._made}.hashes"
        self._made += 1
        try:
            with path.open("wb") as f:
                for part in parts:
                    f.write(part.data)
        except OSError as e:
            raise disk_failure(e, path) from e
        rows = np.memmap(path, dtype="<u8", mode="r").view(np.ndarray).reshape(-1, 2)
        self._runs.append((path, rows))


def _sorted(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(hashes[np.lexsort((hashes[:, 1], hashes[:, 0]))])


def _holds(run: NDArray[np.uint64], digest: bytes) -> bool:
    high, low = np.uint64(int.from_bytes(digest[:8], "big")), np.uint64(int.from_bytes(digest[8:], "big"))
    at = int(np.searchsorted(run[:, 0], high))
    while at < len(run) and run[at, 0] == high:
        if run[at, 1] == low:
            return True
        at += 1
    return False
