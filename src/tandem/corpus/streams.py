"""Bytes of a file, plain or compressed, in bounded memory; lines and pieces of them.

gz and zst go through one reader of ours because the usual ones fail quietly: a truncated zst ends without a word, and
a truncated gz loses the last buffer with the exception.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import zstandard

from tandem.errors import UserError

COMPRESSED = {".gz": "gz", ".zst": "zst", ".zstd": "zst"}
_STEP = 1 << 14  # compressed bytes at a time: a zst block may expand a few thousand times
_CHUNK = 1 << 20


class Readable(Protocol):
    """Anything read forward in bytes."""

    def read(self, n: int) -> bytes:
        """`n` bytes, fewer only at the end."""
        ...


class Stream:
    """A file's bytes, decompressed by its name's ending, read forward only.

    Raises UserError naming file and byte when a compressed file is truncated or damaged, unless `keep_damaged`: then
    the stream ends there, and `damage` says why.
    """

    damage: str | None = None
    """What was wrong, for a damaged file of which the good part was kept."""

    def __init__(self, path: Path, *, keep_damaged: bool = False) -> None:
        self.path = path
        self._keep = keep_damaged
        try:
            self._file = path.open("rb")
        except OSError as e:
            raise UserError(f"cannot read ({e.strerror or e})", where=str(path), remedy="check the path") from e
        self._make: Callable[[], Any] | None = None
        if path.suffix in COMPRESSED:
            zst = COMPRESSED[path.suffix] == "zst"
            self._make = (
                (lambda: zstandard.ZstdDecompressor().decompressobj()) if zst else (lambda: zlib.decompressobj(31))
            )
        self._inner: Any = None
        self._members = 0
        self._rest = b""  # compressed bytes behind a finished member
        self._ready = bytearray()
        self._given = 0
        self._over = False

    def read(self, n: int) -> bytes:
        """`n` bytes, fewer only at the end."""
        if self._make is None:
            data = self._file.read(n)
            self._given += len(data)
            return data
        while len(self._ready) < n and not self._over:
            self._decompress()
        data = bytes(self._ready[:n])
        del self._ready[:n]
        self._given += len(data)
        return data

    def _decompress(self) -> None:
        assert self._make is not None
        data = self._rest or self._file.read(_STEP)
        self._rest = b""
        if not data:
            if self._inner is None and self._members:
                self._over = True
            else:
                self._damaged("truncated" if self._members or self._file.tell() else "empty")
            return
        if self._inner is None:
            if self._members and not (data := data.lstrip(b"\0")):  # padding behind the last member
                return
            self._inner = self._make()
            self._members += 1
        try:
            self._ready += self._inner.decompress(data)
        except (zlib.error, zstandard.ZstdError) as e:
            self._damaged(f"damaged ({str(e).split(': ')[-1]})")
            return
        if self._inner.eof:
            self._rest = self._inner.unused_data
            self._inner = None

    def _damaged(self, how: str) -> None:
        self._over = True
        self.damage = f"{how} near byte {self._file.tell():,}"
        if not self._keep:
            raise UserError(
                f"{self.damage} of the compressed file, after {self._given + len(self._ready):,} bytes of content",
                where=str(self.path),
                remedy="fetch the file again, or keep what can be read with --keep-damaged",
            )

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def lines(stream: Readable, longest: int) -> Iterator[tuple[int, bytes | None, bool]]:
    """Line numbers from 1, lines without their ends, and whether they had one.

    None stands for a line over `longest` bytes, which is never held.
    """
    number, held, discarding = 1, bytearray(), False
    while chunk := stream.read(_CHUNK):
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            if discarding or len(held) + end - at > longest:
                yield number, None, True
            else:
                yield number, bytes(held) + chunk[at:end] if held else chunk[at:end], True
            held.clear()
            number, at, discarding = number + 1, end + 1, False
        if not discarding:
            held += chunk[at:]
            if len(held) > longest:
                held.clear()
                discarding = True
    if discarding:
        yield number, None, False
    elif held:
        yield number, bytes(held), False


def pieces(stream: Readable, longest: int) -> Iterator[bytes]:
    """All bytes in pieces of at most `longest`, cut behind a blank line, a line, a space, or between characters."""
    held = b""
    while True:
        held += stream.read(longest + 1 - len(held))
        if len(held) <= longest:
            break
        cut = cut_at(held, longest)
        yield held[:cut]
        held = held[cut:]
    if held:
        yield held


def cut_at(data: bytes, longest: int) -> int:
    """Where to cut `data` so that the first part has at most `longest` bytes: in its last tenth if there is a gap."""
    floor = longest - longest // 10
    for gap in (b"\n\n", b"\n", b" "):
        at = data.rfind(gap, floor, longest)
        if at >= 0:
            return at + len(gap)
    cut = longest
    while cut > max(1, longest - 3) and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
