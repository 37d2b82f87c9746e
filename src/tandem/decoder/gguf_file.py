"""The container: a GGUF file's keys and values, and where each tensor lies, read in one pass over the file's head.

Format versions 2 and 3, little-endian. Every number is checked against the file's length before it is used, so that a
file that is cut short or damaged is refused by the key or tensor where it shows, and no number in it makes us take
memory or time. What this does not do: know what any key means. Rejected: `gguf.GGUFReader`, which makes an array of
every word of the vocabulary (1.9 s against 0.1 s for the embedded model's 98,000) and, when a file is cut short, says
that an array cannot be reshaped. Block sizes and the arithmetic of the types are the `gguf` package's.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from numpy.typing import NDArray

from tandem.errors import UserError

AGAIN = "copy or download it again"

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""`struct` letters of the fixed-size types of values."""
_TEXT, _ARRAY = 8, 9
_AT_ONCE = 256
"""Blocks that are multiplied out in one array operation, times the 16 rows that `gguf` takes at once."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in the file."""

    name: str
    """Its GGUF name."""
    size: tuple[int, ...]
    """Rows first, as torch has them."""
    kind: GGMLQuantizationType
    """How its values are stored."""
    data: NDArray[np.uint8]
    """Its bytes, not read before they are touched."""

    def values(self) -> NDArray[np.float32]:
        """Its values, multiplied out if it is quantised. Raises `UserError` when `gguf` has no arithmetic for it."""
        # Long rows of blocks instead of the tensor's own: the fewer array operations, the faster.
        blocks = len(self.data) // GGML_QUANT_SIZES[self.kind][1]
        try:
            with np.errstate(invalid="ignore", over="ignore"):  # a damaged scale; who asks for the values looks at them
                found = quants.dequantize(self.data.reshape(blocks // math.gcd(blocks, _AT_ONCE), -1), self.kind)
        except NotImplementedError:
            raise UserError(
                f"tensor {self.name} is stored as {self.kind.name}, which cannot be read",
                remedy="use a file in another quantisation: Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, F16, …",
            ) from None
        return np.require(found, np.float32, ["W"]).reshape(self.size)


def read(path: Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """Keys with values, and tensors by name. Raises `UserError` naming file and place when it is not a whole file."""
    try:
        with path.open("rb") as f:
            begins = f.read(4)
            data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) if begins == b"GGUF" else b""
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path), remedy="give the path of a GGUF file") from None
    except OSError as e:
        raise UserError(f"cannot be read ({e.strerror})", where=str(path), remedy="give a GGUF file") from None
    if begins != b"GGUF":
        raise UserError("is not a GGUF file: it does not begin with these letters", where=str(path), remedy=AGAIN)
    return _Head(path, data).read()


class _Head:
    """The file's head, read from front to back."""

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self.path, self.data, self.at = path, data, 4
        self.doing = "the first numbers"

    def refuse(self, problem: str, remedy: str = AGAIN) -> NoReturn:
        raise UserError(problem, where=f"{self.path}: {self.doing}", remedy=remedy)

    def take(self, length: int) -> int:
        """Move on by `length` bytes, which must be there; returns where they begin."""
        if length > len(self.data) - self.at:
            self.refuse(f"the file is cut short: it ends at byte {len(self.data):,}")
        self.at += length
        return self.at - length

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack_from(f"<{form}", self.data, self.take(struct.calcsize(f"<{form}")))

    def text(self) -> str:
        (length,) = self.numbers("Q")
        at = self.take(length)
        try:
            return self.data[at : at + length].decode("utf-8")
        except UnicodeDecodeError:
            self.refuse("the file is damaged: a text is not UTF-8")

    def read(self) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
        version, tensors, keys = self.numbers("IQQ")
        if version & 0xFFFF == 0:
            self.refuse("the file is written in another byte order", "use a little-endian file")
        if version not in (2, 3):
            self.refuse(f"version {version} of the format is not known", "2 and 3 are; convert the model anew")
        metadata: dict[str, Any] = {}
        for n in range(keys):
            self.doing = f"key {n + 1} of {keys:,}"
            name = self.doing = self.text()
            (kind,) = self.numbers("I")
            metadata[name] = self.value(kind)
        places = []
        for n in range(tensors):
            self.doing = f"tensor {n + 1} of {tensors:,}"
            places.append(self.tensor())
        alignment = metadata.get("general.alignment", 32)
        names = [name for name, *_ in places]
        if len(set(names)) < len(names):
            self.refuse("the file is damaged: two tensors have one name")
        self.doing = "general.alignment"
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            self.refuse(f"is {alignment!r}, not a power of two")
        start = -(-self.at // alignment) * alignment
        return metadata, {name: self.stored(name, size, kind, start + at) for name, size, kind, at in places}

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.numbers(_SCALARS[kind])[0]
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            self.refuse(f"the file is damaged: no type of value has number {kind}")
        item, count = self.numbers("IQ")
        if item == _TEXT:
            return [self.text() for _ in range(count)]
        if item not in _SCALARS:
            self.refuse(f"lists of type {item} are not supported", "use another model")
        self.at = self.take(count * struct.calcsize(_SCALARS[item]))
        return list(self.numbers(f"{count}{_SCALARS[item]}"))

    def tensor(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        name = self.doing = f"tensor {self.text()}"
        (axes,) = self.numbers("I")
        if axes > 4:
            self.refuse(f"the file is damaged: {axes:,} axes")
        size = tuple(reversed(self.numbers(f"{axes}Q")))
        number, at = self.numbers("IQ")
        try:
            kind = GGMLQuantizationType(number)
        except ValueError:
            self.refuse(f"no type of tensor has number {number}", "install a newer version of the gguf package")
        return name.removeprefix("tensor "), size, kind, at

    def stored(self, name: str, size: tuple[int, ...], kind: GGMLQuantizationType, at: int) -> StoredTensor:
        self.doing = f"tensor {name}"
        values, length = GGML_QUANT_SIZES[kind]
        if not size or not all(size) or size[-1] % values:
            self.refuse(f"the file is damaged: {size} values of type {kind.name}")
        length *= math.prod(size) // values
        if at + length > len(self.data):
            self.refuse(f"the file is cut short: it has {len(self.data):,} bytes, the tensor ends at {at + length:,}")
        return StoredTensor(name, size, kind, np.frombuffer(self.data, np.uint8, length, at))
