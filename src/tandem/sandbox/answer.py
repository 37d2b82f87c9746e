"""The child's side of a query: the request in, rows within their limits or a named error out, as one JSON message.

Runs where the query runs, so nothing here is trusted by the parent, which reads the message as plain data
(`rows.read`). Values are passed as they are or not at all: a row that does not fit ends the answer, and is never cut.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tandem.sandbox import child, plain

_LONGEST_TEXT = 2000
_AS_THEY_ARE = frozenset({str, int, bool, type(None)})
_SHARE = 0.95
"""Of a limit, after which the engine is asked to stop; at the whole of it the process is ended from outside."""


class Stop(Exception):  # noqa: N818 — a named outcome
    """The query ends without rows: `invalid`, `refused`, `timeout`, `too-large`; `unusable` data; else `failed`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def serve(handles: Sequence[int], answer: Callable[[dict[str, Any]], bytes]) -> None:
    """Read a request from the first handle and write the answer, or the error that came instead, to the second."""
    text, out = handles
    try:
        try:
            message = answer(json.loads(child._all(text)))
        except Stop as stop:
            message = _error(stop.kind, str(stop))
        except MemoryError:
            message = _error("too-large", "the query needs more memory than it may take")
        except RecursionError:
            message = _error("too-large", "the query is nested too deep")
    except BaseException as error:
        message = _error("failed", f"{type(error).__name__}: {error}")
    view = memoryview(message)
    while view:
        view = view[os.write(out, view) :]


def rows(
    columns: Iterable[str],
    found: Iterable[Sequence[Any]],
    request: Mapping[str, Any],
    write: Callable[[Any], Any] | None = None,
) -> bytes:
    """The message for rows, up to the request's `rows` and `bytes`; `write` turns a value into what JSON can say."""
    names = [_told(str(c)) for c in columns]
    size = sum(map(len, names))
    if size > request["bytes"] // 2:
        raise Stop("too-large", f"the names of {len(names):,} columns alone are too long")
    write = write or _cell
    parts: list[str] = []
    complete = True
    for row in found:
        if len(parts) >= request["rows"]:
            complete = False
            break
        told = _told([v if type(v) in _AS_THEY_ARE else write(v) for v in row])
        size += len(told) + 1
        if size > request["bytes"]:
            complete = False
            break
        parts.append(told)
    whole = f'{{"columns":[{",".join(names)}],"rows":[{",".join(parts)}],"complete":{"true" if complete else "false"}}}'
    return whole.encode("ascii")


def _cell(value: Any) -> Any:
    if type(value) is float and math.isfinite(value):
        return value
    try:
        return plain.pack(value, None)
    except plain.TooLarge as error:
        raise Stop("too-large", str(error)) from None
    except TypeError:
        return str(value)


_told = json.JSONEncoder(separators=(",", ":")).encode


def _error(kind: str, text: str) -> bytes:
    return json.dumps({"error": kind, "text": text.strip()[:_LONGEST_TEXT]}).encode()


class Deadline:
    """When the engine itself is asked to stop, a moment before the process is ended from outside."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._cpu = _SHARE * request["cpu"]
        self._left = _SHARE * request["wall"]
        self._wall = time.monotonic() + self._left
        self.text = f"the query took more than {request['cpu']:g} s of processor time or {request['wall']:g} s"

    def passed(self) -> bool:
        """Whether it has."""
        return bool(time.process_time() > self._cpu or time.monotonic() > self._wall)

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Raise `Stop` from a timer's signal once it has passed; an engine that looks for signals stops at the next.

        A thread that waits was rejected: starting it costs 1 ms, a tenth of a query.
        """

        def passed(number: int, frame: object) -> None:
            raise Stop("timeout", self.text)

        timers = (signal.ITIMER_PROF, signal.SIGPROF, self._cpu), (signal.ITIMER_REAL, signal.SIGALRM, self._left)
        for timer, number, seconds in timers:
            signal.signal(number, passed)
            signal.setitimer(timer, seconds)
        try:
            yield
        finally:
            for timer, _, _ in timers:
                signal.setitimer(timer, 0)
