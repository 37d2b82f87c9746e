"""Arrays and texts on disk, memory mapped: `NAME.npy`, and for texts `NAME.bin` with `NAME-ends.npy`.

What this does not do: sync, or know what an array means. Nothing here is pickled.
"""

from __future__ import annotations

import mmap
from array import array
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def save(folder: Path, name: str, values: Array) -> None:
    """Write an array."""
    np.save(folder / f"{name}.npy", values, allow_pickle=False)


def load(folder: Path, name: str) -> Array:
    """Open an array for reading, memory mapped."""
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))


class Texts:
    """Texts by number, as bytes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.ends = load(folder, f"{name}-ends")
        with (folder / f"{name}.bin").open("rb") as file:
            empty = not file.seek(0, 2)
            self._data: mmap.mmap | bytes = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> bytes:
        return self._data[self.begin(number) : int(self.ends[number])]

    def begin(self, number: int) -> int:
        """First byte of a text."""
        return int(self.ends[number - 1]) if number else 0

    def stretch(self, first: int, end: int) -> Any:
        """Bytes from one place to another, without a copy."""
        return memoryview(self._data)[first:end]


class TextsWriter:
    """Writes texts one after the other."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file = (folder / f"{name}.bin").open("wb")
        self._ends = array("Q")
        self._many: list[Array] = []
        self._at = 0

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, text: bytes) -> None:
        """Append a text."""
        self._file.write(text)
        self._at += len(text)
        self._ends.append(self._at)

    def add_stretch(self, data: Any, lengths: Array) -> None:
        """Append texts that stand one behind the other already; not to be mixed with `add`."""
        for low in range(0, len(data), 1 << 24):
            self._file.write(data[low : low + (1 << 24)])
        self._many.append(np.cumsum(lengths.astype(np.uint64)) + np.uint64(self._at))
        self._at += len(data)

    def abandon(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> TextsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        self._file.close()
        if kind is None:
            ends = np.frombuffer(self._ends, np.uint64) if self._ends else np.zeros(0, np.uint64)
            save(self._folder, f"{self._name}-ends", np.concatenate([ends, *self._many]))
