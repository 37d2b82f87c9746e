"""Answers that come piece by piece: server-sent events (WHATWG HTML, 9.2) out of bytes, and what puts them together.

Only the data of an event counts here; its name stands inside it in every format that is spoken. What this does not do:
know a wire format (`Streamed` does), reconnect, or read event ids.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

from tandem.errors import CallFailed
from tandem.http.faults import Fault

DONE = b"[DONE]"
"""Data of OpenAI's last event."""
ACCEPT = {"Accept": "text/event-stream, application/json"}
"""Header of a request for events."""


class Streamed(Protocol):
    """Puts the events of one answer together. A new one is made for every try."""

    @property
    def begun(self) -> bool:
        """Whether part of the answer was given out: then it is not asked for again."""
        ...

    @property
    def complete(self) -> bool:
        """Whether all that an answer needs has come."""
        ...

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        ...

    def add(self, event: dict[str, Any]) -> None:
        """Take an event. Raises CallFailed on one that does not have the shape of its format."""
        ...

    def whole(self) -> dict[str, Any]:
        """The answer, as the server would have sent it in one piece."""
        ...


class Events:
    """The data of events, out of bytes as they come."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Data of the events that are complete with this part. Lines end in LF or CRLF; empty data is left out."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line:
                name, _, value = line.partition(b":")
                if name == b"data":
                    self._data.append(value.removeprefix(b" "))
            elif self._data:
                data, self._data = b"\n".join(self._data), []
                if data:
                    yield data

    def end(self) -> Iterator[bytes]:
        """Data of a last event that no empty line closes, as some servers leave it."""
        yield from self.feed(b"\n\n")


async def together(
    parts: AsyncIterable[bytes], answer: Streamed, read: Callable[[bytes], dict[str, Any] | Fault]
) -> dict[str, Any] | Fault | None:
    """The whole of an answer that comes as events, each of them `read`; None when it broke off."""
    events = Events()
    async for part in parts:
        for data in events.feed(part):
            if data == DONE:
                return answer.whole()
            if problem := _added(answer, read(data)):
                return problem
            if answer.done:
                return answer.whole()
    for data in events.end():
        if data != DONE and (problem := _added(answer, read(data))):
            return problem
    return answer.whole() if answer.complete else None


def _added(answer: Streamed, event: dict[str, Any] | Fault) -> Fault | None:
    """What is wrong with an event; else it is part of the answer now."""
    if isinstance(event, Fault):
        return replace(event, again=event.again and not answer.begun)
    try:
        answer.add(event)
    except CallFailed as e:
        return Fault(e.kind, e.problem, remedy=e.remedy)
    return None
