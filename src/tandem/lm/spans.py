"""Where a server's tokens stand in its answer: the pieces it lists, laid over the bytes of the text it returns.

Servers list more than the answer (a chain of reasoning before it, an end mark or a stop text after it) and spell half
a character as U+FFFD. A piece gets the bytes it covers, or nothing when it stands outside. Rejected: `text_offset`,
which counts characters, is thrown off by a start mark, and is not there in the chat format.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import NamedTuple

from tandem.types import Token

UNKNOWN = "\N{REPLACEMENT CHARACTER}".encode()
"""What a server writes where a token holds a part of a character only."""
LONGEST = 4
"""Bytes that one such mark may stand for."""

_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")


class Piece(NamedTuple):
    """A token as a server lists it."""

    data: bytes
    """What it adds to the text."""
    logprob: float | None
    """Natural log of its probability; None for the first token of a prompt."""
    greedy: bool = False
    """Whether the server shows no likelier token in its place."""


class Span(NamedTuple):
    """Bytes of an answer."""

    start: int
    """The first."""
    end: int
    """One past the last."""


def spelled(token: str) -> bytes:
    """Bytes of a token that is given as text alone; `bytes:\\xe2\\x80` is how OpenAI writes what is not UTF-8."""
    if token.startswith("bytes:\\x"):
        return bytes(int(pair, 16) for pair in _ESCAPED.findall(token))
    return token.encode()


def place(answer: bytes, pieces: Sequence[bytes], *, late: bool = False) -> list[Span | None] | None:
    """The bytes of `answer` that each piece covers (None for a piece outside), or None when the pieces do not fit.

    `late` looks for the answer at its last place among the pieces, as when reasoning comes before it.
    """
    whole = b"".join(pieces)
    if late:
        first = len(whole) - len(answer) if whole.endswith(answer) else whole.rfind(answer)
    else:
        first = whole.find(answer)
    if first < 0:
        return _around_unknown(answer, pieces) if UNKNOWN in whole else None
    spans: list[Span | None] = []
    at = -first
    for piece in pieces:
        start, end = max(at, 0), min(at + len(piece), len(answer))
        at += len(piece)
        inside = start < end or (not piece and 0 <= at < len(answer))
        spans.append(Span(start, end) if inside else None)
    return spans


def tokens(
    answer: str, pieces: Sequence[Piece], *, length: int | None = None, late: bool = False
) -> tuple[Token, ...] | None:
    """The tokens of an answer's first `length` bytes (all), which they cover without a gap.

    A token that the cut goes through is shortened. None when the pieces do not fit, or one lacks a probability.
    """
    data = answer.encode()
    length = len(data) if length is None else length
    spans = place(data, [piece.data for piece in pieces], late=late)
    if spans is None:
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    placed: list[Token] = []
    covered = 0
    for piece, span in zip(pieces, spans, strict=True):
        if span is None or span.start >= length:
            continue
        if piece.logprob is None:
            return None
        covered = min(span.end, length)
        placed.append(Token(decoder.decode(data[span.start : covered]), piece.logprob, span.start, covered))
    return tuple(placed) if covered == length else None


def _around_unknown(answer: bytes, pieces: Sequence[bytes]) -> list[Span | None] | None:
    """`place` from the first byte on where some pieces hold U+FFFD: each run of them covers what lies between."""
    spans: list[Span | None] = []
    at, run, room = 0, 0, 0
    for piece in pieces:
        if UNKNOWN in piece or (run and not piece):
            run, room = run + 1, room + len(piece) // len(UNKNOWN) * LONGEST + len(piece)
            spans.append(None)
            continue
        rest = answer[at:]
        found = at if not run else answer.find(piece, at, at + room + len(piece))
        if not rest and not run:
            spans.append(None)
            continue
        if found < 0 or not (answer.startswith(piece, found) or (piece.startswith(rest) and not run)):
            # Behind the answer's last bytes there may be an end mark.
            found = len(answer) if run and len(rest) <= room else -1
        if found < 0:
            return None
        _fill(spans, run, at, found)
        end = min(found + len(piece), len(answer))
        spans.append(Span(found, end) if found < end or (not piece and rest) else None)
        at, run, room = end, 0, 0
    if len(answer) - at > room:
        return None
    _fill(spans, run, at, len(answer))
    return spans


def _fill(spans: list[Span | None], run: int, start: int, end: int) -> None:
    """Give the last `run` entries the bytes from `start` to `end`: all to the last, where the character is complete."""
    for index in range(len(spans) - run, len(spans)):
        spans[index] = Span(start, end) if index == len(spans) - 1 else Span(start, start)
