"""Arrays and texts on disk, memory mapped: `NAME.npy`, and for texts `NAME.bin`, `NAME-ends.npy`, `NAME-sums.npy`.

A file whose size is not the one that its header or its ends tell is damaged, and opening it says so. Each text has a
checksum (CRC-32): one that is not as it was written is damaged, and reading it says so. What this does not do: sync,
know what an array means, or look for damage in the numbers of an array. Nothing here is pickled. Rejected: numpy's own
reader of the header, which parses it as Python: two threads that do so at once can fail in Python 3.11 (`SystemError`).
"""

from __future__ import annotations

import math
import mmap
import re
import zlib
from array import array
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError

Array = NDArray[Any]


_MAGIC, _FRONT = b"\x93NUMPY\x01\x00", 10
_HEADER = re.compile(rb"\{'descr': '([<|][a-z]\d+)', 'fortran_order': False, 'shape': \(([\d, ]+)\), \}\s*")
_NUMBER = re.compile(rb"\d+")


class Damaged(UserError):  # noqa: N818
    """A file of an index is not as it was written."""

    def __init__(self, path: Path, problem: str) -> None:
        index = path.parent.parent if path.parent.name.startswith("segment-") else path.parent
        remedy = f"remove {index}, and make the index again: tandem index FILES --out {index}"
        super().__init__(f"this file of the index {problem}", where=str(path), remedy=remedy)


def save(folder: Path, name: str, values: Array) -> None:
    """Write an array."""
    np.save(folder / f"{name}.npy", values, allow_pickle=False)


def load(folder: Path, name: str) -> Array:
    """Open an array for reading, memory mapped. Raises Damaged for a file that `save` did not write so."""
    path = folder / f"{name}.npy"
    try:
        with path.open("rb") as file:
            begin = file.read(_FRONT)
            header = _HEADER.fullmatch(file.read(int.from_bytes(begin[8:], "little")))
            offset = file.tell()
            size = file.seek(0, 2)
        if begin[:8] != _MAGIC or header is None:
            raise Damaged(path, "is damaged (not an array, or cut short)")
        kind, shape = np.dtype(header[1].decode()), tuple(map(int, _NUMBER.findall(header[2])))
        if size != (told := offset + kind.itemsize * math.prod(shape)):
            raise Damaged(path, f"is damaged ({size:,} bytes, not {told:,})")
        return np.asarray(np.memmap(path, kind, "r", offset, shape))
    except OSError as e:
        raise _unopened(path, e) from e
    except (TypeError, OverflowError) as e:
        raise Damaged(path, "is damaged (not an array, or cut short)") from e


def _unopened(path: Path, e: OSError) -> UserError:
    if isinstance(e, FileNotFoundError | NotADirectoryError):
        return Damaged(path, "is missing")
    return UserError(f"cannot be opened ({e.strerror or e})", where=str(path), remedy="check its permissions")


class Texts:
    """Texts by number, as bytes, each checked as it is read."""

    def __init__(self, folder: Path, name: str) -> None:
        """Raises Damaged where the file has another length than its texts, or there are not as many checksums."""
        self.path = folder / f"{name}.bin"
        self.ends = load(folder, f"{name}-ends")
        if self.ends.ndim != 1 or self.ends.dtype != np.uint64:
            raise Damaged(folder / f"{name}-ends.npy", "is damaged (not the ends of texts)")
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                self._data: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except OSError as e:
            raise _unopened(self.path, e) from e
        if size != (told := int(self.ends[-1]) if len(self.ends) else 0):
            raise Damaged(self.path, f"is damaged ({size:,} bytes, not {told:,})")
        self.sums = load(folder, f"{name}-sums")
        if self.sums.dtype != np.uint32 or self.sums.shape != self.ends.shape:
            raise Damaged(folder / f"{name}-sums.npy", "is damaged (it does not fit the others)")

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> bytes:
        begin, end = self.begin(number), int(self.ends[number])
        if not begin <= end <= len(self._data):
            raise Damaged(self.path.with_name(f"{self.path.stem}-ends.npy"), f"is damaged (text {number})")
        text = self._data[begin:end]
        if zlib.crc32(text) != self.sums[number]:
            raise Damaged(self.path, f"is damaged (text {number} is not as it was written)")
        return text

    def begin(self, number: int) -> int:
        """First byte of a text."""
        return int(self.ends[number - 1]) if number else 0

    def stretch(self, first: int, end: int) -> Any:
        """Bytes from one place to another, without a copy."""
        return memoryview(self._data)[first:end]


class TextsWriter:
    """Writes texts one after the other, and a checksum of each."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file = (folder / f"{name}.bin").open("wb")
        self._ends = array("Q")
        self._sums = array("I")
        self._many: list[Array] = []
        self._many_sums: list[Array] = []
        self._at = 0

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, text: bytes) -> None:
        """Append a text."""
        self._file.write(text)
        self._at += len(text)
        self._ends.append(self._at)
        self._sums.append(zlib.crc32(text))

    def add_stretch(self, data: Any, lengths: Array, sums: Array | None = None) -> None:
        """Append texts that stand one behind the other already, with their checksums where they are known.

        Not to be mixed with `add`.
        """
        ends = np.cumsum(lengths, dtype=np.uint64)
        if sums is None:
            places = [0, *ends.tolist()]
            sums = np.fromiter((zlib.crc32(data[a:b]) for a, b in pairwise(places)), np.uint32, len(ends))
        self._many_sums.append(sums)
        for low in range(0, len(data), 1 << 24):
            self._file.write(data[low : low + (1 << 24)])
        self._many.append(ends + np.uint64(self._at))
        self._at += len(data)

    def abandon(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> TextsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        self._file.close()
        if kind is None:
            save(self._folder, f"{self._name}-ends", _joined(self._ends, np.uint64, self._many))
            save(self._folder, f"{self._name}-sums", _joined(self._sums, np.uint32, self._many_sums))


def _joined(first: array[int], kind: type[Any], rest: list[Array]) -> Array:
    return np.concatenate([np.frombuffer(first, kind) if first else np.zeros(0, kind), *rest])
