"""JSON records of a file, each with the line it begins on: JSON Lines or one array, plain or gzip-compressed.

A JSON Lines record that does not parse comes out as the reason why, so that the reader may go on behind it; a file that
cannot be read to its end, or a broken array, is an error. What this does not do: know what a record means.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tandem.errors import UserError


class RecordError(Exception):
    """Why a record cannot be used."""


def records(path: Path) -> Iterator[tuple[int, Any | RecordError]]:
    """Line number and JSON value of each record; a line that does not parse comes as the reason why."""
    lines = _lines(path)
    for number, line in lines:
        if not line.strip():
            continue
        if line.lstrip().startswith(b"["):
            yield from _array(path, number, line + b"".join(rest for _, rest in lines))
            return
        try:
            yield number, json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as e:
            yield number, RecordError(f"not UTF-8 at byte {e.start} of the line")
        except ValueError as e:
            yield number, RecordError(f"not JSON ({e})")
        except RecursionError:
            yield number, RecordError("not a conversation: nested too deeply")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            with gzip.open(raw) if packed else raw as f:
                for number, line in enumerate(f, 1):
                    yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise UserError(
            f"the compressed file is damaged or cut short ({e})", where=str(path), remedy="fetch or pack it again"
        ) from e
    except OSError as e:
        raise UserError(f"cannot be read ({e.strerror or e})", where=str(path), remedy="check the path") from e


def _array(path: Path, first_line: int, data: bytes) -> Iterator[tuple[int, Any]]:
    """The records of one JSON array, each with the line it begins on."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = first_line + data.count(b"\n", 0, e.start)
        raise UserError("not UTF-8", where=f"{path}:{line}", remedy="save the file as UTF-8") from e
    decoder = json.JSONDecoder()
    position, line, seen = text.index("[") + 1, first_line, 0

    def skip_space(at: int) -> int:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        return at

    position = skip_space(position)
    while position < len(text) and text[position] != "]":
        line, seen = line + text.count("\n", seen, position), position
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as e:
            at = line + text.count("\n", seen, getattr(e, "pos", seen))
            message = getattr(e, "msg", "nested too deeply")
            raise UserError(f"not JSON ({message})", where=f"{path}:{at}", remedy="mend the file") from e
        yield line, value
        position = skip_space(position)
        if position < len(text) and text[position] == ",":
            position = skip_space(position + 1)
        elif position < len(text) and text[position] != "]":
            break
    if position >= len(text) or text[position] != "]" or text[position + 1 :].strip():
        at = first_line + text.count("\n", 0, position)
        raise UserError(
            "the JSON array is cut short or followed by something else", where=f"{path}:{at}", remedy="mend the file"
        )
